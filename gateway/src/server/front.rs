//! Stands before Pingora's proxy: lets a bounded number of connections in, and hands over one whole head after the other.

use std::sync::Arc;

use async_trait::async_trait;
use bytes::BytesMut;
use pingora_core::apps::{HttpServerApp as _, ServerApp};
use pingora_core::listeners::tls::Acceptor;
use pingora_core::protocols::http::ServerSession;
use pingora_core::protocols::tls::server::handshake_with_callback;
use pingora_core::protocols::{ALPN, Stream, l4};
use pingora_core::server::ShutdownWatch;
use pingora_proxy::HttpProxy;
use prometheus::IntGauge;
use tokio::time::timeout;

use super::extent::Extent;
use super::head::{self, Head, Patience, Refused};
use super::idle::Idle;
use super::listen::Transport;
use super::preface::{self, Beginning};
use super::turn::Turns;
use super::{Shared, http2, refusal};
use crate::proxy::Proxy;
use crate::reply::Rejection;

/// To Pingora: that a connection may be used again. For how long it may be idle is said here.
const REUSABLE: Option<u64> = Some(60);

/// The connections that one worker has of the plain listeners, or of those with TLS.
pub(super) struct Front {
    shared: Arc<Shared>,
    proxy: Arc<HttpProxy<Proxy>>,
    over: Transport,
    /// Who waits for another request. Closed with the listeners: from then on nobody does.
    idle: Arc<Idle>,
}

impl Front {
    pub(super) fn new(shared: Arc<Shared>, proxy: Arc<HttpProxy<Proxy>>, over: Transport, idle: Arc<Idle>) -> Self {
        Self { shared, proxy, over, idle }
    }

    /// `stream` with TLS over it; none when the client does not get there in time.
    async fn shake_hands(&self, stream: Stream) -> Option<Stream> {
        let ((tls, introduction), within) = {
            let snapshot = self.shared.snapshot.load();
            (snapshot.tls.as_ref()?.handshake(), snapshot.client_timeouts.header)
        };
        // What Pingora accepts is a socket of its own, and its TLS wants to know which.
        let socket = stream.into_any().downcast::<l4::stream::Stream>().ok()?;
        let acceptor = Acceptor::from_server_config(tls);
        let shaking = async {
            match introduction {
                Some(introduction) => {
                    introduction.witness(handshake_with_callback(&acceptor, *socket, &introduction)).await
                }
                None => acceptor.tls_handshake(*socket).await,
            }
        };
        match timeout(within, shaking).await {
            Ok(Ok(stream)) => return Some(Box::new(stream)),
            // Whoever likes can cause this, so it is only told to those who look for it.
            Ok(Err(error)) => tracing::debug!(%error, "TLS handshake failed"),
            Err(_) => tracing::debug!("TLS handshake timed out"),
        }
        self.shared.metrics.tls_failures.inc();
        None
    }

    /// The next request of a connection that has had one before, or not; none when the connection is at its end.
    async fn next_request(&self, turns: &mut Turns, reused: bool) -> Option<Result<BytesMut, Refused>> {
        let (limits, patience) = {
            let snapshot = self.shared.snapshot.load();
            let timeouts = &snapshot.client_timeouts;
            let first = if reused { timeouts.keepalive } else { timeouts.header };
            (snapshot.limits, Patience { first, whole: timeouts.header })
        };
        let (begun, stream) = turns.next()?;
        match head::read(stream, begun, &self.idle, &limits, &patience).await {
            Head::Whole(bytes, head, framing) => {
                let begun = turns.begin(bytes, head, Extent::of(framing, limits.headers));
                Some(begun.map_err(|(bad, bytes)| Refused::now(bad.into(), bytes)))
            }
            Head::Refused(refused) => Some(Err(refused)),
            Head::None => None,
        }
    }
}

#[async_trait]
impl ServerApp for Front {
    async fn process_new(self: &Arc<Self>, mut stream: Stream, shutdown: &ShutdownWatch) -> Option<Stream> {
        let most = self.shared.snapshot.load().most_connections;
        let Some(place) = OpenConnection::enter(&self.shared.metrics.connections, most) else {
            if self.over != Transport::Tls {
                let refused = Refused::now(Rejection::TooManyConnections, BytesMut::new());
                refusal::send(&self.shared, stream, refused).await;
            } else {
                // It could only be told after a handshake, which costs what the cap is there to save.
                self.shared.metrics.unrouted.rejected(Rejection::TooManyConnections.code());
            }
            return None;
        };
        if self.over == Transport::Tls {
            // In a place of its own, which is free again when it is over: a connection keeps its own as large as the largest part.
            stream = Box::pin(self.shake_hands(stream)).await?;
            if stream.selected_alpn_proto() == Some(ALPN::H2) {
                http2::serve(&self.shared, &self.proxy, stream, shutdown).await;
                return None;
            }
        }
        let mut ahead = BytesMut::new();
        if self.over == Transport::H2c {
            let within = self.shared.snapshot.load().client_timeouts.header;
            match preface::read(&mut stream, &self.idle, within).await? {
                Beginning::Http2(start) => {
                    // What Pingora accepts is a socket of its own, which can be given bytes back.
                    let mut socket = stream.into_any().downcast::<l4::stream::Stream>().ok()?;
                    socket.rewind(&start);
                    http2::serve(&self.shared, &self.proxy, socket, shutdown).await;
                    return None;
                }
                Beginning::Other(start) => ahead = start,
            }
        }
        let mut turns = Box::new(Turns::new(stream, ahead, place));
        let mut reused = false;
        let mut left = self.shared.snapshot.load().requests_per_connection;
        loop {
            let request = match self.next_request(&mut turns, reused).await? {
                Ok(request) => request,
                Err(refused) => {
                    let (stream, _place) = turns.into_parts()?;
                    refusal::send(&self.shared, stream, refused).await;
                    return None;
                }
            };
            let mut session = ServerSession::new_http1(turns);
            session.set_keepalive(REUSABLE);
            left = left.saturating_sub(1);
            session.set_keepalive_reuses_remaining(Some(left));
            session.set_pipelined_prefix(request);
            let (stream, _) = self.proxy.process_new_http(session, shutdown).await?.consume();
            turns = stream.into_any().downcast().ok()?;
            reused = true;
        }
    }

    async fn cleanup(&self) {
        self.idle.close();
        self.proxy.http_cleanup().await;
    }
}

/// Counts a connection as open until it is dropped.
#[derive(Debug)]
pub(super) struct OpenConnection(IntGauge);

impl OpenConnection {
    /// Counts one more, unless there are `most` already. Workers that ask at the same moment may let in one each.
    fn enter(open: &IntGauge, most: i64) -> Option<Self> {
        (open.get() < most).then(|| {
            open.inc();
            Self(open.clone())
        })
    }
}

impl Drop for OpenConnection {
    fn drop(&mut self) {
        self.0.dec();
    }
}
