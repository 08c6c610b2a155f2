//! What the rate limiters tell Prometheus: one series per policy and outcome, made when the policy is compiled.

use prometheus::{Histogram, HistogramOpts, IntCounter, IntCounterVec, IntGauge, Opts, Registry};

use super::verdict::{AnsweredBy, Outcome, Verdict};

/// Round trips on one machine take 0.1 ms; the longest deadline anybody would set is a second.
const REDIS_BUCKETS: [f64; 11] = [0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 1.0];

/// All series of the limiters.
pub(super) struct Metrics {
    requests: IntCounterVec,
    degraded: IntCounterVec,
    pub(super) redis_seconds: Histogram,
    pub(super) redis_up: IntGauge,
}

/// One policy's series.
pub(super) struct PolicyMetrics {
    allowed: IntCounter,
    refused: IntCounter,
    unavailable: IntCounter,
    degraded: Option<IntCounter>,
}

impl Metrics {
    /// Registers the families.
    ///
    /// # Errors
    /// When the registry already has such names.
    pub(super) fn register(registry: &Registry) -> Result<Self, prometheus::Error> {
        let metrics = Self {
            requests: IntCounterVec::new(
                Opts::new("gateway_rate_limit_requests_total", "Requests counted against a policy, by outcome."),
                &["policy", "outcome"],
            )?,
            degraded: IntCounterVec::new(
                Opts::new("gateway_rate_limit_degraded_total", "Requests a failure mode answered, Redis being away."),
                &["policy", "mode"],
            )?,
            redis_seconds: Histogram::with_opts(
                HistogramOpts::new(
                    "gateway_redis_call_duration_seconds",
                    "Time until Redis answered, or the deadline.",
                )
                .buckets(REDIS_BUCKETS.to_vec()),
            )?,
            redis_up: IntGauge::new("gateway_redis_up", "1 while Redis answers in time.")?,
        };
        registry.register(Box::new(metrics.requests.clone()))?;
        registry.register(Box::new(metrics.degraded.clone()))?;
        registry.register(Box::new(metrics.redis_seconds.clone()))?;
        registry.register(Box::new(metrics.redis_up.clone()))?;
        Ok(metrics)
    }

    /// The series of a policy; `failure_mode` is the one of a policy counted in Redis.
    pub(super) fn policy(&self, policy: &str, failure_mode: Option<AnsweredBy>) -> PolicyMetrics {
        let requests = |outcome| self.requests.with_label_values(&[policy, outcome]);
        PolicyMetrics {
            allowed: requests("allowed"),
            refused: requests("refused"),
            unavailable: requests("unavailable"),
            degraded: failure_mode.map(|mode| self.degraded.with_label_values(&[policy, word(mode)])),
        }
    }
}

impl PolicyMetrics {
    pub(super) fn count(&self, verdict: &Verdict) {
        match verdict.outcome {
            Outcome::Allowed => self.allowed.inc(),
            Outcome::Refused { .. } => self.refused.inc(),
            Outcome::Unavailable => self.unavailable.inc(),
        }
        if let Some(degraded) = &self.degraded
            && verdict.answered_by != AnsweredBy::Redis
        {
            degraded.inc();
        }
    }
}

const fn word(mode: AnsweredBy) -> &'static str {
    match mode {
        AnsweredBy::Redis => "redis",
        AnsweredBy::Local => "local",
        AnsweredBy::Open => "open",
        AnsweredBy::Closed => "closed",
    }
}
