//! Requests that end before their body does: what each side sees of it, and that neither waits.

use std::time::Duration;

use bytes::Bytes;
use h2::Reason;
use http::{Request, Response};
use serde_json::Value;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};
use tokio::time::{sleep, timeout};

use crate::support::http2::{
    Connection, DATA, END_HEADERS, END_STREAM, GREETING, HEADERS, PING, RST_STREAM, Server, answer, frame, next_frame,
    request, say, whole, with,
};
use crate::support::{Gateway, PATIENCE, code};

const SERVER: &str = "h2c_listen: [\"127.0.0.1:0\"]";

/// For those whose body is to be late.
const IMPATIENT: &str = "h2c_listen: [\"127.0.0.1:0\"], body_timeout: 300ms";

/// Whoever waits for `read` here waits too long.
fn routes(upstream: &str) -> String {
    format!(
        r#"
upstreams: {{ u: {{ targets: ["{upstream}"], protocol: http2, timeouts: {{ read: 1h, write: 1h }} }} }}
routes:
  - {{ name: small, match: {{ path: /small }}, upstream: u, public: true, max_body: 4B }}
  - {{ name: all, match: {{ path: "/*" }}, upstream: u, public: true }}
"#
    )
}

/// What an upstream sees of a request's body.
#[derive(Debug, PartialEq, Eq)]
enum Seen {
    Part(Bytes),
    End,
    Reset(Option<Reason>),
}

/// An upstream of HTTP/2 that never answers, and tells what it sees.
async fn silent() -> (Server, UnboundedReceiver<Seen>) {
    let (tell, seen) = unbounded_channel();
    let server = Server::start(move |request, respond| {
        let tell = tell.clone();
        async move {
            let _unused = respond;
            let mut body = request.into_body();
            loop {
                let seen = match body.data().await {
                    Some(Ok(part)) => {
                        body.flow_control().release_capacity(part.len()).expect("a window");
                        Seen::Part(part)
                    }
                    Some(Err(error)) => Seen::Reset(error.reason()),
                    None => Seen::End,
                };
                let is_last = !matches!(seen, Seen::Part(_));
                if tell.send(seen).is_err() || is_last {
                    return;
                }
            }
        }
    })
    .await;
    (server, seen)
}

async fn next(seen: &mut UnboundedReceiver<Seen>) -> Seen {
    timeout(PATIENCE, seen.recv()).await.expect("is seen in time").expect("runs")
}

fn part(text: &'static str) -> Seen {
    Seen::Part(Bytes::from_static(text.as_bytes()))
}

/// A client of HTTP/1.1 that has sent the head of a chunked `POST`.
async fn post(gateway: &Gateway, path: &str) -> TcpStream {
    let mut client = TcpStream::connect(gateway.addr()).await.expect("connects");
    let head = format!("POST {path} HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n");
    client.write_all(head.as_bytes()).await.expect("writes");
    client
}

/// Status and body of what comes until the connection ends.
async fn rest(client: &mut TcpStream) -> (u16, String) {
    let mut come = Vec::new();
    // A reset behind the answer is a way to end, too.
    let _ = timeout(PATIENCE, client.read_to_end(&mut come)).await.expect("an answer at once");
    let come = String::from_utf8(come).expect("text");
    let (head, body) = come.split_once("\r\n\r\n").expect("an answer");
    (head[9..12].parse().expect("a status"), body.to_owned())
}

/// The log line of the request to `path`.
fn line_of(log: &std::path::Path, path: &str) -> Value {
    let log = std::fs::read_to_string(log).expect("a log");
    let mut lines = log.lines().map(|line| serde_json::from_str::<Value>(line).expect("json"));
    lines.find(|line| line["path"] == path).unwrap_or_else(|| panic!("a line of {path}: {log}"))
}

#[tokio::test]
async fn a_body_that_grows_too_large_ends_its_request_on_both_sides_at_once() {
    let (upstream, mut seen) = silent().await;
    let dir = tempfile::tempdir().expect("a directory");
    let log = dir.path().join("log");
    let gateway = Gateway::start_logging_with(SERVER, &log, &routes(&upstream.url()));

    let mut client = post(&gateway, "/small").await;
    client.write_all(b"3\r\nabc\r\n").await.expect("writes");
    assert_eq!(next(&mut seen).await, part("abc"));
    client.write_all(b"3\r\ndef\r\n").await.expect("writes");
    let (status, body) = rest(&mut client).await;
    assert_eq!((status, &*code(&body)), (413, "body_too_large"));
    assert_eq!(next(&mut seen).await, Seen::Reset(Some(Reason::CANCEL)), "nothing of what is too much");

    let mut connection = Connection::open(gateway.h2c_addr()).await;
    let grpc = |post: Request<()>| with(with(post, "content-type", "application/grpc"), "te", "trailers");
    for (post, status) in [(request("POST", "/small"), 413), (grpc(request("POST", "/small")), 200)] {
        let (response, mut up) = connection.client.send_request(post, false).expect("sends");
        say(&mut up, "abc", false);
        assert_eq!(next(&mut seen).await, part("abc"));
        say(&mut up, "def", false);
        let response = timeout(PATIENCE, response).await.expect("an answer at once").expect("a response");
        assert_eq!(next(&mut seen).await, Seen::Reset(Some(Reason::CANCEL)));
        let answer = whole(response).await.expect("whole");
        assert_eq!(answer.head.status, status);
        match status {
            413 => assert_eq!(code(answer.text()), "body_too_large"),
            _ => assert_eq!(answer.header("grpc-status"), "8"),
        }
    }
    drop(gateway);
    let line = line_of(&log, "/small");
    assert_eq!((&line["status"], &line["rejected"]), (&413.into(), &"body_too_large".into()));
    assert_eq!(line["error"], "Downstream ReadError: the body is larger than max_body");
}

#[tokio::test]
async fn a_body_that_comes_too_slowly_ends_its_request_on_both_sides_at_once() {
    let (upstream, mut seen) = silent().await;
    let dir = tempfile::tempdir().expect("a directory");
    let log = dir.path().join("log");
    let gateway = Gateway::start_logging_with(IMPATIENT, &log, &routes(&upstream.url()));

    let (mut reading, mut writing) = post(&gateway, "/slow").await.into_split();
    let dripping = tokio::spawn(async move {
        while writing.write_all(b"1\r\nx\r\n").await.is_ok() {
            sleep(Duration::from_millis(50)).await;
        }
    });
    let mut come = Vec::new();
    let _ = timeout(PATIENCE, reading.read_to_end(&mut come)).await.expect("an answer at once");
    let come = String::from_utf8(come).expect("text");
    assert!(come.starts_with("HTTP/1.1 408 ") && come.contains("request_timed_out"), "{come}");
    dripping.await.expect("no panic");

    let mut connection = Connection::open(gateway.h2c_addr()).await;
    let (response, mut up) = connection.client.send_request(request("POST", "/slow2"), false).expect("sends");
    let dripping = tokio::spawn(async move {
        while up.send_data(Bytes::from_static(b"x"), false).is_ok() {
            sleep(Duration::from_millis(50)).await;
        }
    });
    let response = timeout(PATIENCE, response).await.expect("an answer at once").expect("a response");
    let answer = whole(response).await.expect("whole");
    assert_eq!((answer.head.status.as_u16(), &*code(answer.text())), (408, "request_timed_out"));
    dripping.abort();

    let mut resets = 0;
    while resets < 2 {
        match next(&mut seen).await {
            Seen::Part(_) => {}
            Seen::Reset(reason) => {
                assert_eq!(reason, Some(Reason::CANCEL));
                resets += 1;
            }
            Seen::End => panic!("no body has ended"),
        }
    }
    drop(gateway);
    for path in ["/slow", "/slow2"] {
        let line = line_of(&log, path);
        assert_eq!(line["error"], "Downstream ReadTimedout: the body has not come whole within body_timeout", "{line}");
    }
}

#[tokio::test]
async fn a_client_that_goes_away_takes_the_upstreams_stream_along() {
    let (upstream, mut seen) = silent().await;
    let gateway = Gateway::start_with(SERVER, &routes(&upstream.url()));
    let mut client = post(&gateway, "/x").await;
    client.write_all(b"3\r\nabc\r\n").await.expect("writes");
    assert_eq!(next(&mut seen).await, part("abc"));
    drop(client);
    assert_eq!(next(&mut seen).await, Seen::Reset(Some(Reason::CANCEL)));

    let mut connection = Connection::open(gateway.h2c_addr()).await;
    let (_response, mut up) = connection.client.send_request(request("POST", "/x"), false).expect("sends");
    say(&mut up, "abc", false);
    assert_eq!(next(&mut seen).await, part("abc"));
    up.send_reset(Reason::CANCEL);
    assert_eq!(next(&mut seen).await, Seen::Reset(Some(Reason::CANCEL)));
}

#[tokio::test]
async fn what_an_upstream_of_http_2_answers_before_the_body_has_come_arrives_whole() {
    // Dropping the body unread says that nobody wants it: RST_STREAM with NO_ERROR behind the answer.
    let upstream = Server::start(|_, mut respond| async move {
        let response = Response::builder().status(403).body(()).expect("a response");
        let mut stream = respond.send_response(response, false).expect("sends");
        stream.send_data("early".into(), true).expect("sends");
    })
    .await;
    let gateway = Gateway::start_with(SERVER, &routes(&upstream.url()));
    let mut client = post(&gateway, "/x").await;
    client.write_all(b"3\r\nabc\r\n").await.expect("writes");
    let mut come = Vec::new();
    let reading = async {
        while !come.ends_with(b"\r\n0\r\n\r\n") {
            assert_ne!(client.read_buf(&mut come).await.expect("reads"), 0, "{:?}", come.escape_ascii().to_string());
        }
    };
    timeout(PATIENCE, reading).await.expect("an answer at once");
    let come = String::from_utf8(come).expect("text");
    assert!(come.starts_with("HTTP/1.1 403 ") && come.contains("early"), "{come}");

    let mut connection = Connection::open(gateway.h2c_addr()).await;
    let (response, mut up) = connection.client.send_request(request("POST", "/x"), false).expect("sends");
    say(&mut up, "abc", false);
    let response = timeout(PATIENCE, response).await.expect("an answer at once").expect("a response");
    let answer = timeout(PATIENCE, whole(response)).await.expect("at once").expect("whole");
    assert_eq!((answer.head.status.as_u16(), answer.text()), (403, "early"));
}

/// The head of a `POST` of `/small` at `a`, that is to have 1024 bytes, as HPACK has it.
const LARGE_POST: &[u8] = b"\x83\x86\x04\x06/small\x41\x01a\x0f\x0d\x041024";

/// A connection on which stream 1 has been answered to its end, its body not begun.
async fn refused(gateway: &Gateway) -> TcpStream {
    let mut client = TcpStream::connect(gateway.h2c_addr()).await.expect("connects");
    let said = [GREETING, &frame(HEADERS, END_HEADERS, 1, LARGE_POST)].concat();
    client.write_all(&said).await.expect("writes");
    let answered = async {
        loop {
            match next_frame(&mut client).await.expect("a frame") {
                (DATA, 1, payload) => return payload,
                (RST_STREAM, ..) => panic!("reset before the answer"),
                _ => {}
            }
        }
    };
    let body = timeout(PATIENCE, answered).await.expect("an answer at once");
    assert_eq!(code(std::str::from_utf8(&body).expect("text")), "body_too_large");
    client
}

#[tokio::test]
async fn a_client_of_http_2_can_read_its_answer_before_its_upload_is_given_up() {
    let upstream = Server::start(|_, respond| async move { answer(respond, "ok") }).await;
    let gateway = Gateway::start_with(SERVER, &routes(&upstream.url()));
    // One that has seen the answer, and ends its body.
    let mut client = refused(&gateway).await;
    let more = [frame(DATA, 0, 1, &[0; 1024]), frame(DATA, END_STREAM, 1, b"")].concat();
    client.write_all(&more).await.expect("writes");
    client.write_all(&frame(PING, 0, 0, b"end-seen")).await.expect("writes");
    let ended = async {
        loop {
            match next_frame(&mut client).await.expect("a frame") {
                (PING, 0, payload) => return payload,
                (RST_STREAM, ..) => panic!("the upload was given up before the client could see why"),
                _ => {}
            }
        }
    };
    assert_eq!(timeout(PATIENCE, ended).await.expect("in time"), b"end-seen");

    // One that neither ends nor gives up is not listened to for ever, and others on its connection are served meanwhile.
    let mut client = refused(&gateway).await;
    client.write_all(&frame(DATA, 0, 1, &[0; 1024])).await.expect("writes");
    let get = frame(HEADERS, END_HEADERS | END_STREAM, 3, b"\x82\x86\x84\x41\x01a");
    client.write_all(&get).await.expect("writes");
    let given_up = async {
        let mut served = false;
        loop {
            match next_frame(&mut client).await.expect("a frame") {
                (HEADERS, 3, _) => served = true,
                (RST_STREAM, 1, payload) => return (served, payload),
                _ => {}
            }
        }
    };
    let (served, reason) = timeout(PATIENCE, given_up).await.expect("is given up");
    assert!(served, "the other request");
    assert_eq!(reason, [0; 4], "NO_ERROR");
}
