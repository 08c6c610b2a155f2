//! What the price refresh tells of itself at `/metrics`.

use chrono::{DateTime, Utc};
use prometheus::{Gauge, IntCounterVec, Opts, Registry};

use super::RefreshError;
use crate::coingecko::{FetchError, Markets};

/// Refreshes by outcome, ignored entries by reason, and the newest price's time.
#[derive(Clone)]
pub(crate) struct PriceMetrics {
    refreshes: IntCounterVec,
    ignored: IntCounterVec,
    newest: Gauge,
}

impl PriceMetrics {
    /// Adds the metrics to `registry`.
    ///
    /// # Errors
    /// When they are there already.
    pub(crate) fn register(registry: &Registry) -> Result<Self, prometheus::Error> {
        let metrics = Self {
            refreshes: IntCounterVec::new(
                Opts::new("inventory_price_refreshes_total", "Price refreshes by outcome"),
                &["outcome"],
            )?,
            ignored: IntCounterVec::new(
                Opts::new("inventory_price_entries_ignored_total", "Entries of CoinGecko's answers that were not used"),
                &["reason"],
            )?,
            newest: Gauge::new(
                "inventory_newest_price_timestamp_seconds",
                "When the newest price was true, in seconds since 1970; its age is time() minus this",
            )?,
        };
        registry.register(Box::new(metrics.refreshes.clone()))?;
        registry.register(Box::new(metrics.ignored.clone()))?;
        registry.register(Box::new(metrics.newest.clone()))?;
        Ok(metrics)
    }

    /// Counts one refresh.
    pub(super) fn observe(&self, outcome: &Result<Markets, RefreshError>) {
        self.refreshes.with_label_values(&[word(outcome)]).inc();
        if let Ok(markets) = outcome {
            for rejection in &markets.rejections {
                self.ignored.with_label_values(&[rejection.as_str()]).inc();
            }
            self.note_newest(markets.quotes.iter().map(|quote| quote.as_of).max());
        }
    }

    /// Notes when the newest stored price was true.
    pub(super) fn note_newest(&self, newest: Option<DateTime<Utc>>) {
        if let Some(newest) = newest {
            // Milliseconds since 1970 fit an f64 exactly for 285,000 years.
            let seconds = newest.timestamp_millis() as f64 / 1000.0;
            self.newest.set(self.newest.get().max(seconds));
        }
    }
}

fn word(outcome: &Result<Markets, RefreshError>) -> &'static str {
    match outcome {
        Ok(_) => "success",
        Err(RefreshError::Fetch(FetchError::Transport(_))) => "unreachable",
        Err(RefreshError::Fetch(FetchError::Refused { status, .. })) if status.as_u16() == 429 => "rate_limited",
        Err(RefreshError::Fetch(FetchError::Refused { .. })) => "refused",
        Err(RefreshError::Fetch(FetchError::TooLarge | FetchError::Malformed(_)) | RefreshError::NothingUsable) => {
            "unreadable"
        }
        Err(RefreshError::Store(_)) => "store_failed",
    }
}
