//! Refuses requests that two servers could read differently, or that are larger than they may be.
//!
//! It reads the head as it came, before Pingora does: what Pingora would repair may have been meant otherwise by whoever
//! sent it, and what Pingora would refuse gets an answer that says why.

use std::mem::MaybeUninit;
use std::net::Ipv6Addr;

use http::header::HOST;
use http::{HeaderValue, Method, Version};
use httparse::{Error, Request, Status};
use memchr::memchr;
use pingora_http::RequestHeader;

use crate::path::{BadPath, is_path_byte};
use crate::reply::{Ambiguity, Malformation, Rejection};
use crate::router::MethodSet;

/// What a client may send at most.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Limits {
    /// Bytes of the request target.
    pub uri: usize,
    /// Bytes of all header names and values together.
    pub headers: usize,
}

/// How the body of a request of HTTP/1 is framed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BodyFraming {
    /// It has so many bytes; none when there is no body.
    Length(u64),
    /// It comes in chunks.
    Chunked,
    /// It asks for a WebSocket: what comes may be of that, if the upstream agrees.
    Open,
}

/// What looks like a head in the preface of HTTP/2, so that servers of HTTP/1 refuse it (RFC 9113, section 3.4).
const HTTP_2: &[u8] = b"PRI * HTTP/2.0\r\n\r\n";

/// As many as Pingora takes.
const MOST_HEADERS: usize = 256;

/// As many as surely fit into 63 bits; there is no such body.
const MOST_LENGTH_DIGITS: usize = 18;

/// Looks at the syntax, the framing, the host and the size of `head`, a request's bytes up to and with its empty line, and
/// says how the body behind it is framed.
///
/// # Errors
/// The first reason to refuse it.
pub(crate) fn screen(head: &[u8], limits: &Limits) -> Result<BodyFraming, Rejection> {
    let mut headers = [const { MaybeUninit::uninit() }; MOST_HEADERS];
    let mut request = Request::new(&mut []);
    match request.parse_with_uninit_headers(head, &mut headers) {
        Ok(Status::Complete(length)) if length == head.len() => {}
        Err(Error::TooManyHeaders) => return Err(Rejection::HeadersTooLarge),
        Ok(_) | Err(_) if head == HTTP_2 => return Err(Rejection::Http2NotSpoken),
        Ok(_) => return Err(Rejection::Malformed(Malformation::Head)),
        Err(error) => return Err(Rejection::Malformed(malformation(error))),
    }
    let (method, target) = (request.method.unwrap_or_default(), request.path.unwrap_or_default());
    if target.len() > limits.uri {
        return Err(Rejection::UriTooLong);
    }
    check_method(method)?;
    let target = Target::of(target)?;
    let framing = Framing::of(request.headers.iter().map(|header| (header.name, header.value)));
    if framing.bytes > limits.headers {
        return Err(Rejection::HeadersTooLarge);
    }
    let is_http_1_1 = request.version == Some(1);
    framing.check(is_http_1_1, &target)?;
    Ok(framing.of_body(method, is_http_1_1))
}

/// Where the reader of a head has stopped.
const fn malformation(error: Error) -> Malformation {
    match error {
        Error::Token | Error::Version => Malformation::RequestLine,
        Error::HeaderName => Malformation::HeaderName,
        Error::HeaderValue => Malformation::HeaderValue,
        Error::NewLine => Malformation::LineEnd,
        Error::Status | Error::TooManyHeaders => Malformation::Head,
    }
}

/// Methods are told apart by case (RFC 9110, section 9.1), but not by everybody: what is a known one but for its case could be
/// that to the upstream and another to a route.
fn check_method(method: &str) -> Result<(), Rejection> {
    const KNOWN: [&str; 9] = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "CONNECT"];
    if method == Method::CONNECT.as_str() {
        return Err(Rejection::MethodNotAllowed(MethodSet::ALL));
    }
    let is_miswritten = method.bytes().any(|byte| byte.is_ascii_lowercase())
        && KNOWN.iter().any(|known| method.eq_ignore_ascii_case(known));
    if is_miswritten { Err(Rejection::Malformed(Malformation::MethodCase)) } else { Ok(()) }
}

/// Whether `request`, of HTTP/1, asks for a WebSocket as RFC 6455, section 4.1, has it done: nothing else may change the protocol.
pub(crate) fn asks_for_websocket(request: &RequestHeader) -> bool {
    let framing = Framing::of(request.headers.iter().map(|(name, value)| (name.as_str(), value.as_bytes())));
    framing.is_handshake(request.method.as_str(), request.version == Version::HTTP_11)
}

/// The same as [`screen`] of an HTTP/2 request, whose syntax its own codec has looked at, and the host that it is for. What
/// frames it goes on to upstreams of HTTP/1, so it keeps to their rules.
///
/// # Errors
/// The first reason to refuse it.
pub(crate) fn screen_h2(request: &RequestHeader, limits: &Limits) -> Result<HeaderValue, Rejection> {
    let target = request.raw_path();
    if target.len() > limits.uri {
        return Err(Rejection::UriTooLong);
    }
    check_method(request.method.as_str())?;
    Target::of(str::from_utf8(target).map_err(|_| Rejection::Malformed(Malformation::Target))?)?;
    let framing = Framing::of(request.headers.iter().map(|(name, value)| (name.as_str(), value.as_bytes())));
    if framing.bytes > limits.headers {
        return Err(Rejection::HeadersTooLarge);
    }
    framing.check_body(true)?;
    if framing.unknown_expectation {
        return Err(Rejection::UnknownExpectation);
    }
    // RFC 9113, section 8.3.1: the pseudo-header is the host, and a `Host` beside it says the same.
    let mut hosts = request.headers.get_all(HOST).iter();
    let host = match (request.uri.authority(), hosts.next(), hosts.next()) {
        (Some(authority), None, _) => authority.as_str(),
        (Some(authority), Some(host), None) if host.as_bytes().eq_ignore_ascii_case(authority.as_str().as_bytes()) => {
            authority.as_str()
        }
        (None, Some(host), None) => host.to_str().unwrap_or_default(),
        _ => "",
    };
    let host = Some(host).filter(|host| is_authority(host.as_bytes()));
    host.and_then(|host| HeaderValue::from_str(host).ok()).ok_or(Rejection::Ambiguous(Ambiguity::Host))
}

/// The headers that say where a request ends and whom it is for; more than one of each are counted.
#[derive(Default)]
struct Framing<'h> {
    bytes: usize,
    lengths: usize,
    length: &'h [u8],
    encodings: usize,
    encoding: &'h [u8],
    hosts: usize,
    host: &'h [u8],
    /// Whether there is an `Expect` that asks for something unknown.
    unknown_expectation: bool,
    upgrades: usize,
    upgrade: &'h [u8],
    /// Whether `Connection` names `Upgrade`.
    upgrade_named: bool,
}

impl<'h> Framing<'h> {
    fn of(headers: impl Iterator<Item = (&'h str, &'h [u8])>) -> Self {
        let mut framing = Self::default();
        for (name, value) in headers {
            framing.bytes += name.len() + value.len();
            if is_or_seems(name, "content-length") {
                framing.lengths += 1 + usize::from(name.contains('_'));
                framing.length = value;
            } else if is_or_seems(name, "transfer-encoding") {
                framing.encodings += 1 + usize::from(name.contains('_'));
                framing.encoding = value;
            } else if name.eq_ignore_ascii_case("host") {
                framing.hosts += 1;
                framing.host = value;
            } else if name.eq_ignore_ascii_case("expect") {
                framing.unknown_expectation |= !is_expectable(value);
            } else if name.eq_ignore_ascii_case("upgrade") {
                framing.upgrades += 1;
                framing.upgrade = value;
            } else if name.eq_ignore_ascii_case("connection") {
                let mut options = value.split(|byte| *byte == b',');
                framing.upgrade_named |= options.any(|option| option.trim_ascii().eq_ignore_ascii_case(b"upgrade"));
            }
        }
        framing
    }

    /// Of a head that was checked: a length is digits, so what cannot be read is a very large one.
    fn of_body(&self, method: &str, is_http_1_1: bool) -> BodyFraming {
        if self.encodings > 0 {
            return BodyFraming::Chunked;
        }
        if self.is_handshake(method, is_http_1_1) {
            return BodyFraming::Open;
        }
        if self.lengths == 0 {
            return BodyFraming::Length(0);
        }
        let length = str::from_utf8(self.length).ok().and_then(|digits| digits.parse().ok());
        BodyFraming::Length(length.unwrap_or(u64::MAX))
    }

    /// Whether this is how WebSockets begin (RFC 6455, section 4.1): without a body, behind which more could come unread.
    fn is_handshake(&self, method: &str, is_http_1_1: bool) -> bool {
        let has_body = self.encodings > 0 || self.lengths > 0 && self.length != b"0";
        let is_websocket = self.upgrades == 1 && self.upgrade.eq_ignore_ascii_case(b"websocket");
        is_http_1_1 && is_websocket && self.upgrade_named && !has_body && method == Method::GET.as_str()
    }

    /// Looks at what says where a body ends.
    fn check_body(&self, is_http_1_1: bool) -> Result<(), Rejection> {
        // RFC 9112, section 6.3: a recipient may repair a repeated length (`5, 5`) or refuse it. A length with a zero before
        // it is octal to some.
        let is_number = match self.length {
            [b'0'] => true,
            [b'1'..=b'9', rest @ ..] => rest.iter().all(u8::is_ascii_digit),
            _ => false,
        };
        if self.lengths > 1 || self.lengths == 1 && !is_number {
            return Err(Rejection::Ambiguous(Ambiguity::Length));
        }
        // Section 6.1.
        if self.encodings > 0 && self.lengths > 0 {
            return Err(Rejection::Ambiguous(Ambiguity::LengthAndEncoding));
        }
        let is_chunked = self.encodings == 1 && self.encoding.eq_ignore_ascii_case(b"chunked");
        if self.encodings > 0 && !is_chunked {
            return Err(Rejection::Ambiguous(Ambiguity::TransferEncoding));
        }
        if self.encodings > 0 && !is_http_1_1 {
            return Err(Rejection::Ambiguous(Ambiguity::OldTransferEncoding));
        }
        if self.length.len() > MOST_LENGTH_DIGITS { Err(Rejection::BodyTooLarge) } else { Ok(()) }
    }

    fn check(&self, is_http_1_1: bool, target: &Target<'_>) -> Result<(), Rejection> {
        self.check_body(is_http_1_1)?;
        // Section 3.2: one `Host` in every HTTP/1.1 request.
        let named = if self.hosts == 0 { !is_http_1_1 } else { self.hosts == 1 && is_authority(self.host) };
        // Section 3.2.2: what an absolute target names must be the host that the request names. Pingora does not take them
        // for the same if they are written differently.
        let agreed = match target {
            Target::Path => true,
            Target::Absolute { authority } => authority.as_bytes() == self.host,
        };
        if !named || !agreed {
            return Err(Rejection::Ambiguous(Ambiguity::Host));
        }
        if self.unknown_expectation {
            return Err(Rejection::UnknownExpectation);
        }
        Ok(())
    }
}

/// Whether `name` is that of this header, or what servers with CGI habits take for it, which always is one too many.
fn is_or_seems(name: &str, header: &str) -> bool {
    let same = |(a, b): (u8, u8)| a.eq_ignore_ascii_case(&b) || a == b'_' && b == b'-';
    name.len() == header.len() && name.bytes().zip(header.bytes()).all(same)
}

/// Whether this may stand in `Expect` (RFC 9110, section 10.1.1); some servers find it in what does not mean it.
fn is_expectable(value: &[u8]) -> bool {
    value.eq_ignore_ascii_case(b"100-continue")
}

/// The forms a request's target may have (RFC 9112, section 3.2); that of `CONNECT` is none of them.
enum Target<'t> {
    /// `/path`, or the `*` of `OPTIONS`, which no route takes.
    Path,
    /// `http://host/path`, as proxies are asked.
    Absolute { authority: &'t str },
}

impl<'t> Target<'t> {
    fn of(target: &'t str) -> Result<Self, Rejection> {
        let (form, path) = if target.starts_with('/') || target == "*" {
            (Self::Path, target)
        } else {
            let (scheme, rest) = target.split_once("://").ok_or(Rejection::Malformed(Malformation::Target))?;
            if !scheme.eq_ignore_ascii_case("http") && !scheme.eq_ignore_ascii_case("https") {
                return Err(Rejection::Malformed(Malformation::Target));
            }
            let end = rest.find(['/', '?']).unwrap_or(rest.len());
            (Self::Absolute { authority: &rest[..end] }, &rest[end..])
        };
        let (path, query) = path.split_at(memchr(b'?', path.as_bytes()).unwrap_or(path.len()));
        // A backslash gets an answer of its own where the path is brought into its normal form.
        if !path.bytes().all(|byte| is_path_byte(byte) || byte == b'\\') {
            return Err(Rejection::BadPath(BadPath::ForbiddenByte));
        }
        let is_legal = query.bytes().skip(1).all(is_query_byte);
        if is_legal { Ok(form) } else { Err(Rejection::Malformed(Malformation::Query)) }
    }
}

/// More than RFC 3986 allows (section 3.4), for browsers send these as they are; but none that ends a target elsewhere.
const fn is_query_byte(byte: u8) -> bool {
    byte.is_ascii_graphic() && !matches!(byte, b'"' | b'<' | b'>' | b'#')
}

/// Whether this is a host name or an address, and perhaps a port.
pub(crate) fn is_authority(authority: &[u8]) -> bool {
    let Ok(authority) = std::str::from_utf8(authority) else { return false };
    if let Some(rest) = authority.strip_prefix('[') {
        let Some((address, port)) = rest.split_once(']') else { return false };
        return address.parse::<Ipv6Addr>().is_ok() && (port.is_empty() || port.strip_prefix(':').is_some_and(is_port));
    }
    let (name, port) = authority.split_at(memchr(b':', authority.as_bytes()).unwrap_or(authority.len()));
    let legal = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-' | b'_');
    // No part of a name is empty, but for the one behind a final dot.
    let is_whole = !name.starts_with('.') && !name.contains("..");
    is_whole && !name.is_empty() && name.bytes().all(legal) && port.strip_prefix(':').is_none_or(is_port)
}

/// Without a number too: `host:` is legal (RFC 3986, section 3.2.3).
fn is_port(text: &str) -> bool {
    text.is_empty() || text.bytes().all(|byte| byte.is_ascii_digit()) && text.parse::<u16>().is_ok()
}

#[cfg(test)]
mod tests;
