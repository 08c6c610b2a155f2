//! Leaves a client of HTTP/2 the time to read its answer before what it still sends is given up.
//!
//! When an answer is whole and the request's body is not, `RST_STREAM` with `NO_ERROR` says that nobody wants the rest (RFC 9113,
//! section 8.1). Where both come at once, some clients (curl 7.88 is one) take the reset for all that was said. HTTP/1 has the
//! same on its connections: `server/refusal.rs`.

use std::time::Duration;

use pingora_core::Error;
use pingora_proxy::Session;
use tokio::time::timeout;

use crate::ctx::RequestContext;
use crate::reply;

/// How long a client is listened to after its answer: several ways there and back.
const LINGER: Duration = Duration::from_secs(1);

/// How much of its body is taken and thrown away. More than a stream's window (64 KiB) it sends only when it has read what stands
/// behind the answer.
const LINGER_BYTES: usize = 128 * 1024;

/// Waits until the client of an early answer has ended or given up its upload, but not long. An answer that broke off is not
/// for waiting: the reset is how its client learns of that.
pub(super) async fn over(session: &mut Session, error: Option<&Error>, ctx: &mut RequestContext) {
    let is_whole = (error.is_none() || ctx.failure_told) && reply::answered(session).is_some();
    if !session.is_http2() || !is_whole || session.is_body_done() {
        return;
    }
    // It is under way no longer.
    ctx.in_flight.clear();
    // In a box of its own, so that other requests do not carry the room for it.
    Box::pin(take_away(session)).await;
}

async fn take_away(session: &mut Session) {
    let uploading = async {
        let mut taken = 0;
        while taken < LINGER_BYTES {
            match session.read_request_body().await {
                Ok(Some(part)) => taken += part.len(),
                Ok(None) | Err(_) => break,
            }
        }
    };
    let _ = timeout(LINGER, uploading).await;
}
