//! Requests that two servers could read differently, sent byte for byte: each is refused, or goes on in exactly one form.
//!
//! They stand in the files of `hostile/`, a class in each; `hostile/case.rs` says how those are read.

mod case;
mod recorder;

use std::collections::BTreeMap;

use testkit::eventually;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::timeout;

use crate::support::{Gateway, PATIENCE, code, token};
use case::{Case, Expected};
use recorder::{Answers, Recorder};

/// What is sent behind a request that leaves its connection open, to see that nothing of that is left.
const AFTER: &[u8] = b"GET /open/after HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n";

/// What the upstream gets of it, but for the lines that the gateway adds.
const AFTER_FORWARDED: &str = "GET /open/after HTTP/1.1\r\nHost: a\r\n\r\n";

#[tokio::test]
async fn lengths_and_encodings_have_one_reading() {
    prove(include_str!("hostile/framing.http")).await;
}

#[tokio::test]
async fn chunks_have_one_reading() {
    prove(include_str!("hostile/chunks.http")).await;
}

#[tokio::test]
async fn lines_and_fields_have_one_reading() {
    prove(include_str!("hostile/syntax.http")).await;
}

#[tokio::test]
async fn hosts_and_targets_have_one_reading() {
    prove(include_str!("hostile/targets.http")).await;
}

#[tokio::test]
async fn paths_have_one_reading() {
    prove(include_str!("hostile/paths.http")).await;
}

#[tokio::test]
async fn headers_about_the_connection_or_the_client_end_here() {
    prove(include_str!("hostile/headers.http")).await;
}

#[tokio::test]
async fn no_request_becomes_another_protocol_unasked() {
    prove(include_str!("hostile/upgrades.http")).await;
}

#[tokio::test]
async fn what_is_too_large_is_refused() {
    prove(include_str!("hostile/sizes.http")).await;
}

#[tokio::test]
async fn chunks_that_come_late_have_one_reading_too() {
    let (gateway, recorder) = start().await;
    let mut wrong = Vec::new();
    for case in case::read(include_str!("hostile/chunks.http"), &token(|_| {}), &recorder.addr()) {
        let head = case.sent.windows(4).position(|bytes| bytes == b"\r\n\r\n").expect("a head") + 4;
        if let Err(why) = check(&gateway, &recorder, &case, Some(head)).await {
            wrong.push(format!("=== {}\n{why}", case.name));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// RFC 9112, section 9.3: an answer that comes before the body is no reason to take the body for a request.
#[tokio::test]
async fn a_body_that_the_upstream_has_not_waited_for_is_no_request() {
    let (gateway, recorder) = start_before(Recorder::start(Answers::Heads).await);
    let smuggled = "GET /open/smuggled HTTP/1.1\r\nHost: a\r\n\r\n";
    let size = smuggled.len();
    let counted = (format!("Content-Length: {size}"), smuggled.to_owned());
    let chunked = ("Transfer-Encoding: chunked".to_owned(), format!("{size:x}\r\n{smuggled}\r\n0\r\n\r\n"));
    for (framing, body) in [counted, chunked] {
        let head = format!("POST /open/x HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\n{framing}\r\n\r\n");
        let mut stream = TcpStream::connect(gateway.addr()).await.expect("connects");
        stream.write_all(head.as_bytes()).await.expect("writes");
        let mut answer = Vec::new();
        while whole_answer(&answer).is_none() && matches!(receive(&mut stream, &mut answer).await, Ok(1..)) {}
        assert!(answer.starts_with(b"HTTP/1.1 200 "), "{}", answer.escape_ascii());
        // The gateway may have closed it by now.
        let _ = stream.write_all(&[body.as_bytes(), AFTER].concat()).await;
        while matches!(receive(&mut stream, &mut answer).await, Ok(1..)) {}
        recorder.settle().await;
        let arrived = recorder.take();
        let is_smuggled = |request: &Vec<u8>| request.starts_with(b"GET /open/smuggled");
        assert!(!arrived.iter().any(is_smuggled), "{framing}: {arrived:?}");
    }
}

async fn start() -> (Gateway, Recorder) {
    start_before(Recorder::start(Answers::Whole).await)
}

fn start_before(recorder: Recorder) -> (Gateway, Recorder) {
    let routes = format!(
        "upstreams: {{ u: {{ targets: [\"http://{}\"] }} }}\n\
         routes:\n\
         - {{ name: open, match: {{ path: \"/open/*\" }}, upstream: u, public: true }}\n\
         - {{ name: mine, match: {{ path: \"/mine/*\" }}, upstream: u, middleware: [{{ jwt: {{ provider: us }} }}] }}\n",
        recorder.addr()
    );
    (Gateway::start(&routes), recorder)
}

/// Sends every request of `file` through a gateway, and tells all that did not go as the file says.
async fn prove(file: &str) {
    let (gateway, recorder) = start().await;
    let mut wrong = Vec::new();
    let mut refused = BTreeMap::<&str, u32>::new();
    let token = token(|_| {});
    let cases = case::read(file, &token, &recorder.addr());
    for case in &cases {
        if let Expected::Refused { code, .. } = &case.expected {
            *refused.entry(code).or_default() += 1;
        }
        if let Err(why) = check(&gateway, &recorder, case, None).await {
            wrong.push(format!("=== {}\n{why}", case.name));
        }
    }
    assert!(wrong.is_empty(), "{} of {}:\n{}", wrong.len(), cases.len(), wrong.join("\n"));
    for (code, count) in refused {
        let counted = async || rejections(&gateway, code).await >= f64::from(count);
        eventually(PATIENCE, "refusals", counted).await.unwrap_or_else(|_| panic!("{code} is counted {count} times"));
    }
}

/// Sends the request of `case`, what it has behind `late` only when the upstream has been asked already.
async fn check(gateway: &Gateway, recorder: &Recorder, case: &Case, late: Option<usize>) -> Result<(), String> {
    let mut stream = TcpStream::connect(gateway.addr()).await.expect("connects");
    let (now, then) = case.sent.split_at(late.unwrap_or(case.sent.len()));
    // It may be refused before all of it is sent.
    let _ = stream.write_all(now).await;
    if late.is_some() {
        recorder.begin().await;
        let _ = stream.write_all(then).await;
    }
    let (answer, closed) = exchange(stream).await;
    recorder.settle().await;
    let arrived = recorder.take();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap_or((&answer, ""));
    let told = format!("answer: {answer:?}\nupstream: {arrived:?}");
    if closed == case.stays_open && !case.may_break_off {
        return Err(format!("the connection is {}\n{told}", if closed { "closed" } else { "kept" }));
    }
    let mut forwarded = Vec::new();
    for request in &arrived {
        forwarded.push(shown(request).map_err(|why| format!("{why}\n{told}"))?);
    }
    let after = case.stays_open.then(|| AFTER_FORWARDED.to_owned());
    let wanted: Vec<String> = match &case.expected {
        Expected::Forwarded(form) => {
            let is_answered = head.starts_with("HTTP/1.1 200 ") || case.may_break_off && answer.is_empty();
            if !is_answered {
                return Err(told);
            }
            [form.clone()].into_iter().chain(after).collect()
        }
        Expected::Refused { status, code } => {
            let is_problem = head.contains("content-type: application/problem+json")
                || head.contains("Content-Type: application/problem+json");
            if !head.starts_with(&format!("HTTP/1.1 {status} ")) || !is_problem || self::code(body) != *code {
                return Err(told);
            }
            after.into_iter().collect()
        }
    };
    if forwarded == wanted { Ok(()) } else { Err(format!("{told}\nforwarded: {forwarded:?}\nwanted:    {wanted:?}")) }
}

/// Sends [`AFTER`] once what was sent is answered, unless the answer says that it is the last. Gives the first answer, and
/// whether the connection was closed behind it.
async fn exchange(mut stream: TcpStream) -> (String, bool) {
    let mut answer = Vec::new();
    // A reset behind an answer is a way to close too.
    while whole_answer(&answer).is_none() && matches!(receive(&mut stream, &mut answer).await, Ok(1..)) {}
    let end = whole_answer(&answer).unwrap_or(answer.len());
    let first = String::from_utf8_lossy(&answer[..end]).into_owned();
    if !first.to_ascii_lowercase().contains("\r\nconnection: close\r\n") {
        let _ = stream.write_all(AFTER).await;
    }
    answer.drain(..end);
    while matches!(receive(&mut stream, &mut answer).await, Ok(1..)) {}
    let second = String::from_utf8_lossy(&answer);
    (first, !(second.starts_with("HTTP/1.1 200 ") && second.matches("HTTP/1.1 ").count() == 1))
}

async fn receive(stream: &mut TcpStream, answer: &mut Vec<u8>) -> std::io::Result<usize> {
    timeout(PATIENCE, stream.read_buf(answer)).await.expect("the gateway answers, or closes the connection")
}

/// Where the first answer ends, all of which have a length.
fn whole_answer(bytes: &[u8]) -> Option<usize> {
    let head = bytes.windows(4).position(|end| end == b"\r\n\r\n")? + 4;
    let text = String::from_utf8_lossy(&bytes[..head]).to_ascii_lowercase();
    let length = text.lines().find_map(|line| line.strip_prefix("content-length: ")?.parse::<usize>().ok())?;
    (bytes.len() >= head + length).then_some(head + length)
}

/// `request` without the lines that the gateway adds, each of which is there once and says what is so.
fn shown(request: &[u8]) -> Result<String, String> {
    let text: String = request.iter().copied().map(char::from).collect();
    let (head, body) = text.split_once("\r\n\r\n").ok_or("no whole head")?;
    let mut added = BTreeMap::new();
    let mut shown = String::new();
    let mut host = None;
    for line in head.split("\r\n") {
        let (name, value) = line.split_once(": ").unwrap_or((line, ""));
        if name == "Host" {
            host = Some(value);
        }
        if matches!(name, "x-forwarded-for" | "x-forwarded-host" | "x-forwarded-proto" | "x-request-id") {
            if added.insert(name, value).is_some() {
                return Err(format!("{name} is there twice"));
            }
        } else {
            shown += line;
            shown += "\r\n";
        }
    }
    let id = added.remove("x-request-id").ok_or("no id")?;
    uuid_like(id).then_some(()).ok_or("the id is somebody else's")?;
    if added.remove("x-forwarded-for") != Some("127.0.0.1") || added.remove("x-forwarded-proto") != Some("http") {
        return Err("the client is somebody else".to_owned());
    }
    if added.remove("x-forwarded-host").is_some_and(|told| host != Some(told)) {
        return Err("the host is another".to_owned());
    }
    Ok(format!("{shown}\r\n{body}"))
}

fn uuid_like(id: &str) -> bool {
    id.len() == 36 && id.bytes().all(|byte| byte.is_ascii_hexdigit() || byte == b'-')
}

/// How often requests were refused with `code`, on whatever route.
async fn rejections(gateway: &Gateway, code: &str) -> f64 {
    let (_, text) = gateway.admin("/metrics").await;
    let series = format!("gateway_rejections_total{{code=\"{code}\",");
    let values = text.lines().filter(|line| line.starts_with(&series)).filter_map(|line| line.rsplit_once(' '));
    values.filter_map(|(_, value)| value.parse::<f64>().ok()).sum()
}
