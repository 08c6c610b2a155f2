//! Routes that are split over several upstreams: what is taken, and what is refused.

use super::*;

fn file(route: &str) -> String {
    format!(
        "upstreams: {{ a: {{ targets: [\"http://a:1\"] }}, b: {{ targets: [\"http://b:1\"] }} }}\n\
         routes:\n- {{ name: r, match: {{ path: /x }}, public: true, {route} }}\n"
    )
}

const BOTH: &str = "upstreams: [{ name: a, weight: 1 }, { name: b, weight: 0 }]";

#[test]
fn a_split_route_needs_no_upstream_of_its_own() {
    for more in [
        "",
        ", sticky: { cookie: { name: v, max_age: 400d } }",
        ", sticky: { header: X-Session }",
        ", sticky: { client_address: true }, force: { header: X-V, cookie: v }",
    ] {
        assert_eq!(report(&file(&format!("split: {{ {BOTH}{more} }}"))), "", "{more}");
        let loaded = parse(&file(&format!("split: {{ {BOTH}{more} }}")), Path::new("f"), &env()).expect("no problems");
        assert_eq!(loaded.warnings, Vec::<String>::new(), "both are used");
    }
}

#[test]
fn a_split_that_cannot_be_meant_is_refused() {
    let more = |more: &str| format!("split: {{ {BOTH}, {more} }}");
    for (route, told) in [
        (format!("upstream: a, {}", more("")), "routes[0].split: the route has an `upstream` too; keep one of the two"),
        (
            "split: { upstreams: [{ name: a, weight: 1 }] }, upstream: b".to_owned(),
            "there are no two upstreams to choose from",
        ),
        ("split: { upstreams: [{ name: a, weight: 0 }, { name: b, weight: 0 }] }".to_owned(), "every weight is 0"),
        (
            "split: { upstreams: [{ name: a, weight: 1 }, { name: a, weight: 1 }] }".to_owned(),
            "split.upstreams[1].name: `a` stands in this list already",
        ),
        (
            "split: { upstreams: [{ name: a, weight: 1 }, { name: ab, weight: 1 }] }".to_owned(),
            "there is no upstream `ab`",
        ),
        (
            "split: { upstreams: [{ name: a, weight: 1 }, { name: b, weight: -1 }] }".to_owned(),
            "`-1` is no whole number from 0 to 1000000",
        ),
        (more("sticky: {}"), "split.sticky: exactly one of `cookie`, `header`, `claim` and `client_address: true`"),
        (more("sticky: { header: X-A, client_address: true }"), "split.sticky: exactly one of"),
        (more("sticky: { header: X-Forwarded-For }"), "clients write here what they like"),
        (more("sticky: { claim: sub }"), "split.sticky.claim: no step before this one asks who is there"),
        (more("sticky: { cookie: { name: 'a b' } }"), "split.sticky.cookie.name: the name of a cookie has"),
        (more("sticky: { cookie: { name: a, max_age: 401d } }"), "is not between 1s and"),
        (more("force: {}"), "split.force: a `header` or a `cookie` is wanted here"),
        (
            format!("{}, middleware: [respond: {{ status: 204 }}]", more("")),
            "the route's `respond` step answers every request; leave `split` out",
        ),
    ] {
        let problems = report(&file(&route));
        assert!(problems.contains(told), "{route}\n{problems}");
    }
}

#[test]
fn a_signed_identity_says_whom_it_is_for_where_there_are_several() {
    let route = |audience: &str| {
        let steps = format!("jwt: {{ provider: us }}, identity_token: {{ signer: internal{audience} }}")
            .replace("}, identity", "} }, { identity");
        let top = "identity_tokens: { internal: { algorithm: HS256, secret: 6f1d0a94c2b85e7733e09a1bd4c65f28 } }\n\
                   jwt_providers: { us: { algorithm: HS256, issuer: i, audience: a, secret: 0e54b8c1d7f2936aa81c5d40b7e9f263 } }\n";
        format!(
            "{top}{}",
            file(&format!("split: {{ {BOTH} }}, middleware: [{{ {steps} }}]")).replace("public: true, ", "")
        )
    };
    assert_eq!(report(&route(", audience: orders")), "");
    let told = report(&route(""));
    assert!(told.contains("routes[0].middleware[1].identity_token: this route has several upstreams"), "{told}");
}
