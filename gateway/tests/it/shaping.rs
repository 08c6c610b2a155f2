//! Steps that change requests and responses, or answer by themselves, as clients and upstreams meet them.

use std::sync::{Arc, Mutex};

use gateway::ctx::RequestContext;
use gateway::middleware::{Flow, Middleware, ResponseHead, Step};
use http::HeaderValue;
use pingora_http::RequestHeader;
use reqwest::Method;
use testkit::{Behaviour, Upstream};

use crate::support::{Gateway, code, token};

fn upstreams(upstream: &Upstream) -> String {
    format!("upstreams: {{ u: {{ targets: [\"{}\"] }} }}\n", upstream.url())
}

/// Notes the responses it sees, and lets its name be read in each.
struct Witness {
    name: &'static str,
    stops: bool,
    seen: Arc<Mutex<Vec<(&'static str, u16)>>>,
}

impl Middleware for Witness {
    fn on_request<'a>(&'a self, head: &'a mut RequestHeader, _ctx: &'a mut RequestContext) -> Step<'a> {
        let stops = self.stops && head.headers.contains_key("x-stop");
        Step::Done(if stops { Flow::Reply(gateway::reply::Rejection::TokenMissing) } else { Flow::Continue })
    }

    fn on_response(&self, request: &RequestHeader, head: &mut ResponseHead<'_>, ctx: &mut RequestContext) {
        assert_eq!((request.uri.path(), ctx.route_name()), ("/x", Some("r")));
        self.seen.lock().expect("no panic").push((self.name, head.status.as_u16()));
        head.headers.append("x-witness", HeaderValue::from_static(self.name));
    }
}

#[tokio::test]
async fn steps_see_every_answer_in_the_reverse_order_of_the_list() {
    let upstream = Upstream::start().await.expect("starts");
    let seen = Arc::default();
    let witness = |name, stops| Arc::new(Witness { name, stops, seen: Arc::clone(&seen) }) as Arc<dyn Middleware>;
    let yaml =
        format!("{}routes: [{{ name: r, match: {{ path: /x }}, upstream: u, public: true }}]", upstreams(&upstream));
    let gateway =
        Gateway::try_start(&yaml, vec![witness("first", true), witness("second", false)]).expect("the gateway starts");
    let ask = async |stop: bool| {
        let request = gateway.request(Method::GET, "/x");
        let request = if stop { request.header("X-Stop", "1") } else { request };
        let answer = request.send().await.expect("an answer");
        let names = answer.headers().get_all("x-witness").iter().map(|name| name.to_str().expect("ascii").to_owned());
        (answer.status().as_u16(), names.collect::<Vec<_>>())
    };
    assert_eq!(ask(false).await, (200, vec!["second".to_owned(), "first".to_owned()]));
    assert_eq!(ask(true).await, (401, vec!["second".to_owned(), "first".to_owned()]));
    upstream.behave(Behaviour::HangUp);
    assert_eq!(ask(false).await.0, 502);
    let seen = seen.lock().expect("no panic").clone();
    assert_eq!(
        seen,
        [("second", 200), ("first", 200), ("second", 401), ("first", 401), ("second", 502), ("first", 502)]
    );
}

#[tokio::test]
async fn headers_are_changed_on_both_ways() {
    let upstream = Upstream::start().await.expect("starts");
    let yaml = format!(
        r#"{}routes:
  - name: r
    match: {{ path: "/u/{{id}}" }}
    upstream: u
    middleware:
      - jwt: {{ provider: us }}
      - headers:
          request: {{ set: {{ X-Subject: "{{claim.sub}} {{param.id}}", Authorization: "Basic own" }}, add: {{ X-Via: gateway }}, remove: [Cookie] }}
          response: {{ set: {{ X-Frame-Options: DENY, X-Id: "{{request_id}}" }}, remove: [Server] }}
"#,
        upstreams(&upstream)
    );
    let gateway = Gateway::start(&yaml);
    upstream.behave(Behaviour::Say("HTTP/1.1 200 OK\r\nServer: secret/1\r\nContent-Length: 2\r\n\r\nok"));
    let request = gateway.request(Method::GET, "/u/7").bearer_auth(token(|_| {})).header("X-Subject", "root");
    let answer = request
        .header("x_subject", "root")
        .header("Cookie", "a")
        .header("X-Via", "me")
        .send()
        .await
        .expect("an answer");
    assert_eq!(answer.headers()["x-frame-options"], "DENY");
    assert_eq!(answer.headers()["x-id"], answer.headers()["x-request-id"]);
    assert!(!answer.headers().contains_key("server"));
    let arrived = upstream.arrived().pop().expect("a request");
    assert_eq!(arrived.header("x-subject"), ["ann 7"]);
    assert!(!arrived.head.contains("root") && arrived.header("cookie").is_empty());
    assert_eq!(arrived.header("authorization"), ["Basic own"]);
    assert_eq!(arrived.header("x-via"), ["me", "gateway"]);
    assert_eq!(arrived.header("x-user-id"), ["ann"], "what the gateway asserts stays");
    let refused = gateway.request(Method::GET, "/u/7").send().await.expect("an answer");
    assert_eq!(
        (refused.status().as_u16(), &refused.headers()["x-frame-options"]),
        (401, &HeaderValue::from_static("DENY"))
    );
    assert!(refused.headers().contains_key("www-authenticate"));
}

#[tokio::test]
async fn a_client_cannot_have_a_header_of_the_steps_end_at_the_gateway() {
    let upstream = Upstream::start().await.expect("starts");
    let step = "headers: { request: { set: { X-Team: ours }, add: { X-Via: gateway } } }";
    let yaml = format!(
        "{}routes: [{{ name: r, match: {{ path: /x }}, upstream: u, public: true, middleware: [{step}] }}]",
        upstreams(&upstream)
    );
    let gateway = Gateway::start(&yaml);
    let request = "GET /x HTTP/1.1\r\nHost: a\r\nX-Hop: 1\r\nConnection: close, X-Team, x-via, X-Hop\r\n\r\n";
    assert!(gateway.raw(request.as_bytes()).await.starts_with("HTTP/1.1 200 "));
    let arrived = upstream.arrived().pop().expect("a request");
    assert_eq!((arrived.header("x-team"), arrived.header("x-via")), (vec!["ours"], vec!["gateway"]));
    assert!(arrived.header("x-hop").is_empty());
}

#[tokio::test]
async fn an_upstream_is_asked_for_what_the_route_makes_of_the_path_on_every_attempt() {
    let upstream = Upstream::start().await.expect("starts");
    let broken = Upstream::start().await.expect("starts");
    broken.behave(Behaviour::HangUp);
    let yaml = format!(
        r#"upstreams: {{ u: {{ targets: ["{}"] }}, both: {{ targets: ["{}", "{}"] }} }}
routes:
  - {{ name: a, match: {{ path: "/api/*" }}, upstream: u, public: true, middleware: [rewrite: {{ strip_prefix: /api, add_prefix: /v1 }}] }}
  - {{ name: b, match: {{ path: "/u/{{id}}" }}, upstream: both, public: true, middleware: [rewrite: {{ path: "/users/{{id}}", query: {{ remove: [debug] }} }}] }}
"#,
        upstream.url(),
        broken.url(),
        upstream.url(),
    );
    let gateway = Gateway::start(&yaml);
    for (sent, asked) in [
        ("/api/users?a=b", "GET /v1/users?a=b"),
        ("//api/./x/../users/", "GET /v1/users/"),
        ("/u/a%3fb?debug=1&x=y", "GET /users/a%3Fb?x=y"),
        ("/u/c?debug", "GET /users/c"),
    ] {
        let answer =
            gateway.raw(format!("GET {sent} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n").as_bytes()).await;
        assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
        assert_eq!(upstream.arrived().pop().expect("a request").line(), asked);
    }
    assert!(broken.arrived().iter().all(|request| request.line().starts_with("GET /users/")));
    assert!(!broken.arrived().is_empty(), "one of them went to the broken one first");
}

#[tokio::test]
async fn redirects_and_fixed_answers_need_no_upstream() {
    let yaml = r#"
routes:
  - { name: old, match: { path: "/old/*", hosts: [a.example] }, public: true, middleware: [redirect: { to: "https://{host}/new/{path}{query}" }] }
  - { name: moved, match: { path: /moved }, public: true, middleware: [redirect: { path: /here, status: 303 }] }
  - { name: robots, match: { path: /robots.txt }, public: true, middleware: [respond: { body: "none\n", headers: { Cache-Control: max-age=60 } }] }
  - { name: gone, match: { path: /gone }, public: true, middleware: [respond: { status: 410, content_type: text/html, body: "<p>" }] }
  - { name: nothing, match: { path: /nothing }, public: true, middleware: [respond: { status: 204 }] }
  - { name: mine, match: { path: /mine }, middleware: [jwt: { provider: us }, respond: { body: yours }] }
"#;
    let gateway = Gateway::start(yaml);
    let raw = async |line: &str, host: &str| {
        gateway.raw(format!("{line}\r\nHost: {host}\r\nConnection: close\r\n\r\n").as_bytes()).await
    };
    let answer = raw("GET /old//x/y?q=1 HTTP/1.1", "a.example:80").await;
    assert!(answer.starts_with("HTTP/1.1 308 Permanent Redirect\r\n"), "{answer}");
    assert!(answer.contains("\r\nlocation: https://a.example/new/x/y?q=1\r\n"), "{answer}");
    assert!(answer.contains("\r\nContent-Length: 0\r\n") && answer.contains("\r\nx-request-id: "), "{answer}");
    assert!(raw("GET /old/x HTTP/1.1", "evil.example").await.starts_with("HTTP/1.1 404 "));
    assert!(raw("POST /moved?a HTTP/1.0", "b").await.contains("\r\nlocation: /here?a\r\n"));

    let answer = gateway.request(Method::GET, "/robots.txt").send().await.expect("an answer");
    assert_eq!(answer.headers()["content-type"], "text/plain; charset=utf-8");
    assert_eq!(answer.headers()["cache-control"], "max-age=60");
    assert_eq!(answer.text().await.expect("a body"), "none\n");
    let head = raw("HEAD /robots.txt HTTP/1.1", "b").await;
    assert!(head.contains("\r\nContent-Length: 5\r\n") && head.ends_with("\r\n\r\n"), "{head}");
    assert_eq!(gateway.get("/gone").await, (410, "<p>".to_owned()));
    let nothing = raw("GET /nothing HTTP/1.1", "b").await;
    assert!(
        nothing.starts_with("HTTP/1.1 204 ") && !nothing.to_ascii_lowercase().contains("content-length"),
        "{nothing}"
    );
    assert_eq!(gateway.get("/mine").await.0, 401);
    let mine = gateway.request(Method::GET, "/mine").bearer_auth(token(|_| {})).send().await.expect("an answer");
    assert_eq!(mine.text().await.expect("a body"), "yours");
    gateway.shows(r#"gateway_requests_total{route="gone",status="410"}"#, 1.0).await;
}

#[tokio::test]
async fn a_body_that_nobody_reads_ends_its_connection_and_harms_no_other() {
    let yaml = "routes: [{ name: r, match: { path: /x }, public: true, middleware: [respond: { body: ok }] }]";
    let gateway = Gateway::start(yaml);
    let answer =
        gateway.raw(b"POST /x HTTP/1.1\r\nHost: a\r\nContent-Length: 100\r\n\r\nGET /y HTTP/1.1\r\n\r\n").await;
    assert_eq!(answer.matches("HTTP/1.1 ").count(), 1, "{answer}");
    assert!(answer.contains("\r\nConnection: close\r\n") && answer.ends_with("ok"), "{answer}");
}

#[tokio::test]
async fn pages_of_other_origins_are_let_in_before_anybody_is_asked_who_is_there() {
    let upstream = Upstream::start().await.expect("starts");
    let yaml = format!(
        r#"rate_limits: {{ one: {{ scope: local, limit: 1, window: 1h, key: client_address }} }}
{}routes:
  - name: r
    match: {{ path: /x, methods: [GET, PUT] }}
    upstream: u
    middleware:
      - rate_limit: {{ policies: [one] }}
      - jwt: {{ provider: us }}
      - cors: {{ allow_origins: ["https://page.example"], allow_headers: [Authorization], allow_credentials: true, max_age: 1h }}
"#,
        upstreams(&upstream)
    );
    let gateway = Gateway::start(&yaml);
    let preflight = async |origin: &str| {
        let request = gateway.request(Method::OPTIONS, "/x").header("Origin", origin);
        request.header("Access-Control-Request-Method", "PUT").send().await.expect("an answer")
    };
    for _ in 0..3 {
        let answer = preflight("https://page.example").await;
        assert_eq!(answer.status(), 204);
        assert_eq!(answer.headers()["access-control-allow-origin"], "https://page.example");
        assert_eq!(answer.headers()["access-control-allow-methods"], "GET, HEAD, PUT");
        assert_eq!(answer.headers()["access-control-allow-headers"], "Authorization");
        assert!(!answer.headers().contains_key("ratelimit"), "not counted");
    }
    let stranger = preflight("https://evil.example").await;
    assert_eq!(stranger.status(), 204);
    assert!(!stranger.headers().contains_key("access-control-allow-origin"));

    let get = async |bearer: Option<String>| {
        let request = gateway.request(Method::GET, "/x").header("Origin", "https://page.example");
        let request = if let Some(bearer) = bearer { request.bearer_auth(bearer) } else { request };
        request.send().await.expect("an answer")
    };
    upstream.behave(Behaviour::Say(
        "HTTP/1.1 200 OK\r\nAccess-Control-Allow-Origin: *\r\nVary: Accept\r\nContent-Length: 0\r\n\r\n",
    ));
    let answer = get(Some(token(|_| {}))).await;
    assert_eq!(answer.status(), 200);
    let all = |answer: &reqwest::Response, name: &str| {
        answer.headers().get_all(name).iter().map(|value| value.to_str().expect("ascii").to_owned()).collect::<Vec<_>>()
    };
    assert_eq!(all(&answer, "access-control-allow-origin"), ["https://page.example"]);
    assert_eq!(all(&answer, "vary"), ["Accept", "Origin"]);
    let refused = get(None).await;
    assert_eq!((refused.status().as_u16(), all(&refused, "access-control-allow-origin").len()), (429, 1));
    assert_eq!(code(&refused.text().await.expect("a body")), "quota_exceeded");
    let plain = gateway.request(Method::OPTIONS, "/x").header("Origin", "https://page.example").send().await;
    assert_eq!(plain.expect("an answer").status(), 405, "no preflight");
}
