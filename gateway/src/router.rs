//! Decides which route a request belongs to.
//!
//! The most specific route wins: an exact host over a wildcard over any; then, segment by segment, literal over parameter
//! over prefix. A route that does not take the method lets the next one try. The order in the file is never used, so
//! moving a block cannot change traffic.

use std::collections::HashMap;

use http::Method;

use crate::config::pattern::{HostPattern, PathPattern, Segment, Tail};

/// Finds routes. The cost of a look-up grows with the number of the path's segments, not with the number of routes.
#[derive(Debug)]
pub struct Router<R> {
    exact_hosts: HashMap<Box<str>, PathTree<R>>,
    /// By what stands behind the `*`, with its leading dot.
    wildcard_hosts: HashMap<Box<str>, PathTree<R>>,
    any_host: PathTree<R>,
}

/// What a request's host, path and method lead to.
#[derive(Debug, PartialEq, Eq)]
pub enum RouteMatch<'r, R> {
    /// This route.
    Route(&'r R),
    /// Some route takes the path, none of them this method.
    OtherMethods(MethodSet),
    /// No route takes the path.
    None,
}

impl<R> Default for Router<R> {
    fn default() -> Self {
        Self { exact_hosts: HashMap::new(), wildcard_hosts: HashMap::new(), any_host: PathTree::default() }
    }
}

impl<R: Clone> Router<R> {
    /// Adds a route; no host means every host.
    pub fn add(&mut self, hosts: &[HostPattern], path: &PathPattern, methods: MethodSet, route: &R) {
        if hosts.is_empty() {
            self.any_host.add(path, methods, route.clone());
        }
        for host in hosts {
            let tree = match host {
                HostPattern::Exact(name) => self.exact_hosts.entry(name.as_str().into()).or_default(),
                HostPattern::Wildcard(suffix) => self.wildcard_hosts.entry(suffix.as_str().into()).or_default(),
            };
            tree.add(path, methods, route.clone());
        }
    }

    /// The route for a request to `host` (lower case, without port) for `path` (in normal form).
    pub fn find(&self, host: &str, path: &str, method: &Method) -> RouteMatch<'_, R> {
        let mut others = MethodSet::EMPTY;
        let exact = self.exact_hosts.get(host);
        let wildcards = host
            .match_indices('.')
            .filter(|(at, _)| *at > 0 && !self.wildcard_hosts.is_empty())
            .filter_map(|(at, _)| self.wildcard_hosts.get(&host[at..]));
        for tree in exact.into_iter().chain(wildcards).chain([&self.any_host]) {
            if let Some(route) = tree.find(path, method, &mut others) {
                return RouteMatch::Route(route);
            }
        }
        if others == MethodSet::EMPTY { RouteMatch::None } else { RouteMatch::OtherMethods(others) }
    }
}

/// The routes of one host, by path.
#[derive(Debug)]
struct PathTree<R> {
    root: Node<R>,
}

impl<R> Default for PathTree<R> {
    fn default() -> Self {
        Self { root: Node::default() }
    }
}

impl<R> PathTree<R> {
    fn add(&mut self, path: &PathPattern, methods: MethodSet, route: R) {
        let mut node = &mut self.root;
        for segment in &path.segments {
            node = match segment {
                Segment::Literal(text) => node.literals.entry(text.as_str().into()).or_default(),
                Segment::Parameter(_) => node.parameter.get_or_insert_default(),
            };
        }
        let ends = match path.tail {
            Tail::Exact => &mut node.exact,
            Tail::Prefix => &mut node.prefix,
        };
        ends.push((methods, route));
    }

    fn find<'r>(&'r self, path: &str, method: &Method, others: &mut MethodSet) -> Option<&'r R> {
        self.root.find(Some(path.strip_prefix('/').unwrap_or(path)), method, others)
    }
}

#[derive(Debug)]
struct Node<R> {
    literals: HashMap<Box<str>, Node<R>>,
    parameter: Option<Box<Node<R>>>,
    /// Routes that end here.
    exact: Vec<(MethodSet, R)>,
    /// Routes that take everything from here on.
    prefix: Vec<(MethodSet, R)>,
}

impl<R> Default for Node<R> {
    fn default() -> Self {
        Self { literals: HashMap::new(), parameter: None, exact: Vec::new(), prefix: Vec::new() }
    }
}

impl<R> Node<R> {
    /// Goes down the most specific way first and comes back up where that leads nowhere. Each node is entered at most
    /// once, for each has one parent, and the depth is bounded by the deepest route of the file.
    fn find<'r>(&'r self, rest: Option<&str>, method: &Method, others: &mut MethodSet) -> Option<&'r R> {
        let below = rest.and_then(|rest| {
            let (segment, rest) = match rest.split_once('/') {
                Some((segment, rest)) => (segment, Some(rest)),
                None => (rest, None),
            };
            let literal = self.literals.get(segment).and_then(|node| node.find(rest, method, others));
            literal.or_else(|| {
                // An empty segment (`/a/`) is a literal of its own, never a parameter's value.
                let parameter = self.parameter.as_ref().filter(|_| !segment.is_empty())?;
                parameter.find(rest, method, others)
            })
        });
        below
            .or_else(|| if rest.is_none() { take(&self.exact, method, others) } else { None })
            .or_else(|| take(&self.prefix, method, others))
    }
}

fn take<'r, R>(ends: &'r [(MethodSet, R)], method: &Method, others: &mut MethodSet) -> Option<&'r R> {
    for (methods, route) in ends {
        if methods.contains(method) {
            return Some(route);
        }
        *others = others.union(*methods);
    }
    None
}

/// A set of HTTP methods. Those without a bit of their own belong only to the set of all.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MethodSet(u16);

impl MethodSet {
    /// No method.
    pub const EMPTY: Self = Self(0);
    /// Every method, also those that are not known here, but for `TRACE` and `CONNECT`: an upstream's answer to the one
    /// shows the client what the gateway has added, the other is for tunnels.
    pub const ALL: Self = Self(u16::MAX);
    const KNOWN: [Method; 7] =
        [Method::GET, Method::HEAD, Method::POST, Method::PUT, Method::PATCH, Method::DELETE, Method::OPTIONS];

    /// The set of `methods`; none at all means every method, and `GET` brings `HEAD` with it (RFC 9110, section 9.3.2).
    pub fn of<'m>(methods: impl IntoIterator<Item = &'m Method>) -> Self {
        let mut set = Self::EMPTY;
        for method in methods {
            set = set.union(Self::bit(method));
            if method == Method::GET {
                set = set.union(Self::bit(&Method::HEAD));
            }
        }
        if set == Self::EMPTY { Self::ALL } else { set }
    }

    /// Whether the set has `method`.
    #[must_use]
    pub fn contains(self, method: &Method) -> bool {
        let any = self == Self::ALL && !matches!(*method, Method::TRACE | Method::CONNECT);
        any || self.0 & Self::bit(method).0 != 0
    }

    /// The methods of either set.
    #[must_use]
    pub const fn union(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// The known methods of the set, in the order of RFC 9110.
    pub fn iter(self) -> impl Iterator<Item = Method> {
        Self::KNOWN.into_iter().filter(move |method| self.contains(method))
    }

    fn bit(method: &Method) -> Self {
        let position = Self::KNOWN.iter().position(|known| known == method);
        Self(position.map_or(0, |position| 1 << position))
    }
}

#[cfg(test)]
mod tests;
