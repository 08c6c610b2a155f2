//! What goes through the gateway while it is still being made: events, interim answers, early answers, broken uploads.

use reqwest::Method;
use testkit::{Upstream, eventually};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::timeout;

use crate::support::http2::{Connection, Server, next, request, say};
use crate::support::{Gateway, PATIENCE, code, read_to};

const H2C: &str = "h2c_listen: [\"127.0.0.1:0\"]";

fn routes(upstream: &str) -> String {
    format!(
        r#"
upstreams: {{ u: {{ targets: ["{upstream}"], retries: 2 }}, h2: {{ targets: ["{upstream}"], protocol: http2 }} }}
routes:
  - {{ name: plain, match: {{ path: /plain/* }}, upstream: u, public: true }}
  - {{ name: coded, match: {{ path: /coded/* }}, upstream: u, public: true, middleware: [{{ compress: {{}} }}] }}
  - {{ name: h2, match: {{ path: /h2/* }}, upstream: h2, public: true, middleware: [{{ compress: {{}} }}] }}
  - {{ name: mine, match: {{ path: /mine }}, upstream: u, middleware: [{{ jwt: {{ provider: us }} }}] }}
"#
    )
}

/// A port whose connections the test serves itself.
async fn upstream() -> (TcpListener, String) {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let url = format!("http://{}", listener.local_addr().expect("an address"));
    (listener, url)
}

async fn write(stream: &mut TcpStream, text: &str) {
    stream.write_all(text.as_bytes()).await.expect("writes");
}

#[tokio::test]
async fn an_event_is_there_before_the_next_one_is_made() {
    let (listener, url) = upstream().await;
    let gateway = Gateway::start_with(H2C, &routes(&url));
    let head = "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n";
    for path in ["/plain/x", "/coded/x"] {
        let mut client = TcpStream::connect(gateway.addr()).await.expect("connects");
        write(&mut client, &format!("GET {path} HTTP/1.1\r\nHost: a\r\nAccept-Encoding: gzip, br\r\n\r\n")).await;
        let (mut upstream, _) = listener.accept().await.expect("accepts");
        read_to(&mut upstream, "\r\n\r\n").await;
        write(&mut upstream, head).await;
        let answer = read_to(&mut client, "\r\n\r\n").await.to_ascii_lowercase();
        assert!(!answer.contains("content-encoding"), "{answer}");
        for event in ["data: 1\n\n", "data: 2\n\n", "data: 3\n\n"] {
            let chunk = format!("9\r\n{event}\r\n");
            write(&mut upstream, &chunk).await;
            assert_eq!(read_to(&mut client, &format!("{event}\r\n")).await, chunk);
        }
    }
    let mut connection = Connection::open(gateway.h2c_addr()).await;
    let (response, _) = connection.client.send_request(request("GET", "/coded/x"), true).expect("sends");
    let (mut upstream, _) = listener.accept().await.expect("accepts");
    read_to(&mut upstream, "\r\n\r\n").await;
    write(&mut upstream, head).await;
    let mut events = timeout(PATIENCE, response).await.expect("in time").expect("a response").into_body();
    for event in ["data: 1\n\n", "data: 2\n\n"] {
        write(&mut upstream, &format!("9\r\n{event}\r\n")).await;
        assert_eq!(next(&mut events).await, event);
    }
}

#[tokio::test]
async fn hints_before_the_answer_go_to_whoever_knows_them() {
    let (listener, url) = upstream().await;
    let gateway = Gateway::start(&routes(&url));
    for (version, heads) in [("1.1", 2), ("1.0", 1)] {
        let mut client = TcpStream::connect(gateway.addr()).await.expect("connects");
        write(&mut client, &format!("GET /plain/x HTTP/{version}\r\nHost: a\r\nConnection: close\r\n\r\n")).await;
        let (mut upstream, _) = listener.accept().await.expect("accepts");
        read_to(&mut upstream, "\r\n\r\n").await;
        let hints = "HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n";
        write(&mut upstream, &format!("{hints}HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\ndone")).await;
        let answer = read_to(&mut client, "done").await;
        assert_eq!(answer.matches("HTTP/1.").count(), heads, "{answer}");
        assert_eq!(answer.contains(" 103 "), heads == 2, "{answer}");
    }
}

#[tokio::test]
async fn the_client_is_told_to_continue_before_it_sends_its_body() {
    let (listener, url) = upstream().await;
    let gateway = Gateway::start(&routes(&url));
    let mut client = TcpStream::connect(gateway.addr()).await.expect("connects");
    let head = "POST /plain/x HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 5\r\n\r\n";
    write(&mut client, head).await;
    let (mut upstream, _) = listener.accept().await.expect("accepts");
    let arrived = read_to(&mut upstream, "\r\n\r\n").await.to_ascii_lowercase();
    assert!(arrived.contains("\r\nexpect: 100-continue\r\n"), "{arrived}");
    write(&mut upstream, "HTTP/1.1 100 Continue\r\n\r\n").await;
    assert!(read_to(&mut client, "\r\n\r\n").await.starts_with("HTTP/1.1 100 "));
    write(&mut client, "hello").await;
    read_to(&mut upstream, "hello").await;
    write(&mut upstream, "HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\ndone").await;
    assert!(read_to(&mut client, "done").await.starts_with("HTTP/1.1 200 "));
}

#[tokio::test]
async fn an_upstream_of_http_2_keeps_no_client_waiting_to_continue() {
    let upstream = Server::start(|request, respond| async move {
        assert!(!request.headers().contains_key("expect"));
        let body = crate::support::http2::read(&mut request.into_body()).await.expect("a body");
        assert_eq!(body, b"hello");
        crate::support::http2::answer(respond, "done");
    })
    .await;
    let gateway = Gateway::start(&routes(&upstream.url()));
    let mut client = TcpStream::connect(gateway.addr()).await.expect("connects");
    let head = "POST /h2/x HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 5\r\n\r\n";
    write(&mut client, head).await;
    assert!(read_to(&mut client, "\r\n\r\n").await.starts_with("HTTP/1.1 100 "));
    write(&mut client, "hello").await;
    let answer = read_to(&mut client, "0\r\n\r\n").await;
    assert!(answer.starts_with("HTTP/1.1 200 ") && answer.contains("done"), "{answer}");
}

#[tokio::test]
async fn what_is_refused_is_refused_without_its_body() {
    let upstream = Upstream::start().await.expect("starts");
    let gateway = Gateway::start(&routes(&upstream.url()));
    for (path, length, status, expected) in
        [("/mine", 5, 401, "missing_token"), ("/plain/x", 5000, 413, "body_too_large"), ("/none", 5, 404, "no_route")]
    {
        let request =
            format!("POST {path} HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: {length}\r\n\r\n");
        let answer = gateway.raw(request.as_bytes()).await;
        let (head, body) = answer.split_once("\r\n\r\n").expect("an answer");
        assert!(head.starts_with(&format!("HTTP/1.1 {status} ")), "no interim answer: {head}");
        assert!(head.to_ascii_lowercase().contains("connection: close"), "{head}");
        assert_eq!(code(body), expected);
    }
    assert!(upstream.arrived().is_empty());
}

#[tokio::test]
async fn an_answer_may_come_before_the_body_has() {
    let (listener, url) = upstream().await;
    let gateway = Gateway::start_with(H2C, &routes(&url));
    let answer = "HTTP/1.1 403 Forbidden\r\nContent-Length: 5\r\n\r\nearly";
    let mut client = TcpStream::connect(gateway.addr()).await.expect("connects");
    write(&mut client, "POST /plain/x HTTP/1.1\r\nHost: a\r\nContent-Length: 1000\r\n\r\nonly this").await;
    let (mut upstream, _) = listener.accept().await.expect("accepts");
    read_to(&mut upstream, "only this").await;
    write(&mut upstream, answer).await;
    assert!(read_to(&mut client, "early").await.starts_with("HTTP/1.1 403 "), "before the rest was sent");
    drop((client, upstream));

    let mut connection = Connection::open(gateway.h2c_addr()).await;
    let (response, mut up) = connection.client.send_request(request("POST", "/plain/x"), false).expect("sends");
    say(&mut up, "only this", false);
    let (mut upstream, _) = listener.accept().await.expect("accepts");
    read_to(&mut upstream, "only this\r\n").await;
    write(&mut upstream, answer).await;
    let response = timeout(PATIENCE, response).await.expect("before the end").expect("a response");
    assert_eq!(response.status(), 403);
    assert_eq!(next(&mut response.into_body()).await, "early");
}

#[tokio::test]
async fn an_upload_that_breaks_off_is_neither_finished_nor_repeated() {
    let (listener, url) = upstream().await;
    let gateway = Gateway::start_with(H2C, &routes(&url));
    for method in ["POST", "PUT"] {
        let mut client = TcpStream::connect(gateway.addr()).await.expect("connects");
        let head = format!("{method} /plain/x HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nhalf\r\n");
        write(&mut client, &head).await;
        let (mut upstream, _) = listener.accept().await.expect("accepts");
        read_to(&mut upstream, "half\r\n").await;
        drop(client);
        let mut rest = Vec::new();
        // A reset is a way to say so, too.
        let _ = timeout(PATIENCE, upstream.read_to_end(&mut rest)).await.expect("the upstream sees it");
        assert!(rest.is_empty(), "no end of the body: {:?}", String::from_utf8_lossy(&rest));
    }
    let mut connection = Connection::open(gateway.h2c_addr()).await;
    let (_response, mut up) = connection.client.send_request(request("PUT", "/plain/x"), false).expect("sends");
    say(&mut up, "half", false);
    let (mut upstream, _) = listener.accept().await.expect("accepts");
    read_to(&mut upstream, "half\r\n").await;
    up.send_reset(h2::Reason::CANCEL);
    let mut rest = Vec::new();
    let _ = timeout(PATIENCE, upstream.read_to_end(&mut rest)).await.expect("the upstream sees it");
    assert!(rest.is_empty(), "{:?}", String::from_utf8_lossy(&rest));

    // Counted as a client that was gone; nothing was tried again, and the gateway is well.
    let gone =
        async || gateway.metric(r#"gateway_requests_total{route="plain",status="client_gone"}"#).await == Some(3.0);
    eventually(PATIENCE, "they are counted", gone).await.expect("counted");
    gateway.shows(r#"gateway_upstream_retries_total{upstream="u"}"#, 0.0).await;
    let asked = gateway.request(Method::GET, "/plain/x").send();
    let serve = async {
        let (mut upstream, _) = listener.accept().await.expect("accepts");
        let head = read_to(&mut upstream, "\r\n\r\n").await;
        write(&mut upstream, "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n").await;
        head
    };
    let (answer, head) = tokio::join!(asked, serve);
    assert_eq!(answer.expect("an answer").status(), 200);
    assert!(head.starts_with("GET "), "no upload came again: {head}");
}
