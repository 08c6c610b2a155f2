//! Asks a target whether it is well.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use pingora_core::connectors::http::Connector;
use pingora_core::{Error, ErrorType, OkOrErr, OrErr, Result};
use pingora_http::RequestHeader;
use pingora_load_balancing::Backend;
use pingora_load_balancing::health_check::HealthCheck;

use super::Target;
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
        let (mut session, _) = self.connector.get_http_session(target.peer()).await?;
        let mut request = RequestHeader::build("GET", self.path.as_bytes(), Some(3))?;
        request.insert_header("Host", target.authority())?;
        request.insert_header("User-Agent", "order-processor-gateway-health-check")?;
        request.insert_header("Connection", "close")?;
        session.write_request_header(Box::new(request)).await?;
        session.finish_request_body().await?;
        session.read_response_header().await?;
        let status = session.response_header().map(|response| response.status);
        match status {
            Some(status) if status.is_success() => Ok(()),
            _ => Error::e_explain(ErrorType::InternalError, format!("answered {status:?}")),
        }
    }
}

#[async_trait]
impl HealthCheck for Probe {
    async fn check(&self, backend: &Backend) -> Result<()> {
        let target = backend.ext.get::<Arc<Target>>().or_err(ErrorType::InternalError, "a member without a target")?;
        let answer = tokio::time::timeout(self.timeout, self.ask(target)).await;
        answer.or_err(ErrorType::ReadTimedout, "no answer within the probe's deadline")?
    }

    async fn health_status_change(&self, backend: &Backend, healthy: bool) {
        if let Some(target) = backend.ext.get::<Arc<Target>>() {
            let (upstream, target) = (&*self.upstream, target.label());
            if healthy {
                tracing::info!(upstream, target, "target is healthy again");
            } else {
                tracing::warn!(upstream, target, "target is unhealthy and gets no more requests");
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
