//! What is told to Prometheus of revocations.

use prometheus::{Gauge, IntCounter, IntGauge, Registry, Result};

/// What is counted.
#[derive(Clone)]
pub(super) struct RevocationMetrics {
    /// Revocations that were heard of one by one.
    pub(super) applied: IntCounter,
    /// Whole sets that were read.
    pub(super) snapshots: IntCounter,
}

impl RevocationMetrics {
    /// At zero.
    ///
    /// # Errors
    /// Never: the names are legal.
    pub(super) fn new() -> Result<Self> {
        Ok(Self {
            applied: IntCounter::new("gateway_revocations_applied_total", "Revocations that were followed")?,
            snapshots: IntCounter::new("gateway_revocations_snapshots_total", "Whole sets of revocations read")?,
        })
    }

    /// Puts the series into `registry`, with what is so at this moment.
    ///
    /// # Errors
    /// When it has them already.
    pub(super) fn register(
        &self,
        registry: &Registry,
        entries: usize,
        age: Option<f64>,
        connected: bool,
    ) -> Result<()> {
        registry.register(Box::new(self.applied.clone()))?;
        registry.register(Box::new(self.snapshots.clone()))?;
        let gauge = |name: &str, help: &str, value: i64| {
            let gauge = IntGauge::new(name, help)?;
            gauge.set(value);
            registry.register(Box::new(gauge))
        };
        let entries = i64::try_from(entries).unwrap_or(i64::MAX);
        gauge("gateway_revocations_entries", "Revocations that count", entries)?;
        gauge("gateway_revocations_connected", "1 while the source of revocations is followed", i64::from(connected))?;
        let Some(age) = age else { return Ok(()) };
        let gauge = Gauge::new("gateway_revocations_age_seconds", "Time since the revocations were known to be whole")?;
        gauge.set(age);
        registry.register(Box::new(gauge))
    }
}
