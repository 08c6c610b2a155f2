//! Every series the gateway offers, and the handles that requests count with.
//!
//! Labels come from the configuration, from fixed lists, from name servers (addresses of targets) and from the statuses of
//! answers, never from what a client sends. Handles are made when the configuration is compiled, or once when a status is first
//! seen; counting is an atomic addition.
//!
//! What is counted for a route, an upstream or a policy belongs to it, and is registered only to be shown. So a name that a
//! reload took away leaves `/metrics` at once, a request that outlives the reload cannot bring it back, and a name that
//! comes back begins at zero.

use std::sync::{Arc, OnceLock};

use http::StatusCode;
use prometheus::{Histogram, HistogramOpts, IntCounter, IntCounterVec, IntGauge, IntGaugeVec, Opts, Registry, Result};

use crate::config::file::NO_ROUTE;
use crate::upstream::Pool;

/// Seconds, as OpenTelemetry's semantic conventions advise for `http.server.request.duration`.
pub(crate) const DURATION_BUCKETS: [f64; 14] =
    [0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1.0, 2.5, 5.0, 7.5, 10.0];

/// The series of the gateway as a whole.
pub(crate) struct Metrics {
    /// 1 when the last reload took the file, 0 when it kept the one before.
    pub config_last_reload_success: IntGauge,
    /// Reloads that took the file.
    pub config_reloads: IntCounter,
    /// Access-log lines that found the queue full.
    pub access_log_dropped: IntCounter,
    /// Client connections that are open.
    pub connections: IntGauge,
    /// Connections whose TLS handshake failed.
    pub tls_failures: IntCounter,
    /// Rejections whose code has several causes.
    reasons: IntCounterVec,
    /// Requests that no route took.
    pub unrouted: Arc<RouteMetrics>,
}

impl Metrics {
    /// Registers the series in `registry`, but for those of requests that no route took: they are shown beside the routes'.
    ///
    /// # Errors
    /// When a series of one of these names is registered already.
    pub(crate) fn register(registry: &Registry) -> Result<Self> {
        let config_last_reload_success =
            IntGauge::new("gateway_config_last_reload_success", "Whether the last reload took the file")?;
        let config_reloads = IntCounter::new("gateway_config_reloads_total", "Reloads that took the file")?;
        let access_log_dropped =
            IntCounter::new("gateway_access_log_dropped_total", "Access-log lines that found the queue full")?;
        let connections = IntGauge::new("gateway_connections", "Client connections that are open")?;
        registry.register(Box::new(config_last_reload_success.clone()))?;
        registry.register(Box::new(config_reloads.clone()))?;
        registry.register(Box::new(access_log_dropped.clone()))?;
        let tls_failures =
            IntCounter::new("gateway_tls_handshake_failures_total", "Connections whose TLS handshake failed")?;
        registry.register(Box::new(connections.clone()))?;
        registry.register(Box::new(tls_failures.clone()))?;
        let reasons =
            Opts::new("gateway_rejection_reasons_total", "Rejections whose code has several causes, by cause");
        let reasons = IntCounterVec::new(reasons, &["code", "reason"])?;
        registry.register(Box::new(reasons.clone()))?;
        config_last_reload_success.set(1);
        let unrouted = Arc::new(RouteMetrics::new(NO_ROUTE)?);
        Ok(Self {
            config_last_reload_success,
            config_reloads,
            access_log_dropped,
            connections,
            tls_failures,
            reasons,
            unrouted,
        })
    }

    /// Counts for which `reason` something was refused with `code`, if that has several.
    pub(crate) fn because(&self, code: &'static str, reason: Option<&'static str>) {
        if let Some(reason) = reason {
            self.reasons.with_label_values(&[code, reason]).inc();
        }
    }
}

/// The counter of the requests of `route` for which `upstream` was chosen among several.
///
/// # Errors
/// Never: the name and the labels are legal.
pub(crate) fn choices(route: &str, upstream: &str) -> Result<IntCounter> {
    let help = "Requests of split routes, by route and the upstream that was chosen";
    let opts = Opts::new("gateway_split_requests_total", help);
    IntCounter::with_opts(opts.const_label("route", route).const_label("upstream", upstream))
}

/// Whether each target of `pools` gets requests. Asked for when it is shown and kept nowhere, so that a target that a reload
/// or a name server took away alarms nobody.
///
/// # Errors
/// Never: the name and the labels are legal.
pub(crate) fn target_health<'p>(pools: impl IntoIterator<Item = &'p Arc<Pool>>) -> Result<IntGaugeVec> {
    let healthy = IntGaugeVec::new(
        Opts::new("gateway_upstream_healthy", "Whether a target gets requests"),
        &["upstream", "target"],
    )?;
    for pool in pools {
        for target in pool.targets() {
            healthy.with_label_values(&[pool.name(), &*target.label]).set(i64::from(target.healthy));
        }
    }
    Ok(healthy)
}

/// The handles that requests of one route count with.
pub(crate) struct RouteMetrics {
    requests: IntCounterVec,
    by_status: [OnceLock<IntCounter>; STATUSES.len()],
    duration: Histogram,
    rejections: IntCounterVec,
    expression_doubts: IntCounter,
}

/// Statuses with a handle of their own; the others are looked up.
const STATUSES: [u16; 25] = [
    200, 201, 202, 204, 206, 301, 302, 303, 304, 307, 308, 400, 401, 403, 404, 405, 408, 409, 413, 422, 429, 500, 502,
    503, 504,
];

impl RouteMetrics {
    /// The handles of the route `name`, at zero.
    ///
    /// # Errors
    /// Never: the names and labels are legal.
    pub(crate) fn new(name: &str) -> Result<Self> {
        let requests = Opts::new("gateway_requests_total", "Requests answered, by route and status");
        let duration =
            HistogramOpts::new("gateway_request_duration_seconds", "Time from a request's head to its last byte out");
        let rejections = Opts::new("gateway_rejections_total", "Requests the gateway answered itself, by code");
        let doubts = Opts::new(
            "gateway_expression_errors_total",
            "Expressions without an answer for a request, and claims for a limit that are no number, by route",
        );
        Ok(Self {
            requests: IntCounterVec::new(requests.const_label("route", name), &["status"])?,
            by_status: Default::default(),
            duration: Histogram::with_opts(duration.buckets(DURATION_BUCKETS.to_vec()).const_label("route", name))?,
            rejections: IntCounterVec::new(rejections.const_label("route", name), &["code"])?,
            expression_doubts: IntCounter::with_opts(doubts.const_label("route", name))?,
        })
    }

    /// Puts its series into `registry`, where they are shown beside those of other routes.
    ///
    /// # Errors
    /// When it has the series of a route of this name already.
    pub(crate) fn register(&self, registry: &Registry) -> Result<()> {
        registry.register(Box::new(self.requests.clone()))?;
        registry.register(Box::new(self.duration.clone()))?;
        registry.register(Box::new(self.expression_doubts.clone()))?;
        registry.register(Box::new(self.rejections.clone()))
    }

    /// Counts a request that was answered with `status` (`None`: the client was gone first) after `seconds`.
    pub(crate) fn answered(&self, status: Option<StatusCode>, seconds: f64) {
        self.duration.observe(seconds);
        let status = status.map_or(0, |status| status.as_u16());
        match STATUSES.iter().position(|known| *known == status) {
            Some(position) => self.by_status[position].get_or_init(|| self.counter(status)).inc(),
            None => self.counter(status).inc(),
        }
    }

    /// Counts an answer of the gateway's own.
    pub(crate) fn rejected(&self, code: &'static str) {
        self.rejections.with_label_values(&[code]).inc();
    }

    /// The counter of its expressions that had no answer for a request.
    pub(crate) const fn expression_doubts(&self) -> &IntCounter {
        &self.expression_doubts
    }

    fn counter(&self, status: u16) -> IntCounter {
        match status {
            0 => self.requests.with_label_values(&["client_gone"]),
            100..=599 => self.requests.with_label_values(&[&*status.to_string()]),
            _ => self.requests.with_label_values(&["other"]),
        }
    }
}
