//! What is told of clients that do not wait for their answer.

use serde_json::Value;
use testkit::{Behaviour, Upstream, eventually};
use tokio::io::AsyncWriteExt as _;
use tokio::net::TcpStream;

use crate::support::http2::{DATA, END_HEADERS, END_STREAM, GET, GREETING, HEADERS, RST_STREAM, frame};
use crate::support::{Gateway, PATIENCE};

/// The reason of a client that wants no answer any more (RFC 9113, section 7).
const CANCEL: u32 = 8;

/// Sends `first`, waits until the upstream has the request, and takes it back.
async fn leave(gateway: &Gateway, upstream: &Upstream, what: &str, first: &[u8], before: usize) {
    let mut stream = TcpStream::connect(gateway.h2c_addr()).await.expect("connects");
    stream.write_all(&[GREETING, first].concat()).await.expect("writes");
    let arrived = async || upstream.arrived().len() > before;
    eventually(PATIENCE, what, arrived).await.expect("arrives");
    stream.write_all(&frame(RST_STREAM, 0, 1, &CANCEL.to_be_bytes())).await.expect("writes");
    let gone = r#"gateway_requests_total{route="all",status="client_gone"}"#;
    let counted = async || gateway.metric(gone).await == Some((before + 1) as f64);
    eventually(PATIENCE, what, counted).await.expect("counted as gone");
}

#[tokio::test]
async fn a_client_that_takes_its_request_back_over_http_2_is_gone_and_was_not_refused() {
    let dir = tempfile::tempdir().expect("a directory");
    let log = dir.path().join("access.log");
    let upstream = Upstream::start().await.expect("starts");
    upstream.behave(Behaviour::Hang);
    let routes = format!(
        "upstreams: {{ u: {{ targets: [\"{}\"] }} }}\n\
         routes: [{{ name: all, match: {{ path: \"/*\" }}, upstream: u, public: true }}]\n",
        upstream.url()
    );
    let gateway = Gateway::start_logging_with("h2c_listen: [\"127.0.0.1:0\"]", &log, &routes);
    let without_body = frame(HEADERS, END_HEADERS | END_STREAM, 1, GET);
    let with_body = [frame(HEADERS, END_HEADERS, 1, GET), frame(DATA, END_STREAM, 1, b"body")].concat();
    for (before, (what, first)) in [("a GET", without_body), ("with a body", with_body)].into_iter().enumerate() {
        leave(&gateway, &upstream, what, &first, before).await;
    }
    let (_, metrics) = gateway.admin("/metrics").await;
    let refused: Vec<&str> = metrics.lines().filter(|line| line.starts_with("gateway_rejections_total{")).collect();
    assert!(refused.is_empty(), "{refused:?}");
    drop(gateway);
    let text = std::fs::read_to_string(&log).expect("a log");
    let lines: Vec<Value> = text.lines().map(|line| serde_json::from_str(line).expect("json")).collect();
    assert_eq!(lines.len(), 2, "{text}");
    for line in lines {
        assert_eq!((&line["status"], line.get("rejected")), (&Value::Null, None), "{line}");
        assert_eq!(line["error"], "Downstream ConnectionClosed", "{line}");
    }
}
