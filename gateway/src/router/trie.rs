//! Finds routes by the names and segments that their hosts and paths are written with.

use std::hash::BuildHasher as _;
use std::sync::Arc;

use hashbrown::{DefaultHashBuilder, HashTable};

use super::label::Label;
use super::{Asked, Conditions, MethodSet};
use crate::config::pattern::{HostPattern, PathPattern, Segment, Tail};

/// The trees of all hosts, together in three flat tables without pointers between them. With a map in every node, a look-up
/// among thousands of routes spends most of its time waiting for memory.
#[derive(Debug)]
pub(super) struct Trie<R> {
    /// Where a node leads by a label, for all nodes.
    edges: HashTable<Edge>,
    hasher: DefaultHashBuilder,
    nodes: Vec<Node>,
    ends: Vec<End<R>>,
}

#[derive(Debug)]
struct Edge {
    from: NodeId,
    to: NodeId,
    label: Label,
}

/// A place in [`Trie::nodes`]; `NONE` is none.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct NodeId(u32);

/// A place in [`Trie::ends`]; `NONE` is none.
#[derive(Clone, Copy, Debug)]
pub(super) struct EndId(u32);

/// The tree of the routes for every host.
pub(super) const ANY_HOST: NodeId = NodeId(0);
/// From here an edge leads to the tree of each exact host.
const EXACT_HOSTS: NodeId = NodeId(1);
/// From here an edge leads to the tree of each wildcard, by what stands behind the `*`, with its leading dot.
const WILDCARD_HOSTS: NodeId = NodeId(2);

#[derive(Clone, Copy, Debug)]
struct Node {
    /// Whether any edge begins here, which spares most look-ups.
    has_edges: bool,
    /// Where a segment leads that no edge is labelled with.
    parameter: NodeId,
    /// Routes that end here.
    exact: EndId,
    /// Routes that take everything from here on.
    prefix: EndId,
}

/// A route, and the next one at the same place with other methods or conditions.
#[derive(Debug)]
struct End<R> {
    methods: MethodSet,
    next: EndId,
    conditions: Option<Arc<Conditions>>,
    route: R,
}

/// A route at its place, and what else it asks for.
#[derive(Clone, Debug)]
pub(super) struct Taker<R> {
    pub(super) methods: MethodSet,
    /// None at all where there are none, so that nothing is asked.
    pub(super) conditions: Option<Arc<Conditions>>,
    pub(super) route: R,
}

impl NodeId {
    const NONE: Self = Self(u32::MAX);
}

impl EndId {
    pub(super) const NONE: Self = Self(u32::MAX);
}

impl Node {
    const EMPTY: Self = Self { has_edges: false, parameter: NodeId::NONE, exact: EndId::NONE, prefix: EndId::NONE };
}

impl<R> Default for Trie<R> {
    fn default() -> Self {
        let roots = vec![Node::EMPTY; [ANY_HOST, EXACT_HOSTS, WILDCARD_HOSTS].len()];
        Self { edges: HashTable::new(), hasher: DefaultHashBuilder::default(), nodes: roots, ends: Vec::new() }
    }
}

impl<R> Trie<R> {
    /// The tree of `host`.
    pub(super) fn root(&mut self, host: &HostPattern) -> NodeId {
        match host {
            HostPattern::Exact(name) => self.edge(EXACT_HOSTS, name),
            HostPattern::Wildcard(suffix) => self.edge(WILDCARD_HOSTS, suffix),
        }
    }

    /// A tree that no name leads to.
    pub(super) fn new_root(&mut self) -> NodeId {
        self.new_node()
    }

    /// Adds a route below `root`, to be asked before those that were added at the same place.
    pub(super) fn add(&mut self, root: NodeId, path: &PathPattern, taker: Taker<R>) {
        let last = path.segments.iter().fold(root, |node, segment| match segment {
            Segment::Literal(text) => self.edge(node, text),
            Segment::Parameter(_) => self.parameter(node),
        });
        let place = |node: &Node| if path.tail == Tail::Exact { node.exact } else { node.prefix };
        let next = self.node(last).map_or(EndId::NONE, place);
        let end = self.add_end(taker, next);
        let Some(node) = self.nodes.get_mut(last.0 as usize) else { return };
        match path.tail {
            Tail::Exact => node.exact = end,
            Tail::Prefix => node.prefix = end,
        }
    }

    /// Adds a route before `next`, to be found by what this gives alone.
    pub(super) fn add_end(&mut self, taker: Taker<R>, next: EndId) -> EndId {
        let Taker { methods, conditions, route } = taker;
        self.ends.push(End { methods, next, conditions, route });
        EndId(index(self.ends.len() - 1))
    }

    /// Where `label` leads from `node`; a new node if it led nowhere.
    fn edge(&mut self, node: NodeId, label: &str) -> NodeId {
        if let Some(known) = self.child(node, label) {
            return known;
        }
        let to = self.new_node();
        if let Some(from) = self.nodes.get_mut(node.0 as usize) {
            from.has_edges = true;
        }
        let hasher = &self.hasher;
        let edge = Edge { from: node, to, label: Label::new(label) };
        self.edges.insert_unique(hash(hasher, node, label.as_bytes()), edge, |edge| {
            hash(hasher, edge.from, edge.label.as_bytes())
        });
        to
    }

    fn parameter(&mut self, node: NodeId) -> NodeId {
        let known = self.nodes.get(node.0 as usize).map_or(NodeId::NONE, |node| node.parameter);
        if known != NodeId::NONE {
            return known;
        }
        let to = self.new_node();
        if let Some(from) = self.nodes.get_mut(node.0 as usize) {
            from.parameter = to;
        }
        to
    }

    fn new_node(&mut self) -> NodeId {
        self.nodes.push(Node::EMPTY);
        NodeId(index(self.nodes.len() - 1))
    }

    /// The trees that the name `host` leads to, the most specific first.
    pub(super) fn named_roots(&self, host: &str) -> impl Iterator<Item = NodeId> {
        let has_wildcards = self.node(WILDCARD_HOSTS).is_some_and(|node| node.has_edges);
        let wildcards = host
            .match_indices('.')
            .filter(move |(at, _)| *at > 0 && has_wildcards)
            .filter_map(|(at, _)| self.child(WILDCARD_HOSTS, host.get(at..)?));
        self.child(EXACT_HOSTS, host).into_iter().chain(wildcards)
    }

    /// The route below `at` for the segments `rest`.
    ///
    /// Goes down the most specific way first and comes back up where that leads nowhere. Each node is entered at most
    /// once, for each has one parent, and the depth is bounded by the deepest route of the file.
    pub(super) fn find(&self, at: NodeId, rest: Option<&str>, asked: &Asked<'_>, others: &mut MethodSet) -> Option<&R> {
        let node = self.node(at)?;
        let below = rest.and_then(|rest| {
            let (segment, rest) = match rest.split_once('/') {
                Some((segment, rest)) => (segment, Some(rest)),
                None => (rest, None),
            };
            let literal = self.child(at, segment).and_then(|child| self.find(child, rest, asked, others));
            // An empty segment (`/a/`) is a literal of its own, never a parameter's value.
            literal.or_else(|| match segment {
                "" => None,
                _ => self.find(node.parameter, rest, asked, others),
            })
        });
        below
            .or_else(|| if rest.is_none() { self.take(node.exact, asked, others) } else { None })
            .or_else(|| self.take(node.prefix, asked, others))
    }

    /// The first route from `end` on that takes what is asked. What others would, but for the method, goes to `others`.
    pub(super) fn take(&self, end: EndId, asked: &Asked<'_>, others: &mut MethodSet) -> Option<&R> {
        let mut next = end;
        while let Some(end) = self.ends.get(next.0 as usize) {
            if end.conditions.as_ref().is_none_or(|conditions| conditions.hold(asked)) {
                if end.methods.contains(asked.method) {
                    return Some(&end.route);
                }
                *others = others.union(end.methods);
            }
            next = end.next;
        }
        None
    }

    fn node(&self, id: NodeId) -> Option<&Node> {
        self.nodes.get(id.0 as usize)
    }

    fn child(&self, node: NodeId, label: &str) -> Option<NodeId> {
        if !self.node(node)?.has_edges {
            return None;
        }
        let edge = self.edges.find(hash(&self.hasher, node, label.as_bytes()), |edge| {
            edge.from == node && edge.label.as_bytes() == label.as_bytes()
        })?;
        Some(edge.to)
    }
}

fn hash(hasher: &DefaultHashBuilder, from: NodeId, label: &[u8]) -> u64 {
    hasher.hash_one((from, label))
}

/// A table's place. A file has no more than 4 MiB, and so never as many.
fn index(place: usize) -> u32 {
    u32::try_from(place).unwrap_or(u32::MAX)
}
