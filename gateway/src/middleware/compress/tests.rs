//! Which responses are compressed, and what their heads say then.

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
    for (method, accepted) in [("GET", "identity"), ("GET", "gzip;q=0"), ("HEAD", "gzip")] {
        let (headers, compressed) = sent(method, accepted, 200, &said).await;
        assert!(!compressed, "{method} {accepted}");
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
