//! Who is let in by what, and what of it the upstream sees.

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD as BASE64;
use reqwest::{Method, RequestBuilder, Response};
use serde_json::{Value, json};
use testkit::Upstream;

use crate::support::{Gateway, code, token};

/// The SHA-256 of "abc", FIPS 180-4's example.
const ABC: &str = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
/// "open sesame" with the least cost.
const OPEN_SESAME: &str = "$2b$04$tTE325mFhpFcm16tkiDxPeFE5svh8lPuBaIc8NhLQSV3Ddl8TFqOC";

/// A file with providers of every kind, and a route `/x` with these steps.
fn file(upstream: &Upstream, jwt: &str, route: &str) -> String {
    format!(
        r#"
jwt_providers:
  us: {{ algorithm: HS256, secret: "${{SECRET}}", issuer: us, audience: us, claims_to_headers: {{ sub: X-User-Id, realm_access.roles: X-Roles }}, {jwt} }}
api_keys:
  programs: {{ keys: [{{ client: mobile, sha256: {ABC}, scopes: [orders:read] }}], query: api_key, claims_to_headers: {{ client: X-Client-Id }} }}
basic_auth:
  staff: {{ realm: staff, users: {{ ann: '{OPEN_SESAME}' }}, claims_to_headers: {{ sub: X-Staff }} }}
upstreams: {{ u: {{ targets: ["{}"] }} }}
routes:
  - {{ name: x, match: {{ path: /x }}, upstream: u, {route} }}
  - {{ name: other, match: {{ path: /other }}, upstream: u, public: true }}
"#,
        upstream.url()
    )
}

const ANY_OF: &str = "middleware: [{ any_of: [[jwt: { provider: us }], [api_key: { provider: programs }], [basic_auth: { provider: staff }]] }]";

fn get(gateway: &Gateway, target: &str) -> RequestBuilder {
    gateway.request(Method::GET, target)
}

async fn send(request: RequestBuilder) -> Response {
    request.send().await.expect("an answer")
}

fn challenges(answer: &Response) -> Vec<&str> {
    let values = answer.headers().get_all("www-authenticate");
    values.iter().map(|value| value.to_str().expect("ASCII")).collect()
}

#[tokio::test]
async fn a_token_is_taken_from_a_cookie_or_a_query_and_hidden_there_too() {
    let upstream = Upstream::start().await.expect("starts");
    let jwt = "forward_token: false, token_from: [{ header: Authorization, scheme: Bearer }, { cookie: session }, { query: access_token }]";
    let gateway = Gateway::start(&file(&upstream, jwt, "middleware: [jwt: { provider: us }]"));
    let token = token(|claims| claims["realm_access"] = json!({"roles": ["a", "b"]}));
    for request in [
        get(&gateway, "/x?a=1").bearer_auth(&token),
        get(&gateway, "/x?a=1").header("Cookie", format!("theme=dark; session={token}")),
        get(&gateway, &format!("/x?access%5Ftoken={token}&a=1")),
        get(&gateway, &format!("/x?access_token={token}&a=1")).bearer_auth(&token),
    ] {
        assert_eq!(send(request).await.status(), 200);
        let arrived = upstream.arrived().pop().expect("a request");
        assert_eq!(arrived.line(), "GET /x?a=1");
        assert!(!arrived.head.contains(&token), "{}", arrived.head);
        assert_eq!((arrived.header("x-user-id"), arrived.header("x-roles")), (vec!["ann"], vec!["a,b"]));
    }
    assert_eq!(upstream.arrived()[1].header("cookie"), ["theme=dark"], "all other cookies go on");
    let other = crate::support::token(|claims| claims["sub"] = json!("root"));
    let two = get(&gateway, &format!("/x?access_token={other}")).bearer_auth(&token);
    assert_eq!(code(&send(two).await.text().await.expect("a body")), "invalid_token");
    send(get(&gateway, &format!("/other?access_token={token}"))).await;
    assert!(upstream.arrived().pop().expect("a request").line().contains(&token), "another route has other secrets");
}

#[tokio::test]
async fn a_token_in_the_query_never_goes_on_even_where_tokens_do() {
    let upstream = Upstream::start().await.expect("starts");
    let gateway = Gateway::start(&file(
        &upstream,
        "token_from: [{ query: t }, { cookie: session }]",
        "middleware: [jwt: { provider: us }]",
    ));
    let token = token(|_| {});
    assert_eq!(send(get(&gateway, &format!("/x?t={token}"))).await.status(), 200);
    assert_eq!(upstream.arrived()[0].line(), "GET /x");
    assert_eq!(send(get(&gateway, "/x").header("Cookie", format!("session={token}"))).await.status(), 200);
    assert_eq!(upstream.arrived()[1].header("cookie"), [format!("session={token}")]);
    let refused = send(get(&gateway, "/x").bearer_auth(&token)).await;
    assert_eq!(refused.status(), 401, "it was not to be looked for there");
    let problem: Value = serde_json::from_str(&refused.text().await.expect("a body")).expect("json");
    let told = "Send an access token in the query, as `t=<token>`, or in the cookie `session`.";
    assert_eq!((&problem["code"], &problem["detail"]), (&json!("missing_token"), &json!(told)));
}

#[tokio::test]
async fn an_optional_token_may_be_missing_but_not_bad() {
    let upstream = Upstream::start().await.expect("starts");
    let gateway =
        Gateway::start(&file(&upstream, "", "public: true, middleware: [jwt: { provider: us, optional: true }]"));
    assert_eq!(send(get(&gateway, "/x").header("X-User-Id", "root")).await.status(), 200);
    assert_eq!(send(get(&gateway, "/x").bearer_auth(token(|_| {}))).await.status(), 200);
    assert_eq!(send(get(&gateway, "/x").bearer_auth(token(|claims| claims["exp"] = json!(1)))).await.status(), 401);
    let users: Vec<_> = upstream.arrived().iter().map(|request| request.header("x-user-id").concat()).collect();
    assert_eq!(users, ["", "ann"]);
}

#[tokio::test]
async fn an_api_key_says_which_program_it_is_and_is_seen_by_nobody_else() {
    let upstream = Upstream::start().await.expect("starts");
    let gateway = Gateway::start(&file(&upstream, "", "middleware: [api_key: { provider: programs }]"));
    let alias = http::HeaderName::from_static("x_api_key");
    for request in [
        get(&gateway, "/x").header("X-API-Key", "abc").header(alias, "abcd"),
        get(&gateway, "/x?api_key=abc").header("X-Client-Id", "root"),
    ] {
        assert_eq!(send(request).await.status(), 200);
        let arrived = upstream.arrived().pop().expect("a request");
        assert_eq!((arrived.line(), arrived.header("x-client-id")), ("GET /x", vec!["mobile"]));
        // A request id may have any three digits in it.
        let about_it: Vec<_> = arrived.head.lines().filter(|line| !line.starts_with("x-request-id:")).collect();
        assert!(!about_it.concat().contains("abc"), "{}", arrived.head);
    }
    for (request, expected) in [
        (get(&gateway, "/x"), "missing_api_key"),
        (get(&gateway, "/x").header("X-API-Key", "abd"), "invalid_api_key"),
        (get(&gateway, "/x").header("X-API-Key", ABC), "invalid_api_key"),
        (get(&gateway, "/x?api_key=abc").header("X-API-Key", "abc"), "invalid_api_key"),
    ] {
        let answer = send(request).await;
        assert_eq!((answer.status().as_u16(), challenges(&answer)), (401, vec!["ApiKey realm=\"gateway\""]));
        assert_eq!(code(&answer.text().await.expect("a body")), expected);
    }
    assert_eq!(upstream.arrived().len(), 2);
}

#[tokio::test]
async fn a_name_and_its_password_let_in_and_go_no_further() {
    let upstream = Upstream::start().await.expect("starts");
    let gateway = Gateway::start(&file(&upstream, "", "middleware: [basic_auth: { provider: staff }]"));
    for _ in 0..2 {
        assert_eq!(send(get(&gateway, "/x").basic_auth("ann", Some("open sesame"))).await.status(), 200);
    }
    for arrived in upstream.arrived() {
        assert_eq!((arrived.header("x-staff"), arrived.header("authorization")), (vec!["ann"], vec![]));
    }
    let right = r#"gateway_password_checks_total{outcome="right",provider="staff"}"#;
    gateway.shows(right, 1.0).await;
    for (request, expected) in [
        (get(&gateway, "/x"), "missing_password"),
        (get(&gateway, "/x").basic_auth("ann", Some("open")), "invalid_password"),
        (get(&gateway, "/x").basic_auth("bob", Some("open sesame")), "invalid_password"),
        (get(&gateway, "/x").bearer_auth(BASE64.encode("ann:open sesame")), "missing_password"),
    ] {
        let answer = send(request).await;
        let challenge = "Basic realm=\"staff\", charset=\"UTF-8\"";
        assert_eq!((answer.status().as_u16(), challenges(&answer)), (401, vec![challenge]));
        assert_eq!(code(&answer.text().await.expect("a body")), expected);
    }
    gateway.reload(&file(&upstream, "", "middleware: [basic_auth: { provider: staff }]")).expect("taken");
    assert_eq!(send(get(&gateway, "/x").basic_auth("ann", Some("open sesame"))).await.status(), 200);
    assert_eq!(gateway.metric(right).await, Some(1.0), "a reload forgets nothing of what has not changed");
}

#[tokio::test]
async fn whichever_of_several_proofs_a_request_has_lets_it_in() {
    let upstream = Upstream::start().await.expect("starts");
    let gateway = Gateway::start(&file(&upstream, "", ANY_OF));
    let good = token(|_| {});
    for (request, header, name) in [
        (get(&gateway, "/x").bearer_auth(&good), "x-user-id", "ann"),
        (get(&gateway, "/x").header("X-API-Key", "abc"), "x-client-id", "mobile"),
        (get(&gateway, "/x").basic_auth("ann", Some("open sesame")), "x-staff", "ann"),
        (get(&gateway, "/x").bearer_auth("bad").header("X-API-Key", "abc"), "x-client-id", "mobile"),
        (get(&gateway, "/x").bearer_auth(&good).header("X-API-Key", "bad"), "x-user-id", "ann"),
        (get(&gateway, "/x").header("X-API-Key", "abc").basic_auth("ann", Some("wrong")), "x-client-id", "mobile"),
        (get(&gateway, "/x").header("X-API-Key", "abc").header("Authorization", "Bearer\tt"), "x-client-id", "mobile"),
        (get(&gateway, "/x").header("X-API-Key", "abc").header("Authorization", "Digest t"), "x-client-id", "mobile"),
    ] {
        assert_eq!(send(request).await.status(), 200, "{header}");
        let arrived = upstream.arrived().pop().expect("a request");
        let told = ["x-user-id", "x-client-id", "x-staff"].map(|header| arrived.header(header).concat());
        assert_eq!(told.concat(), name, "{header} alone");
        assert_eq!(arrived.header(header), [name]);
        assert!(arrived.header("x-api-key").is_empty(), "a key is hidden also where another proof was taken");
        assert!(!arrived.head.contains("Basic "), "and so is a password");
        let unread = ["Bearer\t", "Digest"].iter().any(|scheme| arrived.head.contains(scheme));
        assert!(!unread, "nor what no proof was read from: {}", arrived.head);
        assert!(!arrived.head.contains("Bearer bad"), "what was refused does not go on as if it had been checked");
        assert_eq!(arrived.head.contains(&good), header == "x-user-id", "nor what nobody has looked at");
    }
    let answer = send(get(&gateway, "/x")).await;
    let all = ["Bearer realm=\"gateway\"", "ApiKey realm=\"gateway\"", "Basic realm=\"staff\", charset=\"UTF-8\""];
    assert_eq!(challenges(&answer), all);
    assert_eq!(code(&answer.text().await.expect("a body")), "missing_credentials");
    let answer = send(get(&gateway, "/x").header("X-API-Key", "bad")).await;
    assert_eq!(challenges(&answer), ["ApiKey realm=\"gateway\""], "of the one that was tried");
    assert_eq!(code(&answer.text().await.expect("a body")), "invalid_api_key");
}

#[tokio::test]
async fn where_all_are_asked_for_one_alone_lets_nobody_in() {
    let upstream = Upstream::start().await.expect("starts");
    let gateway = Gateway::start(&file(
        &upstream,
        "",
        "middleware: [{ all_of: [{ jwt: { provider: us } }, { api_key: { provider: programs } }] }]",
    ));
    let good = token(|_| {});
    let both = get(&gateway, "/x").bearer_auth(&good).header("X-API-Key", "abc");
    assert_eq!(send(both).await.status(), 200);
    let arrived = upstream.arrived().pop().expect("a request");
    assert_eq!((arrived.header("x-user-id"), arrived.header("x-client-id")), (vec!["ann"], vec!["mobile"]));
    for (request, missing, wanted) in [
        (get(&gateway, "/x"), "missing_credentials", &["Bearer realm=\"gateway\"", "ApiKey realm=\"gateway\""][..]),
        (get(&gateway, "/x").bearer_auth(&good), "missing_api_key", &["ApiKey realm=\"gateway\""]),
        (get(&gateway, "/x").header("X-API-Key", "abc"), "missing_token", &["Bearer realm=\"gateway\""]),
    ] {
        let answer = send(request).await;
        assert_eq!((answer.status().as_u16(), &*challenges(&answer)), (401, wanted), "what is missing, and no more");
        assert_eq!(code(&answer.text().await.expect("a body")), missing);
    }
    for request in [
        get(&gateway, "/x").bearer_auth(&good).header("X-API-Key", "bad"),
        get(&gateway, "/x").bearer_auth("bad").header("X-API-Key", "abc"),
    ] {
        assert_eq!(send(request).await.status(), 401);
    }
    assert_eq!(upstream.arrived().len(), 1);
}

#[tokio::test]
async fn claims_inside_of_others_are_counted_by_and_told() {
    let upstream = Upstream::start().await.expect("starts");
    let limit = "rate_limits: { one: { scope: local, limit: 1, window: 1h, key: claim.org.id } }\n";
    let told = "{ headers: { request: { set: { X-Org: '{claim.org.id}' } } } }";
    let steps = format!("middleware: [{{ jwt: {{ provider: us }} }}, {{ rate_limit: {{ policies: [one] }} }}, {told}]");
    let gateway = Gateway::start(&(limit.to_owned() + &file(&upstream, "", &steps)));
    let of = |org: &str| get(&gateway, "/x").bearer_auth(token(|claims| claims["org"] = json!({"id": org})));
    for (org, status) in [("acme", 200), ("acme", 429), ("other", 200), ("acme", 429)] {
        assert_eq!(send(of(org)).await.status(), status, "{org}");
    }
    let told: Vec<String> = upstream.arrived().iter().map(|arrived| arrived.header("x-org").concat()).collect();
    assert_eq!(told, ["acme", "other"]);
}

#[tokio::test]
async fn a_program_lends_its_user_no_permission() {
    let upstream = Upstream::start().await.expect("starts");
    let asked = "{ all_of: [{ jwt: { provider: us } }, { api_key: { provider: programs } }] }";
    let steps = format!("middleware: [{asked}, {{ authorize: {{ scopes: ['orders:read'] }} }}]");
    let gateway = Gateway::start(&file(&upstream, "", &steps));
    let ask = |token: String| send(get(&gateway, "/x").bearer_auth(token).header("X-API-Key", "abc"));
    assert_eq!(ask(token(|_| {})).await.status(), 403);
    assert_eq!(ask(token(|claims| claims["scp"] = json!(["other"]))).await.status(), 403);
    assert_eq!(ask(token(|claims| claims["scp"] = json!(["orders:read"]))).await.status(), 200);
}

#[tokio::test]
async fn no_step_shows_a_hidden_credential_again() {
    let upstream = Upstream::start().await.expect("starts");
    let rewrite = "{ rewrite: { query: { set: { api_key: own } } } }";
    let away = "  - { name: away, match: { path: /away }, middleware: [{ api_key: { provider: programs } }, \
                { redirect: { to: '/other{query}' } }] }\n";
    let steps = format!("middleware: [{{ api_key: {{ provider: programs }} }}, {rewrite}]");
    let gateway = Gateway::start(&(file(&upstream, "", &steps) + away));
    assert_eq!(send(get(&gateway, "/x?a=1&api_key=abc")).await.status(), 200);
    let arrived = upstream.arrived().pop().expect("a request");
    assert_eq!(arrived.line(), "GET /x?a=1&api_key=own", "the step's own parameter stays");
    assert_eq!(send(get(&gateway, "/away?a=1&api_key=abc")).await.status(), 200);
    assert_eq!(
        upstream.arrived().pop().expect("a request").line(),
        "GET /other?a=1",
        "that is where the client was sent"
    );

    let cookie = "token_from: [{ cookie: session }], forward_token: false";
    let edit = "{ headers: { request: { set: { Cookie: '{header.cookie}; tenant=a' } } } }";
    let steps = format!("middleware: [{{ jwt: {{ provider: us }} }}, {edit}]");
    gateway.reload(&file(&upstream, cookie, &steps)).expect("taken");
    let sent = format!("session={}; b=c", token(|_| {}));
    assert_eq!(send(get(&gateway, "/x").header("Cookie", sent)).await.status(), 200);
    assert_eq!(upstream.arrived().pop().expect("a request").header("cookie"), ["b=c; tenant=a"]);
}

#[tokio::test]
async fn who_may_not_do_it_is_told_which_scopes_it_takes_and_the_log_which_rule() {
    let upstream = Upstream::start().await.expect("starts");
    let steps = "middleware: [{ any_of: [[jwt: { provider: us }], [api_key: { provider: programs }]] }, \
                 { authorize: { rule: readers, scopes: [orders:read] } }, \
                 { authorize: { rule: not-blocked, claims: { blocked: false } } }]";
    let directory = tempfile::tempdir().expect("a directory");
    let log = directory.path().join("access.log");
    let yaml = file(&upstream, "", steps);
    let gateway = Gateway::start_logging(&log, &yaml);
    let with = |scope: &str, blocked: bool| {
        token(|claims| (claims["scope"], claims["blocked"]) = (json!(scope), json!(blocked)))
    };
    assert_eq!(send(get(&gateway, "/x").bearer_auth(with("orders:read a", false))).await.status(), 200);
    let answer = send(get(&gateway, "/x").bearer_auth(with("a", false))).await;
    assert_eq!(answer.status(), 403);
    let challenge = "Bearer realm=\"gateway\", error=\"insufficient_scope\", scope=\"orders:read\"";
    assert_eq!(challenges(&answer), [challenge]);
    let body = answer.text().await.expect("a body");
    assert_eq!(code(&body), "insufficient_scope");
    assert!(!body.contains("readers"), "{body}");
    assert_eq!(send(get(&gateway, "/x").bearer_auth(with("orders:read", true))).await.status(), 403);
    let answer = send(get(&gateway, "/x").header("X-API-Key", "abc")).await;
    assert_eq!(answer.status(), 403, "it has the scope, and no claim `blocked`");
    assert_eq!(challenges(&answer), [""; 0], "no token would make it more of a program");
    assert_eq!(send(get(&gateway, "/x")).await.status(), 401);
    drop(gateway);
    let log = std::fs::read_to_string(&log).expect("a log");
    let mut lines: Vec<_> =
        log.lines().filter_map(|line| serde_json::from_str::<serde_json::Value>(line).ok()).collect();
    let rules: Vec<_> = lines.iter().map(|line| line["rule"].as_str().unwrap_or("-").to_owned()).collect();
    assert_eq!(rules, ["-", "readers", "not-blocked", "not-blocked", "-"]);
    // The key is three hexadecimal digits, as a random id may well have.
    lines.iter_mut().for_each(|line| drop(line["request_id"].take()));
    assert!(lines.iter().all(|line| !line.to_string().contains("abc")), "{log}");
}

#[tokio::test]
async fn the_log_line_names_whoever_was_proven_and_nobody_else() {
    let upstream = Upstream::start().await.expect("starts");
    let directory = tempfile::tempdir().expect("a directory");
    let log = directory.path().join("access.log");
    let gateway = Gateway::start_logging(&log, &file(&upstream, "", ANY_OF));
    let basic = |password: &str| format!("Basic {}", BASE64.encode(format!("ann:{password}")));
    for (request, status) in [
        (get(&gateway, "/x").bearer_auth(token(|claims| claims["sub"] = json!("bob"))), 200),
        (get(&gateway, "/x").header("X-API-Key", "abc"), 200),
        (get(&gateway, "/x").header("Authorization", basic("open sesame")), 200),
        (get(&gateway, "/x").header("Authorization", basic("wrong")), 401),
        (get(&gateway, "/x").header("X-API-Key", "wrong"), 401),
        (get(&gateway, "/other").header("X-API-Key", "abc").header("X-User-Id", "root"), 200),
    ] {
        assert_eq!(send(request).await.status(), status);
    }
    drop(gateway);
    let log = std::fs::read_to_string(&log).expect("a log");
    let lines = log.lines().filter_map(|line| serde_json::from_str::<serde_json::Value>(line).ok());
    let users: Vec<_> = lines.map(|line| line["user"].as_str().map(str::to_owned)).collect();
    let named = |name: &str| Some(name.to_owned());
    assert_eq!(users, [named("bob"), named("mobile"), named("ann"), None, None, None], "{log}");
}
