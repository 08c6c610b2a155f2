//! What the requests of one upstream count with.

use std::time::Duration;

use prometheus::{Histogram, HistogramOpts, IntCounter, Opts, Registry, Result};

use crate::metrics::DURATION_BUCKETS;

/// Seconds; most connections are made within a machine room, in less than an answer takes.
const CONNECT_BUCKETS: [f64; 12] = [0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5];

/// The handles of one upstream, made when it is compiled.
#[derive(Clone)]
pub(crate) struct PoolMetrics {
    retries: IntCounter,
    connects: Histogram,
    answers: Histogram,
}

impl PoolMetrics {
    /// Those of `upstream`, at zero.
    ///
    /// # Errors
    /// Never: the names and the label are legal.
    pub(crate) fn new(upstream: &str) -> Result<Self> {
        let retries = Opts::new("gateway_upstream_retries_total", "Attempts after the first, by upstream");
        let duration = |name, help, buckets: &[f64]| {
            let opts = HistogramOpts::new(name, help).buckets(buckets.to_vec());
            Histogram::with_opts(opts.const_label("upstream", upstream))
        };
        Ok(Self {
            retries: IntCounter::with_opts(retries.const_label("upstream", upstream))?,
            connects: duration(
                "gateway_upstream_connect_duration_seconds",
                "Time in which a new connection to a target was made, its TLS handshake included, by upstream",
                &CONNECT_BUCKETS,
            )?,
            answers: duration(
                "gateway_upstream_response_duration_seconds",
                "Time from when there was a connection for a request to the head of its answer, by upstream",
                &DURATION_BUCKETS,
            )?,
        })
    }

    /// The counter of the attempts after the first.
    pub(crate) const fn retries(&self) -> &IntCounter {
        &self.retries
    }

    /// Counts a connection that took so long to be made.
    pub(crate) fn connected(&self, took: Duration) {
        self.connects.observe(took.as_secs_f64());
    }

    /// Counts an answer whose head took so long to come.
    pub(crate) fn answered(&self, took: Duration) {
        self.answers.observe(took.as_secs_f64());
    }

    /// Puts its series into `registry`, where they are shown beside those of other upstreams.
    ///
    /// # Errors
    /// When it has the series of an upstream of this name already.
    pub(crate) fn register(&self, registry: &Registry) -> Result<()> {
        registry.register(Box::new(self.retries.clone()))?;
        registry.register(Box::new(self.connects.clone()))?;
        registry.register(Box::new(self.answers.clone()))
    }
}

#[cfg(test)]
mod tests {
    use prometheus::TextEncoder;

    use super::*;

    #[test]
    fn connections_of_a_machine_room_are_told_from_each_other() {
        let (metrics, registry) = (PoolMetrics::new("u").expect("legal"), Registry::new());
        metrics.register(&registry).expect("registers");
        metrics.connected(Duration::from_micros(300));
        metrics.connected(Duration::from_micros(700));
        let shown = TextEncoder::new().encode_to_string(&registry.gather()).expect("encodes");
        for (bound, count) in [("0.0005", 1), ("0.001", 2)] {
            let series = "gateway_upstream_connect_duration_seconds_bucket";
            assert!(shown.contains(&format!("{series}{{upstream=\"u\",le=\"{bound}\"}} {count}\n")), "{shown}");
        }
    }
}
