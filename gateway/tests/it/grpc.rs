//! Calls of gRPC through the gateway, and how it refuses them.

use std::time::Duration;

use bytes::Bytes;
use h2::RecvStream;
use h2::server::SendResponse;
use http::{HeaderMap, HeaderValue, Request, Response};
use testkit::Upstream;
use tokio::time::timeout;

use crate::support::http2::{Connection, Server, answer, next, read, request, say, whole, with};
use crate::support::{Gateway, PATIENCE, code};

const SERVER: &str = "h2c_listen: [\"127.0.0.1:0\"], body_timeout: 200ms";

fn routes(upstream: &str) -> String {
    format!(
        r#"
rate_limits: {{ one: {{ scope: local, limit: 1, window: 1h, key: client_address }} }}
upstreams:
  u: {{ targets: ["{upstream}"], protocol: http2 }}
  dead: {{ targets: ["http://127.0.0.1:1"], protocol: http2, retries: 0 }}
routes:
  - {{ name: echo, match: {{ path: /echo.Echo/* }}, upstream: u, public: true }}
  - {{ name: mine, match: {{ path: /mine.Mine/* }}, upstream: u, middleware: [{{ jwt: {{ provider: us }} }}] }}
  - {{ name: dead, match: {{ path: /dead.Dead/* }}, upstream: dead, public: true }}
  - {{ name: few, match: {{ path: /few.Few/* }}, upstream: u, public: true, middleware: [{{ rate_limit: {{ policies: [one] }} }}] }}
  - {{ name: bare, match: {{ path: /bare.Bare/* }}, upstream: u, public: true, middleware: [{{ rate_limit: {{ policies: [one], problem_document: false }} }}] }}
  - {{ name: small, match: {{ path: /small.Small/* }}, upstream: u, public: true, max_body: 4B }}
  - {{ name: text, match: {{ path: /text }}, upstream: u, public: true, middleware: [{{ compress: {{ types: ["text/*", "application/*"] }} }}] }}
"#
    )
}

/// Says everything back as it comes, and at the end how it went.
async fn echo(request: Request<RecvStream>, mut respond: SendResponse<Bytes>) {
    let is_call = request.headers().get("te").is_some_and(|te| te == "trailers");
    let media_type = request.headers().get("content-type").cloned().unwrap_or(HeaderValue::from_static("text/plain"));
    let response = Response::builder().header("content-type", media_type).body(()).expect("a response");
    let Ok(mut stream) = respond.send_response(response, false) else { return };
    let mut body = request.into_body();
    while let Some(Ok(part)) = body.data().await {
        let _ = body.flow_control().release_capacity(part.len());
        if stream.send_data(part, false).is_err() {
            return;
        }
    }
    let mut trailers = HeaderMap::new();
    trailers.insert("grpc-status", HeaderValue::from(if is_call { 0 } else { 2 }));
    trailers.insert("x-own", HeaderValue::from_static("kept"));
    let _ = stream.send_trailers(trailers);
}

fn call(path: &str) -> Request<()> {
    with(with(request("POST", path), "content-type", "application/grpc+proto"), "te", "trailers")
}

#[tokio::test]
async fn a_call_streams_both_ways_for_as_long_as_it_likes_and_keeps_its_trailers() {
    let upstream = Server::start(echo).await;
    let gateway = Gateway::start_with(SERVER, &routes(&upstream.url()));
    let mut connection = Connection::open(gateway.h2c_addr()).await;
    let (response, mut up) = connection.client.send_request(call("/echo.Echo/Talk"), false).expect("sends");
    let response = timeout(PATIENCE, response).await.expect("comes before the end").expect("a response");
    assert_eq!(
        (response.status().as_u16(), &response.headers()["content-type"].as_bytes()),
        (200, &&b"application/grpc+proto"[..])
    );
    let mut down = response.into_body();
    for said in ["one", "two", "three"] {
        say(&mut up, said, false);
        assert_eq!(next(&mut down).await, said);
        // Longer than any other body may take.
        tokio::time::sleep(Duration::from_millis(150)).await;
    }
    say(&mut up, "", true);
    assert_eq!(read(&mut down).await.expect("the end"), b"");
    let trailers = down.trailers().await.expect("an end").expect("trailers");
    assert_eq!(
        (&trailers["grpc-status"], &trailers["x-own"]),
        (&HeaderValue::from(0), &HeaderValue::from_static("kept"))
    );
}

#[tokio::test]
async fn a_call_that_is_refused_learns_it_from_a_status_of_grpc() {
    let upstream = Server::start(echo).await;
    let gateway = Gateway::start_with(SERVER, &routes(&upstream.url()));
    let mut connection = Connection::open(gateway.h2c_addr()).await;
    let first = connection.ask(call("/few.Few/Get"), b"").await.expect("an answer");
    assert_eq!(first.trailers.expect("trailers")["grpc-status"], "0");
    for (path, body, expected, header) in [
        ("/mine.Mine/Get", "", "16", "www-authenticate"),
        ("/none.None/Get", "", "12", "x-request-id"),
        ("/few.Few/Get", "", "8", "retry-after"),
        ("/bare.Bare/Get", "", "8", "retry-after"),
        ("/small.Small/Put", "12345", "8", "x-request-id"),
        ("/dead.Dead/Get", "", "14", "x-request-id"),
        ("/echo.Echo/%00", "", "13", "x-request-id"),
    ] {
        // Its length said beforehand, or its upstream may have begun to answer.
        let call = with(call(path), "content-length", &body.len().to_string());
        let (response, mut up) = connection.client.send_request(call, body.is_empty()).expect("sends");
        if !body.is_empty() {
            up.send_data(Bytes::from_static(body.as_bytes()), true).expect("sends");
        }
        let response = timeout(PATIENCE, response).await.expect("in time").expect("a response");
        assert!(response.body().is_end_stream(), "{path}: nothing comes behind the head");
        let answer = whole(response).await.expect("whole");
        assert_eq!((answer.head.status.as_u16(), answer.header("grpc-status")), (200, expected), "{path}");
        assert_eq!(answer.header("content-type"), "application/grpc+proto");
        assert!(!answer.header("grpc-message").is_empty() && answer.trailers.is_none(), "{path}");
        assert!(!answer.header(header).is_empty(), "{path}");
    }
    let refused = r#"gateway_rejections_total{code="missing_token",route="mine"}"#;
    gateway.shows(refused, 1.0).await;
    let other = connection.ask(request("POST", "/mine.Mine/Get"), b"").await.expect("an answer");
    assert_eq!((other.head.status.as_u16(), &*code(other.text())), (401, "missing_token"));
    let bare = connection.ask(request("POST", "/bare.Bare/Get"), b"").await.expect("an answer");
    assert_eq!(
        (bare.head.status.as_u16(), bare.text(), bare.header("content-type")),
        (429, "", ""),
        "no call, no form"
    );
    let mangled = with(request("POST", "/mine.Mine/Get"), "content-type", "application/grpcx");
    assert_eq!(connection.ask(mangled, b"").await.expect("an answer").head.status, 401);
}

#[tokio::test]
async fn a_call_of_grpc_web_over_http_1_is_refused_in_the_same_words() {
    let upstream = Upstream::start().await.expect("starts");
    let gateway = Gateway::start_with(SERVER, &routes(&upstream.url()));
    let request = "POST /mine.Mine/Get HTTP/1.1\r\nHost: a\r\nContent-Type: application/grpc-web+proto\r\nContent-Length: 5\r\n\r\n";
    let answer = gateway.raw(request.as_bytes()).await.to_ascii_lowercase();
    assert!(answer.starts_with("http/1.1 200 ") && answer.contains("\r\ngrpc-status: 16\r\n"), "{answer}");
    assert!(answer.contains("\r\ncontent-length: 0\r\n") && answer.ends_with("\r\n\r\n"), "{answer}");
}

#[tokio::test]
async fn a_request_over_http_1_that_only_says_that_it_is_a_call_is_answered_as_what_it_is() {
    let upstream = Server::start(|request, respond| async move {
        if read(&mut request.into_body()).await.is_ok() {
            answer(respond, "it came whole");
        }
    })
    .await;
    let gateway = Gateway::start_with(&format!("{SERVER}, read_timeout: 300ms"), &routes(&upstream.url()));
    let said = "Host: a\r\nContent-Type: application/grpc\r\nTE: trailers\r\n";
    for (path, rest, status, expected) in [
        ("/echo.Echo/Slow", "Content-Length: 5\r\n\r\nab", "408", "request_timed_out"),
        ("/echo.Echo/Slow", "Transfer-Encoding: chunked\r\n\r\n3\r\nab", "408", "request_timed_out"),
        ("/echo.Echo/Bad", "Transfer-Encoding: chunked\r\n\r\nno chunk\r\n", "400", "malformed_request"),
        ("/mine.Mine/Get", "Content-Length: 0\r\nConnection: close\r\n\r\n", "401", "missing_token"),
        ("/small.Small/Put", "Content-Length: 5\r\n\r\nabcde", "413", "body_too_large"),
    ] {
        let request = format!("POST {path} HTTP/1.1\r\n{said}{rest}");
        let answer = gateway.raw(request.as_bytes()).await;
        assert!(answer.starts_with(&format!("HTTP/1.1 {status} ")), "{path}: {answer}");
        assert!(!answer.to_ascii_lowercase().contains("grpc-status"), "{path}: {answer}");
        assert_eq!(code(answer.rsplit("\r\n\r\n").next().expect("a body")), expected, "{path}");
    }
}

#[tokio::test]
async fn trailers_are_kept_and_a_body_that_is_compressed_in_front_of_them_has_its_end() {
    let upstream = Server::start(echo).await;
    let gateway = Gateway::start_with(SERVER, &routes(&upstream.url()));
    let mut connection = Connection::open(gateway.h2c_addr()).await;
    let plain = connection.ask(request("POST", "/text"), b"the same again").await.expect("an answer");
    assert_eq!(plain.text(), "the same again");
    assert_eq!(plain.trailers.expect("trailers")["x-own"], "kept");
    let ask = with(request("POST", "/text"), "accept-encoding", "gzip");
    let coded = connection.ask(ask, b"the same again").await.expect("an answer");
    assert_eq!(coded.header("content-encoding"), "gzip");
    let mut text = String::new();
    std::io::Read::read_to_string(&mut flate2::read::GzDecoder::new(&*coded.body), &mut text).expect("whole");
    assert_eq!(text, "the same again");
    let grpc = with(call("/text"), "accept-encoding", "gzip");
    let grpc = connection.ask(grpc, b"the same again").await.expect("an answer");
    assert_eq!((grpc.header("content-encoding"), grpc.text()), ("", "the same again"), "a call is never compressed");
    assert_eq!(grpc.trailers.expect("trailers")["grpc-status"], "0");
}
