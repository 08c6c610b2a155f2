//! Services that the gateway asks about requests.

use super::*;

/// What is told of a file with `block` and a route with `steps`: problems, or else warnings.
fn told(block: &str, route: &str) -> String {
    let text = format!(
        "{block}\nupstreams: {{ up: {{ targets: ['http://a:1'] }} }}\n\
         routes: [{{ name: all, match: {{ path: /* }}, upstream: up, {route} }}]\n"
    );
    match parse(&text, Path::new("gateway.yaml"), &env()) {
        Ok(loaded) => loaded.warnings.join("\n"),
        Err(problems) => problems.to_string(),
    }
}

const ASKS: &str = "middleware: [forward_auth: { provider: sso }]";

#[test]
fn a_service_that_decides_about_requests_is_checked() {
    let told = |service: &str, route: &str| told(&format!("forward_auth: {{ sso: {{ {service} }} }}"), route);
    let url = "url: https://a.example/v";
    for (good, route) in [
        (url.to_owned(), ASKS.to_owned()),
        ("url: http://127.0.0.1:1/v, cache: { ttl: 10s }".to_owned(), ASKS.to_owned()),
        ("url: http://a.example/v, allow_insecure_http: true".to_owned(), ASKS.to_owned()),
        (format!("{url}, on_error: allow"), format!("public: true, {ASKS}")),
    ] {
        assert_eq!(told(&good, &route), "", "{good}");
    }
    for (wrong, problem) in [
        ("url: http://a.example/v", "forward_auth.sso.url: over http:// whoever is on the way"),
        ("url: 'ftp://a.example'", "forward_auth.sso.url: a URL is wanted here"),
        ("url: 'https://a:b@a.example'", "forward_auth.sso.url: a URL without user, password"),
        ("url: https://a.example/v, timeout: 2m", "forward_auth.sso.timeout: `2m` is not between 1ms and 1m"),
        ("url: https://a.example/v, on_error: open", "forward_auth.sso.on_error: `open` is none of `refuse`, `allow`"),
        ("url: https://a.example/v, cache: { ttl: 2h }", "forward_auth.sso.cache.ttl: `2h` is not between 1s and 1h"),
        ("url: https://a.example/v, max_body: 2MiB", "forward_auth.sso.max_body: `2MiB` is not between"),
        (
            "url: https://a.example/v, request_headers: [X-Real-IP]",
            "forward_auth.sso.request_headers[0]: this header says who",
        ),
        (
            "url: https://a.example/v, request_headers: [Host]",
            "forward_auth.sso.request_headers[0]: `Host`: this header frames",
        ),
        (
            "url: https://a.example/v, upstream_headers: [Cookie]",
            "forward_auth.sso.upstream_headers[0]: `Cookie`: this header",
        ),
        (
            "url: https://a.example/v, upstream_headers: [X-A, X-A]",
            "upstream_headers[1]: `X-A` stands in this list already",
        ),
        ("uri: https://a.example/v", "forward_auth.sso.uri: unknown key; did you mean `url`?"),
    ] {
        assert!(told(wrong, ASKS).contains(problem), "{wrong}: {}", told(wrong, ASKS));
    }
    let unknown = told(url, "middleware: [forward_auth: { provider: sos }]");
    assert!(unknown.contains("forward_auth.provider: there is no provider `sos`; did you mean `sso`?"), "{unknown}");
}

#[test]
fn a_service_that_lets_pass_in_an_outage_guards_no_route() {
    let told = |more: &str, route: &str| {
        told(&format!("forward_auth: {{ sso: {{ url: https://a.example/v, {more} }} }}"), route)
    };
    let open = told("on_error: allow", ASKS);
    assert!(open.contains("routes[0]: nothing asks who is there"), "{open}");
    let both = told("", &format!("public: true, {ASKS}"));
    assert!(both.contains("routes[0].public: the route is public, and a step asks"), "{both}");
}

#[test]
fn an_issuer_that_is_asked_about_tokens_is_checked() {
    const STEP: &str = "middleware: [introspection: { provider: o }]";
    let told = |provider: &str, route: &str| told(&format!("token_introspection: {{ o: {{ {provider} }} }}"), route);
    let good = "endpoint: https://a.example/i, client_id: gateway, client_secret: s";
    assert_eq!(told(good, STEP), "");
    assert_eq!(told(good, "public: true, middleware: [introspection: { provider: o, optional: true }]"), "");
    assert_eq!(told(&format!("{good}, issuer: i, audience: [a, b], stale_if_error: 1h"), STEP), "");
    for (wrong, problem) in [
        (
            "endpoint: http://a.example/i, client_id: g, client_secret: s",
            "token_introspection.o.endpoint: over http://",
        ),
        (
            "endpoint: https://a.example/i, client_id: '', client_secret: s",
            "token_introspection.o.client_id: the name is empty",
        ),
        (
            "endpoint: https://a.example/i, client_id: g",
            "token_introspection.o: a `client_secret` or a `client_secret_file` is",
        ),
        ("endpoint: https://a.example/i, client_id: g, client_secret: ''", "o.client_secret: the password is empty"),
        (
            "endpoint: https://a.example/i, client_id: g, client_secret_file: none",
            "client_secret_file: `none` cannot be read",
        ),
    ] {
        assert!(told(wrong, STEP).contains(problem), "{wrong}: {}", told(wrong, STEP));
    }
    for (wrong, problem) in [
        ("cache: 1KiB", "token_introspection.o.cache: `1KiB` is not between 64KiB and"),
        ("ttl: 2h", "token_introspection.o.ttl: `2h` is not between 0s and 1h"),
        ("audience: []", "token_introspection.o.audience"),
        ("token_from: [{}]", "token_introspection.o.token_from[0]: one of `header`, `cookie` and `query` is wanted"),
        ("client_secret_file: x", "client_secret_file: there is a `client_secret` too"),
    ] {
        let wrong = format!("{good}, {wrong}");
        assert!(told(&wrong, STEP).contains(problem), "{wrong}: {}", told(&wrong, STEP));
    }
    let optional = told(good, "middleware: [introspection: { provider: o, optional: true }]");
    assert!(optional.contains("routes[0]: nobody has to say who is there"), "{optional}");
    let together = told(good, "middleware: [all_of: [{ introspection: { provider: o, optional: true } }]]");
    assert!(together.contains("optional: what is asked for together with others is not optional"), "{together}");
}
