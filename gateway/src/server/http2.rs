//! Serves one HTTP/2 connection: many requests at once, each of which the proxy takes from Pingora whole.
//!
//! Not with Pingora's own loop: that ends a connection without a word, and neither counts nor logs what it refuses.

use std::future::poll_fn;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use h2::Reason;
use pingora_core::Error;
use pingora_core::apps::HttpServerApp as _;
use pingora_core::protocols::http::ServerSession;
use pingora_core::protocols::http::v2::server::{H2Accept, HttpSession, handshake};
use pingora_core::protocols::{Digest, Stream};
use pingora_core::server::ShutdownWatch;
use pingora_proxy::HttpProxy;
use tokio::sync::Notify;
use tokio::time::{sleep, timeout};

use super::{Shared, refusal};
use crate::ctx::InFlight;
use crate::proxy::Proxy;
use crate::reply::{Malformation, Rejection};

/// Requests that cannot be read, and are no mistake of the frames: with so many of them a connection is ended. As many as Pingora takes.
const MOST_MALFORMED: usize = 32;

/// How long the last frame of a connection may take to be written.
const LAST_FRAME: Duration = Duration::from_secs(1);

/// What logs and metrics say of a client that goes beyond what one connection may do.
const ABUSE: &str = "http2_abuse";

/// Serves `stream` to its end. A client that makes no request in the time that a head may take is not waited for, and one
/// that makes no further one not longer than connections may be idle.
pub(super) async fn serve(
    shared: &Arc<Shared>,
    proxy: &Arc<HttpProxy<Proxy>>,
    stream: Stream,
    shutdown: &ShutdownWatch,
) {
    // A stop waits for the connection, not only for its requests: what they are answered with may not be written yet.
    let _open = InFlight::enter(&shared.in_flight);
    let (limits, mut left, timeouts) = {
        let snapshot = shared.snapshot.load();
        (snapshot.http2, snapshot.requests_per_connection, snapshot.client_timeouts)
    };
    let digest = Arc::new(Digest {
        ssl_digest: stream.get_ssl_digest(),
        timing_digest: stream.get_timing_digest(),
        proxy_digest: stream.get_proxy_digest(),
        socket_digest: stream.get_socket_digest(),
    });
    let peer = refusal::peer(&stream);
    let Ok(Ok(mut connection)) = timeout(timeouts.header, handshake(stream, Some(limits.options()))).await else {
        return;
    };
    let mut shutdown = shutdown.clone();
    let under_way = Arc::new(UnderWay::default());
    let (mut patience, mut malformed, mut leaving) = (timeouts.header, 0, false);
    let reason = loop {
        let next = tokio::select! {
            biased;
            // An error means that the sender is gone, which is an end too.
            _ = shutdown.changed(), if !leaving => {
                leaving = true;
                connection.graceful_shutdown();
                continue;
            }
            next = HttpSession::from_h2_conn(&mut connection, Arc::clone(&digest)) => next,
            () = under_way.none_for(patience) => break Reason::NO_ERROR,
        };
        match next {
            Ok(Some(H2Accept::Session(session))) => {
                patience = timeouts.keepalive;
                let (proxy, shutdown, place) = (Arc::clone(proxy), shutdown.clone(), under_way.enter());
                tokio::spawn(async move {
                    let _place = place;
                    proxy.process_new_http(ServerSession::new_http2(session), &shutdown).await;
                });
                left = left.saturating_sub(1);
                if left == 0 && !leaving {
                    leaving = true;
                    connection.graceful_shutdown();
                }
            }
            Ok(Some(H2Accept::Rejected)) => {
                let malformed_request = Rejection::Malformed(Malformation::Http2Request);
                refusal::note(shared, peer, malformed_request.code(), malformed_request.reason());
                malformed += 1;
                if malformed == MOST_MALFORMED {
                    refusal::note(shared, peer, ABUSE, None);
                    break Reason::ENHANCE_YOUR_CALM;
                }
            }
            Ok(None) => return,
            Err(error) => {
                if let Some((code, reason)) = fault(&error) {
                    refusal::note(shared, peer, code, reason);
                }
                return;
            }
        }
    };
    connection.abrupt_shutdown(reason);
    // Whether it is heard or not, the connection ends.
    let _ = timeout(LAST_FRAME, poll_fn(|cx| connection.poll_closed(cx))).await;
}

/// What the client did wrong when a connection ended with `error`, as code and reason; none when it is only gone.
fn fault(error: &Error) -> Option<(&'static str, Option<&'static str>)> {
    let error: &h2::Error = error.root_cause().downcast_ref()?;
    let reason = error.reason().filter(|_| error.is_library())?;
    let malformed = Rejection::Malformed(Malformation::Http2Frames);
    Some(if reason == Reason::ENHANCE_YOUR_CALM { (ABUSE, None) } else { (malformed.code(), malformed.reason()) })
}

/// Counts the requests of a connection that are under way.
#[derive(Default)]
struct UnderWay {
    count: AtomicUsize,
    none: Notify,
}

/// A request's place in the count, until it is dropped.
struct Place(Arc<UnderWay>);

impl UnderWay {
    fn enter(self: &Arc<Self>) -> Place {
        self.count.fetch_add(1, Ordering::Relaxed);
        Place(Arc::clone(self))
    }

    /// Ends when none has been under way for so long. Whoever asks stops asking when one comes.
    async fn none_for(&self, long: Duration) {
        while self.count.load(Ordering::Relaxed) > 0 {
            self.none.notified().await;
        }
        sleep(long).await;
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        if self.0.count.fetch_sub(1, Ordering::Relaxed) == 1 {
            self.0.none.notify_one();
        }
    }
}
