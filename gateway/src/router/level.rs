//! The routes of one priority.

use std::cell::LazyCell;
use std::cmp::Reverse;
use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use regex::bytes::RegexSet;

use super::trie::{ANY_HOST, EndId, NodeId, Taker, Trie};
use super::{Asked, MethodSet, Pattern};
use crate::config::pattern::{Case, HostMatch, PathMatch, RegexPattern};

/// Routes among which the most specific wins.
#[derive(Debug)]
pub(super) struct Level<R> {
    trie: Trie<R>,
    /// None where no route has any.
    regexes: Option<Box<Regexes>>,
}

/// The regular expressions of hosts and paths. Each set is asked once for each request at most, and only when nothing that
/// is more specific took it.
#[derive(Debug)]
struct Regexes {
    hosts: RegexSet,
    /// The tree of each expression in `hosts`.
    roots: Box<[NodeId]>,
    paths: RegexSet,
    /// Below each host's tree: expressions by their place in `paths`, in its order, and the routes of each.
    ends: HashMap<NodeId, Vec<(usize, EndId)>>,
}

/// The routes of one priority, as they come.
#[derive(Debug)]
pub(super) struct LevelBuilder<R> {
    routes: Vec<Entry<R>>,
}

/// A route under one of its hosts.
#[derive(Debug)]
struct Entry<R> {
    host: Option<HostMatch>,
    path: PathMatch,
    taker: Taker<R>,
}

impl<R> Default for LevelBuilder<R> {
    fn default() -> Self {
        Self { routes: Vec::new() }
    }
}

impl<R: Clone> LevelBuilder<R> {
    pub(super) fn add(&mut self, pattern: &Pattern<'_>, route: &R) {
        let conditions = (!pattern.conditions.is_empty()).then(|| Arc::new(pattern.conditions.clone()));
        let taker = Taker { methods: pattern.methods, conditions, route: route.clone() };
        let mut add = |host: Option<&HostMatch>| {
            self.routes.push(Entry { host: host.cloned(), path: pattern.path.clone(), taker: taker.clone() });
        };
        if pattern.hosts.is_empty() {
            add(None);
        }
        for host in pattern.hosts {
            add(Some(host));
        }
    }

    pub(super) fn build(mut self) -> Result<Level<R>, regex::Error> {
        // At each place the last is asked first.
        self.routes.sort_by(|a, b| rank(b).cmp(&rank(a)));
        let mut trie = Trie::default();
        let hosts = Ranked::of(self.routes.iter().filter_map(|entry| match &entry.host {
            Some(HostMatch::Regex(regex)) => Some(regex),
            _ => None,
        }));
        let paths = Ranked::of(self.routes.iter().filter_map(|entry| match &entry.path {
            PathMatch::Regex(regex) => Some(regex),
            PathMatch::Pattern(_) => None,
        }));
        let roots: Box<[NodeId]> = hosts.0.iter().map(|_| trie.new_root()).collect();
        let mut ends: HashMap<NodeId, BTreeMap<usize, EndId>> = HashMap::new();
        for Entry { host, path, taker } in &self.routes {
            let root = match host {
                None => Some(ANY_HOST),
                Some(HostMatch::Pattern(host)) => Some(trie.root(host)),
                Some(HostMatch::Regex(regex)) => hosts.place(regex).and_then(|place| roots.get(place).copied()),
            };
            let Some(root) = root else { continue };
            match path {
                PathMatch::Pattern(path) => trie.add(root, path, taker.clone()),
                PathMatch::Regex(regex) => {
                    let Some(place) = paths.place(regex) else { continue };
                    let first = ends.entry(root).or_default().entry(place).or_insert(EndId::NONE);
                    *first = trie.add_end(taker.clone(), *first);
                }
            }
        }
        if hosts.0.is_empty() && paths.0.is_empty() {
            return Ok(Level { trie, regexes: None });
        }
        let regexes = Regexes {
            hosts: RegexPattern::set(hosts.0.iter().copied(), Case::Ignored)?,
            roots,
            paths: RegexPattern::set(paths.0.iter().copied(), Case::Exact)?,
            ends: ends.into_iter().map(|(root, ends)| (root, ends.into_iter().collect())).collect(),
        };
        Ok(Level { trie, regexes: Some(Box::new(regexes)) })
    }
}

fn rank<R>(entry: &Entry<R>) -> (Reverse<usize>, &str) {
    entry.taker.conditions.as_ref().map_or((Reverse(0), ""), |conditions| conditions.rank())
}

/// Different expressions in the order in which they are asked: who writes more means less, and of as much the alphabet.
struct Ranked<'p>(Vec<&'p RegexPattern>);

impl<'p> Ranked<'p> {
    fn of(patterns: impl Iterator<Item = &'p RegexPattern>) -> Self {
        let mut patterns: Vec<_> = patterns.collect();
        patterns.sort_unstable_by_key(|pattern| Self::rank(pattern));
        patterns.dedup();
        Self(patterns)
    }

    fn place(&self, pattern: &RegexPattern) -> Option<usize> {
        self.0.binary_search_by_key(&Self::rank(pattern), |pattern| Self::rank(pattern)).ok()
    }

    fn rank(pattern: &RegexPattern) -> (Reverse<usize>, &str) {
        (Reverse(pattern.text().len()), pattern.text())
    }
}

impl<R> Level<R> {
    pub(super) fn find(&self, asked: &Asked<'_>, others: &mut MethodSet) -> Option<&R> {
        // Behind `/` alone stands no segment, not an empty one.
        let path = Some(asked.path.strip_prefix('/').unwrap_or(asked.path)).filter(|path| !path.is_empty());
        let mut named = self.trie.named_roots(asked.host);
        let Some(regexes) = &self.regexes else {
            return named.chain([ANY_HOST]).find_map(|root| self.trie.find(root, path, asked, others));
        };
        let fitting = LazyCell::new(|| regexes.paths.matches(asked.path.as_bytes()));
        let mut below = |root: NodeId| {
            self.trie.find(root, path, asked, others).or_else(|| {
                let ends = regexes.ends.get(&root)?;
                let mut fits = ends.iter().filter(|(place, _)| fitting.matched(*place));
                fits.find_map(|(_, end)| self.trie.take(*end, asked, others))
            })
        };
        named.find_map(&mut below).or_else(|| {
            let hosts = regexes.hosts.matches(asked.host.as_bytes());
            let mut fits = hosts.iter().filter_map(|place| regexes.roots.get(place));
            fits.find_map(|root| below(*root)).or_else(|| below(ANY_HOST))
        })
    }
}
