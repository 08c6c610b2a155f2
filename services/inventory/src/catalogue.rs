//! Shows what can be bought.
//!
//! Lists are served from a snapshot in memory: a list costs the store nothing, and goes on while the store is away. One
//! request at a time renews a snapshot that has grown old; a single asset is always read from the store. What a list shows
//! of an asset is the caller's business, and is made once for each snapshot.

mod query;
mod snapshot;

use std::collections::BTreeSet;
use std::error::Error;
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use common::entities::{Asset, AssetId, Category};
use common::repository::{AssetRepository, RepositoryError};
use tokio::sync::Mutex;
use tokio::time::{Instant, timeout};

pub(crate) use self::query::{Position, Query, SearchText, Sort, SortBy};
use self::snapshot::Snapshot;

/// How old a list may be.
#[derive(Clone, Copy, Debug)]
pub struct Freshness {
    /// A snapshot older than this is renewed by the next request.
    pub fresh_for: Duration,
    /// A snapshot older than this is served no more, even if the store is away.
    pub stale_for: Duration,
    /// How long a renewal may take.
    pub renewal_timeout: Duration,
}

/// The catalogue, of which lists show an `Item` for each asset.
pub(crate) struct Catalogue<Item> {
    assets: Arc<dyn AssetRepository>,
    freshness: Freshness,
    current: ArcSwap<Snapshot<Item>>,
    renewal: Mutex<Renewal>,
}

/// What became of the last renewal.
enum Renewal {
    Succeeded,
    Failed { at: Instant },
}

/// Some of the catalogue.
pub(crate) struct Page<Item> {
    /// In the order asked for.
    pub(crate) items: Vec<Arc<Item>>,
    /// The cursor of the next page; `None` on the last.
    pub(crate) next: Option<String>,
    /// Differs whenever anything of any asset differs.
    pub(crate) revision: Arc<str>,
}

/// The snapshot is too old to be served and could not be renewed.
#[derive(Debug, thiserror::Error)]
#[error("the catalogue could not be read for {} s", .age.as_secs())]
pub(crate) struct OutOfDate {
    age: Duration,
}

impl<Item: for<'a> From<&'a Asset>> Catalogue<Item> {
    /// A catalogue of what `assets` holds now.
    ///
    /// # Errors
    /// When the store fails.
    pub(crate) async fn open(assets: Arc<dyn AssetRepository>, freshness: Freshness) -> Result<Self, RepositoryError> {
        let taken_at = Instant::now();
        let current = ArcSwap::from_pointee(Snapshot::new(assets.all().await?, taken_at));
        Ok(Self { assets, freshness, current, renewal: Mutex::new(Renewal::Succeeded) })
    }

    /// The asset with this id, as of now.
    ///
    /// # Errors
    /// When the store fails.
    pub(crate) async fn asset(&self, id: &AssetId) -> Result<Option<Asset>, RepositoryError> {
        self.assets.by_id(id).await
    }

    /// Up to `limit` assets behind `after`.
    ///
    /// An asset whose sort value stays the same is on exactly one page of a walk, whatever becomes of the others.
    ///
    /// # Errors
    /// When the store has been away for too long.
    pub(crate) async fn page(
        &self,
        query: &Query,
        after: Option<&Position>,
        limit: usize,
    ) -> Result<Page<Item>, OutOfDate> {
        let snapshot = self.snapshot().await?;
        let (items, last) = snapshot.page(query, after, limit);
        let next = last.map(|position| query.cursor_after(&position));
        Ok(Page { items, next, revision: Arc::clone(&snapshot.revision) })
    }

    /// Every category that an asset has.
    ///
    /// # Errors
    /// When the store has been away for too long.
    pub(crate) async fn categories(&self) -> Result<Arc<BTreeSet<Category>>, OutOfDate> {
        Ok(Arc::clone(&self.snapshot().await?.categories))
    }

    async fn snapshot(&self) -> Result<Arc<Snapshot<Item>>, OutOfDate> {
        if let Some(fresh) = self.fresh() {
            return Ok(fresh);
        }
        let mut renewal = self.renewal.lock().await;
        // Whoever held the lock before may have done the work, or found just now that it cannot be done.
        if let Some(fresh) = self.fresh() {
            return Ok(fresh);
        }
        if !matches!(*renewal, Renewal::Failed { at } if at.elapsed() < self.freshness.fresh_for) {
            *renewal = self.renew(&renewal).await;
        }
        drop(renewal);
        let snapshot = self.current.load_full();
        let age = snapshot.taken_at.elapsed();
        if age <= self.freshness.stale_for { Ok(snapshot) } else { Err(OutOfDate { age }) }
    }

    fn fresh(&self) -> Option<Arc<Snapshot<Item>>> {
        let current = self.current.load();
        (current.taken_at.elapsed() <= self.freshness.fresh_for).then(|| Arc::clone(&current))
    }

    /// Reads the catalogue anew. Logs when the store goes and when it comes back, not at every attempt between.
    async fn renew(&self, before: &Renewal) -> Renewal {
        let taken_at = Instant::now();
        let problem: Box<dyn Error + Send + Sync> =
            match timeout(self.freshness.renewal_timeout, self.assets.all()).await {
                Ok(Ok(assets)) => {
                    self.current.store(Arc::new(Snapshot::new(assets, taken_at)));
                    if matches!(before, Renewal::Failed { .. }) {
                        tracing::info!("the catalogue can be read again");
                    }
                    return Renewal::Succeeded;
                }
                Ok(Err(error)) => error.into(),
                Err(elapsed) => elapsed.into(),
            };
        if matches!(before, Renewal::Succeeded) {
            tracing::warn!(
                error = &*problem as &(dyn Error + 'static),
                "the catalogue cannot be read; an older one is served"
            );
        }
        Renewal::Failed { at: Instant::now() }
    }
}

#[cfg(test)]
mod tests;
