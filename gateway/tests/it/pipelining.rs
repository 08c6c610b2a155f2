//! Requests that come before the answer to the one before.

use testkit::{Behaviour, Upstream, eventually};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::timeout;

use crate::support::{Gateway, PATIENCE, code};

fn routes(upstream: &Upstream) -> String {
    format!(
        "upstreams: {{ u: {{ targets: [\"{}\"] }} }}\n\
         routes: [{{ name: open, match: {{ path: \"/open/*\" }}, upstream: u, public: true }}]\n",
        upstream.url()
    )
}

/// Requests of every framing, the last of which ends the connection.
const MIXED: &str = "GET /open/1 HTTP/1.1\r\nHost: a\r\n\r\n\
    POST /open/2 HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\n\r\nGET \
    POST /open/3 HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n3;x=y\r\nabc\r\n2\r\nde\r\n0\r\nX-Trailer: t\r\n\r\n\
    HEAD /open/4 HTTP/1.1\r\nHost: a\r\n\r\n\
    POST /open/5 HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n\
    GET /open/6 HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n";

fn statuses(answers: &str) -> Vec<&str> {
    answers.split("HTTP/1.1 ").skip(1).map(|answer| answer.split(' ').next().unwrap_or_default()).collect()
}

#[tokio::test]
async fn requests_that_come_together_are_answered_in_order() {
    let upstream = Upstream::start().await.expect("starts");
    let gateway = Gateway::start(&routes(&upstream));
    let answers = gateway.raw(MIXED.as_bytes()).await;
    assert_eq!(statuses(&answers), ["200"; 6], "{answers}");
    let arrived = upstream.arrived();
    let lines: Vec<&str> = arrived.iter().map(|request| request.line()).collect();
    assert_eq!(lines, ["GET /open/1", "POST /open/2", "POST /open/3", "HEAD /open/4", "POST /open/5", "GET /open/6"]);
    let bodies: Vec<&[u8]> = arrived.iter().map(|request| &*request.body).collect();
    assert_eq!(bodies, [&b""[..], b"GET ", b"abcde", b"", b"", b""]);
}

#[tokio::test]
async fn where_the_bytes_are_cut_changes_nothing() {
    let upstream = Upstream::start().await.expect("starts");
    let gateway = Gateway::start(&routes(&upstream));
    for size in [1, 7, 60] {
        let mut stream = TcpStream::connect(gateway.addr()).await.expect("connects");
        stream.set_nodelay(true).expect("a socket");
        let (mut reading, mut writing) = stream.split();
        let write = async {
            for part in MIXED.as_bytes().chunks(size) {
                writing.write_all(part).await.expect("writes");
                tokio::task::yield_now().await;
            }
        };
        let mut answers = Vec::new();
        let both = async { tokio::join!(write, reading.read_to_end(&mut answers)).1 };
        timeout(PATIENCE, both).await.expect("closes").expect("reads");
        let answers = String::from_utf8_lossy(&answers);
        assert_eq!(statuses(&answers), ["200"; 6], "{size}: {answers}");
    }
    assert_eq!(upstream.arrived().len(), 18);
}

#[tokio::test]
async fn a_request_waits_for_its_turn_while_the_one_before_is_under_way() {
    let upstream = Upstream::start().await.expect("starts");
    upstream.behave(Behaviour::Hold);
    let gateway = Gateway::start(&routes(&upstream));
    let mut stream = TcpStream::connect(gateway.addr()).await.expect("connects");
    stream.write_all(b"GET /open/1 HTTP/1.1\r\nHost: a\r\n\r\n").await.expect("writes");
    let arrived = async |count| upstream.arrived().len() == count;
    eventually(PATIENCE, "the first is under way", async || arrived(1).await).await.expect("arrives");
    // More of them than may wait in the gateway.
    let others = "GET /open/2 HTTP/1.1\r\nHost: a\r\nX: y\r\n\r\n".repeat(200);
    stream.write_all(others.as_bytes()).await.expect("writes");
    stream.write_all(b"GET /open/3 HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n").await.expect("writes");
    assert!(arrived(1).await);
    upstream.behave(Behaviour::Answer);
    upstream.let_go();
    let mut answers = Vec::new();
    timeout(PATIENCE, stream.read_to_end(&mut answers)).await.expect("closes").expect("without a reset");
    assert_eq!(statuses(&String::from_utf8_lossy(&answers)), ["200"; 202]);
    assert_eq!(upstream.arrived().last().expect("requests").line(), "GET /open/3");
}

#[tokio::test]
async fn a_client_that_says_no_more_gets_the_answers_to_all_it_has_said() {
    let upstream = Upstream::start().await.expect("starts");
    let gateway = Gateway::start(&routes(&upstream));
    let mut stream = TcpStream::connect(gateway.addr()).await.expect("connects");
    stream.write_all(MIXED.replace("Connection: close\r\n", "").as_bytes()).await.expect("writes");
    stream.shutdown().await.expect("closes its side");
    let mut answers = Vec::new();
    timeout(PATIENCE, stream.read_to_end(&mut answers)).await.expect("closes").expect("reads");
    let answers = String::from_utf8_lossy(&answers);
    assert_eq!(statuses(&answers), ["200"; 6], "{answers}");
}

#[tokio::test]
async fn what_comes_behind_a_request_that_cannot_be_upgraded_is_the_next_one() {
    let upstream = Upstream::start().await.expect("starts");
    let gateway = Gateway::start(&routes(&upstream));
    for upgrade in ["Upgrade: h2c\r\nConnection: Upgrade", "Upgrade: websocket", "Upgrade: x, websocket"] {
        let both = format!(
            "GET /open/1 HTTP/1.1\r\nHost: a\r\n{upgrade}\r\n\r\n\
             GET /open/2 HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"
        );
        let answers = gateway.raw(both.as_bytes()).await;
        assert_eq!(statuses(&answers), ["200"; 2], "{upgrade}: {answers}");
    }
}

#[tokio::test]
async fn each_is_screened_like_a_first_one() {
    let upstream = Upstream::start().await.expect("starts");
    let gateway = Gateway::start(&routes(&upstream));
    for (second, expected) in [
        ("GET /open/evil HTTP/1.1\nHost: a\n\n", "malformed_request"),
        ("GET /open/evil HTTP/1.1\r\n\r\n", "bad_host"),
        (
            "POST /open/evil HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n",
            "ambiguous_framing",
        ),
        ("GET /open/evil HTTP/1.1\r\nHost: a\r\nX: \0\r\n\r\n", "malformed_request"),
        ("rubbish\r\n\r\n", "malformed_request"),
    ] {
        let both =
            format!("GET /open/good HTTP/1.1\r\nHost: a\r\n\r\n{second}GET /open/evil HTTP/1.1\r\nHost: a\r\n\r\n");
        let answers = gateway.raw(both.as_bytes()).await;
        assert_eq!(statuses(&answers), ["200", "400"], "{second:?}: {answers}");
        assert_eq!(code(answers.rsplit("\r\n\r\n").next().expect("a body")), expected);
    }
    assert!(upstream.arrived().iter().all(|request| request.line() == "GET /open/good"));
    let slow = Gateway::start_with("header_timeout: 200ms", &routes(&upstream));
    let answers = slow.raw(b"GET /open/good HTTP/1.1\r\nHost: a\r\n\r\nGET /open/evil HT").await;
    assert_eq!(statuses(&answers), ["200", "408"], "{answers}");
}

#[tokio::test]
async fn the_last_answer_arrives_whole_and_nothing_behind_it_is_done() {
    let upstream = Upstream::start().await.expect("starts");
    let gateway = Gateway::start_with("keepalive_request_limit: 2", &routes(&upstream));
    let many = "GET /open/x HTTP/1.1\r\nHost: a\r\n\r\n".repeat(1000);
    let mut stream = TcpStream::connect(gateway.addr()).await.expect("connects");
    stream.write_all(many.as_bytes()).await.expect("writes");
    let mut answers = Vec::new();
    timeout(PATIENCE, stream.read_to_end(&mut answers)).await.expect("closes").expect("without a reset");
    let answers = String::from_utf8_lossy(&answers).to_ascii_lowercase();
    assert_eq!(answers.matches("http/1.1 200 ").count(), 2, "{answers}");
    assert_eq!(answers.matches("connection: close").count(), 1, "{answers}");
    assert_eq!(upstream.arrived().len(), 2);
}

#[tokio::test]
async fn what_is_refused_with_its_body_on_the_way_is_told_so_and_its_body_is_no_request() {
    let upstream = Upstream::start().await.expect("starts");
    let gateway = Gateway::start(&routes(&upstream));
    let evil = "GET /open/evil HTTP/1.1\r\nHost: a\r\n\r\n".repeat(1000);
    for request in [
        format!("POST /open/x HTTP/1.1\r\nHost: a\r\nContent-Length: {}\r\n\r\n{evil}", evil.len()),
        format!("POST /none HTTP/1.1\r\nHost: a\r\nContent-Length: {}\r\n\r\n{evil}", evil.len()),
        format!(
            "POST /open/x HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n{:x}\r\n{evil}\r\n0\r\n\r\n{evil}",
            evil.len()
        ),
    ] {
        let mut stream = TcpStream::connect(gateway.addr()).await.expect("connects");
        stream.write_all(request.as_bytes()).await.expect("writes");
        let mut answer = Vec::new();
        timeout(PATIENCE, stream.read_to_end(&mut answer)).await.expect("closes").expect("without a reset");
        let answer = String::from_utf8_lossy(&answer);
        let expected = if request.contains("/none") { "404" } else { "413" };
        assert_eq!(statuses(&answer), [expected], "{answer}");
    }
    assert!(upstream.arrived().is_empty());
}

#[tokio::test]
async fn a_refused_upgrade_is_told_so_whatever_was_sent_behind_it() {
    let upstream = Upstream::start().await.expect("starts");
    let gateway = Gateway::start(&routes(&upstream));
    let handshake = "Host: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n\
                     Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";
    // More than is read with the head, so that some of it waits unread when the answer is sent.
    let request = format!("GET /none HTTP/1.1\r\n{handshake}{}", "GET /open/evil HTTP/1.1\r\n".repeat(1500));
    let mut stream = TcpStream::connect(gateway.addr()).await.expect("connects");
    stream.write_all(request.as_bytes()).await.expect("writes");
    let mut answer = Vec::new();
    timeout(PATIENCE, stream.read_to_end(&mut answer)).await.expect("closes").expect("without a reset");
    let answer = String::from_utf8_lossy(&answer);
    assert_eq!(statuses(&answer), ["404"], "{answer}");
    assert_eq!(code(answer.rsplit("\r\n\r\n").next().expect("a body")), "no_route");
    assert!(upstream.arrived().is_empty(), "what comes behind is no request");
}
