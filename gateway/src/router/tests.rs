//! Which route wins, whatever the order in which they were added.

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
