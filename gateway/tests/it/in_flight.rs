//! Limits of what is under way at once: each request gives its place back, once, however it ends.

use std::sync::Arc;

use gateway::ctx::RequestContext;
use gateway::middleware::{Flow, Middleware, ResponseHead, Step};
use h2::Reason;
use pingora_http::RequestHeader;
use reqwest::Method;
use testkit::{Behaviour, Upstream, eventually};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::timeout;

use crate::support::http2::{Connection, request};
use crate::support::{Gateway, PATIENCE, code};

const H2C: &str = "h2c_listen: [\"127.0.0.1:0\"]";
const GET: &[u8] = b"GET /a/ HTTP/1.1\r\nHost: a\r\n\r\n";

/// Two at once on `/a/*`; and on `/late/*`, where a step behind that lets nobody through who comes twice in an hour.
fn limits(upstream: &Upstream) -> String {
    format!(
        "rate_limits:\n  at-once: {{ scope: local, algorithm: in_flight, limit: 2, key: client_address }}\n  \
         hourly: {{ scope: local, limit: 1, window: 1h, key: client_address }}\n\
         upstreams: {{ u: {{ targets: [\"{}\"] }} }}\n\
         routes:\n\
         - {{ name: a, match: {{ path: \"/a/*\" }}, upstream: u, public: true, \
         middleware: [{{ rate_limit: {{ policies: [at-once] }} }}] }}\n\
         - {{ name: late, match: {{ path: \"/late/*\" }}, upstream: u, public: true, \
         middleware: [{{ rate_limit: {{ policies: [at-once] }} }}, {{ rate_limit: {{ policies: [hourly] }} }}] }}\n",
        upstream.url()
    )
}

async fn until_under_way(gateway: &Gateway, count: f64) {
    let is_so = async || gateway.metric(r#"gateway_rate_limit_in_flight{policy="at-once"}"#).await == Some(count);
    eventually(PATIENCE, &format!("{count} are under way"), is_so).await.expect("in time");
}

/// A request of which the upstream, which hangs, says nothing for ever.
async fn hold(gateway: &Gateway, request: &[u8]) -> TcpStream {
    let mut stream = TcpStream::connect(gateway.addr()).await.expect("connects");
    stream.write_all(request).await.expect("writes");
    stream
}

#[tokio::test]
async fn one_more_than_the_limit_is_told_to_come_again_until_one_has_ended() {
    let upstream = Upstream::start().await.expect("starts");
    let gateway = Gateway::start(&limits(&upstream));
    let answer = gateway.request(Method::GET, "/a/").send().await.expect("an answer");
    let field = |name: &str| answer.headers().get(name).map_or("", |value| value.to_str().expect("text")).to_owned();
    assert_eq!(field("ratelimit-policy"), r#""at-once";q=2;qu="concurrent-requests""#);
    assert_eq!(field("ratelimit"), r#""at-once";r=1"#, "nobody knows until when");
    assert_eq!((field("x-ratelimit-limit"), field("x-ratelimit-remaining")), ("2".to_owned(), "1".to_owned()));
    until_under_way(&gateway, 0.0).await;

    upstream.behave(Behaviour::Hang);
    let (first, _second) = (hold(&gateway, GET).await, hold(&gateway, GET).await);
    until_under_way(&gateway, 2.0).await;
    let answer = gateway.request(Method::GET, "/a/").send().await.expect("an answer");
    assert_eq!(answer.status(), 429);
    assert_eq!(answer.headers()["retry-after"], "1");
    assert_eq!(answer.headers()["ratelimit"], r#""at-once";r=0"#);
    let body = answer.text().await.expect("a body");
    assert_eq!(code(&body), "quota_exceeded");
    assert!(body.contains(r#"["at-once"]"#), "{body}");
    until_under_way(&gateway, 2.0).await;

    drop(first);
    until_under_way(&gateway, 1.0).await;
    upstream.behave(Behaviour::Answer);
    assert_eq!(gateway.get("/a/").await.0, 200);
}

#[tokio::test]
async fn a_place_is_given_back_once_however_the_request_ends() {
    let upstream = Upstream::start().await.expect("starts");
    let gateway = Gateway::start_with(H2C, &limits(&upstream));
    upstream.behave(Behaviour::Hang);
    // One that stays, so that a place given back twice would be missed.
    let stays = hold(&gateway, GET).await;
    until_under_way(&gateway, 1.0).await;
    // Or it would be the one that is let go below.
    eventually(PATIENCE, "it has arrived", async || upstream.arrived().len() == 1).await.expect("in time");

    upstream.behave(Behaviour::Hold);
    let answered = async {
        until_under_way(&gateway, 2.0).await;
        upstream.let_go();
    };
    assert_eq!(tokio::join!(gateway.get("/a/"), answered).0.0, 200);
    until_under_way(&gateway, 1.0).await;

    upstream.behave(Behaviour::Hang);
    let broken_off = hold(&gateway, GET).await;
    until_under_way(&gateway, 2.0).await;
    drop(broken_off);
    until_under_way(&gateway, 1.0).await;

    let half_sent = hold(&gateway, b"POST /a/ HTTP/1.1\r\nHost: a\r\nContent-Length: 9\r\n\r\nhalf").await;
    until_under_way(&gateway, 2.0).await;
    drop(half_sent);
    until_under_way(&gateway, 1.0).await;

    let mut client = Connection::open(gateway.h2c_addr()).await;
    let (_response, mut stream) = client.client.send_request(request("GET", "/a/"), true).expect("sends");
    until_under_way(&gateway, 2.0).await;
    stream.send_reset(Reason::CANCEL);
    until_under_way(&gateway, 1.0).await;

    upstream.behave(Behaviour::HangUp);
    assert_eq!(gateway.get("/a/").await.0, 502);
    until_under_way(&gateway, 1.0).await;

    upstream.behave(Behaviour::Say("HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhalf"));
    let half_answered = gateway.request(Method::GET, "/a/").send().await.expect("a head");
    half_answered.bytes().await.expect_err("no whole body");
    until_under_way(&gateway, 1.0).await;

    upstream.behave(Behaviour::Answer);
    assert_eq!(gateway.get("/late/").await.0, 200);
    until_under_way(&gateway, 1.0).await;
    assert_eq!(gateway.get("/late/").await.0, 429, "by the step behind");
    until_under_way(&gateway, 1.0).await;

    drop(stays);
    until_under_way(&gateway, 0.0).await;
}

#[tokio::test]
async fn a_websocket_is_under_way_until_it_ends() {
    let upstream = Upstream::start().await.expect("starts");
    let gateway = Gateway::start(&limits(&upstream));
    upstream.behave(Behaviour::Echo);
    let handshake = b"GET /a/ HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
                      Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";
    let mut sockets = Vec::new();
    for count in [1.0, 2.0] {
        let mut socket = hold(&gateway, handshake).await;
        let mut answer = Vec::new();
        while !answer.ends_with(b"\r\n\r\n") {
            answer.push(timeout(PATIENCE, socket.read_u8()).await.expect("in time").expect("a byte"));
        }
        assert!(answer.starts_with(b"HTTP/1.1 101 "), "{}", String::from_utf8_lossy(&answer));
        socket.write_all(b"echo").await.expect("writes");
        let mut echo = [0; 4];
        timeout(PATIENCE, socket.read_exact(&mut echo)).await.expect("in time").expect("reads");
        assert_eq!(&echo, b"echo");
        until_under_way(&gateway, count).await;
        sockets.push(socket);
    }
    assert_eq!(gateway.get("/a/").await.0, 429);
    sockets.pop();
    until_under_way(&gateway, 1.0).await;
    sockets.pop();
    until_under_way(&gateway, 0.0).await;
}

/// Fails where nothing may fail.
struct Panics;

impl Middleware for Panics {
    fn on_request<'a>(&'a self, _head: &'a mut RequestHeader, _ctx: &'a mut RequestContext) -> Step<'a> {
        Step::Done(Flow::Continue)
    }

    fn on_response(&self, request: &RequestHeader, _head: &mut ResponseHead<'_>, _ctx: &mut RequestContext) {
        assert!(!request.headers.contains_key("x-panic"), "as the test wants it");
    }
}

#[tokio::test]
async fn a_panic_gives_the_place_back() {
    let upstream = Upstream::start().await.expect("starts");
    let gateway = Gateway::try_start(&limits(&upstream), vec![Arc::new(Panics)]).expect("the gateway starts");
    upstream.behave(Behaviour::Hang);
    let stays = hold(&gateway, GET).await;
    until_under_way(&gateway, 1.0).await;
    // Or it would be the one that is let go below.
    eventually(PATIENCE, "it has arrived", async || upstream.arrived().len() == 1).await.expect("in time");
    upstream.behave(Behaviour::Answer);
    let panics = gateway.request(Method::GET, "/a/").header("X-Panic", "1");
    panics.send().await.expect_err("the connection ends");
    until_under_way(&gateway, 1.0).await;
    drop(stays);
    until_under_way(&gateway, 0.0).await;
}
