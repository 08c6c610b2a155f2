//! Who may tell upstreams something in which header.

use super::*;

/// Two services and a key that tell upstreams `X-User`, and one that tells them something else.
const TELLING: &str = "api_keys: { keys: { keys: [{ client: a, sha256: \
    ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad }], claims_to_headers: { client: X-User } } }\n\
    token_introspection: { o: { endpoint: 'https://a.example/i', client_id: g, client_secret: s, claims_to_headers: { sub: \
    X-User } } }\n\
    forward_auth: { one: { url: 'https://a.example/v', upstream_headers: [x-user] }, two: { url: 'https://b.example/v', \
    upstream_headers: [X-Group, X-User] }, three: { url: 'https://c.example/v', upstream_headers: [X-Group] } }";

/// What is told of a file with [`TELLING`], these steps before all routes, and a route with each list of these.
fn told_by(shared: &str, routes: &[&str]) -> String {
    let routes: String = (routes.iter().enumerate())
        .map(|(index, steps)| {
            format!("  - {{ name: r{index}, match: {{ path: /{index} }}, upstream: up, middleware: [{steps}] }}\n")
        })
        .collect();
    let text = format!(
        "{TELLING}\nupstreams: {{ up: {{ targets: ['http://a:1'] }} }}\nmiddleware: [{shared}]\nroutes:\n{routes}"
    );
    report(&text)
}

#[test]
fn two_may_tell_upstreams_the_same_header_where_no_request_passes_both() {
    let (one, two) = ("forward_auth: { provider: one }", "forward_auth: { provider: two }");
    let (key, opaque) = ("api_key: { provider: keys }", "introspection: { provider: o }");
    let either = format!("any_of: [[{key}], [{opaque}]]");
    assert_eq!(told_by("", &[one, two, key, opaque, &either]), "", "on routes of their own, or either of them");
    let three = "{ forward_auth: { provider: three } }";
    assert_eq!(told_by("", &[&format!("{{ {one} }}, {three}"), &format!("{{ {key} }}, {three}")]), "", "other headers");
    assert_eq!(told_by("", &[&format!("{{ {one} }}, {{ {one} }}")]), "", "it is the same one's word");
}

#[test]
fn two_that_one_request_passes_and_that_tell_the_same_header_are_refused_by_name() {
    let (one, two) = ("{ forward_auth: { provider: one } }", "{ forward_auth: { provider: two } }");
    let (key, opaque) = ("api_key: { provider: keys }", "introspection: { provider: o }");
    let passes = |later: &str, header: &str, before: &str| {
        format!("`{later}` tells the upstream `{header}` too, and a request here passes `{before}` before")
    };
    let two_services = passes("forward_auth.two", "X-User", "forward_auth.one");
    let service_and_key = passes("forward_auth.one", "x-user", "api_keys.keys");
    let two_proofs = passes("token_introspection.o", "X-User", "api_keys.keys");
    for (shared, steps, at, expected) in [
        ("", format!("{one}, {two}"), "routes[0].middleware[1].forward_auth.provider", &two_services),
        (one, two.to_owned(), "routes[0].middleware[0].forward_auth.provider", &two_services),
        ("", format!("{{ {key} }}, {one}"), "routes[0].middleware[1].forward_auth.provider", &service_and_key),
        (
            "",
            format!("{{ all_of: [{{ {key} }}, {{ {opaque} }}] }}"),
            "routes[0].middleware[0].all_of[1].introspection.provider",
            &two_proofs,
        ),
        (
            "",
            format!("{{ any_of: [[{{ {key} }}, {{ {opaque} }}], [{opaque}]] }}"),
            "routes[0].middleware[0].any_of[0][1].introspection.provider",
            &two_proofs,
        ),
        (
            "",
            format!("{{ any_of: [[{key}], [{opaque}]] }}, {one}"),
            "routes[0].middleware[1].forward_auth.provider",
            &service_and_key,
        ),
    ] {
        let told = told_by(shared, &[&steps]);
        assert!(told.contains(&format!("{at}: {expected}")) && told.ends_with("\n1 problem"), "{steps}: {told}");
    }
    let shared = told_by(&format!("{one}, {two}"), &["", ""]);
    assert!(shared.contains(&format!(": middleware[1].forward_auth.provider: {two_services}")), "{shared}");
    assert!(shared.ends_with("\n1 problem"), "told once for all routes: {shared}");
}

#[test]
fn a_service_that_lets_pass_does_not_say_who_it_is_that_may() {
    let steps = "{ forward_auth: { provider: one } }, { authorize: { scopes: [a] } }";
    let told = told_by("", &[steps]);
    assert!(told.contains("middleware[1].authorize: no step before this one asks who is there"), "{told}");
}
