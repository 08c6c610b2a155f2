//! What leases tell Prometheus: whether they save calls, and what they waste.

use prometheus::{IntCounter, IntCounterVec, Opts, Registry, Result};

use super::holding::Tally;

/// One policy's series.
#[derive(Clone)]
pub(in crate::limit) struct LeaseMetrics {
    all_calls: IntCounterVec,
    all_tokens: IntCounterVec,
    /// For tokens to lease.
    pub(super) takes: IntCounter,
    /// To give tokens back.
    pub(super) returns: IntCounter,
    /// For what a request has cost more than was thought.
    pub(super) charges: IntCounter,
    leased: IntCounter,
    spent: IntCounter,
    pub(super) returned: IntCounter,
    pub(super) lost: IntCounter,
}

impl LeaseMetrics {
    /// The series of a policy, at zero.
    ///
    /// # Errors
    /// Never: the names and labels are legal.
    pub(in crate::limit) fn new(policy: &str) -> Result<Self> {
        let calls = Opts::new("gateway_rate_limit_lease_calls_total", "Calls to Redis for leases of a policy.");
        let tokens = Opts::new(
            "gateway_rate_limit_lease_tokens_total",
            "Requests' worth of a policy's quotas leased from Redis, and what became of it: spent, returned, or lost unspent.",
        );
        let all_calls = IntCounterVec::new(calls.const_label("policy", policy), &["call"])?;
        let all_tokens = IntCounterVec::new(tokens.const_label("policy", policy), &["event"])?;
        Ok(Self {
            takes: all_calls.with_label_values(&["take"]),
            returns: all_calls.with_label_values(&["return"]),
            charges: all_calls.with_label_values(&["charge"]),
            leased: all_tokens.with_label_values(&["leased"]),
            spent: all_tokens.with_label_values(&["spent"]),
            returned: all_tokens.with_label_values(&["returned"]),
            lost: all_tokens.with_label_values(&["lost"]),
            all_calls,
            all_tokens,
        })
    }

    /// Puts its series into `registry`, where they are shown beside those of other policies.
    ///
    /// # Errors
    /// When it has the series of a policy of this name already.
    pub(in crate::limit) fn register(&self, registry: &Registry) -> Result<()> {
        registry.register(Box::new(self.all_calls.clone()))?;
        registry.register(Box::new(self.all_tokens.clone()))
    }

    /// What was taken for one request, which has spent it.
    pub(super) fn add_alone(&self, tokens: u64) {
        self.leased.inc_by(tokens);
        self.spent.inc_by(tokens);
    }

    /// What an answer has brought for which nobody waited.
    pub(super) fn add_unheard(&self, tokens: u64) {
        self.leased.inc_by(tokens);
    }

    pub(super) fn add(&self, tally: Tally) {
        for (counter, tokens) in [(&self.leased, tally.leased), (&self.spent, tally.spent), (&self.lost, tally.lost)] {
            if tokens > 0 {
                counter.inc_by(tokens);
            }
        }
    }
}
