//! Expressions in the file: where they may stand, and what they may ask for there.

use super::*;

/// A file with a policy that counts by `key`, and a route with these `settings`.
fn file(key: &str, settings: &str) -> String {
    format!(
        "jwt_providers: {{ p: {{ algorithm: HS256, secret: \"${{JWT_SECRET_KEY}}\", issuer: i, audience: a, \
         claims_to_headers: {{ sub: X-User-Id }} }} }}\n\
         api_keys: {{ k: {{ keys: [{{ client: c, sha256: {} }}] }} }}\n\
         rate_limits: {{ each: {{ scope: local, limit: 1, window: 1s, key: \"{key}\" }} }}\n\
         upstreams: {{ up: {{ targets: [\"http://a:1\"] }} }}\n\
         routes:\n- {{ name: r, upstream: up, {settings} }}\n",
        "0".repeat(64)
    )
}

const LIMIT: &str = "{ rate_limit: { policies: [each] } }";

fn rule(allow_if: &str) -> String {
    format!("{{ authorize: {{ rules: [{{ name: n, allow_if: \"{allow_if}\" }}] }} }}")
}

#[test]
fn an_expression_may_ask_for_what_is_known_where_it_stands() {
    let jwt = "{ jwt: { provider: p } }";
    for (key, settings) in [
        (
            "client_address",
            format!("public: true, match: {{ path: /a, expression: \"method == 'GET'\" }}, middleware: [{LIMIT}]"),
        ),
        ("= params.id + path", format!("public: true, match: {{ path: '/a/{{id}}' }}, middleware: [{LIMIT}]")),
        ("= claims.sub", format!("match: {{ path: /a }}, middleware: [{jwt}, {LIMIT}]")),
        (
            "client_address",
            format!("public: true, match: {{ path: /a }}, middleware: [{}, {LIMIT}]", rule("client_ip == '::1'")),
        ),
        (
            "client_address",
            format!("match: {{ path: /a }}, middleware: [{jwt}, {}, {LIMIT}]", rule("claims.x && auth.kind == 'jwt'")),
        ),
    ] {
        assert_eq!(report(&file(key, &settings)), "", "{settings}");
    }
}

#[test]
fn an_expression_that_asks_for_what_is_never_there_is_refused_with_its_line() {
    let jwt = "{ jwt: { provider: p } }";
    let steps = |list: &str| format!("match: {{ path: '/a/{{id}}' }}, middleware: [{list}, {LIMIT}]");
    let of = |asks: &str, allow_if: &str| steps(&format!("{asks}, {}", rule(allow_if)));
    let matched = |expression: &str| {
        format!("public: true, match: {{ path: /a, expression: \"{expression}\" }}, middleware: [{LIMIT}]")
    };
    for (key, settings, told) in [
        ("client_address", matched("claims.sub == 'a'"), "match.expression: `claims` is known only when the route is"),
        ("client_address", matched("params.id == 'a'"), "match.expression: `params` is known only when the route is"),
        ("client_address", matched("headers['X-Forwarded-For'] == 'a'"), "clients write here what they like"),
        ("client_address", matched("headers['x-user-id'] == 'a'"), "`claims` and `client_ip` are what is believed"),
        ("client_address", matched("metod == 'a'"), "nothing is called `metod` here; did you mean `method`?"),
        ("client_address", matched("path"), "the whole expression is a text, and `true` or `false` is wanted"),
        (
            "client_address",
            of(jwt, "params.ids == 'a'"),
            "rules[0].allow_if: the route's path has no parameter `ids`; did you mean `id`?",
        ),
        (
            "client_address",
            of("{ api_key: { provider: k } }", "claims.sub == 'a'"),
            "says the claim `sub`; there is `client` and `scope`",
        ),
        (
            "client_address",
            format!("public: true, {}", steps(&rule("auth.kind == 'jwt'"))),
            "no step before this one asks who is there",
        ),
        (
            "= claims.sub",
            format!("public: true, match: {{ path: /a }}, middleware: [{LIMIT}]"),
            "`each` counts by `= claims.sub`, and no step before this one",
        ),
        (
            "= params.id",
            format!("public: true, match: {{ path: /a }}, middleware: [{LIMIT}]"),
            "and the route's path has no parameter `id`",
        ),
        ("= [path]", steps(jwt), "rate_limits.each.key: `= [path]`: the whole expression is a list, and a text"),
        ("= pth", steps(jwt), "did you mean `path`?"),
        (
            "client_address",
            steps(&format!("{jwt}, {{ authorize: {{ rules: [{{ name: '', allow_if: 'true' }}] }} }}")),
            "the name of a rule has 1 to 100 bytes",
        ),
    ] {
        let problems = report(&file(key, &settings));
        assert!(problems.contains(told), "{settings}\n{problems}");
        assert!(problems.starts_with("gateway.yaml:"), "{problems}");
    }
}

#[test]
fn two_routes_that_an_expression_tells_apart_are_two() {
    let route = |name: &str, expression: &str| {
        format!(
            "- {{ name: {name}, upstream: up, public: true, match: {{ path: /a, {expression} }}, middleware: [{LIMIT}] }}\n"
        )
    };
    let head = file("client_address", "X").replace("- { name: r, upstream: up, X }\n", "");
    let one = route("one", "expression: \"method == 'GET'\"");
    assert_eq!(report(&(head.clone() + &one + &route("two", ""))), "");
    let same = report(&(head + &one + &route("two", "expression: \"method == 'GET'\"")));
    assert!(same.contains("takes the same requests"), "{same}");
}
