//! What ends with a reload, even while a request that outlives it keeps the configuration from before.

use reqwest::Method;
use testkit::{Behaviour, RedisServer, Upstream, eventually};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use crate::support::{Gateway, PATIENCE};

/// A request that a reload finds under way, held by its upstream.
async fn held(gateway: &Gateway, upstream: &Upstream, path: &str) -> tokio::task::JoinHandle<reqwest::Response> {
    let others = upstream.arrived().len();
    upstream.behave(Behaviour::Hold);
    let request = gateway.request(Method::GET, path).send();
    let answer = tokio::spawn(async { request.await.expect("an answer") });
    eventually(PATIENCE, "the request is under way", async || upstream.arrived().len() > others)
        .await
        .expect("arrives");
    answer
}

#[tokio::test]
async fn the_probes_of_a_pool_that_a_reload_replaced_end_at_once() {
    let (old, new) = (Upstream::start().await.expect("starts"), Upstream::start().await.expect("starts"));
    let to = |upstream: &Upstream| {
        format!(
            "upstreams: {{ u: {{ targets: [\"{}\"], health_check: {{ path: /health, interval: 50ms, timeout: 50ms }} }} }}\n\
             routes: [{{ name: all, match: {{ path: \"/*\" }}, upstream: u, public: true }}]\n",
            upstream.url()
        )
    };
    let probed = async |upstream: &Upstream, times: usize| {
        let wanted = upstream.probes() + times;
        eventually(PATIENCE, "it is probed", async || upstream.probes() >= wanted).await.expect("probed");
    };
    let gateway = Gateway::start(&to(&old));
    probed(&old, 2).await;
    let outlives = held(&gateway, &old, "/x").await;
    gateway.reload(&to(&new)).expect("taken");
    probed(&new, 1).await;
    let before = old.probes();
    probed(&new, 10).await;
    assert!(old.probes() <= before + 1, "one may have been on its way: {before}, {}", old.probes());
    old.let_go();
    assert_eq!(outlives.await.expect("answered").text().await.expect("a body"), old.addr().to_string());
}

#[tokio::test]
async fn the_redis_link_that_a_reload_replaced_is_closed_and_says_nothing_more() {
    let upstream = Upstream::start().await.expect("starts");
    let (mut old, new) = (RedisServer::start().await.expect("Redis"), RedisServer::start().await.expect("Redis"));
    let on = |redis: &str, scope: &str| {
        format!(
            "{redis}\nrate_limits: {{ few: {{ scope: {scope}, limit: 9, window: 1h, key: client_address }} }}\n\
             upstreams: {{ u: {{ targets: [\"{}\"] }} }}\n\
             routes: [{{ name: all, match: {{ path: \"/*\" }}, upstream: u, public: true, \
             middleware: [{{ rate_limit: {{ policies: [few] }} }}] }}]\n",
            upstream.url()
        )
    };
    let at = |redis: &RedisServer| {
        on(&format!("redis: {{ host: 127.0.0.1, port: {}, timeout: 2s }}", redis.port()), "redis")
    };
    let gateway = Gateway::start(&at(&old));
    let is_up = async || gateway.metric("gateway_redis_up").await;
    eventually(PATIENCE, "the first is up", async || is_up().await == Some(1.0)).await.expect("up");
    upstream.behave(Behaviour::Echo);
    let mut outlives = web_socket(&gateway).await;

    gateway.reload(&at(&new)).expect("taken");
    eventually(PATIENCE, "the second is up", async || is_up().await == Some(1.0)).await.expect("up");
    no_client_of(&old).await;
    old.kill().expect("ends");
    assert_eq!(is_up().await, Some(1.0));

    gateway.reload(&on("", "local")).expect("taken");
    assert_eq!(is_up().await, None, "there is no Redis any more");
    no_client_of(&new).await;
    outlives.write_all(b"still there?").await.expect("writes");
    let mut echoed = [0; 12];
    outlives.read_exact(&mut echoed).await.expect("reads");
    assert_eq!(&echoed, b"still there?");
}

#[tokio::test]
async fn what_a_reload_takes_away_leaves_the_metrics_and_comes_back_at_zero() {
    let upstream = Upstream::start().await.expect("starts");
    let file = |route: &str, path: &str| {
        format!(
            "rate_limits: {{ limit-{route}: {{ scope: local, limit: 9, window: 1h, key: client_address }} }}\n\
             upstreams: {{ to-{route}: {{ targets: [\"{0}\"] }}, u: {{ targets: [\"{0}\"] }} }}\n\
             routes:\n\
             - {{ name: {route}, match: {{ path: /a }}, upstream: to-{route}, public: true, \
             middleware: [{{ rate_limit: {{ policies: [limit-{route}] }} }}] }}\n\
             - {{ name: kept, match: {{ path: {path} }}, upstream: u, public: true }}\n",
            upstream.url()
        )
    };
    let answered = |route: &str| format!(r#"gateway_requests_total{{route="{route}",status="200"}}"#);
    let gateway = Gateway::start(&file("alpha", "/b"));
    assert_eq!((gateway.get("/a").await.0, gateway.get("/b").await.0), (200, 200));
    let allowed = r#"gateway_rate_limit_requests_total{outcome="allowed",policy="limit-alpha"}"#;
    counted(&gateway, &answered("alpha"), 1.0).await;
    gateway.shows(allowed, 1.0).await;

    let outlives = held(&gateway, &upstream, "/a").await;
    gateway.reload(&file("beta", "/c")).expect("taken");
    upstream.let_go();
    assert_eq!(outlives.await.expect("answered").status(), 200);
    upstream.behave(Behaviour::Answer);
    assert_eq!((gateway.get("/a").await.0, gateway.get("/c").await.0), (200, 200));
    // Another path, but the same route.
    counted(&gateway, &answered("kept"), 2.0).await;
    let (_, shown) = gateway.admin("/metrics").await;
    assert!(!shown.contains("alpha") && shown.contains("limit-beta") && shown.contains("to-beta"), "{shown}");

    gateway.reload(&file("alpha", "/c")).expect("taken");
    assert_eq!((gateway.metric(&answered("alpha")).await, gateway.metric(allowed).await), (None, Some(0.0)));
    assert_eq!(gateway.get("/a").await.0, 200);
    counted(&gateway, &answered("alpha"), 1.0).await;
}

/// Waits until `series` shows `value`: a request is counted after its client has the answer.
async fn counted(gateway: &Gateway, series: &str, value: f64) {
    eventually(PATIENCE, series, async || gateway.metric(series).await == Some(value)).await.expect("counted");
}

/// A connection through the gateway that has become a WebSocket.
async fn web_socket(gateway: &Gateway) -> TcpStream {
    let mut client = TcpStream::connect(gateway.addr()).await.expect("connects");
    let upgrade = "GET /x HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
                   Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";
    client.write_all(upgrade.as_bytes()).await.expect("writes");
    let mut answer = Vec::new();
    while !answer.ends_with(b"\r\n\r\n") {
        assert_ne!(client.read_buf(&mut answer).await.expect("reads"), 0, "{}", String::from_utf8_lossy(&answer));
    }
    assert!(answer.starts_with(b"HTTP/1.1 101 "), "{}", String::from_utf8_lossy(&answer));
    client
}

/// Waits until nobody but the test itself is connected to `redis`.
async fn no_client_of(redis: &RedisServer) {
    let own = redis.connect().await.expect("connects");
    let alone = async || {
        let list: String = redis::cmd("CLIENT").arg("LIST").query_async(&mut own.clone()).await.expect("a list");
        list.lines().count() == 1
    };
    eventually(PATIENCE, "the link is closed", alone).await.expect("closed");
}
