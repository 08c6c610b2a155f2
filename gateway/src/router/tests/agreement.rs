//! Random routes and requests: the router agrees with a list of all routes by rank, and with the check of the file.

use std::cmp::Reverse;
use std::collections::BTreeSet;
use std::path::Path;

use common::config::Env;
use proptest::prelude::*;
use proptest::sample::{Index, select};

use super::*;
use crate::config;
use crate::config::pattern::{HostPattern, PathPattern, Segment, Tail};

/// Enough for a name each.
const NAMES: [&str; 12] = ["r0", "r1", "r2", "r3", "r4", "r5", "r6", "r7", "r8", "r9", "r10", "r11"];

/// A route of a file: its host, path, methods and conditions, as parts of the block `match`, and its priority.
type Drawn = (&'static str, String, &'static str, BTreeSet<&'static str>, i32);

fn route() -> impl Strategy<Value = Drawn> {
    (
        select(vec!["", "", "a.x", "b.a.x", "*.x", "*.a.x", "~[ab]\\\\.x", "~.*a\\\\.x"]),
        prop_oneof![
            5 => path(&["a", "b", "{p}", "a-segment-of-more-bytes"], &["a", "{q}", "*", ""]),
            1 => select(vec!["~/a.*", "~/[ab]/[^/]*", "~.*", "~/.*"]).prop_map(str::to_owned),
        ],
        select(vec!["", "", "GET", "POST", "GET, PUT"]),
        prop::collection::btree_set(
            select(vec![
                "headers: [{name: x, value: '1'}]",
                "query: [{name: q, regex: '[0-9]'}]",
                "cookies: [{name: c, present: false}]",
                "client: [192.0.2.0/24]",
            ]),
            0..3,
        ),
        select(vec![0, 0, 0, 0, 1, -1]),
    )
}

fn path(segments: &'static [&'static str], tails: &'static [&'static str]) -> impl Strategy<Value = String> {
    let segments = prop::collection::vec(select(segments), 0..4);
    (segments, select(tails)).prop_map(|(segments, tail)| {
        let path: String = segments.into_iter().chain([tail]).map(|segment| format!("/{segment}")).collect();
        if path.len() > 1 { path.trim_end_matches('/').to_owned() } else { path }
    })
}

fn request() -> impl Strategy<Value = Request> {
    (
        select(vec!["a.x", "b.a.x", "c.b.a.x", "b.x", "x", "y"]),
        path(&["a", "b", "c", "a-segment-of-more-bytes"], &["a", "c", ""]),
        select(vec![Method::GET, Method::POST, Method::PUT]),
        select(vec![None, Some("q=1"), Some("q=x&q=%32")]),
        select(vec![None, Some(("x", "1")), Some(("cookie", "c=1"))]),
        select(vec![[192, 0, 2, 7], [10, 0, 0, 1]]),
    )
        .prop_map(|(host, path, method, query, header, client)| {
            let request = Request { method, query, client: client.into(), ..Request::get(host, &path) };
            header.map_or(request.clone(), |(name, value)| request.with(name, value))
        })
}

/// What stands in the block `match` of a route.
fn block((host, path, methods, conditions, _): &Drawn) -> String {
    let hosts = if host.is_empty() { String::new() } else { format!("\"{host}\"") };
    let conditions: String = conditions.iter().map(|condition| format!(", {condition}")).collect();
    format!("{{ hosts: [{hosts}], path: '{path}', methods: [{methods}]{conditions} }}")
}

/// The lines of `routes` in a file.
fn file(routes: &[&Drawn]) -> String {
    let mut text = "upstreams: { u: { targets: ['http://127.0.0.1:1'] } }\nroutes:\n".to_owned();
    for (route, name) in routes.iter().zip(NAMES) {
        let (block, priority) = (block(route), route.4);
        text += &format!("- {{ name: {name}, priority: {priority}, upstream: u, public: true, match: {block} }}\n");
    }
    text
}

/// How soon a route is asked for a request, if it takes the request but for its method; the least is the first.
fn rank(matches: &MatchFile, priority: i32, request: &Request) -> Option<impl Ord> {
    let host = matches.hosts.first().map_or(Some((3, Reverse(0), "")), |host| host_rank(host, request.host))?;
    let path = path_rank(&matches.path, &request.path)?;
    let conditions = Conditions::of(matches.conditions());
    let (Reverse(count), text) = conditions.rank();
    let text = text.to_owned();
    conditions.hold(&request.asked()).then_some(())?;
    Some((Reverse(priority), (host.0, host.1, host.2.to_owned()), path, Reverse(count), text))
}

fn host_rank<'h>(host: &'h HostMatch, asked: &str) -> Option<(u8, Reverse<usize>, &'h str)> {
    match host {
        HostMatch::Pattern(HostPattern::Exact(name)) => (name == asked).then_some((0, Reverse(0), "")),
        HostMatch::Pattern(HostPattern::Wildcard(suffix)) => {
            (asked.len() > suffix.len() && asked.ends_with(suffix)).then_some((1, Reverse(suffix.len()), ""))
        }
        HostMatch::Regex(regex) => regex.fits(asked.as_bytes()).then(|| (2, Reverse(regex.text().len()), regex.text())),
    }
}

/// The form of each segment, and of an expression its length and text.
fn path_rank(path: &PathMatch, asked: &str) -> Option<(Vec<u8>, Reverse<usize>, String)> {
    match path {
        PathMatch::Pattern(pattern) => takes_path(pattern, asked).then(|| (forms(pattern), Reverse(0), String::new())),
        PathMatch::Regex(regex) => {
            regex.fits(asked.as_bytes()).then(|| (vec![3], Reverse(regex.text().len()), regex.text().to_owned()))
        }
    }
}

fn forms(pattern: &PathPattern) -> Vec<u8> {
    let segments = pattern.segments.iter().map(|segment| u8::from(matches!(segment, Segment::Parameter(_))));
    segments.chain([if pattern.tail == Tail::Prefix { 2 } else { 0 }]).collect()
}

fn takes_path(pattern: &PathPattern, path: &str) -> bool {
    let asked: Vec<&str> = path[1..].split('/').filter(|_| path != "/").collect();
    let fits = |(segment, asked): (&Segment, &&str)| match segment {
        Segment::Literal(text) => text == asked,
        Segment::Parameter(_) => !asked.is_empty(),
    };
    let (own, prefix) = (pattern.segments.len(), pattern.tail == Tail::Prefix);
    let enough = asked.len() == own || prefix && asked.len() > own;
    enough && pattern.segments.iter().zip(&asked).all(fits)
}

/// Which of `drawn` a file may have beside each other, and what its check says of them.
fn checked(drawn: &[Drawn]) -> (Vec<&Drawn>, Vec<String>) {
    let mut routes: Vec<&Drawn> = drawn.iter().collect();
    while !routes.is_empty() {
        let text = file(&routes);
        let problems = match config::parse(&text, Path::new("f"), &Env::default()) {
            Ok(_) => return (routes, Vec::new()),
            Err(problems) => problems,
        };
        let told: Vec<(usize, String)> = problems
            .problems()
            .iter()
            .map(|problem| {
                let key = problem.key.to_string();
                let index = key.trim_start_matches("routes[").split(']').next().and_then(|index| index.parse().ok());
                (index.unwrap_or_else(|| panic!("{text}{problems}")), problem.message.clone())
            })
            .collect();
        // What cannot be read or takes the same goes; what is never reached stays, to see that it is not.
        let (unreachable, mut wrong): (Vec<_>, Vec<_>) =
            told.into_iter().partition(|(_, message)| message.starts_with("no request gets here"));
        if wrong.is_empty() {
            return (routes, unreachable.into_iter().map(|(index, _)| NAMES[index].to_owned()).collect());
        }
        wrong.sort_unstable();
        wrong.dedup_by_key(|(index, _)| *index);
        for (index, _) in wrong.iter().rev() {
            routes.remove(*index);
        }
    }
    (routes, Vec::new())
}

proptest! {
    #[test]
    fn the_route_found_is_the_first_by_rank_of_all_that_take_the_request(
        drawn in prop::collection::vec(route(), 0..NAMES.len()), requests in prop::collection::vec(request(), 1..8),
        turn: Index,
    ) {
        let (routes, unreachable) = checked(&drawn);
        let mut parsed: Vec<(&'static str, MatchFile, i32)> = routes.iter().zip(NAMES)
            .map(|(route, name)| (name, serde_saphyr::from_str(&block(route)).expect("a block"), route.4))
            .collect();
        if !parsed.is_empty() {
            let turn = turn.index(parsed.len());
            parsed.rotate_left(turn);
        }
        let mut builder = RouterBuilder::default();
        for (name, matches, priority) in &parsed {
            let pattern = Pattern {
                hosts: &matches.hosts,
                path: &matches.path,
                methods: MethodSet::of(matches.methods.iter().map(|method| method.get())),
                conditions: &Conditions::of(matches.conditions()),
                priority: *priority,
            };
            builder.add(&pattern, name);
        }
        let router = builder.build().expect("a router");
        for request in requests {
            let mut taking: Vec<_> = parsed.iter().filter_map(|(name, matches, priority)| {
                let methods = MethodSet::of(matches.methods.iter().map(|method| method.get()));
                Some((rank(matches, *priority, &request)?, methods, *name))
            }).collect();
            taking.sort_by(|a, b| a.0.cmp(&b.0));
            let first = taking.iter().find(|(_, methods, _)| methods.contains(&request.method));
            let others = taking.iter().fold(MethodSet::EMPTY, |all, (_, methods, _)| all.union(*methods));
            let expected = match first {
                Some((.., name)) => RouteMatch::Route(name),
                None if taking.is_empty() => RouteMatch::None,
                None => RouteMatch::OtherMethods(others),
            };
            let found = router.find(&request.asked());
            prop_assert_eq!(&found, &expected, "{:?} in\n{}", request, file(&routes));
            if let RouteMatch::Route(name) = found {
                prop_assert!(!unreachable.contains(&(*name).to_owned()), "{:?} in\n{}", request, file(&routes));
            }
        }
    }
}
