//! Keeps the catalogue's prices up to date.
//!
//! That CoinGecko cannot be reached is no error of ours: the last known prices stay, with their age. It is logged when it
//! goes and when it comes back, not at every attempt between.

mod metrics;
mod schedule;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use common::entities::AssetId;
use common::repository::{AssetRepository, RepositoryError};
use common::telemetry::Chain;
use futures::{StreamExt, TryStreamExt, stream};
use tokio_util::sync::CancellationToken;

pub(crate) use self::metrics::PriceMetrics;
pub(crate) use self::schedule::Schedule;
use crate::coingecko::{CoinGecko, FetchError, MAX_IDS, Markets, Quote, Rejection};

/// Writes under way at once.
const CONCURRENT_WRITES: usize = 8;

/// Refreshes prices again and again.
pub(crate) struct PriceRefresh {
    source: CoinGecko,
    assets: Arc<dyn AssetRepository>,
    schedule: Schedule,
    metrics: PriceMetrics,
    reported: Reported,
}

/// What the log said last, so that it is not said again.
#[derive(Default)]
struct Reported {
    failing: bool,
    rejections: BTreeMap<Rejection, usize>,
}

/// Why prices stay as they were.
#[derive(Debug, thiserror::Error)]
pub(crate) enum RefreshError {
    /// CoinGecko gave nothing that can be read.
    #[error(transparent)]
    Fetch(#[from] FetchError),
    /// CoinGecko gave an answer without one price that can be used.
    #[error("CoinGecko's answer has no price that can be used")]
    NothingUsable,
    /// The store failed.
    #[error("the prices could not be read or written")]
    Store(#[from] RepositoryError),
}

impl RefreshError {
    fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::Fetch(FetchError::Refused { retry_after, .. }) => *retry_after,
            Self::Fetch(FetchError::Transport(_) | FetchError::TooLarge | FetchError::Malformed(_))
            | Self::NothingUsable
            | Self::Store(_) => None,
        }
    }
}

impl PriceRefresh {
    /// A refresh of what `assets` holds from `source`.
    pub(crate) fn new(
        source: CoinGecko,
        assets: Arc<dyn AssetRepository>,
        schedule: Schedule,
        metrics: PriceMetrics,
    ) -> Self {
        Self { source, assets, schedule, metrics, reported: Reported::default() }
    }

    /// Refreshes until `stop`: now, and then as the schedule says.
    pub(crate) async fn run(mut self, stop: CancellationToken) {
        let forever = async {
            loop {
                let pause = self.once().await;
                tokio::time::sleep(pause).await;
            }
        };
        // Nothing is lost by stopping halfway: each price is written by a call of its own.
        stop.run_until_cancelled(forever).await;
    }

    /// Refreshes once; returns how long to pause.
    async fn once(&mut self) -> Duration {
        let outcome = self.refresh().await;
        self.metrics.observe(&outcome);
        self.reported.report(&outcome);
        match outcome {
            Ok(_) => self.schedule.after_success(),
            Err(error) => self.schedule.after_failure(error.retry_after()),
        }
    }

    async fn refresh(&self) -> Result<Markets, RefreshError> {
        let assets = self.assets.all().await?;
        self.metrics.note_newest(assets.iter().map(|asset| asset.price_updated_at).max());
        let ids: Vec<AssetId> = assets.into_iter().map(|asset| asset.id).collect();
        let mut markets = Markets::default();
        for ids in ids.chunks(MAX_IDS) {
            markets.append(self.source.markets(ids).await?);
        }
        self.write(&markets.quotes).await?;
        if markets.quotes.is_empty() && !ids.is_empty() { Err(RefreshError::NothingUsable) } else { Ok(markets) }
    }

    async fn write(&self, quotes: &[Quote]) -> Result<(), RepositoryError> {
        let writes: Vec<_> =
            quotes.iter().map(|quote| self.assets.set_price(&quote.id, quote.price, quote.as_of)).collect();
        // Whether a price was newer than the stored one makes no difference: another replica may have been first.
        stream::iter(writes).buffer_unordered(CONCURRENT_WRITES).try_for_each(|_is_newer| async { Ok(()) }).await
    }
}

impl Reported {
    fn report(&mut self, outcome: &Result<Markets, RefreshError>) {
        match outcome {
            Ok(markets) => {
                if std::mem::take(&mut self.failing) {
                    tracing::info!("prices are refreshed again");
                }
                self.report_rejections(markets);
            }
            Err(error) if !self.failing => {
                self.failing = true;
                tracing::warn!(error = %Chain(error), "prices cannot be refreshed; the last known ones stay");
            }
            Err(error) => tracing::debug!(error = %Chain(error), "prices still cannot be refreshed"),
        }
    }

    fn report_rejections(&mut self, markets: &Markets) {
        let mut rejections = BTreeMap::new();
        for rejection in &markets.rejections {
            *rejections.entry(*rejection).or_default() += 1;
        }
        if self.rejections != rejections {
            for (rejection, count) in &rejections {
                tracing::warn!(reason = rejection.as_str(), count, "entries of CoinGecko's answer are ignored");
            }
            self.rejections = rejections;
        }
    }
}
