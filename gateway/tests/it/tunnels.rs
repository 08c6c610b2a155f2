//! How long a WebSocket, and the handshake before it, may be silent.

use std::path::Path;
use std::time::Duration;

use serde_json::Value;
use testkit::eventually;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::{sleep, timeout};

use crate::support::{Gateway, PATIENCE, code, read_to};

const HANDSHAKE: &[u8] = b"GET /socket HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
    Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";
const AGREED: &[u8] = b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
    Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n";

/// A gateway before a port whose connections the test serves itself, and its log.
async fn start(timeouts: &str, log: &Path) -> (TcpListener, Gateway) {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let addr = listener.local_addr().expect("an address");
    let routes = format!(
        "upstreams: {{ u: {{ targets: [\"http://{addr}\"], timeouts: {{ {timeouts} }} }} }}\n\
         routes: [{{ name: socket, match: {{ path: /socket }}, upstream: u, public: true }}]\n"
    );
    (listener, Gateway::start_logging(log, &routes))
}

async fn ask(gateway: &Gateway, listener: &TcpListener) -> (TcpStream, TcpStream) {
    let mut client = TcpStream::connect(gateway.addr()).await.expect("connects");
    client.write_all(HANDSHAKE).await.expect("writes");
    let (mut upstream, _) = timeout(PATIENCE, listener.accept()).await.expect("in time").expect("accepts");
    read_to(&mut upstream, "\r\n\r\n").await;
    (client, upstream)
}

/// Both ends of a WebSocket through `gateway`.
async fn open(gateway: &Gateway, listener: &TcpListener) -> (TcpStream, TcpStream) {
    let (mut client, mut upstream) = ask(gateway, listener).await;
    upstream.write_all(AGREED).await.expect("writes");
    assert!(read_to(&mut client, "\r\n\r\n").await.starts_with("HTTP/1.1 101 "));
    (client, upstream)
}

async fn say(from: &mut TcpStream, to: &mut TcpStream, word: &str) {
    from.write_all(word.as_bytes()).await.expect("writes");
    assert_eq!(read_to(to, word).await, word);
}

/// Waits until `stream` was ended by the other side, and gives back what came before.
async fn ended(stream: &mut TcpStream) -> String {
    let mut come = Vec::new();
    // With a reset or without.
    let _ = timeout(PATIENCE, stream.read_to_end(&mut come)).await.expect("ends");
    String::from_utf8(come).expect("text")
}

fn only_line(log: &Path) -> Value {
    let log = std::fs::read_to_string(log).expect("a log");
    assert_eq!(log.lines().count(), 1, "{log}");
    serde_json::from_str(&log).expect("json")
}

#[tokio::test]
async fn a_websocket_may_be_silent_for_longer_than_an_answer_takes() {
    let dir = tempfile::tempdir().expect("a directory");
    let (listener, gateway) = start("read: 1s", &dir.path().join("log")).await;
    let (mut client, mut upstream) = open(&gateway, &listener).await;
    sleep(Duration::from_millis(1500)).await;
    say(&mut upstream, &mut client, "still").await;
    sleep(Duration::from_millis(1500)).await;
    say(&mut client, &mut upstream, "here").await;
}

#[tokio::test]
async fn a_websocket_in_which_nobody_speaks_ends_and_is_no_failure_of_the_upstream() {
    let dir = tempfile::tempdir().expect("a directory");
    let log = dir.path().join("log");
    let (listener, gateway) = start("read: 1h, tunnel: 300ms", &log).await;
    let (mut client, mut upstream) = open(&gateway, &listener).await;
    say(&mut client, &mut upstream, "word").await;
    assert_eq!(ended(&mut client).await, "");
    assert_eq!(ended(&mut upstream).await, "");
    let rejected = r#"gateway_rejections_total{code="upstream_timed_out",route="socket"}"#;
    let counted = r#"gateway_requests_total{route="socket",status="101"}"#;
    eventually(PATIENCE, "its end", async || gateway.metric(counted).await == Some(1.0)).await.expect("is counted");
    assert_eq!(gateway.metric(rejected).await, None);
    drop(gateway);
    let line = only_line(&log);
    assert_eq!((&line["status"], &line["rejected"]), (&101.into(), &Value::Null), "{line}");
    assert_eq!(line["error"], "Downstream ReadError: nothing came either way within timeouts.tunnel");
}

#[tokio::test]
async fn what_comes_from_either_side_keeps_a_websocket_open() {
    let dir = tempfile::tempdir().expect("a directory");
    let (listener, gateway) = start("read: 2s, tunnel: 3s", &dir.path().join("log")).await;
    let (mut client, mut upstream) = open(&gateway, &listener).await;
    // Each side alone is silent for longer than both may be.
    for _ in 0..4 {
        say(&mut client, &mut upstream, "up").await;
        sleep(Duration::from_secs(1)).await;
    }
    for _ in 0..4 {
        say(&mut upstream, &mut client, "down").await;
        sleep(Duration::from_secs(1)).await;
    }
    say(&mut client, &mut upstream, "end").await;
}

#[tokio::test]
async fn a_handshake_is_waited_for_no_longer_than_any_answer() {
    let dir = tempfile::tempdir().expect("a directory");
    let log = dir.path().join("log");
    let (listener, gateway) = start("read: 200ms", &log).await;
    let (mut client, mut upstream) = ask(&gateway, &listener).await;
    let answer = ended(&mut client).await;
    let (head, body) = answer.split_once("\r\n\r\n").expect("an answer");
    assert!(head.starts_with("HTTP/1.1 504 "), "{head}");
    assert_eq!(code(body), "upstream_timed_out");
    ended(&mut upstream).await;
    drop(gateway);
    let line = only_line(&log);
    assert_eq!((&line["status"], &line["rejected"]), (&504.into(), &"upstream_timed_out".into()), "{line}");
    assert_eq!(line["error"], "Upstream ReadTimedout");
}

#[tokio::test]
async fn an_answer_that_is_no_websocket_may_have_no_longer_gaps_than_others() {
    let dir = tempfile::tempdir().expect("a directory");
    let log = dir.path().join("log");
    let (listener, gateway) = start("read: 500ms", &log).await;
    let (mut client, mut upstream) = ask(&gateway, &listener).await;
    upstream.write_all(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n").await.expect("writes");
    read_to(&mut client, "\r\n\r\n").await;
    for _ in 0..8 {
        // Longer together than one gap may be.
        sleep(Duration::from_millis(100)).await;
        upstream.write_all(b"1\r\nx\r\n").await.expect("writes");
        read_to(&mut client, "1\r\nx\r\n").await;
    }
    assert_eq!(ended(&mut client).await, "");
    drop(gateway);
    let line = only_line(&log);
    assert_eq!((&line["status"], &line["rejected"]), (&200.into(), &"upstream_timed_out".into()), "{line}");
}
