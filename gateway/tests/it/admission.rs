//! Which requests go on, and what the others are told.

use futures::FutureExt as _;
use gateway::ctx::RequestContext;
use gateway::middleware::{Flow, Middleware, Step};
use gateway::reply::Rejection;
use http::{HeaderName, HeaderValue};
use reqwest::Method;
use serde_json::json;
use testkit::Upstream;

use crate::support::{Gateway, code, token};

fn routes(upstream: &Upstream) -> String {
    format!(
        r#"
upstreams: {{ u: {{ targets: ["{}"] }} }}
routes:
  - {{ name: open, match: {{ path: "/open/*" }}, upstream: u, public: true }}
  - {{ name: mine, match: {{ path: "/mine", methods: [GET] }}, upstream: u, middleware: [{{ jwt: {{ provider: us }} }}] }}
"#,
        upstream.url()
    )
}

#[tokio::test]
async fn a_protected_route_takes_only_valid_tokens() {
    let upstream = Upstream::start().await.expect("starts");
    let gateway = Gateway::start(&routes(&upstream));
    let status = async |authorization: Option<String>| {
        let request = gateway.request(Method::GET, "/mine");
        let request = match authorization {
            Some(value) => request.header("Authorization", value),
            None => request,
        };
        let answer = request.send().await.expect("an answer");
        let challenged = answer.headers().contains_key("www-authenticate");
        assert_eq!(challenged, answer.status() == 401);
        answer.status().as_u16()
    };
    assert_eq!(status(None).await, 401);
    assert_eq!(status(Some("Bearer rubbish".to_owned())).await, 401);
    assert_eq!(status(Some(format!("Bearer {}", token(|claims| claims["exp"] = json!(1))))).await, 401);
    assert_eq!(status(Some(format!("Bearer {}", token(|claims| claims["aud"] = json!("them"))))).await, 401);
    assert!(upstream.arrived().is_empty());
    assert_eq!(status(Some(format!("Bearer {}", token(|_| {})))).await, 200);
    assert_eq!(upstream.arrived()[0].header("x-user-id"), ["ann"]);
}

#[tokio::test]
async fn a_websocket_upgrade_is_asked_for_its_token_too() {
    let upstream = Upstream::start().await.expect("starts");
    let gateway = Gateway::start(&routes(&upstream));
    let upgrade = "GET /mine HTTP/1.1\r\nHost: a\r\nConnection: Upgrade, close\r\nUpgrade: websocket\r\n\
                   Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";
    let answer = gateway.raw(upgrade.as_bytes()).await;
    assert!(answer.starts_with("HTTP/1.1 401 "), "{answer}");
    assert!(upstream.arrived().is_empty());
}

#[tokio::test]
async fn unknown_paths_and_methods_are_told_apart() {
    let upstream = Upstream::start().await.expect("starts");
    let gateway = Gateway::start(&routes(&upstream));
    let (status, body) = gateway.get("/nowhere").await;
    assert_eq!((status, &*code(&body)), (404, "no_route"));
    let answer = gateway.request(Method::DELETE, "/mine").send().await.expect("an answer");
    assert_eq!(answer.status(), 405);
    assert_eq!(answer.headers()["allow"], "GET, HEAD");
    assert_eq!(answer.headers()["content-type"], "application/problem+json");
    let answer = gateway.request(Method::TRACE, "/open/").send().await.expect("an answer");
    assert_eq!(answer.status(), 405, "what the gateway adds to a request is not for its client to see");
    assert_eq!(answer.headers()["allow"], "GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS");
    let (status, body) = gateway.admin("/nowhere").await;
    assert_eq!((status, &*code(&body)), (404, "no_route"));
    let (status, body) = gateway.get("/health").await;
    assert_eq!((status, &*body), (200, r#"{"status":"ok"}"#));
}

#[tokio::test]
async fn what_is_too_large_is_refused_before_the_upstream_sees_it() {
    let upstream = Upstream::start().await.expect("starts");
    let gateway = Gateway::start(&routes(&upstream));
    let refused = async |request: reqwest::RequestBuilder| {
        let answer = request.send().await.expect("an answer");
        (answer.status().as_u16(), code(&answer.text().await.expect("a body")))
    };
    let post = || gateway.request(Method::POST, "/open/x");
    assert_eq!(refused(post().body(vec![b'x'; 1025])).await, (413, "body_too_large".to_owned()));
    let long = format!("/open/{}", "x".repeat(1100));
    assert_eq!(refused(gateway.request(Method::GET, &long)).await, (414, "uri_too_long".to_owned()));
    assert_eq!(refused(post().header("X-Large", "x".repeat(5000))).await, (431, "headers_too_large".to_owned()));
    assert!(upstream.arrived().is_empty());
    assert_eq!(post().body(vec![b'x'; 1024]).send().await.expect("an answer").status(), 200);
}

#[tokio::test]
async fn a_chunked_body_is_cut_off_at_the_limit() {
    let upstream = Upstream::start().await.expect("starts");
    let gateway = Gateway::start(&routes(&upstream));
    let chunk = format!("200\r\n{}\r\n", "x".repeat(0x200));
    let request =
        format!("POST /open/x HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n{}0\r\n\r\n", chunk.repeat(3));
    let answer = gateway.raw(request.as_bytes()).await;
    assert!(answer.starts_with("HTTP/1.1 413 ") && answer.contains("body_too_large"), "{answer}");
    assert!(upstream.arrived().is_empty(), "no whole request has arrived");
}

#[tokio::test]
async fn no_spelling_of_a_path_gets_around_its_token() {
    let upstream = Upstream::start().await.expect("starts");
    let gateway = Gateway::start(&routes(&upstream));
    for path in ["/mine", "//mine", "/./mine", "/open/../mine", "/%6dine", "/open/%2e%2e/mine", "/open/.%2E//mine"] {
        let request = format!("GET {path} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
        let answer = gateway.raw(request.as_bytes()).await;
        assert!(answer.starts_with("HTTP/1.1 401 "), "{path}: {answer:?}");
    }
    assert!(upstream.arrived().is_empty());
}

/// Refuses who does not knock, after a moment's thought, and says of the others that they did.
struct Knock;

impl Middleware for Knock {
    fn on_request<'a>(&'a self, head: &'a mut pingora_http::RequestHeader, ctx: &'a mut RequestContext) -> Step<'a> {
        let knocks = head.headers.contains_key("x-knock");
        ctx.request_headers.push((HeaderName::from_static("x-knocked"), HeaderValue::from_static("yes")));
        Step::Wait(
            async move {
                tokio::task::yield_now().await;
                if knocks { Flow::Continue } else { Flow::Reply(Rejection::NoRoute) }
            }
            .boxed(),
        )
    }
}

#[tokio::test]
async fn a_middleware_of_the_embedders_own_runs_on_every_route() {
    let upstream = Upstream::start().await.expect("starts");
    let gateway = Gateway::try_start(&routes(&upstream), vec![std::sync::Arc::new(Knock)]).expect("starts");
    assert_eq!(gateway.get("/open/").await.0, 404);
    let request = gateway.request(Method::GET, "/open/").header("X-Knock", "1");
    let request = request.header("X-Knocked", "spoofed").header("X_Knocked", "spoofed");
    assert_eq!(request.send().await.expect("an answer").status(), 200);
    let arrived = upstream.arrived().pop().expect("a request");
    assert_eq!(arrived.header("x-knocked"), ["yes"]);
    assert!(!arrived.head.contains("spoofed"), "{}", arrived.head);
}
