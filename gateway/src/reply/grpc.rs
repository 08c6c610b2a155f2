//! What a gRPC client is told in place of a problem document: the status and the sentence in the headers of an answer that has
//! nothing else («Trailers-Only» of the gRPC protocol over HTTP/2), which is always a 200.

use std::fmt::Write as _;

use bytes::Bytes;
use http::header::{CONTENT_LENGTH, CONTENT_TYPE};
use http::{HeaderName, HeaderValue, StatusCode, Version};
use pingora_core::Result;
use pingora_core::protocols::http::HttpTask;
use pingora_http::{RequestHeader, ResponseHeader};
use pingora_proxy::Session;

use super::{Rejection, head};
use crate::middleware::ResponseHead;

const GRPC: &[u8] = b"application/grpc";
const STATUS: HeaderName = HeaderName::from_static("grpc-status");
const MESSAGE: HeaderName = HeaderName::from_static("grpc-message");

/// Whether `request` is a call of gRPC, which is one of HTTP/2, or of gRPC-Web, which there is over HTTP/1.1 too and whose clients
/// read the status where those of gRPC do. What only says so over HTTP/1 is a request like any other.
#[must_use]
pub(crate) fn is_grpc(request: &RequestHeader) -> bool {
    let Some(media_type) = request.headers.get(CONTENT_TYPE) else { return false };
    let says_web = || media_type.as_bytes().get(GRPC.len()..).is_some_and(is_web);
    is_grpc_type(media_type.as_bytes()) && (request.version == Version::HTTP_2 || says_web())
}

/// Whether `behind`, what comes after `application/grpc`, makes it gRPC-Web: `-web` or `-web-text`, alone or with more.
fn is_web(behind: &[u8]) -> bool {
    const WEB: &[u8] = b"-web";
    behind.split_at_checked(WEB.len()).is_some_and(|(front, more)| {
        front.eq_ignore_ascii_case(WEB) && matches!(more.first(), None | Some(b'+' | b'-' | b';' | b' ' | b'\t'))
    })
}

/// Whether `media_type` is one of gRPC's: `application/grpc`, alone or with a `+proto`, a `-web` or parameters behind.
#[must_use]
pub(crate) fn is_grpc_type(media_type: &[u8]) -> bool {
    media_type.split_at_checked(GRPC.len()).is_some_and(|(front, behind)| {
        front.eq_ignore_ascii_case(GRPC) && matches!(behind.first(), None | Some(b'+' | b'-' | b';' | b' ' | b'\t'))
    })
}

/// Answers the call in `session` with `rejection`, its head amended by `amend`.
///
/// # Errors
/// When the client is gone.
pub(super) async fn reject(
    session: &mut Session,
    rejection: &Rejection,
    request_id: &HeaderValue,
    amend: impl FnOnce(&RequestHeader, &mut ResponseHead<'_>, &mut Bytes),
) -> Result<()> {
    let (http_status, _, detail) = rejection.describe();
    let mut head = head(StatusCode::OK, request_id);
    if let Some(media_type) = session.req_header().headers.get(CONTENT_TYPE) {
        head.headers.insert(CONTENT_TYPE, media_type.clone());
    }
    rejection.headers(|name, value| {
        head.headers.append(name, value);
    });
    amend(
        session.req_header(),
        &mut ResponseHead { status: head.status, headers: &mut head.headers },
        &mut Bytes::new(),
    );
    head.headers.insert(STATUS, HeaderValue::from(status(http_status)));
    if let Ok(message) = HeaderValue::try_from(message(detail)) {
        head.headers.insert(MESSAGE, message);
    }
    if session.req_header().version != Version::HTTP_2 {
        head.headers.insert(CONTENT_LENGTH, HeaderValue::from(0));
        if !session.is_body_done() {
            session.set_keepalive(None);
        }
    }
    // With the end in the head: an empty part behind it would be a body without trailers.
    session.write_response_tasks(vec![HttpTask::Header(Box::new(ResponseHeader::from(head)), true)]).await.map(drop)
}

/// The status of gRPC for one of HTTP (`http-grpc-status-mapping.md` of the gRPC documentation), but for those of which the
/// gateway knows more than a client can: a quota, a deadline, what is too large.
fn status(of: StatusCode) -> u16 {
    match of.as_u16() {
        408 | 504 => 4,              // DEADLINE_EXCEEDED
        403 => 7,                    // PERMISSION_DENIED
        413 | 429 => 8,              // RESOURCE_EXHAUSTED
        404 | 405 => 12,             // UNIMPLEMENTED
        400 | 414 | 431 | 500 => 13, // INTERNAL
        421 | 502 | 503 => 14,       // UNAVAILABLE
        401 => 16,                   // UNAUTHENTICATED
        _ => 2,                      // UNKNOWN
    }
}

/// `text` as a header may have it: what is not printable ASCII, and `%`, as `%` and two digits.
fn message(text: &str) -> String {
    text.bytes().fold(String::with_capacity(text.len()), |mut message, byte| {
        if matches!(byte, b' '..=b'~') && byte != b'%' {
            message.push(char::from(byte));
        } else {
            // Writing to a text does not fail.
            let _ = write!(message, "%{byte:02X}");
        }
        message
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_media_types_of_grpc_are_grpc() {
        for good in ["application/grpc", "Application/GRPC+proto", "application/grpc-web", "application/grpc; a=b"] {
            assert!(is_grpc_type(good.as_bytes()), "{good}");
        }
        for bad in ["application/grpcx", "application/json", "application/grp", "", "text/application/grpc"] {
            assert!(!is_grpc_type(bad.as_bytes()), "{bad}");
        }
    }

    #[test]
    fn over_http_1_only_the_web_form_is_a_call() {
        let is_call = |media_type: &str, version| {
            let mut request = RequestHeader::build("POST", b"/", None).expect("a request");
            request.set_version(version);
            request.insert_header(CONTENT_TYPE, media_type).expect("a header");
            is_grpc(&request)
        };
        for (media_type, over_http_1) in [
            ("application/grpc", false),
            ("application/grpc+proto", false),
            ("application/grpc; a=-web", false),
            ("application/grpc-webby", false),
            ("application/grpc-web", true),
            ("Application/gRPC-Web+proto", true),
            ("application/grpc-web-text; a=b", true),
        ] {
            assert!(is_call(media_type, Version::HTTP_2), "{media_type}");
            assert_eq!(is_call(media_type, Version::HTTP_11), over_http_1, "{media_type}");
            assert_eq!(is_call(media_type, Version::HTTP_10), over_http_1, "{media_type}");
        }
        assert!(!is_call("application/json", Version::HTTP_2));
    }

    #[test]
    fn a_message_is_printable_ascii_and_can_be_read_back() {
        assert_eq!(message("No 5 % more"), "No 5 %25 more");
        assert_eq!(message("\u{e4}\n~"), "%C3%A4%0A~");
    }

    #[test]
    fn every_status_has_the_one_that_a_grpc_client_acts_on() {
        for (http, grpc) in [
            (400, 13),
            (401, 16),
            (403, 7),
            (404, 12),
            (405, 12),
            (408, 4),
            (413, 8),
            (429, 8),
            (502, 14),
            (503, 14),
            (504, 4),
            (418, 2),
        ] {
            assert_eq!(status(StatusCode::from_u16(http).expect("a status")), grpc, "{http}");
        }
    }
}
