//! Compresses responses for clients that take it.
//!
//! Not with Pingora's module: that knows no q-values, no `no-transform` and no list of types, keeps what it has read until
//! its buffers are full, and does not end a Brotli stream. Here each part of a body whose length is not known goes on at
//! once, so that nothing that streams is held up.

mod accept;
mod encoder;
mod prepared;

use bytes::Bytes;
use http::header::{
    ACCEPT_ENCODING, ACCEPT_RANGES, CACHE_CONTROL, CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_RANGE, CONTENT_TYPE, ETAG,
    IF_MATCH, IF_NONE_MATCH, TRAILER,
};
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use pingora_http::RequestHeader;

pub(crate) use encoder::Encoder;
pub(crate) use prepared::Prepared;

use super::{Flow, Middleware, ResponseHead, Step};
use crate::config::file::{CompressFile, Encoding};
use crate::config::values::MediaPattern;
use crate::ctx::RequestContext;
use crate::heads::{change_request, vary_by};
use crate::reply::is_grpc_type;

/// What says something of the very bytes of a body, and would no longer be true.
const OF_THE_BYTES: [HeaderName; 4] = [
    HeaderName::from_static("content-digest"),
    HeaderName::from_static("repr-digest"),
    HeaderName::from_static("digest"),
    HeaderName::from_static("content-md5"),
];

/// Never compressed, as gRPC never is: an event is short, and should be there at once.
const EVENTS: &[u8] = b"text/event-stream";

/// The step that compresses.
pub(crate) struct Compress {
    /// The one that is liked best first.
    encodings: Box<[Encoding]>,
    types: Box<[MediaPattern]>,
    min_size: u64,
}

impl Compress {
    /// The step that `file` describes.
    pub(crate) fn new(file: &CompressFile) -> Self {
        Self {
            encodings: file.encodings.as_slice().into(),
            types: file.types.as_slice().into(),
            min_size: file.min_size.bytes(),
        }
    }

    /// Whether some client gets this answer compressed.
    fn takes(&self, head: &ResponseHead<'_>) -> bool {
        let headers = &head.headers;
        let has_body = !head.status.is_informational()
            && !matches!(
                head.status,
                StatusCode::NO_CONTENT
                    | StatusCode::RESET_CONTENT
                    | StatusCode::PARTIAL_CONTENT
                    | StatusCode::NOT_MODIFIED
            );
        has_body
            && !headers.contains_key(CONTENT_ENCODING)
            && !headers.contains_key(CONTENT_RANGE)
            // They come where the end of the compressed body would have to.
            && !headers.contains_key(TRAILER)
            && !OF_THE_BYTES.iter().any(|name| headers.contains_key(name))
            && length(headers).is_none_or(|length| length >= self.min_size)
            && !lists(headers, &CACHE_CONTROL, b"no-transform")
            && self.takes_type(headers)
    }

    fn takes_type(&self, headers: &HeaderMap) -> bool {
        let Some(value) = headers.get(CONTENT_TYPE) else { return false };
        let essence = value.as_bytes().split(|byte| *byte == b';').next().unwrap_or_default().trim_ascii();
        !essence.eq_ignore_ascii_case(EVENTS)
            && !is_grpc_type(essence)
            && self.types.iter().any(|pattern| pattern.takes(essence))
    }
}

impl Middleware for Compress {
    fn on_request<'a>(&'a self, head: &'a mut RequestHeader, _ctx: &'a mut RequestContext) -> Step<'a> {
        if head.headers.contains_key(IF_MATCH) {
            change_request(head, |parts| strengthen(&mut parts.headers));
        }
        Step::Done(Flow::Continue)
    }

    fn on_response(&self, request: &RequestHeader, head: &mut ResponseHead<'_>, ctx: &mut RequestContext) {
        if head.status == StatusCode::NOT_MODIFIED {
            vary_by(head.headers, "Accept-Encoding");
            if client_has_weakened(request, head.headers) {
                weaken(head.headers);
            }
            return;
        }
        if !self.takes(head) {
            return;
        }
        vary_by(head.headers, "Accept-Encoding");
        let accepted = request.headers.get_all(ACCEPT_ENCODING).iter();
        let Some(encoding) = accept::choose(&self.encodings, accepted.map(HeaderValue::as_bytes)) else { return };
        // As much for `HEAD`, which is told what `GET` would be (RFC 9110, section 9.3.2).
        let encoder = match ctx.prepared.as_ref().and_then(|prepared| prepared.get(encoding)) {
            Some(body) => Ok(Encoder::done(body)),
            None => Encoder::new(encoding, length(head.headers).is_none()),
        };
        let Ok(encoder) = encoder else { return };
        head.headers.insert(CONTENT_ENCODING, HeaderValue::from_static(accept::name(encoding)));
        head.headers.remove(CONTENT_LENGTH);
        head.headers.remove(ACCEPT_RANGES);
        weaken(head.headers);
        ctx.encoder = Some(Box::new(encoder));
    }
}

/// The length that `headers` say; none when they say none.
fn length(headers: &HeaderMap) -> Option<u64> {
    headers.get(CONTENT_LENGTH)?.to_str().ok()?.parse().ok()
}

/// Whether `wanted` stands in the list `name`.
fn lists(headers: &HeaderMap, name: &HeaderName, wanted: &[u8]) -> bool {
    let values = headers.get_all(name).iter().flat_map(|value| value.as_bytes().split(|byte| *byte == b','));
    values.into_iter().any(|value| value.trim_ascii().eq_ignore_ascii_case(wanted))
}

/// Makes a strong entity tag weak: two encodings of one thing are not the same bytes (RFC 9110, section 8.8.1).
fn weaken(headers: &mut HeaderMap) {
    let Some(strong) = headers.get(ETAG).filter(|tag| tag.as_bytes().starts_with(b"\"")) else { return };
    if let Ok(weak) = HeaderValue::from_bytes(&[b"W/", strong.as_bytes()].concat()) {
        headers.insert(ETAG, weak);
    }
}

/// Makes the weak tags of `If-Match` strong, as the upstream knows them: weak ones never match (RFC 9110, section 13.1.1), and a
/// client has none but those that were weakened here. An upstream that has weak tags itself does not let these match either.
fn strengthen(headers: &mut HeaderMap) {
    let strong: Vec<HeaderValue> = headers.get_all(IF_MATCH).iter().map(without_weakness).collect();
    headers.remove(IF_MATCH);
    for value in strong {
        headers.append(IF_MATCH, value);
    }
}

fn without_weakness(value: &HeaderValue) -> HeaderValue {
    let mut strong = Vec::with_capacity(value.len());
    let mut rest = value.as_bytes();
    let mut within_tag = false;
    while let Some((&byte, behind)) = rest.split_first() {
        rest = match rest.strip_prefix(b"W/") {
            Some(tag) if !within_tag && tag.starts_with(b"\"") => tag,
            _ => {
                within_tag ^= byte == b'"';
                strong.push(byte);
                behind
            }
        };
    }
    // Of a value that was one, only bytes were left out.
    HeaderValue::from_maybe_shared(Bytes::from(strong)).unwrap_or_else(|_| value.clone())
}

/// Whether the client asked with the weak form of the strong tag in `headers`: it would not know the strong one.
fn client_has_weakened(request: &RequestHeader, headers: &HeaderMap) -> bool {
    let Some(strong) = headers.get(ETAG).filter(|tag| tag.as_bytes().starts_with(b"\"")) else { return false };
    lists(&request.headers, &IF_NONE_MATCH, &[b"W/", strong.as_bytes()].concat())
}

#[cfg(test)]
mod tests;
