//! Changes the heads of requests and responses.
//!
//! Pingora keeps how each header's name was written in a second map beside that of the values. With both to be kept in step
//! an added header costs three times as much, and a copy of the head twice; so a head that goes on from here has the one map
//! alone. Standard names are written as usual then (`Content-Type`), all others in lower case, as HTTP/2 has them.

use std::mem;

use http::header::VARY;
use http::{HeaderMap, HeaderValue, request, response};
use pingora_http::{RequestHeader, ResponseHeader};

/// Changes `request`, whose target is its URI's path and query from then on.
pub(crate) fn change_request<T>(request: &mut RequestHeader, change: impl FnOnce(&mut request::Parts) -> T) -> T {
    let blank = RequestHeader::from(http::Request::new(()).into_parts().0);
    let mut parts = request::Parts::from(mem::replace(request, blank));
    let changed = change(&mut parts);
    *request = RequestHeader::from(parts);
    changed
}

/// Changes the headers of `response`.
pub(crate) fn change_response<T>(response: &mut ResponseHeader, change: impl FnOnce(&mut HeaderMap) -> T) -> T {
    let blank = ResponseHeader::from(http::Response::new(()).into_parts().0);
    let response_before = mem::replace(response, blank);
    // The phrase is no part of the parts, and nearly always the usual one.
    let phrase = response_before.get_reason_phrase();
    let unusual = phrase.filter(|_| phrase != response_before.status.canonical_reason()).map(str::to_owned);
    let mut parts = response::Parts::from(response_before);
    let changed = change(&mut parts.headers);
    *response = ResponseHeader::from(parts);
    if unusual.is_some() {
        // Whatever was a phrase before is one now.
        let _ = response.set_reason_phrase(unusual.as_deref());
    }
    changed
}

/// Says that an answer depends on the request header `name`, beside whatever it depends on already.
pub(crate) fn vary_by(headers: &mut HeaderMap, name: &'static str) {
    let mut listed = headers.get_all(VARY).iter().flat_map(|value| value.as_bytes().split(|byte| *byte == b','));
    let is_said = |listed: &[u8]| {
        matches!(listed.trim_ascii(), b"*") || listed.trim_ascii().eq_ignore_ascii_case(name.as_bytes())
    };
    if !listed.any(is_said) {
        headers.append(VARY, HeaderValue::from_static(name));
    }
}

#[cfg(test)]
mod tests {
    use http::StatusCode;

    use super::*;

    #[test]
    fn a_request_keeps_all_but_how_its_names_were_written() {
        let mut request = RequestHeader::build("PUT", b"/a?b", None).expect("a request");
        for value in ["1", "2"] {
            request.append_header("x-TWICE", value).expect("a header");
        }
        change_request(&mut request, |parts| parts.headers.insert("x-new", HeaderValue::from_static("3")));
        assert_eq!((request.method.as_str(), request.raw_path()), ("PUT", &b"/a?b"[..]));
        let mut wire = Vec::new();
        request.header_to_h1_wire(&mut wire);
        assert_eq!(wire, b"x-twice: 1\r\nx-twice: 2\r\nx-new: 3\r\n");
    }

    #[test]
    fn a_response_keeps_its_status_and_what_the_status_is_called() {
        for phrase in ["Not Found", "Nowhere"] {
            let mut response = ResponseHeader::build(404, None).expect("a response");
            response.append_header("server", "s").expect("a header");
            response.set_reason_phrase(Some(phrase)).expect("a phrase");
            change_response(&mut response, HeaderMap::clear);
            assert_eq!((response.status, response.get_reason_phrase()), (StatusCode::NOT_FOUND, Some(phrase)));
            assert!(response.headers.is_empty());
        }
    }

    #[test]
    fn what_an_answer_depends_on_is_said_once_beside_what_was_said() {
        for (before, after) in [
            (&[][..], &["Origin"][..]),
            (&["Accept"], &["Accept", "Origin"]),
            (&["Accept, origin"], &["Accept, origin"]),
            (&["Accept", "ORIGIN"], &["Accept", "ORIGIN"]),
            (&["*"], &["*"]),
            (&["X-Origin"], &["X-Origin", "Origin"]),
        ] {
            let mut headers: HeaderMap = before.iter().map(|value| (VARY, HeaderValue::from_static(value))).collect();
            vary_by(&mut headers, "Origin");
            assert_eq!(headers.get_all(VARY).iter().collect::<Vec<_>>(), after);
        }
    }
}
