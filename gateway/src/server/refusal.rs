//! Answers, counts and logs what ends before it is a request: a head that cannot be read, a connection too many.

use std::time::{Duration, SystemTime};

use pingora_core::protocols::{Shutdown, Stream};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt};
use tokio::time::timeout;

use super::Shared;
use super::head::Refused;
use crate::access_log::{Line, Timestamp};
use crate::client_addr::PeerAddr;
use crate::ctx::new_request_id;
use crate::reply::{self, Rejection};

/// How long, and for how many bytes, a refused client is listened to after its answer. Closed at once, a connection with
/// unread bytes is reset, and the client may never see why (RFC 9112, section 9.6).
const LINGER: Duration = Duration::from_millis(500);
const LINGER_BYTES: u64 = 64 * 1024;

/// Answers the request that does not go on, and closes its connection.
pub(super) async fn send(shared: &Shared, mut stream: Stream, refused: Refused) {
    let Refused { rejection, head, began: started } = refused;
    let now = SystemTime::now();
    let began = now.checked_sub(started.elapsed()).unwrap_or(now);
    let request_id = new_request_id(now);
    let request_id = request_id.to_str().unwrap_or_default();
    let request = Fragment::of(&head);
    let (answer, body) = reply::closing(&rejection, request_id, request.method == "HEAD");
    let write_timeout = shared.snapshot.load().client_timeouts.write;
    let sent = timeout(write_timeout, write(&mut stream, &answer)).await.is_ok_and(|written| written.is_ok());
    let elapsed = started.elapsed();

    let status = rejection.describe().0;
    shared.metrics.unrouted.answered(sent.then_some(status), elapsed.as_secs_f64());
    shared.metrics.unrouted.rejected(rejection.code());
    shared.metrics.because(rejection.code(), rejection.reason());
    if shared.access_log.is_enabled() {
        shared.access_log.write(&Line {
            method: request.method,
            path: request.path,
            status: sent.then_some(status.as_u16()),
            bytes_out: if sent { body as u64 } else { 0 },
            duration: elapsed,
            reason: rejection.reason(),
            ..line(began, request_id, peer(&stream), rejection.code())
        });
    }
    // One too many has no place in which to linger.
    if sent && rejection != Rejection::TooManyConnections {
        linger(&mut stream).await;
    }
}

/// Ends the connection of a client that may still be sending, and listens for a while, so that no reset overtakes the answer.
pub(super) async fn end(stream: &mut Stream) {
    // Over TLS there is something to be sent, which nobody may ever take.
    let _ = timeout(LINGER, Shutdown::shutdown(&mut **stream)).await;
    linger(stream).await;
}

/// Listens for a while to a client that was told already that nobody does.
async fn linger(stream: &mut Stream) {
    let rest = &mut stream.take(LINGER_BYTES);
    let _ = timeout(LINGER, tokio::io::copy(rest, &mut tokio::io::sink())).await;
}

/// Counts and logs what was refused with `code` before its head could be seen.
pub(super) fn note(shared: &Shared, peer: PeerAddr, code: &'static str, reason: Option<&'static str>) {
    shared.metrics.unrouted.rejected(code);
    shared.metrics.because(code, reason);
    if shared.access_log.is_enabled() {
        let began = SystemTime::now();
        let request_id = new_request_id(began);
        let line = line(began, request_id.to_str().unwrap_or_default(), peer, code);
        shared.access_log.write(&Line { reason, ..line });
    }
}

/// The line of a request of which nothing is known but who sent it and why it was refused.
fn line<'l>(began: SystemTime, request_id: &'l str, peer: PeerAddr, code: &'static str) -> Line<'l> {
    Line {
        timestamp: Timestamp::of(began),
        request_id,
        client: peer.into(),
        method: "",
        host: "",
        path: "",
        route: "none",
        status: None,
        rejected: Some(code),
        reason: None,
        rule: None,
        limited_by: None,
        limit_mode: None,
        would_be_limited_by: None,
        user: None,
        upstream: None,
        target: None,
        retries: 0,
        connect: None,
        upstream_time: None,
        bytes_in: 0,
        bytes_out: 0,
        duration: Duration::ZERO,
        error: None,
    }
}

async fn write(stream: &mut Stream, answer: &[u8]) -> std::io::Result<()> {
    stream.write_all(answer).await?;
    stream.flush().await?;
    AsyncWriteExt::shutdown(stream).await
}

/// Whose connection `stream` is.
pub(super) fn peer(stream: &Stream) -> PeerAddr {
    let digest = stream.get_socket_digest();
    let addr = digest.as_ref().and_then(|digest| digest.peer_addr()?.as_inet());
    addr.map_or(PeerAddr::UNKNOWN, |addr| PeerAddr::new(addr.ip()))
}

/// What can be told of a request that cannot be read.
struct Fragment<'h> {
    method: &'h str,
    path: &'h str,
}

impl<'h> Fragment<'h> {
    fn of(head: &'h [u8]) -> Self {
        let mut request = httparse::Request::new(&mut []);
        // Fails at the first header at the latest; by then the line above it was read.
        let _ = request.parse(head);
        let target = request.path.unwrap_or_default();
        // Without the query, in which there may be secrets, and without an authority, in which there may be a password.
        let path = target.split('?').next().filter(|path| path.starts_with('/'));
        Self { method: request.method.unwrap_or_default(), path: path.unwrap_or_default() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn method_and_path_are_told_and_secrets_are_not() {
        let told = |head: &'static str| {
            let fragment = Fragment::of(head.as_bytes());
            (fragment.method, fragment.path)
        };
        assert_eq!(told("GET /a?token=hush HTTP/1.1\r\nHost: a\r\nbad header\r\n\r\n"), ("GET", "/a"));
        assert_eq!(told("GET http://me:hush@a/ HTTP/1.1\r\n\r\n"), ("GET", ""));
        assert_eq!(told("hush\0"), ("", ""));
        assert_eq!(told(""), ("", ""));
    }
}
