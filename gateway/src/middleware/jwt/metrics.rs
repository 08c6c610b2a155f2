//! What the caches of verified tokens tell Prometheus: one pair of series per provider, made when it is compiled.

use prometheus::{IntCounter, Opts, Registry, Result};

/// One provider's series.
#[derive(Clone)]
pub(super) struct CacheMetrics {
    /// Tokens that were found.
    pub(super) hits: IntCounter,
    /// Tokens that were not.
    pub(super) misses: IntCounter,
}

impl CacheMetrics {
    /// The series of a provider, at zero.
    ///
    /// # Errors
    /// Never: the names and the label are legal.
    pub(super) fn new(provider: &str) -> Result<Self> {
        let counter = |name, help| IntCounter::with_opts(Opts::new(name, help).const_label("provider", provider));
        Ok(Self {
            hits: counter("gateway_token_cache_hits_total", "Tokens found among those already verified, by provider")?,
            misses: counter(
                "gateway_token_cache_misses_total",
                "Tokens not found among those already verified, by provider",
            )?,
        })
    }

    /// Puts its series into `registry`, where they are shown beside those of other providers.
    ///
    /// # Errors
    /// When it has the series of a provider of this name already.
    pub(super) fn register(&self, registry: &Registry) -> Result<()> {
        registry.register(Box::new(self.hits.clone()))?;
        registry.register(Box::new(self.misses.clone()))
    }
}
