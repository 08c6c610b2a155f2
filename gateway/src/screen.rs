//! Refuses requests that two servers could read differently, or that are larger than they may be.
//!
//! What Pingora's parser refuses by itself does not come this far. What it repairs does, and a repaired request is refused
//! here: whoever sent it may have meant it to be read otherwise behind us.

use http::header::{CONTENT_LENGTH, HOST, TRANSFER_ENCODING};
use http::{HeaderMap, Version};
use pingora_http::RequestHeader;
use pingora_proxy::Session;

use crate::reply::{Ambiguity, Rejection};

/// What a client may send at most.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Limits {
    /// Bytes of the request target.
    pub uri: usize,
    /// Bytes of all header names and values together.
    pub headers: usize,
}

/// Looks at the framing, the host and the size of the request in `session`.
///
/// # Errors
/// The first reason to refuse it.
pub(crate) fn screen(session: &Session, limits: &Limits) -> Result<(), Rejection> {
    let request = session.req_header();
    if request.headers.contains_key(TRANSFER_ENCODING) {
        // The parser has dropped a Content-Length beside it; the bytes as they came still have it.
        let raw = session.to_h1_raw();
        check_encoding(request, has_content_length(&raw)).map_err(Rejection::Ambiguous)?;
    }
    check_host(request).map_err(Rejection::Ambiguous)?;
    if request.raw_path().len() > limits.uri {
        return Err(Rejection::UriTooLong);
    }
    if header_bytes(&request.headers) > limits.headers {
        return Err(Rejection::HeadersTooLarge);
    }
    Ok(())
}

/// RFC 9112, section 6.1.
fn check_encoding(request: &RequestHeader, has_length: bool) -> Result<(), Ambiguity> {
    let mut encodings = request.headers.get_all(TRANSFER_ENCODING).iter();
    let single_chunked = encodings.next().is_some_and(|value| value.as_bytes().eq_ignore_ascii_case(b"chunked"))
        && encodings.next().is_none();
    if has_length || request.headers.contains_key(CONTENT_LENGTH) {
        Err(Ambiguity::LengthAndEncoding)
    } else if single_chunked && request.version == Version::HTTP_11 {
        Ok(())
    } else {
        Err(Ambiguity::TransferEncoding)
    }
}

fn has_content_length(raw_head: &[u8]) -> bool {
    raw_head
        .split(|byte| *byte == b'\n')
        .filter_map(|line| line.iter().position(|byte| *byte == b':').map(|colon| &line[..colon]))
        .any(|name| name.trim_ascii().eq_ignore_ascii_case(b"content-length"))
}

/// RFC 9112, section 3.2: one `Host` in every HTTP/1.1 request.
fn check_host(request: &RequestHeader) -> Result<(), Ambiguity> {
    let mut hosts = request.headers.get_all(HOST).iter();
    let required = request.version == Version::HTTP_11;
    match (hosts.next(), hosts.next()) {
        (None, _) if required => Err(Ambiguity::Host),
        (None, _) => Ok(()),
        (Some(host), None) if is_authority(host.as_bytes()) => Ok(()),
        _ => Err(Ambiguity::Host),
    }
}

/// Letters, digits and what stands between them in a host name, an address and a port.
fn is_authority(host: &[u8]) -> bool {
    !host.is_empty()
        && host
            .iter()
            .all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-' | b'_' | b':' | b'[' | b']'))
}

fn header_bytes(headers: &HeaderMap) -> usize {
    headers.iter().map(|(name, value)| name.as_str().len() + value.len()).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request(version: Version, headers: &[(&'static str, &str)]) -> RequestHeader {
        let mut request = RequestHeader::build("POST", b"/", None).expect("a request");
        request.set_version(version);
        for (name, value) in headers {
            request.append_header(*name, *value).expect("a header");
        }
        request
    }

    #[test]
    fn length_beside_encoding_is_refused() {
        let request = request(Version::HTTP_11, &[("Transfer-Encoding", "chunked")]);
        assert_eq!(check_encoding(&request, true), Err(Ambiguity::LengthAndEncoding));
        assert!(has_content_length(b"POST / HTTP/1.1\r\nHost: a\r\ncontent-LENGTH: 3\r\n\r\n"));
        assert!(!has_content_length(b"POST / HTTP/1.1\r\nHost: a\r\nX: content-length: 3\r\n\r\n"));
    }

    #[test]
    fn only_a_single_chunked_is_taken() {
        let check = |version, values: &[&str]| {
            let headers: Vec<_> = values.iter().map(|value| ("Transfer-Encoding", *value)).collect();
            check_encoding(&request(version, &headers), false)
        };
        assert_eq!(check(Version::HTTP_11, &["chunked"]), Ok(()));
        assert_eq!(check(Version::HTTP_11, &["Chunked"]), Ok(()));
        for bad in [&["gzip, chunked"][..], &["chunked", "chunked"], &["xchunked"], &["chunked,"], &["identity"]] {
            assert_eq!(check(Version::HTTP_11, bad), Err(Ambiguity::TransferEncoding), "{bad:?}");
        }
        assert_eq!(check(Version::HTTP_10, &["chunked"]), Err(Ambiguity::TransferEncoding));
    }

    #[test]
    fn exactly_one_valid_host_is_taken() {
        let check = |version, values: &[&str]| {
            let headers: Vec<_> = values.iter().map(|value| ("Host", *value)).collect();
            check_host(&request(version, &headers))
        };
        assert_eq!(check(Version::HTTP_11, &["example.com:8080"]), Ok(()));
        assert_eq!(check(Version::HTTP_11, &["[::1]:80"]), Ok(()));
        assert_eq!(check(Version::HTTP_10, &[]), Ok(()));
        for bad in [&[][..], &["a", "a"], &["a, b"], &["a/b"], &["a@b"], &[""]] {
            assert_eq!(check(Version::HTTP_11, bad), Err(Ambiguity::Host), "{bad:?}");
        }
    }
}
