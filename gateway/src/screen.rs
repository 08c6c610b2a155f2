//! Refuses requests that two servers could read differently, or that are larger than they may be.
//!
//! What Pingora's parser refuses by itself does not come this far. What it repairs does, and a repaired request is refused
//! here: whoever sent it may have meant it to be read otherwise behind us.

use std::net::Ipv6Addr;

use http::header::{CONTENT_LENGTH, HOST, TRANSFER_ENCODING};
use http::{HeaderMap, HeaderValue, Version};
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
    check_length(&request.headers).map_err(Rejection::Ambiguous)?;
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

/// RFC 9112, section 6.3: a recipient may repair a repeated length (`5, 5`) or refuse it. Pingora takes it and would pass
/// it on as it came.
fn check_length(headers: &HeaderMap) -> Result<(), Ambiguity> {
    let mut lengths = headers.get_all(CONTENT_LENGTH).iter();
    let is_number = |value: &HeaderValue| value.as_bytes().iter().all(u8::is_ascii_digit);
    match (lengths.next(), lengths.next()) {
        (None, _) => Ok(()),
        (Some(length), None) if is_number(length) => Ok(()),
        _ => Err(Ambiguity::Length),
    }
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

/// A host name or an address, and perhaps a port.
fn is_authority(authority: &[u8]) -> bool {
    let Ok(authority) = std::str::from_utf8(authority) else { return false };
    if let Some(rest) = authority.strip_prefix('[') {
        let Some((address, port)) = rest.split_once(']') else { return false };
        return address.parse::<Ipv6Addr>().is_ok() && (port.is_empty() || port.strip_prefix(':').is_some_and(is_port));
    }
    let (name, port) = match authority.split_once(':') {
        Some((name, port)) => (name, Some(port)),
        None => (authority, None),
    };
    let legal = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-' | b'_');
    !name.is_empty() && name.bytes().all(legal) && port.is_none_or(is_port)
}

/// Without a number too: `host:` is legal (RFC 3986, section 3.2.3).
fn is_port(text: &str) -> bool {
    text.is_empty() || text.bytes().all(|byte| byte.is_ascii_digit()) && text.parse::<u16>().is_ok()
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
    fn only_a_single_length_is_taken() {
        let check = |values: &[&str]| {
            let headers: Vec<_> = values.iter().map(|value| ("Content-Length", *value)).collect();
            check_length(&request(Version::HTTP_11, &headers).headers)
        };
        assert_eq!(check(&[]), Ok(()));
        assert_eq!(check(&["5"]), Ok(()));
        for bad in [&["5", "5"][..], &["5, 5"], &["+5"], &["-5"], &["5 "], &["0x5"]] {
            assert_eq!(check(bad), Err(Ambiguity::Length), "{bad:?}");
        }
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
        assert_eq!(check(Version::HTTP_11, &["[::1]"]), Ok(()));
        assert_eq!(check(Version::HTTP_11, &["a_b.example:"]), Ok(()));
        assert_eq!(check(Version::HTTP_10, &[]), Ok(()));
        for bad in [
            &[][..],
            &["a", "a"],
            &["a, b"],
            &["a/b"],
            &["a@b"],
            &[""],
            &[":80"],
            &["a:b"],
            &["a:80:80"],
            &["a:+80"],
            &["a:99999"],
            &["[a]"],
            &["[::1]x"],
            &["[::1"],
        ] {
            assert_eq!(check(Version::HTTP_11, bad), Err(Ambiguity::Host), "{bad:?}");
        }
    }
}
