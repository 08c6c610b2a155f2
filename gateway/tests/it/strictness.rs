//! What the gateway makes of connections and bytes that are no good request.

use std::iter;
use std::time::Duration;

use testkit::{Upstream, eventually};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::timeout;

use crate::support::{Gateway, PATIENCE};

fn routes(upstream: &Upstream) -> String {
    let targets = upstream.url();
    format!(
        "upstreams: {{ u: {{ targets: [\"{targets}\"] }} }}\n\
         routes: [{{ name: open, match: {{ path: \"/open/*\" }}, upstream: u, public: true }}]\n"
    )
}

#[tokio::test]
async fn a_request_that_stops_half_way_is_not_waited_for() {
    let upstream = Upstream::start().await.expect("starts");
    let gateway = Gateway::start_with("header_timeout: 200ms, read_timeout: 200ms", &routes(&upstream));
    assert_eq!(gateway.raw(b"").await, "");
    let answer = gateway.raw(b"GET /open/ HTTP/1.1\r\nHost: a\r\n").await;
    assert!(answer.starts_with("HTTP/1.1 408 ") && answer.contains("request_timed_out"), "{answer}");
    let answer = gateway.raw(b"POST /open/ HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\nx").await;
    assert!(answer.starts_with("HTTP/1.1 408 ") && answer.contains("request_timed_out"), "{answer}");
}

/// Sends `parts` one by one on a connection of its own, until the gateway has something to say, and gives that back.
async fn drip(gateway: &Gateway, parts: impl Iterator<Item = &'static [u8]>) -> String {
    let mut stream = TcpStream::connect(gateway.addr()).await.expect("connects");
    let mut answer = vec![0; 4096];
    for part in parts {
        // After its answer the gateway may close at any moment.
        let _ = stream.write_all(part).await;
        if let Ok(read) = timeout(Duration::from_millis(20), stream.read(&mut answer)).await {
            return String::from_utf8_lossy(&answer[..read.expect("an answer")]).into_owned();
        }
    }
    panic!("the gateway took it all");
}

#[tokio::test]
async fn a_request_that_drips_is_not_waited_for_either() {
    let upstream = Upstream::start().await.expect("starts");
    let limits = "header_timeout: 300ms, body_timeout: 300ms";
    let gateway = Gateway::start_with(limits, &routes(&upstream));
    let head = iter::once(&b"GET /open/ HTTP/1.1\r\nHost: a\r\nX: "[..]).chain(iter::repeat_n(&b"x"[..], 4000));
    let answer = drip(&gateway, head).await;
    assert!(answer.starts_with("HTTP/1.1 408 ") && answer.contains("request_timed_out"), "{answer}");
    let body = iter::once(&b"POST /open/ HTTP/1.1\r\nHost: a\r\nContent-Length: 1000\r\n\r\n"[..]);
    let answer = drip(&gateway, body.chain(iter::repeat_n(&b"x"[..], 1000))).await;
    assert!(answer.starts_with("HTTP/1.1 408 ") && answer.contains("request_timed_out"), "{answer}");
    let series = r#"gateway_rejections_total{code="request_timed_out",route="none"}"#;
    gateway.shows(series, 1.0).await;
}

#[tokio::test]
async fn what_is_called_a_call_or_is_tried_again_may_not_drip_either() {
    let upstream = Upstream::start().await.expect("starts");
    // Of two requests, one goes to the target that is not there first.
    let routes = routes(&upstream).replace("targets: [", "targets: [\"http://127.0.0.1:1\", ");
    let gateway = Gateway::start_with("body_timeout: 300ms", &routes);
    let heads = [
        "POST /open/ HTTP/1.1\r\nHost: a\r\nContent-Type: application/grpc\r\nContent-Length: 1000\r\n\r\n",
        "POST /open/ HTTP/1.1\r\nHost: a\r\nContent-Length: 1000\r\n\r\n",
    ];
    for head in heads.into_iter().flat_map(|head| [head; 2]) {
        let answer = drip(&gateway, iter::once(head.as_bytes()).chain(iter::repeat_n(&b"x"[..], 1000))).await;
        // gRPC is told with a status of its own.
        let is_told = answer.starts_with("HTTP/1.1 408 ") || answer.to_ascii_lowercase().contains("grpc-status: ");
        assert!(is_told, "{answer}");
    }
    let series = r#"gateway_rejections_total{code="request_timed_out",route="open"}"#;
    gateway.shows(series, 4.0).await;
}

#[tokio::test]
async fn a_refusal_of_a_head_request_has_no_body() {
    let upstream = Upstream::start().await.expect("starts");
    let gateway = Gateway::start(&routes(&upstream));
    let answer = gateway.raw(b"HEAD / HTTP/1.1\r\n\r\n").await;
    let (head, body) = answer.split_once("\r\n\r\n").expect("a head");
    assert!(head.starts_with("HTTP/1.1 400 ") && head.contains("x-request-id: "), "{head}");
    assert_eq!(body, "");
}

#[tokio::test]
async fn one_connection_too_many_is_told_so_and_the_others_go_on() {
    let upstream = Upstream::start().await.expect("starts");
    let gateway = Gateway::start_with("max_connections: 2", &routes(&upstream));
    let mut first = TcpStream::connect(gateway.addr()).await.expect("connects");
    let second = TcpStream::connect(gateway.addr()).await.expect("connects");
    let open = async |count: f64| gateway.metric("gateway_connections").await == Some(count);
    eventually(PATIENCE, "two connections", async || open(2.0).await).await.expect("counted");
    let answer = gateway.raw(b"").await;
    assert!(answer.starts_with("HTTP/1.1 503 ") && answer.contains("too_many_connections"), "{answer}");
    assert!(answer.contains("retry-after: 2\r\n"), "{answer}");
    first.write_all(b"GET /open/ HTTP/1.1\r\nHost: a\r\n\r\n").await.expect("writes");
    let mut status = [0; 12];
    first.read_exact(&mut status).await.expect("an answer");
    assert_eq!(&status, b"HTTP/1.1 200");
    drop(second);
    eventually(PATIENCE, "one connection", async || open(1.0).await).await.expect("counted");
    assert_eq!(gateway.get("/open/").await.0, 200);
}
