//! What the caches of verified tokens tell Prometheus: one pair of series per provider, made when it is compiled.

use prometheus::{IntCounter, IntCounterVec, Opts, Registry};

/// All series of the caches.
#[derive(Clone)]
pub(super) struct Metrics {
    hits: IntCounterVec,
    misses: IntCounterVec,
}

/// One provider's series.
pub(super) struct CacheMetrics {
    /// Tokens that were found.
    pub(super) hits: IntCounter,
    /// Tokens whose signature had to be checked.
    pub(super) misses: IntCounter,
}

impl Metrics {
    /// Registers the families.
    ///
    /// # Errors
    /// When the registry already has such names.
    pub(super) fn register(registry: &Registry) -> prometheus::Result<Self> {
        let counters = |name, help| IntCounterVec::new(Opts::new(name, help), &["provider"]);
        let hits =
            counters("gateway_token_cache_hits_total", "Tokens found among those already verified, by provider")?;
        let misses = counters("gateway_token_cache_misses_total", "Tokens whose signature was checked, by provider")?;
        registry.register(Box::new(hits.clone()))?;
        registry.register(Box::new(misses.clone()))?;
        Ok(Self { hits, misses })
    }

    /// The series of a provider.
    pub(super) fn provider(&self, name: &str) -> CacheMetrics {
        CacheMetrics { hits: self.hits.with_label_values(&[name]), misses: self.misses.with_label_values(&[name]) }
    }
}
