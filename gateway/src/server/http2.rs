//! Serves one HTTP/2 connection: many requests at once, each of which the proxy takes from Pingora whole.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use async_trait::async_trait;
use pingora_core::apps::{HttpServerApp, HttpServerOptions, ReusedHttpStream, ServerApp as _};
use pingora_core::protocols::Stream;
use pingora_core::protocols::http::ServerSession;
use pingora_core::protocols::http::v2::server::H2Options;
use pingora_core::server::ShutdownWatch;
use pingora_proxy::HttpProxy;
use tokio::time::sleep;

use super::Shared;
use crate::ctx::InFlight;
use crate::proxy::Proxy;

/// A connection, and whether a request has come on it.
struct Connection {
    proxy: Arc<HttpProxy<Proxy>>,
    begun: AtomicBool,
}

/// Serves `stream` to its end. A client that makes no request in the time that a head may take is not waited for: Pingora
/// waits for the first bytes of HTTP/2 without end.
pub(super) async fn serve(shared: &Shared, proxy: &Arc<HttpProxy<Proxy>>, stream: Stream, shutdown: &ShutdownWatch) {
    // A stop waits for the connection, not only for its requests: what they are answered with may not be written yet.
    let _open = InFlight::enter(&shared.in_flight);
    let within = shared.snapshot.load().client_timeouts.header;
    let connection = Arc::new(Connection { proxy: Arc::clone(proxy), begun: AtomicBool::new(false) });
    let mut serving = connection.process_new(stream, shutdown);
    tokio::select! {
        _ = &mut serving => {}
        () = sleep(within) => {
            if connection.begun.load(Ordering::Relaxed) {
                serving.await;
            }
        }
    }
}

#[async_trait]
impl HttpServerApp for Connection {
    async fn process_new_http(
        self: &Arc<Self>,
        session: ServerSession,
        shutdown: &ShutdownWatch,
    ) -> Option<ReusedHttpStream> {
        self.begun.store(true, Ordering::Relaxed);
        self.proxy.process_new_http(session, shutdown).await
    }

    fn h2_options(&self) -> Option<H2Options> {
        self.proxy.h2_options()
    }

    fn server_options(&self) -> Option<&HttpServerOptions> {
        self.proxy.server_options()
    }
}
