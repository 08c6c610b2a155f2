//! Asks a target whether it is well.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use pingora_core::ErrorType as E;
use pingora_core::connectors::http::Connector;
use pingora_core::upstreams::peer::HttpPeer;
use pingora_core::{Error, OkOrErr, OrErr, Result};
use pingora_http::RequestHeader;
use pingora_load_balancing::Backend;
use pingora_load_balancing::health_check::HealthCheck;

use super::{Target, handshake_failure};
use crate::config::file::HealthCheckFile;

/// A `GET` on a connection of its own; a 2xx answer within the deadline is healthy.
pub(super) struct Probe {
    upstream: Box<str>,
    path: Box<str>,
    timeout: Duration,
    unhealthy_after: usize,
    healthy_after: usize,
    connector: Connector,
}

impl Probe {
    pub(super) fn new(upstream: &str, file: &HealthCheckFile) -> Self {
        Self {
            upstream: upstream.into(),
            path: file.path.as_str().into(),
            timeout: file.timeout.get(),
            unhealthy_after: file.unhealthy_after,
            healthy_after: file.healthy_after,
            connector: Connector::new(None),
        }
    }

    async fn ask(&self, target: &Target) -> Result<()> {
        let mut peer = HttpPeer::clone(&target.peer());
        // One that has its only stream is in no pool, and ends with it.
        peer.options.max_h2_streams = 1;
        let (mut session, _) = self.connector.get_http_session(&peer).await?;
        let mut request = RequestHeader::build("GET", self.path.as_bytes(), Some(3))?;
        match target.host() {
            Some(host) => request.insert_header("Host", host.clone())?,
            None => request.insert_header("Host", target.authority())?,
        }
        request.insert_header("User-Agent", "order-processor-gateway-health-check")?;
        if session.as_http2().is_none() {
            request.insert_header("Connection", "close")?;
        }
        session.write_request_header(Box::new(request)).await?;
        session.finish_request_body().await?;
        session.read_response_header().await?;
        let status = session.response_header().map(|response| response.status);
        match status {
            Some(status) if status.is_success() => Ok(()),
            Some(status) => Error::err(E::HTTPStatus(status.as_u16())),
            None => Error::err(E::InvalidHTTPHeader),
        }
    }
}

#[async_trait]
impl HealthCheck for Probe {
    async fn check(&self, backend: &Backend) -> Result<()> {
        let target = backend.ext.get::<Arc<Target>>().or_err(E::InternalError, "a member without a target")?;
        let answer = tokio::time::timeout(self.timeout, self.ask(target)).await;
        let found = answer.or_err(E::ReadTimedout, "no answer within the probe's deadline").flatten();
        target.probed(found.as_ref().map(|&()| ()).map_err(|error| told(error)));
        found
    }

    async fn health_status_change(&self, backend: &Backend, healthy: bool) {
        if let Some(target) = backend.ext.get::<Arc<Target>>() {
            target.set_healthy(healthy);
            let (upstream, reason, target) = (&*self.upstream, target.probe_failure(), target.label());
            if healthy {
                tracing::info!(upstream, target, "target is healthy again");
            } else {
                tracing::warn!(upstream, target, reason, "target is unhealthy and gets no more requests");
            }
        }
    }

    fn backend_summary(&self, backend: &Backend) -> String {
        format!("{} of upstream {}", backend.addr, self.upstream)
    }

    fn health_threshold(&self, success: bool) -> usize {
        if success { self.healthy_after } else { self.unhealthy_after }
    }
}

/// Why a probe failed, in a few words for whoever looks after the target.
fn told(error: &Error) -> Box<str> {
    match error.etype() {
        E::HTTPStatus(status) => format!("answered {status}").into(),
        E::ConnectRefused => "connection refused".into(),
        E::ConnectTimedout | E::TLSHandshakeTimedout | E::ReadTimedout | E::WriteTimedout => "timed out".into(),
        E::TLSHandshakeFailure | E::InvalidCert | E::HandshakeError => match handshake_failure(error) {
            Some(cause) => format!("TLS handshake failed: {cause}").into(),
            None => "TLS handshake failed".into(),
        },
        E::ReadError | E::WriteError | E::ConnectionClosed => "connection broken".into(),
        E::InvalidHTTPHeader | E::H1Error | E::H2Error | E::InvalidH2 => "answered no HTTP".into(),
        _ => "cannot be reached".into(),
    }
}
