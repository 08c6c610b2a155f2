//! Stands before Pingora's proxy, which waits for the first head of a connection by a time-out of its own, a minute.

use std::sync::Arc;

use async_trait::async_trait;
use pingora_core::apps::{HttpServerApp, HttpServerOptions, ReusedHttpStream};
use pingora_core::protocols::http::ServerSession;
use pingora_core::server::ShutdownWatch;
use pingora_proxy::HttpProxy;

use super::Shared;
use crate::proxy::Proxy;

/// More than any client makes on one connection. Pingora counts down from it, so who has all of them left is new.
const REQUESTS_PER_CONNECTION: u32 = u32::MAX;

/// The proxy, with the configured time-out from the first byte on.
pub(super) struct Front {
    shared: Arc<Shared>,
    proxy: Arc<HttpProxy<Proxy>>,
    options: HttpServerOptions,
}

impl Front {
    pub(super) fn new(shared: Arc<Shared>, proxy: HttpProxy<Proxy>) -> Self {
        let mut options = HttpServerOptions::default();
        options.keepalive_request_limit = Some(REQUESTS_PER_CONNECTION);
        Self { shared, proxy: Arc::new(proxy), options }
    }
}

#[async_trait]
impl HttpServerApp for Front {
    async fn process_new_http(
        self: &Arc<Self>,
        mut session: ServerSession,
        shutdown: &ShutdownWatch,
    ) -> Option<ReusedHttpStream> {
        if session.get_keepalive_reuses_remaining() == Some(REQUESTS_PER_CONNECTION) {
            // Without keep-alive, which the head will decide on, the read time-out is the one that counts.
            session.set_keepalive(None);
            session.set_read_timeout(Some(self.shared.snapshot.load().client_timeouts.read));
        }
        self.proxy.process_new_http(session, shutdown).await
    }

    fn server_options(&self) -> Option<&HttpServerOptions> {
        Some(&self.options)
    }

    async fn http_cleanup(&self) {
        self.proxy.http_cleanup().await;
    }
}
