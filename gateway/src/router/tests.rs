//! Which route wins, whatever the order in which they were added.

mod agreement;

use std::net::IpAddr;

use http::HeaderValue;
use serde_json::{Value, json};

use super::*;
use crate::client_addr::PeerAddr;
use crate::config::file::MatchFile;

/// What is asked of a router, with values of its own.
#[derive(Clone, Debug)]
struct Request {
    host: &'static str,
    path: String,
    method: Method,
    query: Option<&'static str>,
    headers: HeaderMap,
    client: IpAddr,
}

impl Request {
    fn get(host: &'static str, path: &str) -> Self {
        let client = IpAddr::from([192, 0, 2, 7]);
        Self { host, path: path.to_owned(), method: Method::GET, query: None, headers: HeaderMap::new(), client }
    }

    fn with(mut self, name: &'static str, value: &'static str) -> Self {
        self.headers.append(name, HeaderValue::from_static(value));
        self
    }

    fn asked(&self) -> Asked<'_> {
        Asked {
            host: self.host,
            path: &self.path,
            method: &self.method,
            query: self.query,
            headers: &self.headers,
            client: PeerAddr::new(self.client).into(),
        }
    }
}

/// Adds the route `name` with the block `matches` of a file.
fn add(builder: &mut RouterBuilder<&'static str>, name: &'static str, matches: &Value, priority: i32) {
    let matches: MatchFile = serde_json::from_value(matches.clone()).expect("a match");
    let pattern = Pattern {
        hosts: &matches.hosts,
        path: &matches.path,
        methods: MethodSet::of(matches.methods.iter().map(|method| method.get())),
        conditions: &Conditions::of(matches.conditions()),
        priority,
    };
    builder.add(&pattern, &name);
}

/// A router of routes with a target like `host/path`.
fn router(routes: &[(&'static str, &str, &[Method])]) -> Router<&'static str> {
    let mut builder = RouterBuilder::default();
    for (name, target, methods) in routes {
        let (host, path) = target.split_at(target.find('/').expect("a path"));
        let hosts: Vec<&str> = Some(host).filter(|host| !host.is_empty()).into_iter().collect();
        let methods: Vec<&str> = methods.iter().map(Method::as_str).collect();
        add(&mut builder, name, &json!({"hosts": hosts, "path": path, "methods": methods}), 0);
    }
    builder.build().expect("a router")
}

/// The same of routes with blocks of a file and priorities, added in this order and in the opposite one.
fn both_ways(routes: &[(&'static str, Value, i32)]) -> [Router<&'static str>; 2] {
    let build = |routes: &mut dyn Iterator<Item = &(&'static str, Value, i32)>| {
        let mut builder = RouterBuilder::default();
        routes.for_each(|(name, matches, priority)| add(&mut builder, name, matches, *priority));
        builder.build().expect("a router")
    };
    [build(&mut routes.iter()), build(&mut routes.iter().rev())]
}

fn answer(router: &Router<&'static str>, request: &Request) -> &'static str {
    match router.find(&request.asked()) {
        RouteMatch::Route(name) => name,
        RouteMatch::OtherMethods(_) => "405",
        RouteMatch::None => "404",
    }
}

fn found(router: &Router<&'static str>, host: &'static str, path: &str, method: Method) -> &'static str {
    answer(router, &Request { method, ..Request::get(host, path) })
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
    let delete = Request { method: Method::DELETE, ..Request::get("h", "/a/1") };
    let RouteMatch::OtherMethods(methods) = router.find(&delete.asked()) else { panic!("405") };
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
    let mut builder = RouterBuilder::default();
    let path = |number: usize| match number % 3 {
        0 => (format!("/s{number}/items"), format!("/s{number}/items")),
        1 => (format!("/s{number}/{{id}}/parts"), format!("/s{number}/7/parts")),
        _ => (
            format!("/a-segment-of-more-bytes-than-most-{number}/*"),
            format!("/a-segment-of-more-bytes-than-most-{number}/x"),
        ),
    };
    let conditions = Conditions::default();
    for number in 0..10_000 {
        let path = path(number).0.parse().expect("path");
        let methods = MethodSet::ALL;
        builder.add(&Pattern { hosts: &[], path: &path, methods, conditions: &conditions, priority: 0 }, &number);
    }
    let router = builder.build().expect("a router");
    for number in 0..10_000 {
        assert_eq!(router.find(&Request::get("h", &path(number).1).asked()), RouteMatch::Route(&number));
    }
}

#[test]
fn the_route_with_more_conditions_wins_at_one_place() {
    let routes = [
        ("plain", json!({"path": "/a"}), 0),
        ("beta", json!({"path": "/a", "headers": [{"name": "x-beta", "value": "1"}]}), 0),
        (
            "beta-here",
            json!({"path": "/a", "headers": [{"name": "x-beta", "value": "1"}], "client": ["192.0.2.0/24"]}),
            0,
        ),
        ("other", json!({"path": "/a", "headers": [{"name": "x-beta", "regex": "[2-9]"}]}), 0),
    ];
    for router in both_ways(&routes) {
        let asked = Request::get("h", "/a");
        assert_eq!(answer(&router, &asked), "plain");
        assert_eq!(answer(&router, &asked.clone().with("x-beta", "0")), "plain");
        assert_eq!(answer(&router, &asked.clone().with("x-beta", "2")), "other");
        assert_eq!(answer(&router, &asked.clone().with("x-beta", "1")), "beta-here");
        let elsewhere = Request { client: IpAddr::from([10, 0, 0, 1]), ..asked.with("x-beta", "1") };
        assert_eq!(answer(&router, &elsewhere), "beta");
    }
}

#[test]
fn a_place_whose_conditions_fail_lets_less_specific_places_try() {
    let beta = json!([{"name": "x-beta", "present": true}]);
    let routes = [
        ("exact", json!({"path": "/a/b", "headers": beta}), 0),
        ("parameter", json!({"path": "/a/{id}", "headers": beta}), 0),
        ("host", json!({"path": "/a/b", "hosts": ["a.x"], "headers": beta}), 0),
        ("prefix", json!({"path": "/a/*"}), 0),
    ];
    for router in both_ways(&routes) {
        assert_eq!(answer(&router, &Request::get("a.x", "/a/b")), "prefix");
        assert_eq!(answer(&router, &Request::get("a.x", "/a/b").with("x-beta", "")), "host");
        assert_eq!(answer(&router, &Request::get("h", "/a/b").with("x-beta", "")), "exact");
        assert_eq!(answer(&router, &Request::get("h", "/a/c").with("x-beta", "")), "parameter");
    }
}

#[test]
fn only_routes_whose_conditions_hold_make_it_a_matter_of_the_method() {
    let post = json!({"path": "/a", "methods": ["POST"], "headers": [{"name": "x-beta", "present": true}]});
    for router in both_ways(&[("post", post, 0)]) {
        assert_eq!(answer(&router, &Request::get("h", "/a")), "404");
        assert_eq!(answer(&router, &Request::get("h", "/a").with("x-beta", "")), "405");
    }
}

#[test]
fn a_higher_priority_wins_over_a_more_specific_path() {
    let routes = [
        ("exact", json!({"path": "/a/b", "hosts": ["a.x"], "headers": [{"name": "x", "present": true}]}), 0),
        ("maintenance", json!({"path": "/*", "methods": ["GET"]}), 10),
        ("last", json!({"path": "/a/b", "hosts": ["a.x"], "methods": ["POST", "PUT"]}), -1),
    ];
    for router in both_ways(&routes) {
        let asked = Request::get("a.x", "/a/b").with("x", "");
        assert_eq!(answer(&router, &asked), "maintenance");
        assert_eq!(answer(&router, &Request { method: Method::POST, ..asked }), "exact");
        assert_eq!(found(&router, "a.x", "/a/b", Method::POST), "last");
        assert_eq!(found(&router, "a.x", "/a/b", Method::DELETE), "405");
        let delete = Request { method: Method::DELETE, ..Request::get("a.x", "/a/b") };
        let RouteMatch::OtherMethods(methods) = router.find(&delete.asked()) else { panic!("405") };
        let all = [Method::GET, Method::HEAD, Method::POST, Method::PUT];
        assert_eq!(methods.iter().collect::<Vec<_>>(), all, "of every priority");
    }
}

#[test]
fn regexes_are_asked_after_everything_more_specific() {
    let routes = [
        ("exact", json!({"path": "/v1/a"}), 0),
        ("prefix", json!({"path": "/v1/files/*"}), 0),
        ("version", json!({"path": "~^/v[0-9]+/.*$"}), 0),
        ("short", json!({"path": "~/v.*"}), 0),
        ("first", json!({"path": "~/v1/a|/v9/.*"}), 1),
    ];
    for router in both_ways(&routes[..4]) {
        for (path, name) in [
            ("/v1/a", "exact"),
            ("/v1/files/v2", "prefix"),
            ("/v1/b", "version"),
            ("/v22/", "version"),
            ("/v22", "short"),
            ("/x/v1/b", "404"),
        ] {
            assert_eq!(found(&router, "h", path, Method::GET), name, "{path}");
        }
    }
    for router in both_ways(&routes) {
        assert_eq!(found(&router, "h", "/v1/a", Method::GET), "first");
        assert_eq!(found(&router, "h", "/v9/a", Method::GET), "first");
        assert_eq!(found(&router, "h", "/v2/a", Method::GET), "version");
    }
}

#[test]
fn a_host_is_asked_for_by_name_then_by_wildcard_then_by_regex_then_not_at_all() {
    let routes = [
        ("exact", json!({"hosts": ["a.x"], "path": "/p"}), 0),
        ("wild", json!({"hosts": ["*.x"], "path": "/p"}), 0),
        ("tenant", json!({"hosts": [r"~^(?<tenant>[a-z]+)\.(x|y)$"], "path": "/p"}), 0),
        ("tenant-regex", json!({"hosts": [r"~^(?<tenant>[a-z]+)\.(x|y)$"], "path": "~/p.+"}), 0),
        ("any", json!({"path": "/*"}), 0),
    ];
    for router in both_ways(&routes) {
        for (host, path, name) in [
            ("a.x", "/p", "exact"),
            ("b.x", "/p", "wild"),
            ("b.y", "/p", "tenant"),
            ("b.y", "/pq", "tenant-regex"),
            ("a.x", "/pq", "tenant-regex"),
            ("1.y", "/p", "any"),
            ("b.y", "/q", "any"),
        ] {
            assert_eq!(found(&router, host, path, Method::GET), name, "{host}{path}");
        }
    }
}

#[test]
fn regexes_know_methods_and_conditions_too() {
    let routes = [
        ("get", json!({"path": "~/v[0-9]", "methods": ["GET"]}), 0),
        ("beta", json!({"path": "~/v[0-9]", "methods": ["GET"], "cookies": [{"name": "b", "value": "1"}]}), 0),
        ("post", json!({"path": "~/v.", "methods": ["POST"]}), 0),
    ];
    for router in both_ways(&routes) {
        assert_eq!(found(&router, "h", "/v1", Method::GET), "get");
        assert_eq!(answer(&router, &Request::get("h", "/v1").with("cookie", "a=0; b=1")), "beta");
        assert_eq!(found(&router, "h", "/v1", Method::POST), "post");
        assert_eq!(found(&router, "h", "/v1", Method::PUT), "405");
        assert_eq!(found(&router, "h", "/vv", Method::GET), "405");
        assert_eq!(found(&router, "h", "/vvv", Method::GET), "404");
    }
}
