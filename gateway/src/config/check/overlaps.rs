//! Checks that each route is reached by the requests that it alone is for.

#![expect(clippy::mutable_key_type, reason = "a regular expression is hashed and compared by its text alone")]

use std::collections::{BTreeSet, HashMap, HashSet};

use crate::config::file::{GatewayFile, RouteFile};
use crate::config::pattern::{Condition, HostMatch, HostPattern, PathMatch, Segment, Test};
use crate::config::problems::KeyPath;
use crate::config::report::Report;
use crate::router::{Conditions, MethodSet};

/// Sorts of conditions at one place that are compared with each other.
const MOST_SORTS: usize = 64;

pub(super) fn check(file: &GatewayFile, report: &mut Report<'_>) {
    let at = KeyPath::default().key("routes");
    let is_known = |index: usize, report: &Report<'_>| {
        // Where a part is wrong, who knows what the route takes.
        report.is_written(&at.index(index).key("match")) && report.is_written(&at.index(index).key("priority"))
    };
    let numbered = file.routes.iter().enumerate().filter(|(index, _)| is_known(*index, report));
    let routes: Vec<Known<'_>> = numbered.map(|(index, route)| Known::of(index, route)).collect();
    let told = check_same(&routes, &at, report);
    check_unreachable(&routes, &told, &at, report);
    check_ambiguous(&routes, &at, report);
}

/// A route whose `match` is as the file has it.
struct Known<'f> {
    index: usize,
    name: &'f str,
    hosts: Vec<Option<&'f HostMatch>>,
    shape: PathMatch,
    methods: MethodSet,
    conditions: Vec<Condition>,
    /// The same as texts, which are equal for equal conditions.
    texts: BTreeSet<String>,
    priority: i32,
}

impl<'f> Known<'f> {
    fn of(index: usize, route: &'f RouteFile) -> Self {
        let matches = &route.matches;
        let conditions = matches.conditions();
        Self {
            index,
            name: &route.name,
            hosts: match matches.hosts.as_slice() {
                [] => vec![None],
                hosts => hosts.iter().map(Some).collect(),
            },
            shape: matches.path.shape(),
            methods: MethodSet::of(matches.methods.iter().map(|method| method.get())),
            texts: conditions.iter().map(Condition::to_string).collect(),
            conditions,
            priority: route.priority,
        }
    }

    fn path(&self, at: &KeyPath) -> KeyPath {
        at.index(self.index).key("match").key("path")
    }

    /// The literal with which all of its paths begin, if they do.
    fn first_segment(&self) -> Option<&str> {
        match &self.shape {
            PathMatch::Pattern(pattern) => match pattern.segments.first()? {
                Segment::Literal(text) => Some(text),
                Segment::Parameter(_) => None,
            },
            PathMatch::Regex(_) => None,
        }
    }

    /// Whether it takes everything that `other` takes, hosts aside, and is asked first wherever the two share a host.
    fn goes_before_all_of(&self, other: &Self) -> bool {
        let first = self.priority > other.priority
            || self.priority == other.priority
                && matches!((&self.shape, &other.shape), (PathMatch::Pattern(_), PathMatch::Regex(_)));
        first
            && self.methods.covers(other.methods)
            && self.shape.covers(&other.shape)
            && self.texts.is_subset(&other.texts)
    }

    /// Whether it is asked before `other`, which is at the same place and asks for as much.
    fn is_asked_before(&self, other: &Self) -> bool {
        Conditions::of(self.conditions.clone()).rank() < Conditions::of(other.conditions.clone()).rank()
    }

    /// What it asks for, with the values left out: of two that differ in nothing else no request is meant to fit both.
    fn sort(&self) -> (MethodSet, Vec<String>) {
        let sort = |condition: &Condition| match condition {
            Condition::Header(name, Test::Value(_)) => format!("header {name}"),
            Condition::Query(name, Test::Value(_)) => format!("query {name:?}"),
            Condition::Cookie(name, Test::Value(_)) => format!("cookie {name:?}"),
            other => other.to_string(),
        };
        let mut sorts: Vec<String> = self.conditions.iter().map(sort).collect();
        sorts.sort_unstable();
        (self.methods, sorts)
    }
}

/// Routes at the same place, of the same priority and under the same conditions are told apart by their methods alone, so
/// those must not meet. Gives the routes that were told of.
fn check_same(routes: &[Known<'_>], at: &KeyPath, report: &mut Report<'_>) -> HashSet<usize> {
    let mut taken: HashMap<_, Vec<&Known<'_>>> = HashMap::new();
    let mut told = HashSet::new();
    for route in routes {
        let mut same = None;
        for host in &route.hosts {
            let others = taken.entry((host, &route.shape, route.priority, &route.texts)).or_default();
            let meeting = others.iter().find(|other| other.index != route.index && other.methods.meets(route.methods));
            same = same.or(meeting.copied());
            others.push(route);
        }
        if let Some(other) = same {
            let message = format!(
                "the route `{}` in line {} takes the same requests; give one of them other hosts, another path, other \
                 methods or other conditions",
                other.name,
                report.line(&other.path(at))
            );
            report.problem(&route.path(at), message);
            told.insert(route.index);
        }
    }
    told
}

/// A route is of no use if others are asked before it for every request that it takes.
fn check_unreachable(routes: &[Known<'_>], told: &HashSet<usize>, at: &KeyPath, report: &mut Report<'_>) {
    let first = First::of(routes);
    if first.by_place.is_empty() {
        return;
    }
    for route in routes.iter().filter(|route| !told.contains(&route.index)) {
        let before = route.hosts.iter().map(|host| first.before(route, *host));
        let Some(others) = before.collect::<Option<Vec<_>>>() else { continue };
        let Some(other) = others.first() else { continue };
        let message = format!(
            "no request gets here: the route `{}` in line {} takes all of them first, {}; give this one a higher \
             `priority`, or let that one take less",
            other.name,
            report.line(&other.path(at)),
            if other.priority > route.priority { "by its priority" } else { "for regular expressions are asked last" },
        );
        report.problem(&route.path(at), message);
    }
}

/// The routes that can go before all of another. In a file without priorities and regular expressions, none.
struct First<'r, 'f> {
    /// By host, and by the segment with which all paths begin that the route takes.
    by_place: HashMap<(Option<&'f HostMatch>, Option<&'r str>), Vec<&'r Known<'f>>>,
    regexes: Vec<&'f HostMatch>,
}

impl<'r, 'f> First<'r, 'f> {
    fn of(routes: &'r [Known<'f>]) -> Self {
        let lowest = routes.iter().map(|route| route.priority).min().unwrap_or_default();
        let has_regex = routes.iter().any(|route| matches!(route.shape, PathMatch::Regex(_)));
        let is_everything =
            |route: &Known<'_>| matches!(&route.shape, PathMatch::Pattern(path) if path.segments.is_empty());
        let mut by_place: HashMap<_, Vec<&Known<'_>>> = HashMap::new();
        for route in routes.iter().filter(|route| route.priority > lowest || has_regex && is_everything(route)) {
            for host in &route.hosts {
                by_place.entry((*host, route.first_segment())).or_default().push(route);
            }
        }
        let hosts: HashSet<&HostMatch> = by_place.keys().filter_map(|(host, _)| *host).collect();
        let regexes = hosts.into_iter().filter(|host| matches!(host, HostMatch::Regex(_))).collect();
        Self { by_place, regexes }
    }

    /// One that takes all that `route` takes of `host`, and takes it first.
    fn before(&self, route: &Known<'_>, host: Option<&HostMatch>) -> Option<&'r Known<'f>> {
        let goes_before = |other: &&Known<'_>| other.index != route.index && other.goes_before_all_of(route);
        // Routes for more hosts go first by their priority alone.
        let by_priority = |other: &&Known<'_>| other.priority > route.priority && goes_before(other);
        let first = |host: Option<&HostMatch>| self.at(host, route).find(by_priority);
        let covering = || self.regexes.iter().copied().filter(|regex| host.is_some_and(|host| regex.covers(host)));
        (self.at(host, route).find(goes_before))
            .or_else(|| first(None))
            .or_else(|| wider(host?).iter().find_map(|wider| first(Some(wider))))
            .or_else(|| covering().find_map(|regex| first(Some(regex))))
    }

    /// Those for `host` whose paths may begin as those of `route` do.
    fn at<'h>(&'h self, host: Option<&'h HostMatch>, route: &'h Known<'_>) -> impl Iterator<Item = &'r Known<'f>> + 'h {
        let segments = [route.first_segment().map(Some), Some(None)];
        segments.into_iter().flatten().filter_map(move |segment| self.by_place.get(&(host, segment))).flatten().copied()
    }
}

/// The wildcards that take all that `host` takes, itself aside.
fn wider(host: &HostMatch) -> Vec<HostMatch> {
    let (HostMatch::Pattern(HostPattern::Exact(name)) | HostMatch::Pattern(HostPattern::Wildcard(name))) = host else {
        return Vec::new();
    };
    let suffixes = name.match_indices('.').filter(|(at, _)| *at > 0).filter_map(|(at, _)| name.get(at..));
    suffixes.map(|suffix| HostMatch::Pattern(HostPattern::Wildcard(suffix.to_owned()))).collect()
}

/// Of routes at the same place that ask for as much, though not the same, which one is asked first is nobody's choice.
fn check_ambiguous(routes: &[Known<'_>], at: &KeyPath, report: &mut Report<'_>) {
    let mut places: HashMap<_, HashMap<_, &Known<'_>>> = HashMap::new();
    let mut told = HashSet::new();
    for route in routes.iter().filter(|route| !route.conditions.is_empty()) {
        for host in &route.hosts {
            let sorts = places.entry((host, &route.shape, route.priority, route.conditions.len())).or_default();
            let sort = route.sort();
            if sorts.len() >= MOST_SORTS || sorts.contains_key(&sort) {
                continue;
            }
            for other in sorts.values().filter(|other| is_ambiguous(other, route)) {
                if told.insert((other.index, route.index)) {
                    let message = format!(
                        "`{}` and the route `{}` in line {} ask for as much; a request that fits both goes to `{}`, for of as \
                         many conditions the alphabet decides (client, cookie, expression, header, query, and then what is \
                         written there); say by a `priority` if that is not meant",
                        route.name,
                        other.name,
                        report.line(&other.path(at)),
                        if route.is_asked_before(other) { route.name } else { other.name },
                    );
                    report.warning(&route.path(at), message);
                }
            }
            sorts.insert(sort, route);
        }
    }
}

fn is_ambiguous(one: &Known<'_>, other: &Known<'_>) -> bool {
    let excluded = || one.conditions.iter().any(|own| other.conditions.iter().any(|theirs| own.excludes(theirs)));
    one.methods.meets(other.methods) && one.texts != other.texts && !excluded()
}
