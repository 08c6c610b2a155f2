//! Which route wins, whatever the order in which they were added.

use proptest::prelude::*;

use super::*;

fn router(routes: &[(&'static str, &str, &[Method])]) -> Router<&'static str> {
    let mut router = Router::default();
    for (name, target, methods) in routes {
        let (host, path) = target.split_at(target.find('/').expect("a path"));
        let hosts: Vec<HostPattern> = (!host.is_empty()).then(|| host.parse().expect("host")).into_iter().collect();
        router.add(&hosts, &path.parse().expect("path"), MethodSet::of(*methods), name);
    }
    router
}

fn found(router: &Router<&'static str>, host: &str, path: &str, method: Method) -> &'static str {
    match router.find(host, path, &method) {
        RouteMatch::Route(name) => name,
        RouteMatch::OtherMethods(_) => "405",
        RouteMatch::None => "404",
    }
}

#[test]
fn the_most_specific_path_wins_whatever_the_order() {
    let mut routes: Vec<(&'static str, &str, &[Method])> = vec![
        ("all", "/*", &[]),
        ("assets", "/assets/*", &[]),
        ("asset", "/assets/{id}", &[]),
        ("top", "/assets/top", &[]),
        ("history", "/assets/{id}/history", &[]),
        ("deep", "/assets/top/history/*", &[]),
    ];
    for _ in 0..routes.len() {
        let router = router(&routes);
        for (path, name) in [
            ("/", "all"),
            ("/x", "all"),
            ("/assets", "assets"),
            ("/assets/", "assets"),
            ("/assets/btc", "asset"),
            ("/assets/top", "top"),
            ("/assets/btc/history", "history"),
            ("/assets/top/history", "deep"),
            ("/assets/top/history/x", "deep"),
            ("/assets/btc/other", "assets"),
            ("/assetsx", "all"),
        ] {
            assert_eq!(found(&router, "any", path, Method::GET), name, "{path}");
        }
        routes.rotate_left(1);
    }
}

#[test]
fn a_prefix_ends_at_a_segment_border() {
    let router = router(&[("api", "/api/*", &[])]);
    assert_eq!(found(&router, "h", "/api", Method::GET), "api");
    assert_eq!(found(&router, "h", "/api/x/y", Method::GET), "api");
    assert_eq!(found(&router, "h", "/apix", Method::GET), "404");
}

#[test]
fn the_root_is_a_path_like_others() {
    let router = router(&[("root", "/", &[])]);
    assert_eq!(found(&router, "h", "/", Method::GET), "root");
    assert_eq!(found(&router, "h", "/a", Method::GET), "404");
}

#[test]
fn a_parameter_takes_exactly_one_segment_that_is_not_empty() {
    let router = router(&[("user", "/users/{id}", &[])]);
    assert_eq!(found(&router, "h", "/users/7", Method::GET), "user");
    for path in ["/users", "/users/", "/users/7/", "/users/7/x"] {
        assert_eq!(found(&router, "h", path, Method::GET), "404", "{path}");
    }
}

#[test]
fn a_route_without_the_method_lets_the_next_one_try() {
    let router = router(&[("get", "/a/{id}", &[Method::GET]), ("any", "/a/*", &[Method::POST])]);
    assert_eq!(found(&router, "h", "/a/1", Method::GET), "get");
    assert_eq!(found(&router, "h", "/a/1", Method::HEAD), "get");
    assert_eq!(found(&router, "h", "/a/1", Method::POST), "any");
    let RouteMatch::OtherMethods(methods) = router.find("h", "/a/1", &Method::DELETE) else { panic!("405") };
    assert_eq!(methods.iter().collect::<Vec<_>>(), [Method::GET, Method::HEAD, Method::POST]);
}

#[test]
fn an_unknown_method_is_taken_only_by_routes_for_every_method() {
    let router = router(&[("get", "/a", &[Method::GET]), ("all", "/b", &[])]);
    let purge = Method::from_bytes(b"PURGE").expect("method");
    assert_eq!(found(&router, "h", "/a", purge.clone()), "405");
    assert_eq!(found(&router, "h", "/b", purge), "all");
}

#[test]
fn the_most_specific_host_wins_and_falls_back_to_less_specific_ones() {
    let router = router(&[
        ("exact", "api.example.com/x", &[]),
        ("deep", "*.eu.example.com/x", &[]),
        ("wild", "*.example.com/x", &[]),
        ("any", "/x", &[]),
        ("only-any", "/y", &[]),
    ]);
    for (host, name) in [
        ("api.example.com", "exact"),
        ("www.example.com", "wild"),
        ("a.eu.example.com", "deep"),
        ("eu.example.com", "wild"),
        ("example.com", "any"),
        ("evilexample.com", "any"),
        (".example.com", "any"),
        ("", "any"),
    ] {
        assert_eq!(found(&router, host, "/x", Method::GET), name, "{host}");
    }
    assert_eq!(found(&router, "api.example.com", "/y", Method::GET), "only-any");
}

#[test]
fn among_ten_thousand_routes_each_request_finds_its_own() {
    let mut router = Router::default();
    let path = |number: usize| match number % 3 {
        0 => (format!("/s{number}/items"), format!("/s{number}/items")),
        1 => (format!("/s{number}/{{id}}/parts"), format!("/s{number}/7/parts")),
        _ => (
            format!("/a-segment-of-more-bytes-than-most-{number}/*"),
            format!("/a-segment-of-more-bytes-than-most-{number}/x"),
        ),
    };
    for number in 0..10_000 {
        router.add(&[], &path(number).0.parse().expect("path"), MethodSet::ALL, &number);
    }
    for number in 0..10_000 {
        assert_eq!(router.find("h", &path(number).1, &Method::GET), RouteMatch::Route(&number));
    }
}

/// One of few, so that routes and requests meet.
fn host() -> impl Strategy<Value = String> {
    prop::sample::select(vec!["", "a.x", "b.a.x", "*.x", "*.a.x"]).prop_map(str::to_owned)
}

fn path(segments: &'static [&'static str], tails: &'static [&'static str]) -> impl Strategy<Value = String> {
    let segments = prop::collection::vec(prop::sample::select(segments), 0..4);
    (segments, prop::sample::select(tails)).prop_map(|(segments, tail)| {
        let path: String = segments.into_iter().chain([tail]).map(|segment| format!("/{segment}")).collect();
        if path.len() > 1 { path.trim_end_matches('/').to_owned() } else { path }
    })
}

/// How specific a route's path is: less is more, from the first segment on.
fn ranks(pattern: &PathPattern) -> Vec<u8> {
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

fn host_rank(pattern: Option<&HostPattern>, host: &str) -> Option<usize> {
    match pattern {
        Some(HostPattern::Exact(name)) => (name == host).then_some(0),
        Some(HostPattern::Wildcard(suffix)) => {
            (host.len() > suffix.len() && host.ends_with(suffix)).then(|| 100 - suffix.len())
        }
        None => Some(100),
    }
}

proptest! {
    #[test]
    fn the_route_found_is_the_most_specific_of_all_that_take_the_request(
        routes in prop::collection::btree_set((host(), path(&["a", "b", "{p}", "a-segment-of-more-bytes"], &["a", "{q}", "*", ""])), 0..12),
        asked_host in prop::sample::select(vec!["a.x", "b.a.x", "c.b.a.x", "x", "y"]),
        asked in path(&["a", "b", "c", "a-segment-of-more-bytes"], &["a", "c", ""]),
    ) {
        let mut router = Router::default();
        let mut shapes = std::collections::HashSet::new();
        let mut expected = None;
        for (host, path) in &routes {
            let host: Option<HostPattern> = (!host.is_empty()).then(|| host.parse().expect("host"));
            let Ok(pattern) = path.parse::<PathPattern>() else { continue };
            if !shapes.insert((host.clone(), pattern.shape())) {
                continue;
            }
            router.add(host.as_slice(), &pattern, MethodSet::ALL, path);
            let rank = host_rank(host.as_ref(), asked_host).filter(|_| takes_path(&pattern, &asked));
            let rank = rank.map(|rank| (rank, ranks(&pattern), path));
            expected = [expected, rank].into_iter().flatten().min();
        }
        let found = match router.find(asked_host, &asked, &Method::GET) {
            RouteMatch::Route(path) => Some(path),
            _ => None,
        };
        prop_assert_eq!(found, expected.map(|(_, _, path)| path));
    }
}
