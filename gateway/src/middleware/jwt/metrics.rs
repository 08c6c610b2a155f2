//! What providers tell Prometheus: their series, made when they are compiled.

use prometheus::{Gauge, IntCounter, IntCounterVec, IntGauge, Opts, Registry, Result};

use super::remote::FetchFailure;

/// One provider's series of its cache.
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

/// How the fetches of one provider's keys have ended.
#[derive(Clone)]
pub(super) struct FetchMetrics(IntCounterVec);

impl FetchMetrics {
    /// The series of a provider, at zero.
    ///
    /// # Errors
    /// Never: the names and labels are legal.
    pub(super) fn new(provider: &str) -> Result<Self> {
        let fetches = Opts::new("gateway_jwks_fetches_total", "Fetches of a provider's keys, by outcome");
        let fetches = IntCounterVec::new(fetches.const_label("provider", provider), &["outcome"])?;
        fetches.with_label_values(&["ok"]);
        Ok(Self(fetches))
    }

    /// Counts a fetch.
    pub(super) fn count<T>(&self, fetched: &std::result::Result<T, FetchFailure>) {
        let outcome = fetched.as_ref().err().map_or("ok", FetchFailure::outcome);
        self.0.with_label_values(&[outcome]).inc();
    }

    /// Puts its series into `registry`, where they are shown beside those of other providers.
    ///
    /// # Errors
    /// When it has the series of a provider of this name already.
    pub(super) fn register(&self, registry: &Registry) -> Result<()> {
        registry.register(Box::new(self.0.clone()))
    }
}

/// What is known of the keys of one provider at this moment: how many there are, and how many seconds ago they were fetched.
/// Asked for when it is shown.
///
/// # Errors
/// When `registry` has these of a provider of this name already.
pub(super) fn register_keys(registry: &Registry, provider: &str, keys: usize, age: Option<f64>) -> Result<()> {
    let opts = |name, help| Opts::new(name, help).const_label("provider", provider);
    let count = IntGauge::with_opts(opts("gateway_jwks_keys", "Keys that a provider's tokens may be signed with"))?;
    count.set(i64::try_from(keys).unwrap_or(i64::MAX));
    registry.register(Box::new(count))?;
    let Some(age) = age else { return Ok(()) };
    let gauge = Gauge::with_opts(opts("gateway_jwks_age_seconds", "Time since a provider's keys were last fetched"))?;
    gauge.set(age);
    registry.register(Box::new(gauge))
}
