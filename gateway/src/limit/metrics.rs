//! What the rate limiters tell Prometheus: the series of each policy, made when it is compiled, and those of the Redis link.

use prometheus::{Histogram, HistogramOpts, IntCounter, IntCounterVec, IntGauge, Opts, Registry, Result};

use super::lease::LeaseMetrics;
use super::verdict::{AnsweredBy, Outcome, Verdict};

/// Round trips on one machine take 0.1 ms; the longest deadline anybody would set is a second.
const REDIS_BUCKETS: [f64; 11] = [0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 1.0];

/// One policy's series.
pub(super) struct PolicyMetrics {
    requests: IntCounterVec,
    degraded: IntCounterVec,
    no_room: IntCounter,
    keyless: IntCounter,
    allowed: IntCounter,
    refused: IntCounter,
    shadow_refused: IntCounter,
    unavailable: IntCounter,
    stood_in: Option<IntCounter>,
    lease: LeaseMetrics,
}

impl PolicyMetrics {
    /// The series of a policy, at zero; `failure_mode` is the one of a policy counted in Redis.
    ///
    /// # Errors
    /// Never: the names and labels are legal.
    pub(super) fn new(policy: &str, failure_mode: Option<AnsweredBy>) -> Result<Self> {
        let requests = Opts::new("gateway_rate_limit_requests_total", "Requests counted against a policy, by outcome.");
        let degraded =
            Opts::new("gateway_rate_limit_degraded_total", "Requests a failure mode answered, Redis being away.");
        let requests = IntCounterVec::new(requests.const_label("policy", policy), &["outcome"])?;
        let degraded = IntCounterVec::new(degraded.const_label("policy", policy), &["mode"])?;
        let no_room = Opts::new(
            "gateway_rate_limit_no_room_total",
            "Requests of keys with no room of their own in a full table, which counts them too much or refuses them: raise max_keys.",
        );
        let no_room = IntCounter::with_opts(no_room.const_label("policy", policy))?;
        let keyless = Opts::new(
            "gateway_rate_limit_missing_keys_total",
            "Requests that lack a part of what a policy counts by, whatever its missing_key makes of them.",
        );
        let keyless = IntCounter::with_opts(keyless.const_label("policy", policy))?;
        Ok(Self::of(requests, degraded, no_room, keyless, LeaseMetrics::new(policy)?, failure_mode))
    }

    /// The same series, counted on by a policy of the same name whose settings have changed.
    pub(super) fn carried_on(&self, failure_mode: Option<AnsweredBy>) -> Self {
        let (requests, degraded) = (self.requests.clone(), self.degraded.clone());
        let (no_room, keyless) = (self.no_room.clone(), self.keyless.clone());
        Self::of(requests, degraded, no_room, keyless, self.lease.clone(), failure_mode)
    }

    fn of(
        requests: IntCounterVec,
        degraded: IntCounterVec,
        no_room: IntCounter,
        keyless: IntCounter,
        lease: LeaseMetrics,
        failure_mode: Option<AnsweredBy>,
    ) -> Self {
        Self {
            allowed: requests.with_label_values(&["allowed"]),
            refused: requests.with_label_values(&["refused"]),
            shadow_refused: requests.with_label_values(&["shadow_refused"]),
            unavailable: requests.with_label_values(&["unavailable"]),
            stood_in: failure_mode.and_then(AnsweredBy::failure_mode).map(|mode| degraded.with_label_values(&[mode])),
            requests,
            degraded,
            no_room,
            keyless,
            lease,
        }
    }

    /// Puts its series into `registry`, where they are shown beside those of other policies.
    ///
    /// # Errors
    /// When it has the series of a policy of this name already.
    pub(super) fn register(&self, registry: &Registry) -> Result<()> {
        registry.register(Box::new(self.requests.clone()))?;
        registry.register(Box::new(self.degraded.clone()))?;
        registry.register(Box::new(self.no_room.clone()))?;
        registry.register(Box::new(self.keyless.clone()))
    }

    /// Counts a request that lacks what it is counted by.
    pub(super) fn lacks_key(&self) {
        self.keyless.inc();
    }

    /// Those of a policy that is leased.
    pub(super) const fn lease(&self) -> &LeaseMetrics {
        &self.lease
    }

    pub(super) const fn no_room(&self) -> &IntCounter {
        &self.no_room
    }

    /// Counts what came of one request, which `passes` all policies or was held back by one.
    pub(super) fn count(&self, verdict: &Verdict, passes: bool, only_watches: bool) {
        match verdict.outcome {
            Outcome::Allowed if passes => self.allowed.inc(),
            // Another has refused it, and nothing was taken.
            Outcome::Allowed => {}
            Outcome::Refused { .. } | Outcome::Unavailable if only_watches => self.shadow_refused.inc(),
            Outcome::Refused { .. } => self.refused.inc(),
            Outcome::Unavailable => self.unavailable.inc(),
        }
        if let Some(stood_in) = &self.stood_in
            && verdict.answered_by.failure_mode().is_some()
        {
            stood_in.inc();
        }
    }
}

/// What of a policy is under way. Asked for when it is shown.
///
/// # Errors
/// Never: the name and the label are legal.
pub(super) fn in_flight_gauge(policy: &str, count: u64) -> Result<IntGauge> {
    let opts = Opts::new("gateway_rate_limit_in_flight", "What a policy counts as under way now.");
    let gauge = IntGauge::with_opts(opts.const_label("policy", policy))?;
    gauge.set(i64::try_from(count).unwrap_or(i64::MAX));
    Ok(gauge)
}

/// How long calls take that a link makes.
///
/// # Errors
/// Never: the name is legal.
pub(super) fn redis_seconds() -> Result<Histogram> {
    let opts = HistogramOpts::new("gateway_redis_call_duration_seconds", "Time until Redis answered, or the deadline.");
    Histogram::with_opts(opts.buckets(REDIS_BUCKETS.to_vec()))
}

/// Whether a link is up. Asked for when it is shown, so that only the present link is.
///
/// # Errors
/// Never: the name is legal.
pub(super) fn redis_up(up: bool) -> Result<IntGauge> {
    let gauge = IntGauge::new("gateway_redis_up", "1 while Redis answers in time.")?;
    gauge.set(i64::from(up));
    Ok(gauge)
}

/// How many gateways share the Redis of a link. Asked for when it is shown.
///
/// # Errors
/// Never: the name is legal.
pub(super) fn live_gateways(number: u32) -> Result<IntGauge> {
    let gauge = IntGauge::new("gateway_redis_live_gateways", "Gateways that share this Redis, as last known.")?;
    gauge.set(i64::from(number));
    Ok(gauge)
}
