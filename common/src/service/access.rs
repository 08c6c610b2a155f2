//! One log line and one measurement for each request.

use std::sync::Arc;
use std::time::Instant;

use poem::http::Method;
use poem::{Endpoint, IntoResponse, Request, Response, Result};
use prometheus::{HistogramOpts, HistogramVec, Registry};

use super::routes::Routes;

/// Where requests are logged and measured.
pub(super) struct AccessLog {
    service: &'static str,
    seconds: HistogramVec,
}

impl AccessLog {
    pub(super) fn new(service: &'static str, registry: &Registry) -> Result<Self, prometheus::Error> {
        let options = HistogramOpts::new("http_server_request_duration_seconds", "Time from request to answer")
            .buckets(vec![0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1.0, 2.5, 5.0, 7.5, 10.0]);
        let seconds = HistogramVec::new(options, &["method", "route", "status"])?;
        registry.register(Box::new(seconds.clone()))?;
        Ok(Self { service, seconds })
    }
}

/// Logs and measures what comes back; the server sees a request through even if its client hangs up. The path is shown as its route's template, for a raw one may hold anything.
pub(super) async fn observed<E: Endpoint>(
    next: Arc<E>,
    request: Request,
    log: Arc<AccessLog>,
    routes: Arc<Routes>,
) -> Result<Response> {
    let started = Instant::now();
    let method = method_label(request.method());
    let response = next.call(request).await?.into_response();
    let elapsed = started.elapsed();
    let (status, route) = (response.status(), routes.template(response.data()));
    log.seconds.with_label_values(&[method, route, status.as_str()]).observe(elapsed.as_secs_f64());
    let (status, duration_ms) = (status.as_u16(), elapsed.as_micros() as f64 / 1000.0);
    if matches!(route, "/health" | "/ready" | "/metrics") {
        tracing::debug!(target: "access", server = log.service, method, route, status, duration_ms, "request");
    } else {
        tracing::info!(target: "access", server = log.service, method, route, status, duration_ms, "request");
    }
    Ok(response)
}

/// The method's name, from a bounded set: anybody may invent methods, but not series.
fn method_label(method: &Method) -> &'static str {
    match method.as_str() {
        "GET" => "GET",
        "HEAD" => "HEAD",
        "POST" => "POST",
        "PUT" => "PUT",
        "PATCH" => "PATCH",
        "DELETE" => "DELETE",
        "OPTIONS" => "OPTIONS",
        _ => "_OTHER",
    }
}
