//! What is refused before it is a request, and what is not.

use bytes::BytesMut;
use futures::FutureExt as _;
use pingora_core::protocols::http::ServerSession;
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::{Index, select};

use super::*;

const LIMITS: Limits = Limits { uri: 64, headers: 512 };

fn head(line: &str, headers: &[&str]) -> Result<BodyFraming, Rejection> {
    let headers: String = headers.iter().map(|header| format!("{header}\r\n")).collect();
    screen(format!("{line}\r\n{headers}\r\n").as_bytes(), &LIMITS)
}

fn post(headers: &[&str]) -> Result<BodyFraming, Rejection> {
    head("POST / HTTP/1.1", &[&["Host: a"], headers].concat())
}

#[test]
fn length_beside_encoding_is_refused() {
    let both = ["content-LENGTH: 3", "Transfer-Encoding: chunked"];
    assert_eq!(post(&both), Err(Rejection::Ambiguous(Ambiguity::LengthAndEncoding)));
    assert_eq!(post(&["X: content-length: 3", "Transfer-Encoding: chunked"]), Ok(BodyFraming::Chunked));
}

#[test]
fn only_a_single_length_is_taken() {
    assert_eq!(post(&["Content-Length: 5"]), Ok(BodyFraming::Length(5)));
    for bad in [&["5", "5"][..], &["5, 5"], &["+5"], &["-5"], &["5 5"], &["0x5"], &["05"], &["00"], &[""]] {
        let headers: Vec<_> = bad.iter().map(|value| format!("Content-Length: {value}")).collect();
        let headers: Vec<_> = headers.iter().map(String::as_str).collect();
        assert_eq!(post(&headers), Err(Rejection::Ambiguous(Ambiguity::Length)), "{bad:?}");
    }
}

#[test]
fn a_length_that_nobody_can_count_is_too_large() {
    assert_eq!(post(&[&format!("Content-Length: {}", "9".repeat(18))]), Ok(BodyFraming::Length(10_u64.pow(18) - 1)));
    assert_eq!(post(&[&format!("Content-Length: {}", "9".repeat(19))]), Err(Rejection::BodyTooLarge));
}

#[test]
fn framing_with_underscores_is_framing_too() {
    let lengths = [&["Content_Length: 3"][..], &["content_length: 3", "Content-Length: 3"]];
    let encodings = [&["Transfer_Encoding: chunked"][..], &["transfer-encoding: chunked", "TRANSFER_ENCODING: x"]];
    for bad in lengths.into_iter().chain(encodings) {
        assert!(matches!(post(bad), Err(Rejection::Ambiguous(_))), "{bad:?}");
    }
}

#[test]
fn nothing_but_the_go_ahead_may_be_expected() {
    assert_eq!(post(&["Expect: 100-Continue", "Content-Length: 3"]), Ok(BodyFraming::Length(3)));
    for bad in ["", "100-continue, x", "x 100-continue", "200-ok"] {
        assert_eq!(post(&[&format!("Expect: {bad}")]), Err(Rejection::UnknownExpectation), "{bad}");
    }
}

#[test]
fn only_a_single_chunked_is_taken() {
    assert_eq!(post(&["Transfer-Encoding: Chunked"]), Ok(BodyFraming::Chunked));
    for bad in [&["gzip, chunked"][..], &["chunked", "chunked"], &["xchunked"], &["chunked,"], &["identity"], &[""]] {
        let headers: Vec<_> = bad.iter().map(|value| format!("Transfer-Encoding: {value}")).collect();
        let headers: Vec<_> = headers.iter().map(String::as_str).collect();
        assert_eq!(post(&headers), Err(Rejection::Ambiguous(Ambiguity::TransferEncoding)), "{bad:?}");
    }
    let old = head("POST / HTTP/1.0", &["Transfer-Encoding: chunked"]);
    assert_eq!(old, Err(Rejection::Ambiguous(Ambiguity::OldTransferEncoding)));
    let old = head("POST / HTTP/1.0", &["Transfer-Encoding: gzip"]);
    assert_eq!(old, Err(Rejection::Ambiguous(Ambiguity::TransferEncoding)));
}

#[test]
fn only_what_begins_a_websocket_may_become_another_protocol() {
    let get = |version: &str, headers: &[&str]| head(&format!("GET / {version}"), &[&["Host: a"], headers].concat());
    let (named, socket) = ("Connection: x, UPGRADE", "Upgrade: WebSocket");
    assert_eq!(get("HTTP/1.1", &[named, socket]), Ok(BodyFraming::Open));
    assert_eq!(get("HTTP/1.1", &[named, socket, "Content-Length: 0"]), Ok(BodyFraming::Open));
    assert_eq!(get("HTTP/1.0", &[named, socket]), Ok(BodyFraming::Length(0)));
    for headers in [
        &[socket][..],
        &[named],
        &[named, "Upgrade: h2c"],
        &[named, socket, "Upgrade: h2c"],
        &["Connection: x", socket],
    ] {
        assert_eq!(get("HTTP/1.1", headers), Ok(BodyFraming::Length(0)), "{headers:?}");
    }
    assert_eq!(get("HTTP/1.1", &[named, socket, "Content-Length: 3"]), Ok(BodyFraming::Length(3)));
    assert_eq!(post(&[named, socket]), Ok(BodyFraming::Length(0)));
}

#[test]
fn exactly_one_valid_host_is_taken() {
    for good in ["example.com:8080", "[::1]:80", "[::1]", "a_b.example:"] {
        assert_eq!(head("GET / HTTP/1.1", &[&format!("Host: {good}")]), Ok(BodyFraming::Length(0)), "{good}");
    }
    assert_eq!(head("GET / HTTP/1.0", &[]), Ok(BodyFraming::Length(0)));
    assert_eq!(head("GET / HTTP/1.1", &[]), Err(Rejection::Ambiguous(Ambiguity::Host)));
    assert_eq!(post(&["Host: a"]), Err(Rejection::Ambiguous(Ambiguity::Host)), "named twice");
    for bad in [
        "a, b", "a/b", "a@b", "", ":80", "a:b", "a:80:80", "a:+80", "a:99999", "[a]", "[::1]x", "[::1", "a..", "a..b",
        ".a",
    ] {
        let answer = head("GET / HTTP/1.1", &[&format!("Host: {bad}")]);
        assert_eq!(answer, Err(Rejection::Ambiguous(Ambiguity::Host)), "{bad}");
    }
}

#[test]
fn an_absolute_target_names_the_host_of_the_request() {
    for good in ["http://a.b/x", "HTTPS://a.b/x?y=http://c", "http://a.b", "http://a.b?x"] {
        assert_eq!(head(&format!("GET {good} HTTP/1.1"), &["Host: a.b"]), Ok(BodyFraming::Length(0)), "{good}");
    }
    for bad in ["http://c/x", "http://a.b:81/x", "http://u@a.b/x", "http:///x", "http://A.b/x"] {
        let answer = head(&format!("GET {bad} HTTP/1.1"), &["Host: a.b"]);
        assert_eq!(answer, Err(Rejection::Ambiguous(Ambiguity::Host)), "{bad}");
    }
}

#[test]
fn what_is_no_http_is_called_so() {
    for bad in [
        "GET / HTTP/1.1\r\nHost : a\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: a\r\n b\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: a\r\nX\0: b\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: a\r\nX: b\0\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: a\rX: b\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: a\r\n: b\r\n\r\n",
        "GET / HTTP/2.0\r\nHost: a\r\n\r\n",
        "GET /a b HTTP/1.1\r\nHost: a\r\n\r\n",
        "GET a/b HTTP/1.1\r\nHost: a\r\n\r\n",
        "GET ftp://a/b HTTP/1.1\r\nHost: a\r\n\r\n",
        "GET a:http://a/b HTTP/1.1\r\nHost: a\r\n\r\n",
        "GET /\r\n\r\n",
        "\r\n\r\n",
        "GET / HTTP/1.1\nHost: a\n\n and more\r\n\r\n",
    ] {
        assert!(matches!(screen(bad.as_bytes(), &LIMITS), Err(Rejection::Malformed(_))), "{bad:?}");
    }
}

#[test]
fn what_is_too_large_is_told_apart() {
    assert_eq!(head(&format!("GET /{} HTTP/1.1", "x".repeat(64)), &["Host: a"]), Err(Rejection::UriTooLong));
    assert_eq!(post(&[&format!("X: {}", "x".repeat(512))]), Err(Rejection::HeadersTooLarge));
    assert_eq!(post(&["X: y"; 256]), Err(Rejection::HeadersTooLarge), "with Host there are 257");
}

/// Whether Pingora takes `head` for a request.
fn pingora_takes(head: &[u8]) -> bool {
    let (stream, _client) = tokio::io::duplex(64);
    let mut session = ServerSession::new_http1(Box::new(stream));
    session.set_pipelined_prefix(BytesMut::from(head));
    session.read_request().now_or_never().is_some_and(|read| matches!(read, Ok(true)))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn what_passes_is_never_refused_by_pingora(
        start in select(vec![
            "GET /a?b HTTP/1.1\r\nHost: a.b\r\nX: y\r\n\r\n",
            "POST http://a.b/c HTTP/1.1\r\nHost: a.b\r\nContent-Length: 3\r\n\r\n",
            "PUT * HTTP/1.0\r\nTransfer-Encoding: chunked\r\nConnection: x, close\r\n\r\n",
            "POST / HTTP/1.1\r\nHost: [::1]:8\r\nTransfer-Encoding: chunked\r\n\r\n",
        ]),
        damage in vec((any::<Index>(), select(b"\0\r\n\t :;,/?#%*@[]\"\\aZ09\x7f\xc3\xff".to_vec()), any::<bool>()), 0..4),
    ) {
        let mut head = start.as_bytes().to_vec();
        for (place, byte, instead) in damage {
            let place = place.index(head.len());
            if instead { head[place] = byte } else { head.insert(place, byte) }
        }
        if screen(&head, &LIMITS).is_ok() {
            prop_assert!(pingora_takes(&head), "{}", head.escape_ascii());
        }
    }
}

#[test]
fn a_known_method_in_another_case_is_none() {
    for bad in ["get", "Post", "cONNECT"] {
        assert_eq!(
            head(&format!("{bad} / HTTP/1.1"), &["Host: a"]),
            Err(Rejection::Malformed(Malformation::MethodCase)),
            "{bad}"
        );
    }
    assert_eq!(head("M-SEARCH / HTTP/1.1", &["Host: a"]), Ok(BodyFraming::Length(0)));
    assert_eq!(head("report / HTTP/1.1", &["Host: a"]), Ok(BodyFraming::Length(0)));
}

#[test]
fn tunnels_are_not_made() {
    let answer = head("CONNECT a:443 HTTP/1.1", &["Host: a:443"]);
    assert_eq!(answer, Err(Rejection::MethodNotAllowed(MethodSet::ALL)));
}

#[test]
fn the_log_is_told_where_the_reading_stopped() {
    for (head, reason) in [
        ("GET / HTTP/1.1\r\nHost: a\r\nX Y: z\r\n\r\n", "header_name"),
        ("GET / HTTP/1.1\r\nHost: a\r\nX: \x01\r\n\r\n", "header_value"),
        ("GET / HTTP/3.1\r\nHost: a\r\n\r\n", "request_line"),
        ("G\u{e4}T / HTTP/1.1\r\nHost: a\r\n\r\n", "request_line"),
        ("get / HTTP/1.1\r\nHost: a\r\n\r\n", "method_case"),
        ("GET a HTTP/1.1\r\nHost: a\r\n\r\n", "target"),
        ("GET /?\" HTTP/1.1\r\nHost: a\r\n\r\n", "query"),
        ("GET / HTTP/1.1\r\nHost: a\r\nContent-Length: +1\r\n\r\n", "content_length"),
        ("GET / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: gzip\r\n\r\n", "transfer_encoding"),
        (
            "GET / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nContent-Length: 1\r\n\r\n",
            "content_length_and_transfer_encoding",
        ),
        ("GET /<a> HTTP/1.1\r\nHost: a\r\n\r\n", "forbidden_byte"),
    ] {
        let refused = screen(head.as_bytes(), &LIMITS).expect_err(head);
        assert_eq!(refused.reason(), Some(reason), "{head:?}");
    }
}
