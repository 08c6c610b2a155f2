//! Decides which route a request belongs to.
//!
//! The most specific route wins: an exact host over a wildcard over any; then, segment by segment, literal over parameter
//! over prefix. A route that does not take the method lets the next one try. The order in the file is never used, so
//! moving a block cannot change traffic.

mod label;

use std::hash::BuildHasher as _;

use hashbrown::{DefaultHashBuilder, HashTable};
use http::Method;

use crate::config::pattern::{HostPattern, PathPattern, Segment, Tail};
use label::Label;

/// Finds routes. The cost of a look-up grows with the number of the path's segments, not with the number of routes.
///
/// The trees of all hosts lie together in three flat tables without pointers between them. With a map in every node, a
/// look-up among thousands of routes spends most of its time waiting for memory.
#[derive(Debug)]
pub struct Router<R> {
    /// Where a node leads by a label, for all nodes.
    edges: HashTable<Edge>,
    hasher: DefaultHashBuilder,
    nodes: Vec<Node>,
    ends: Vec<End<R>>,
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

#[derive(Debug)]
struct Edge {
    from: NodeId,
    to: NodeId,
    label: Label,
}

/// A place in [`Router::nodes`]; `NONE` is none.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct NodeId(u32);

/// A place in [`Router::ends`]; `NONE` is none.
#[derive(Clone, Copy, Debug)]
struct EndId(u32);

/// The tree of the routes for every host.
const ANY_HOST: NodeId = NodeId(0);
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

/// A route, and the next one at the same place with other methods.
#[derive(Debug)]
struct End<R> {
    methods: MethodSet,
    route: R,
    next: EndId,
}

impl NodeId {
    const NONE: Self = Self(u32::MAX);
}

impl EndId {
    const NONE: Self = Self(u32::MAX);
}

impl Node {
    const EMPTY: Self = Self { has_edges: false, parameter: NodeId::NONE, exact: EndId::NONE, prefix: EndId::NONE };
}

impl<R> Default for Router<R> {
    fn default() -> Self {
        let roots = vec![Node::EMPTY; [ANY_HOST, EXACT_HOSTS, WILDCARD_HOSTS].len()];
        Self { edges: HashTable::new(), hasher: DefaultHashBuilder::default(), nodes: roots, ends: Vec::new() }
    }
}

impl<R: Clone> Router<R> {
    /// Adds a route; no host means every host.
    pub fn add(&mut self, hosts: &[HostPattern], path: &PathPattern, methods: MethodSet, route: &R) {
        if hosts.is_empty() {
            self.add_below(ANY_HOST, path, methods, route.clone());
        }
        for host in hosts {
            let root = match host {
                HostPattern::Exact(name) => self.edge(EXACT_HOSTS, name),
                HostPattern::Wildcard(suffix) => self.edge(WILDCARD_HOSTS, suffix),
            };
            self.add_below(root, path, methods, route.clone());
        }
    }

    fn add_below(&mut self, root: NodeId, path: &PathPattern, methods: MethodSet, route: R) {
        let last = path.segments.iter().fold(root, |node, segment| match segment {
            Segment::Literal(text) => self.edge(node, text),
            Segment::Parameter(_) => self.parameter(node),
        });
        let end = EndId(index(self.ends.len()));
        let Some(node) = self.nodes.get_mut(last.0 as usize) else { return };
        let place = match path.tail {
            Tail::Exact => &mut node.exact,
            Tail::Prefix => &mut node.prefix,
        };
        let next = std::mem::replace(place, end);
        self.ends.push(End { methods, route, next });
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
}

impl<R> Router<R> {
    /// The route for a request to `host` (lower case, without port) for `path` (in normal form).
    pub fn find(&self, host: &str, path: &str, method: &Method) -> RouteMatch<'_, R> {
        // Behind `/` alone stands no segment, not an empty one.
        let path = Some(path.strip_prefix('/').unwrap_or(path)).filter(|path| !path.is_empty());
        let mut others = MethodSet::EMPTY;
        let has_wildcards = self.node(WILDCARD_HOSTS).is_some_and(|node| node.has_edges);
        let wildcards = host
            .match_indices('.')
            .filter(|(at, _)| *at > 0 && has_wildcards)
            .filter_map(|(at, _)| self.child(WILDCARD_HOSTS, &host[at..]));
        for root in self.child(EXACT_HOSTS, host).into_iter().chain(wildcards).chain([ANY_HOST]) {
            if let Some(route) = self.find_below(root, path, method, &mut others) {
                return RouteMatch::Route(route);
            }
        }
        if others == MethodSet::EMPTY { RouteMatch::None } else { RouteMatch::OtherMethods(others) }
    }

    /// Goes down the most specific way first and comes back up where that leads nowhere. Each node is entered at most
    /// once, for each has one parent, and the depth is bounded by the deepest route of the file.
    fn find_below(&self, at: NodeId, rest: Option<&str>, method: &Method, others: &mut MethodSet) -> Option<&R> {
        let node = self.node(at)?;
        let below = rest.and_then(|rest| {
            let (segment, rest) = match rest.split_once('/') {
                Some((segment, rest)) => (segment, Some(rest)),
                None => (rest, None),
            };
            let literal = self.child(at, segment).and_then(|child| self.find_below(child, rest, method, others));
            // An empty segment (`/a/`) is a literal of its own, never a parameter's value.
            literal.or_else(|| match segment {
                "" => None,
                _ => self.find_below(node.parameter, rest, method, others),
            })
        });
        below
            .or_else(|| if rest.is_none() { self.take(node.exact, method, others) } else { None })
            .or_else(|| self.take(node.prefix, method, others))
    }

    /// The first route from `end` on that takes `method`.
    fn take(&self, end: EndId, method: &Method, others: &mut MethodSet) -> Option<&R> {
        let mut next = end;
        while let Some(end) = self.ends.get(next.0 as usize) {
            if end.methods.contains(method) {
                return Some(&end.route);
            }
            *others = others.union(end.methods);
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
