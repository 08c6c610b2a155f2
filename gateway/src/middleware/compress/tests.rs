//! Which responses are compressed, and what their heads say then.

use std::io::Read as _;

use super::super::rehearsed::request;
use super::*;

const ROUTE: &str = "match: { path: /x }, upstream: u, middleware: [compress: {}]";

/// The headers that the client gets, and whether the body is compressed for it.
async fn sent(method: &str, accepted: &str, status: u16, said: &[(&'static str, &'static str)]) -> (HeaderMap, bool) {
    let asked = [("accept-encoding", accepted), ("if-none-match", "\"z\", W/\"a\"")];
    let mut rehearsed = request(method, ROUTE, "/x", &asked).await;
    let mut headers: HeaderMap = HeaderMap::new();
    for (name, value) in said {
        headers.append(*name, HeaderValue::from_static(value));
    }
    let mut head = ResponseHead { status: StatusCode::from_u16(status).expect("a status"), headers: &mut headers };
    rehearsed.rehearsal.amend(&rehearsed.head, &mut head, &mut rehearsed.ctx);
    let compressed = rehearsed.ctx.encoder.is_some();
    assert_eq!(compressed, headers.get(CONTENT_ENCODING).is_some_and(|value| value == "gzip"));
    (headers, compressed)
}

#[tokio::test]
async fn what_is_compressed_says_so() {
    let said = [
        ("content-type", "Text/HTML; charset=utf-8"),
        ("content-length", "1024"),
        ("etag", "\"a\""),
        ("accept-ranges", "bytes"),
        ("vary", "Origin"),
    ];
    let (headers, compressed) = sent("GET", "gzip", 200, &said).await;
    assert!(compressed);
    assert!(!headers.contains_key(CONTENT_LENGTH) && !headers.contains_key(ACCEPT_RANGES));
    assert_eq!(headers[ETAG], "W/\"a\"");
    assert_eq!(headers.get_all("vary").iter().collect::<Vec<_>>(), ["Origin", "Accept-Encoding"]);
}

#[tokio::test]
async fn what_should_not_be_compressed_is_not() {
    let html = ("content-type", "text/html");
    for (why, method, status, said) in [
        ("a picture", "GET", 200, &[("content-type", "image/png")][..]),
        ("no type", "GET", 200, &[]),
        ("events", "GET", 200, &[("content-type", "text/event-stream; charset=utf-8")]),
        ("small", "GET", 200, &[html, ("content-length", "1023")]),
        ("compressed", "GET", 200, &[html, ("content-encoding", "br")]),
        ("not to be changed", "GET", 200, &[html, ("cache-control", "public, No-Transform")]),
        ("followed by trailers", "GET", 200, &[html, ("trailer", "server-timing")]),
        ("signed", "GET", 200, &[html, ("content-digest", "sha-256=:x:")]),
        ("nothing", "GET", 204, &[html]),
        ("a part", "GET", 206, &[html, ("content-range", "bytes 0-1/2")]),
    ] {
        let (headers, compressed) = sent(method, "gzip", status, said).await;
        assert!(!compressed && !headers.contains_key("vary"), "{why}");
    }
}

#[tokio::test]
async fn caches_are_told_also_when_this_client_gets_it_as_it_is() {
    let said = [("content-type", "application/json"), ("etag", "\"a\""), ("content-length", "5000")];
    for accepted in ["identity", "gzip;q=0"] {
        let (headers, compressed) = sent("GET", accepted, 200, &said).await;
        assert!(!compressed, "{accepted}");
        assert_eq!(
            (&headers["vary"], &headers[ETAG]),
            (&HeaderValue::from_static("Accept-Encoding"), &HeaderValue::from_static("\"a\""))
        );
        assert_eq!(headers[CONTENT_LENGTH], "5000");
    }
}

#[tokio::test]
async fn a_client_that_has_a_compressed_copy_is_told_that_it_is_still_right() {
    let (headers, _) = sent("GET", "gzip", 304, &[("etag", "\"a\"")]).await;
    assert_eq!(
        (&headers[ETAG], &headers["vary"]),
        (&HeaderValue::from_static("W/\"a\""), &HeaderValue::from_static("Accept-Encoding"))
    );
    let (headers, _) = sent("GET", "gzip", 304, &[("etag", "\"z\"")]).await;
    assert_eq!(headers[ETAG], "\"z\"", "this copy was not compressed");
}

#[tokio::test]
async fn a_tag_that_is_weak_already_stays_as_it_is() {
    let (headers, _) = sent("GET", "gzip", 200, &[("content-type", "text/css"), ("etag", "W/\"b\"")]).await;
    assert_eq!(headers[ETAG], "W/\"b\"");
}

#[tokio::test]
async fn head_is_told_what_get_would_be() {
    let said = [("content-type", "application/json"), ("etag", "\"a\""), ("content-length", "5000")];
    assert_eq!(sent("HEAD", "gzip", 200, &said).await, sent("GET", "gzip", 200, &said).await);
}

#[tokio::test]
async fn a_tag_that_was_weakened_is_as_it_was_where_it_has_to_match() {
    for (sent, onward) in [
        (&["W/\"a\""][..], &["\"a\""][..]),
        (&["\"a\", W/\"b\",W/\"c\"", "W/\"d\""], &["\"a\", \"b\",\"c\"", "\"d\""]),
        (&["\"W/\", \"x,W/\""], &["\"W/\", \"x,W/\""]),
        (&["*"], &["*"]),
        (&["W/", "W/a", "\"W/\"W/\""], &["W/", "W/a", "\"W/\"\""]),
    ] {
        let headers: Vec<_> = sent.iter().map(|value| ("if-match", *value)).collect();
        let rehearsed = request("PUT", ROUTE, "/x", &headers).await;
        assert_eq!(rehearsed.header("if-match"), onward);
    }
    let rehearsed = request("GET", ROUTE, "/x", &[("if-none-match", "W/\"a\"")]).await;
    assert_eq!(rehearsed.header("if-none-match"), ["W/\"a\""], "there a weak one matches");
}

#[tokio::test]
async fn a_body_that_is_always_the_same_is_compressed_once() {
    let body = "again and ".repeat(200);
    let route = |compress: &str| {
        format!("match: {{ path: /x }}, middleware: [compress: {{ {compress} }}, respond: {{ body: \"{body}\" }}]")
    };
    let once = request("GET", &route("encodings: [gzip, br]"), "/x", &[("accept-encoding", "br")]).await;
    let coded = |accepted: &'static str| {
        let (rehearsal, body) = (&once.rehearsal, &body);
        async move {
            let mut head = RequestHeader::build("GET", b"/x", None).expect("a head");
            head.append_header("accept-encoding", accepted).expect("a header");
            let mut ctx = rehearsal.request([192, 0, 2, 7].into());
            let mut answer = rehearsal.answer(&mut head, &mut ctx).await.expect("nothing wrong").expect("an answer");
            let mut answered = ResponseHead { status: answer.status, headers: &mut answer.headers };
            rehearsal.amend(&head, &mut answered, &mut ctx);
            let mut encoder = ctx.encoder.take()?;
            assert_eq!(encoder.push(Some(&Bytes::from(body.clone())), false).expect("coded"), None);
            encoder.push(None, true).expect("coded")
        }
    };
    let (first, second) = (coded("br").await.expect("coded"), coded("br").await.expect("coded"));
    assert_eq!(first.as_ptr(), second.as_ptr(), "the very same bytes");
    let mut plain = String::new();
    brotli::Decompressor::new(&*first, 4096).read_to_string(&mut plain).expect("Brotli");
    assert_eq!(plain, body);
    assert_ne!(coded("gzip").await.expect("coded"), first);
    assert_eq!(coded("zstd").await, None);
}
