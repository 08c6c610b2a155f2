//! What HTTP/2 clients may try, and that it costs them their connection and nobody else theirs.

use std::net::SocketAddr;

use testkit::Upstream;
use tokio::io::AsyncWriteExt as _;
use tokio::net::TcpStream;
use tokio::time::timeout;

use crate::support::http2::{
    CONTINUATION, Connection, END_HEADERS, END_STREAM, GET, GREETING, HEADERS, RST_STREAM, frame, goaway_after,
    next_frame, request, with,
};
use crate::support::{Gateway, PATIENCE};

const ENHANCE_YOUR_CALM: u32 = 11;
const REFUSED_STREAM: u32 = 7;

fn start(http2: &str, upstream: &Upstream) -> Gateway {
    let server = format!("h2c_listen: [\"127.0.0.1:0\"], http2: {{ {http2} }}");
    let routes = format!(
        "upstreams: {{ u: {{ targets: [\"{}\"] }} }}\n\
         routes: [{{ name: all, match: {{ path: \"/*\" }}, upstream: u, public: true }}]\n",
        upstream.url()
    );
    Gateway::start_with(&server, &routes)
}

/// Says `frames` behind a greeting, sees the connection ended for them, and others go on.
async fn is_ended_for(frames: Vec<u8>, gateway: &Gateway) {
    let mut other = Connection::open(gateway.h2c_addr()).await;
    assert_eq!(other.ask(request("GET", "/"), b"").await.expect("an answer").head.status, 200);
    let reason = goaway_after(gateway.h2c_addr(), [GREETING, &frames].concat()).await;
    assert_eq!(reason, ENHANCE_YOUR_CALM);
    assert_eq!(other.ask(request("GET", "/"), b"").await.expect("an answer").head.status, 200);
    let counted =
        async || gateway.metric(r#"gateway_rejections_total{code="http2_abuse",route="none"}"#).await == Some(1.0);
    testkit::eventually(PATIENCE, "it is counted", counted).await.expect("counted");
}

/// So many requests, each of them taken back at once.
fn resets(count: u32) -> Vec<u8> {
    let streams = (0..count).map(|number| 1 + 2 * number);
    let cancelled = |stream| {
        let head = frame(HEADERS, END_HEADERS | END_STREAM, stream, GET);
        [head, frame(RST_STREAM, 0, stream, &8_u32.to_be_bytes())].concat()
    };
    streams.flat_map(cancelled).collect()
}

#[tokio::test]
async fn a_rapid_reset_ends_the_connection() {
    let upstream = Upstream::start().await.expect("starts");
    for (http2, count) in [("", 1000), ("max_pending_resets: 5", 10)] {
        let gateway = start(http2, &upstream);
        is_ended_for(resets(count), &gateway).await;
    }
    assert_eq!(upstream.arrived().len(), 4, "none of what was taken back went on");
}

#[tokio::test]
async fn a_few_requests_may_be_taken_back() {
    let upstream = Upstream::start().await.expect("starts");
    let gateway = start("", &upstream);
    let mut stream = TcpStream::connect(gateway.h2c_addr()).await.expect("connects");
    let said = [GREETING, &resets(10), &frame(HEADERS, END_HEADERS | END_STREAM, 101, GET)].concat();
    stream.write_all(&said).await.expect("writes");
    assert_eq!(first_about(&mut stream, 101).await.0, HEADERS);
}

/// The next frame about the request `id`.
async fn first_about(stream: &mut TcpStream, id: u32) -> (u8, Vec<u8>) {
    let found = async {
        loop {
            let (kind, about, payload) = next_frame(stream).await.expect("a frame");
            if about == id && (kind == HEADERS || kind == RST_STREAM) {
                return (kind, payload);
            }
        }
    };
    timeout(PATIENCE, found).await.expect("a frame about it")
}

#[tokio::test]
async fn mistakes_that_cost_one_request_each_end_the_connection() {
    let upstream = Upstream::start().await.expect("starts");
    let gateway = start("max_stream_errors: 5", &upstream);
    // A header that HTTP/2 has no use for, and forbids.
    let bad = [GET, b"\x00\x0aconnection\x01b"].concat();
    let frames = (0..100).flat_map(|number| frame(HEADERS, END_HEADERS | END_STREAM, 1 + 2 * number, &bad));
    is_ended_for(frames.collect(), &gateway).await;
}

#[tokio::test]
async fn headers_without_an_end_end_the_connection() {
    let upstream = Upstream::start().await.expect("starts");
    let gateway = start("", &upstream);
    let mut frames = frame(HEADERS, END_STREAM, 1, GET);
    for _ in 0..10_000 {
        frames.extend(frame(CONTINUATION, 0, 1, b"\x00\x01a\x01b"));
    }
    is_ended_for(frames, &gateway).await;
}

#[tokio::test]
async fn headers_that_are_too_large_together_are_refused_and_the_others_served() {
    let upstream = Upstream::start().await.expect("starts");
    let gateway = start("", &upstream);
    let mut client = Connection::open(gateway.h2c_addr()).await;
    let mut large = request("GET", "/");
    for name in ["x-1", "x-2", "x-3", "x-4"] {
        large = with(large, name, &"x".repeat(4000));
    }
    assert_eq!(client.ask(large, b"").await.expect("an answer").head.status, 431);
    assert!(upstream.arrived().is_empty());
    assert_eq!(client.ask(request("GET", "/"), b"").await.expect("an answer").head.status, 200);
}

async fn refused_of(addr: SocketAddr, count: u32) -> Vec<u32> {
    let mut stream = TcpStream::connect(addr).await.expect("connects");
    let streams = (0..count).map(|number| 1 + 2 * number);
    let heads: Vec<u8> = streams.flat_map(|id| frame(HEADERS, END_HEADERS | END_STREAM, id, GET)).collect();
    stream.write_all(&[GREETING, &heads].concat()).await.expect("writes");
    let mut refused = Vec::new();
    let reading = async {
        while refused.len() < 2 {
            let (kind, id, payload) = next_frame(&mut stream).await.expect("a frame");
            if kind == RST_STREAM {
                assert_eq!(payload, REFUSED_STREAM.to_be_bytes());
                refused.push(id);
            }
        }
    };
    timeout(PATIENCE, reading).await.expect("refusals");
    refused
}

#[tokio::test]
async fn more_requests_at_once_than_may_be_are_refused_one_by_one() {
    let upstream = Upstream::start().await.expect("starts");
    upstream.behave(testkit::Behaviour::Hold);
    let gateway = start("max_concurrent_streams: 3", &upstream);
    assert_eq!(refused_of(gateway.h2c_addr(), 5).await, [7, 9]);
}
