//! Every series the gateway offers, and the handles that requests count with.
//!
//! Labels come from the configuration and from fixed lists only, never from what a client sends. Handles are made when
//! the configuration is compiled, or once when a status is first seen; counting is an atomic addition.

use std::sync::{Arc, OnceLock};

use http::StatusCode;
use prometheus::core::Collector as _;
use prometheus::proto::MetricFamily;
use prometheus::{
    Histogram, HistogramOpts, HistogramVec, IntCounter, IntCounterVec, IntGauge, IntGaugeVec, Opts, Registry,
};

use crate::upstream::Pool;

/// Seconds, as OpenTelemetry's semantic conventions advise for `http.server.request.duration`.
const DURATION_BUCKETS: [f64; 14] = [0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1.0, 2.5, 5.0, 7.5, 10.0];

/// What a route is called in the metrics when no route took the request.
const NO_ROUTE: &str = "none";

/// The gateway's series.
pub(crate) struct Metrics {
    requests: IntCounterVec,
    duration: HistogramVec,
    rejections: IntCounterVec,
    retries: IntCounterVec,
    /// 1 when the last reload took the file, 0 when it kept the one before.
    pub config_last_reload_success: IntGauge,
    /// Reloads that took the file.
    pub config_reloads: IntCounter,
    /// Access-log lines that found the queue full.
    pub access_log_dropped: IntCounter,
    /// Client connections that are open.
    pub connections: IntGauge,
    /// Requests that no route took.
    pub unrouted: RouteMetrics,
}

impl Metrics {
    /// Registers the series in `registry`.
    ///
    /// # Errors
    /// When a series of one of these names is registered already.
    pub(crate) fn register(registry: &Registry) -> prometheus::Result<Self> {
        let requests = IntCounterVec::new(
            Opts::new("gateway_requests_total", "Requests answered, by route and status"),
            &["route", "status"],
        )?;
        let duration = HistogramVec::new(
            HistogramOpts::new("gateway_request_duration_seconds", "Time from a request's head to its last byte out")
                .buckets(DURATION_BUCKETS.to_vec()),
            &["route"],
        )?;
        let rejections = IntCounterVec::new(
            Opts::new("gateway_rejections_total", "Requests the gateway answered itself, by reason"),
            &["route", "code"],
        )?;
        let retries = IntCounterVec::new(
            Opts::new("gateway_upstream_retries_total", "Attempts after the first, by upstream"),
            &["upstream"],
        )?;
        let config_last_reload_success =
            IntGauge::new("gateway_config_last_reload_success", "Whether the last reload took the file")?;
        let config_reloads = IntCounter::new("gateway_config_reloads_total", "Reloads that took the file")?;
        let access_log_dropped =
            IntCounter::new("gateway_access_log_dropped_total", "Access-log lines that found the queue full")?;
        let connections = IntGauge::new("gateway_connections", "Client connections that are open")?;
        registry.register(Box::new(requests.clone()))?;
        registry.register(Box::new(duration.clone()))?;
        registry.register(Box::new(rejections.clone()))?;
        registry.register(Box::new(retries.clone()))?;
        registry.register(Box::new(config_last_reload_success.clone()))?;
        registry.register(Box::new(config_reloads.clone()))?;
        registry.register(Box::new(access_log_dropped.clone()))?;
        registry.register(Box::new(connections.clone()))?;
        config_last_reload_success.set(1);
        let unrouted = RouteMetrics::new(&requests, &duration, &rejections, NO_ROUTE);
        Ok(Self {
            requests,
            duration,
            rejections,
            retries,
            config_last_reload_success,
            config_reloads,
            access_log_dropped,
            connections,
            unrouted,
        })
    }

    /// The handles of one route.
    #[must_use]
    pub(crate) fn route(&self, name: &str) -> RouteMetrics {
        RouteMetrics::new(&self.requests, &self.duration, &self.rejections, name)
    }

    /// The counter of an upstream's retries.
    #[must_use]
    pub(crate) fn retries(&self, upstream: &str) -> IntCounter {
        self.retries.with_label_values(&[upstream])
    }
}

/// Whether each target of `pools` gets requests. Asked for when it is shown and kept nowhere, so that a target that a reload
/// or a name server took away alarms nobody.
///
/// # Errors
/// Never: the name and the labels are legal.
pub(crate) fn target_health<'p>(
    pools: impl IntoIterator<Item = &'p Arc<Pool>>,
) -> prometheus::Result<Vec<MetricFamily>> {
    let healthy = IntGaugeVec::new(
        Opts::new("gateway_upstream_healthy", "Whether a target gets requests"),
        &["upstream", "target"],
    )?;
    for pool in pools {
        for target in pool.targets() {
            healthy.with_label_values(&[pool.name(), &*target.label]).set(i64::from(target.healthy));
        }
    }
    Ok(healthy.collect())
}

/// The handles that requests of one route count with.
pub(crate) struct RouteMetrics {
    name: Box<str>,
    requests: IntCounterVec,
    by_status: [OnceLock<IntCounter>; STATUSES.len()],
    duration: Histogram,
    rejections: IntCounterVec,
}

/// Statuses with a handle of their own; the others are looked up.
const STATUSES: [u16; 25] = [
    200, 201, 202, 204, 206, 301, 302, 303, 304, 307, 308, 400, 401, 403, 404, 405, 408, 409, 413, 422, 429, 500, 502,
    503, 504,
];

impl RouteMetrics {
    fn new(requests: &IntCounterVec, duration: &HistogramVec, rejections: &IntCounterVec, name: &str) -> Self {
        Self {
            name: name.into(),
            requests: requests.clone(),
            by_status: Default::default(),
            duration: duration.with_label_values(&[name]),
            rejections: rejections.clone(),
        }
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
        self.rejections.with_label_values(&[&self.name, code]).inc();
    }

    fn counter(&self, status: u16) -> IntCounter {
        match status {
            0 => self.requests.with_label_values(&[&*self.name, "client_gone"]),
            100..=599 => self.requests.with_label_values(&[&*self.name, &status.to_string()]),
            _ => self.requests.with_label_values(&[&*self.name, "other"]),
        }
    }
}
