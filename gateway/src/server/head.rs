//! Reads the head of a connection's next request, and says which requests are none.
//!
//! Pingora would do this too, but answers what it cannot read without a word, a log line or a metric, and waits for a head
//! that drips for as long as it drips.

use std::time::Duration;

use bytes::BytesMut;
use pingora_core::protocols::Stream;
use tokio::io::AsyncReadExt as _;
use tokio::time::{Instant, timeout_at};

use super::idle::Idle;
use crate::reply::{Malformation, Rejection};
use crate::screen::{BodyFraming, Limits, screen};

/// Holds nearly every head, so that nearly every one is read at once.
pub(super) const USUAL_HEAD: usize = 4096;

/// What a request line has beside its target.
const METHOD_AND_VERSION: usize = 64;

/// How long a client may take.
pub(super) struct Patience {
    /// Until the first byte.
    pub first: Duration,
    /// From there to the end of the head.
    pub whole: Duration,
}

/// What came.
pub(super) enum Head {
    /// A request that goes on: what has come of it, how much of that is its head, and how its body is framed.
    Whole(BytesMut, usize, BodyFraming),
    /// Nothing, or not enough to answer: the client has gone or never spoke.
    None,
    /// A request that does not go on.
    Refused(Refused),
}

/// A request that does not go on.
pub(super) struct Refused {
    pub rejection: Rejection,
    /// What was read of it.
    pub head: BytesMut,
    /// When its first bytes were there.
    pub began: Instant,
}

impl Head {
    fn refused(rejection: Rejection, head: BytesMut, began: Option<Instant>) -> Self {
        Self::Refused(Refused { rejection, head, began: began.unwrap_or_else(Instant::now) })
    }
}

impl Refused {
    /// One that has just begun.
    pub(super) fn now(rejection: Rejection, head: BytesMut) -> Self {
        Self { rejection, head, began: Instant::now() }
    }
}

/// Reads until the empty line that ends a head, within the bounds that `limits` and `patience` set. `buffer` is what has come
/// of it already.
pub(super) async fn read(
    stream: &mut Stream,
    mut buffer: BytesMut,
    idle: &Idle,
    limits: &Limits,
    patience: &Patience,
) -> Head {
    let most = limits.uri.saturating_add(limits.headers).saturating_add(METHOD_AND_VERSION);
    if buffer.is_empty() {
        match idle.read(stream, &mut buffer, USUAL_HEAD, patience.first).await {
            Some(Ok(1..)) => {}
            Some(Ok(0) | Err(_)) | None => return Head::None,
        }
    }
    // Nearly every head is there at once, and nobody asks when it began.
    let mut began = None;
    let mut looked_at = 0;
    loop {
        match find_end(&buffer, looked_at) {
            Ok(Some(end)) => {
                return match screen(&buffer[..end], limits) {
                    Ok(framing) => Head::Whole(buffer, end, framing),
                    Err(rejection) => Head::refused(rejection, buffer, began),
                };
            }
            Ok(None) if buffer.len() > most => return Head::refused(too_large(&buffer), buffer, began),
            Ok(None) => looked_at = buffer.len(),
            Err(BareLineFeed) => return Head::refused(Rejection::Malformed(Malformation::LineEnd), buffer, began),
        }
        let deadline = *began.get_or_insert_with(Instant::now) + patience.whole;
        match timeout_at(deadline, stream.read_buf(&mut buffer)).await {
            Ok(Ok(1..)) => {}
            Ok(Ok(0) | Err(_)) => return Head::None,
            Err(_) => return Head::refused(Rejection::ClientTimedOut, buffer, began),
        }
    }
}

/// Where the head in `bytes` ends, and how the body behind it is framed; none when it is refused, or not whole.
pub(crate) fn whole(bytes: &[u8], limits: &Limits) -> Option<(usize, BodyFraming)> {
    let end = find_end(bytes, 0).ok()??;
    Some((end, screen(&bytes[..end], limits).ok()?))
}

/// A line that ends with `\n` alone: some servers take it for the end of a line, some do not (RFC 9112, section 2.2).
#[derive(Debug, PartialEq, Eq)]
struct BareLineFeed;

/// Where the head in `bytes` ends, if its end has come. The first `looked_at` bytes are known not to have it.
fn find_end(bytes: &[u8], looked_at: usize) -> Result<Option<usize>, BareLineFeed> {
    for found in memchr::memchr_iter(b'\n', &bytes[looked_at..]) {
        let line = &bytes[..looked_at + found];
        let Some(line) = line.strip_suffix(b"\r") else { return Err(BareLineFeed) };
        if line.ends_with(b"\r\n") {
            return Ok(Some(looked_at + found + 1));
        }
    }
    Ok(None)
}

fn too_large(unfinished: &[u8]) -> Rejection {
    if unfinished.contains(&b'\n') { Rejection::HeadersTooLarge } else { Rejection::UriTooLong }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_end_is_found_however_the_head_comes() {
        let head = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n";
        for first in 0..head.len() {
            assert_eq!(find_end(&head[..first], 0), Ok(None));
            assert_eq!(find_end(head, first), Ok(Some(head.len())), "after {first} bytes");
        }
        assert_eq!(find_end(&[head, &b"\r\n\r\n"[..]].concat(), 0), Ok(Some(head.len())));
    }

    #[test]
    fn a_bare_line_feed_is_no_end_of_a_line() {
        for bad in ["GET / HTTP/1.1\n", "GET / HTTP/1.1\r\nHost: a\n\r\n", "GET / HTTP/1.1\r\n\n", "\n"] {
            assert_eq!(find_end(bad.as_bytes(), 0), Err(BareLineFeed), "{bad:?}");
        }
    }
}
