//! HTTP/2 without TLS as clients meet it, and what is refused over it.

use reqwest::{Client, Version};
use testkit::Upstream;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::timeout;

use crate::support::http2::{Connection, GET, GOAWAY, GREETING, HEADERS, frame, next_frame, request, with};
use crate::support::{Gateway, PATIENCE, code};

const H2C: &str = "h2c_listen: [\"127.0.0.1:0\"]";

fn routes(upstream: &Upstream) -> String {
    format!(
        "upstreams: {{ u: {{ targets: [\"{}\"] }} }}\n\
         routes: [{{ name: all, match: {{ path: \"/x/*\" }}, upstream: u, public: true, max_body: 8B }}]\n",
        upstream.url()
    )
}

#[tokio::test]
async fn one_port_serves_both_versions_of_http() {
    let upstream = Upstream::start().await.expect("starts");
    let gateway = Gateway::start_with(H2C, &routes(&upstream));
    let url = format!("http://{}/x?y", gateway.h2c_addr());
    let client = || Client::builder().no_proxy().timeout(PATIENCE);
    for (client, version) in [(client().http2_prior_knowledge(), Version::HTTP_2), (client(), Version::HTTP_11)] {
        let client = client.build().expect("a client");
        for _ in 0..2 {
            let answer = client.post(&url).body("12345678").send().await.expect("an answer");
            assert_eq!((answer.status().as_u16(), answer.version()), (200, version));
            let arrived = upstream.arrived().pop().expect("a request");
            assert_eq!((arrived.line(), &*arrived.body), ("POST /x?y", &b"12345678"[..]));
            assert_eq!(arrived.header("host"), [gateway.h2c_addr().to_string()]);
            assert_eq!(arrived.header("x-forwarded-proto"), ["http"]);
        }
    }
    let refused = client().http2_prior_knowledge().build().expect("a client");
    let elsewhere = format!("http://{}/x", gateway.addr());
    refused.get(elsewhere).send().await.expect_err("the other listener speaks HTTP/1 alone");
    assert_eq!(gateway.get("/x").await.0, 200, "and goes on with it");
}

#[tokio::test]
async fn who_begins_with_http_2_where_it_is_not_spoken_is_told_so_in_http_1() {
    let upstream = Upstream::start().await.expect("starts");
    let gateway = Gateway::start_with(H2C, &routes(&upstream));
    for said in [GREETING.to_vec(), [GREETING, &frame(HEADERS, 5, 1, GET)].concat()] {
        let answer = gateway.raw(&said).await;
        assert!(answer.starts_with("HTTP/1.1 400 ") && answer.contains("send HTTP/1.1, or agree on"), "{answer}");
        assert_eq!(code(answer.rsplit("\r\n\r\n").next().expect("a body")), "http2_not_spoken");
    }
    let like_it = gateway.raw(b"PRI /x HTTP/2.0\r\n\r\nSM\r\n\r\n").await;
    assert_eq!(code(like_it.rsplit("\r\n\r\n").next().expect("a body")), "malformed_request");
    let counted = r#"gateway_rejections_total{code="http2_not_spoken",route="none"}"#;
    gateway.shows(counted, 2.0).await;
}

#[tokio::test]
async fn requests_without_tls_are_screened_and_answered_like_others() {
    let upstream = Upstream::start().await.expect("starts");
    let gateway = Gateway::start_with(H2C, &routes(&upstream));
    let mut client = Connection::open(gateway.h2c_addr()).await;
    let get = |path: &str| request("GET", path);
    for (request, body, status, expected) in [
        (request("POST", "/x"), "123456789", 413, "body_too_large"),
        (get(&format!("/x/{}", "x".repeat(1100))), "", 414, "uri_too_long"),
        (with(get("/x"), "x-large", &"x".repeat(4600)), "", 431, "headers_too_large"),
        (get("/x/%2e%2e%2fx"), "", 400, "bad_path"),
        (request("TRACE", "/x"), "", 405, "method_not_allowed"),
        (get("/y"), "", 404, "no_route"),
    ] {
        let answer = client.ask(request, body.as_bytes()).await.expect("an answer");
        assert_eq!((answer.head.status.as_u16(), &*code(answer.text())), (status, expected));
        assert_eq!(answer.header("content-type"), "application/problem+json");
    }
    assert!(upstream.arrived().is_empty());
    assert_eq!(client.ask(get("/x"), b"").await.expect("an answer").head.status, 200);
}

#[tokio::test]
async fn what_would_frame_a_body_of_http_1_is_refused_over_http_2_too() {
    let upstream = Upstream::start().await.expect("starts");
    let gateway = Gateway::start_with(H2C, &routes(&upstream));
    let mut client = Connection::open(gateway.h2c_addr()).await;
    for headers in [
        &[("transfer_encoding", "chunked")][..],
        &[("content_length", "0")],
        &[("content-length", "5"), ("content_length", "5")],
        &[("content-length", "5"), ("content-length", "5")],
        &[("content-length", "05")],
    ] {
        let post = headers.iter().fold(request("POST", "/x"), |post, (name, value)| with(post, name, value));
        let answer = client.ask(post, b"12345").await.expect("an answer");
        assert_eq!((answer.head.status.as_u16(), &*code(answer.text())), (400, "ambiguous_framing"), "{headers:?}");
    }
    assert!(upstream.arrived().is_empty());
    let post = with(request("POST", "/x"), "content-length", "5");
    assert_eq!(client.ask(post, b"12345").await.expect("an answer").head.status, 200);
}

#[tokio::test]
async fn a_preface_may_drip_but_not_for_ever() {
    let upstream = Upstream::start().await.expect("starts");
    let gateway = Gateway::start_with(&format!("header_timeout: 2s, {H2C}"), &routes(&upstream));
    let mut stream = TcpStream::connect(gateway.h2c_addr()).await.expect("connects");
    for byte in [GREETING, &frame(HEADERS, 5, 1, GET)].concat() {
        stream.write_all(&[byte]).await.expect("writes");
        stream.flush().await.expect("flushes");
        tokio::task::yield_now().await;
    }
    let answered = async { while next_frame(&mut stream).await.expect("a frame").0 != HEADERS {} };
    timeout(PATIENCE, answered).await.expect("an answer");
    let is_ended = async |said: &[u8]| {
        let mut stream = TcpStream::connect(gateway.h2c_addr()).await.expect("connects");
        stream.write_all(said).await.expect("writes");
        let ended = timeout(PATIENCE, stream.read_to_end(&mut Vec::new())).await.expect("is not waited for");
        ended.expect("closes");
    };
    tokio::join!(is_ended(b""), is_ended(b"PRI * HTTP/2.0"), is_ended(GREETING));
}

#[tokio::test]
async fn an_upgrade_to_http_2_goes_no_further() {
    let upstream = Upstream::start().await.expect("starts");
    let gateway = Gateway::start_with(H2C, &routes(&upstream));
    let request = "GET /x HTTP/1.1\r\nHost: a\r\nConnection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\n\
                   HTTP2-Settings: AAMAAABkAAQCAAAAAAIAAAAA\r\n\r\n";
    for addr in [gateway.addr(), gateway.h2c_addr()] {
        let mut stream = TcpStream::connect(addr).await.expect("connects");
        stream.write_all(request.as_bytes()).await.expect("writes");
        let mut answer = [0; 12];
        timeout(PATIENCE, stream.read_exact(&mut answer)).await.expect("answers").expect("reads");
        assert_eq!(&answer, b"HTTP/1.1 200");
        let arrived = upstream.arrived().pop().expect("a request");
        assert!(
            arrived.header("upgrade").is_empty() && arrived.header("http2-settings").is_empty(),
            "{}",
            arrived.head
        );
        assert!(!arrived.head.to_ascii_lowercase().contains("upgrade"), "{}", arrived.head);
    }
}

#[tokio::test]
async fn a_connection_ends_with_the_last_request_that_it_may_carry() {
    let upstream = Upstream::start().await.expect("starts");
    let gateway = Gateway::start_with(&format!("keepalive_request_limit: 3, {H2C}"), &routes(&upstream));
    let mut client = Connection::open(gateway.h2c_addr()).await;
    for _ in 0..3 {
        assert_eq!(client.ask(request("GET", "/x"), b"").await.expect("an answer").head.status, 200);
    }
    let ended = timeout(PATIENCE, &mut client.ended).await.expect("ends").expect("no panic");
    ended.expect("in peace");

    for addr in [gateway.addr(), gateway.h2c_addr()] {
        let mut stream = TcpStream::connect(addr).await.expect("connects");
        let mut answers = Vec::new();
        for number in 1..=3 {
            stream.write_all(b"GET /x HTTP/1.1\r\nHost: a\r\n\r\n").await.expect("writes");
            let mut answer = Vec::new();
            let whole = upstream.addr().to_string();
            while !answer.ends_with(whole.as_bytes()) {
                assert_ne!(stream.read_buf(&mut answer).await.expect("reads"), 0, "whole");
            }
            let says_so = String::from_utf8_lossy(&answer).to_ascii_lowercase().contains("connection: close");
            assert_eq!(says_so, number == 3, "{number}");
            answers.push(answer);
        }
        let read = timeout(PATIENCE, stream.read(&mut [0])).await.expect("ends").expect("in peace");
        assert_eq!(read, 0);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn what_http_2_itself_forbids_is_counted_and_logged() {
    let upstream = Upstream::start().await.expect("starts");
    let dir = tempfile::tempdir().expect("a directory");
    let log = dir.path().join("log");
    let gateway = Gateway::start_logging_with(H2C, &log, &routes(&upstream));
    let mut client = Connection::open(gateway.h2c_addr()).await;
    let two_hosts = client.ask(with(request("GET", "/x"), "host", "b.example"), b"").await.expect("an answer");
    assert_eq!((two_hosts.head.status.as_u16(), two_hosts.text()), (400, ""));
    let two_lengths = with(with(request("POST", "/x"), "content-length", "1"), "content-length", "2");
    client.ask(two_lengths, b"1").await.map(|answer| answer.head.status).expect_err("the stream is reset");
    let malformed = r#"gateway_rejections_total{code="malformed_request",route="none"}"#;
    // The codec itself resets those, unseen.
    gateway.shows(malformed, 1.0).await;
    // The connection goes on, until there are too many of them.
    assert_eq!(client.ask(request("GET", "/x"), b"").await.expect("an answer").head.status, 200);
    let mut stream = TcpStream::connect(gateway.h2c_addr()).await.expect("connects");
    stream.write_all(GREETING).await.expect("writes");
    for number in 0..40 {
        let bad = [GET, b"\x00\x04host\x01b"].concat();
        stream.write_all(&frame(HEADERS, 5, 1 + 2 * number, &bad)).await.expect("writes");
    }
    let reason = async {
        loop {
            if let (GOAWAY, _, payload) = next_frame(&mut stream).await.expect("a frame") {
                return payload[4..8].to_vec();
            }
        }
    };
    assert_eq!(timeout(PATIENCE, reason).await.expect("is ended"), [0, 0, 0, 11]);
    assert_eq!(client.ask(request("GET", "/x"), b"").await.expect("an answer").head.status, 200);
    gateway.shows(malformed, 33.0).await;
    let abuse = r#"gateway_rejections_total{code="http2_abuse",route="none"}"#;
    gateway.shows(abuse, 1.0).await;
    assert_eq!(upstream.arrived().len(), 2);
    drop(gateway);
    let log = std::fs::read_to_string(log).expect("a log");
    let lines = |code: &str| {
        let is_line = |line: &&str| line.contains(code) && line.contains("127.0.0.1");
        log.lines().filter(is_line).count()
    };
    assert_eq!((lines("\"malformed_request\""), lines("\"http2_abuse\"")), (33, 1), "{log}");
}
