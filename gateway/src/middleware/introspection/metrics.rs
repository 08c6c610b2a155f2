//! What providers tell Prometheus.

use prometheus::{IntCounter, IntCounterVec, Opts, Registry, Result};

/// One provider's series.
#[derive(Clone)]
pub(super) struct Metrics {
    calls: IntCounterVec,
    /// Requests that were answered by what was remembered.
    pub(super) remembered: IntCounter,
    /// Times that an answer went on counting beyond its time, for no new one came.
    pub(super) stale: IntCounter,
}

impl Metrics {
    /// The series of a provider, at zero.
    ///
    /// # Errors
    /// Never: the names and labels are legal.
    pub(super) fn new(provider: &str) -> Result<Self> {
        let opts = |name, help| Opts::new(name, help).const_label("provider", provider);
        let calls = opts("gateway_introspection_calls_total", "Calls about tokens, by outcome");
        Ok(Self {
            calls: IntCounterVec::new(calls, &["outcome"])?,
            remembered: IntCounter::with_opts(opts(
                "gateway_introspection_remembered_total",
                "Requests whose token was known from a call before",
            ))?,
            stale: IntCounter::with_opts(opts(
                "gateway_introspection_stale_total",
                "Times that an old answer about a token went on counting, for no new one came",
            ))?,
        })
    }

    /// Counts a call.
    pub(super) fn called(&self, outcome: &str) {
        self.calls.with_label_values(&[outcome]).inc();
    }

    /// Puts its series into `registry`, where they are shown beside those of other providers.
    ///
    /// # Errors
    /// When it has the series of a provider of this name already.
    pub(super) fn register(&self, registry: &Registry) -> Result<()> {
        registry.register(Box::new(self.calls.clone()))?;
        registry.register(Box::new(self.remembered.clone()))?;
        registry.register(Box::new(self.stale.clone()))
    }
}
