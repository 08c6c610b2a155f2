//! How fresh lists are, while the store answers and while it does not.

use std::sync::Mutex as StdMutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use async_trait::async_trait;
use chrono::{DateTime, Utc};
use common::entities::{Category, Price, Quantity, Symbol};
use futures::future::join_all;
use tokio::time::advance;

use super::*;

const FRESHNESS: Freshness = Freshness {
    fresh_for: Duration::from_secs(1),
    stale_for: Duration::from_secs(60),
    renewal_timeout: Duration::from_secs(2),
};

/// A store that can be told to fail or to hang; what it holds is one asset with a price.
struct Fickle {
    mood: StdMutex<Mood>,
    reads: AtomicUsize,
}

#[derive(Clone, Copy)]
enum Mood {
    Answering { price: u32 },
    Failing,
    Hanging,
}

#[async_trait]
impl AssetRepository for Fickle {
    async fn by_id(&self, id: &AssetId) -> Result<Option<Asset>, RepositoryError> {
        Ok(self.all().await?.into_iter().find(|asset| asset.id == *id))
    }

    async fn all(&self) -> Result<Vec<Asset>, RepositoryError> {
        self.reads.fetch_add(1, Ordering::Relaxed);
        let mood = *self.mood.lock().expect("unpoisoned");
        // Others get their turn, as during a real read.
        tokio::task::yield_now().await;
        match mood {
            Mood::Answering { price } => Ok(vec![asset(price)]),
            Mood::Failing => Err(RepositoryError::Unavailable("away".into())),
            Mood::Hanging => std::future::pending().await,
        }
    }

    async fn create_if_absent(&self, _: &Asset) -> Result<bool, RepositoryError> {
        Ok(false)
    }

    async fn set_price(&self, _: &AssetId, _: Price, _: DateTime<Utc>) -> Result<bool, RepositoryError> {
        Ok(false)
    }
}

impl Fickle {
    fn becomes(&self, mood: Mood) {
        *self.mood.lock().expect("unpoisoned") = mood;
    }

    fn reads(&self) -> usize {
        self.reads.load(Ordering::Relaxed)
    }
}

fn asset(price: u32) -> Asset {
    Asset {
        id: AssetId::parse("bitcoin").expect("id"),
        symbol: Symbol::parse("btc").expect("symbol"),
        name: "Bitcoin".to_owned(),
        description: String::new(),
        category: Category::parse("layer-1").expect("category"),
        price: Price::new(price.into()).expect("price"),
        price_updated_at: DateTime::UNIX_EPOCH,
        available: Quantity::ZERO,
        active: true,
        created_at: DateTime::UNIX_EPOCH,
        updated_at: DateTime::UNIX_EPOCH,
    }
}

/// A price, as a list of prices shows it.
struct Listed(Price);

impl From<&Asset> for Listed {
    fn from(asset: &Asset) -> Self {
        Self(asset.price)
    }
}

async fn catalogue() -> (Arc<Fickle>, Catalogue<Listed>) {
    let store = Arc::new(Fickle { mood: StdMutex::new(Mood::Answering { price: 1 }), reads: AtomicUsize::new(0) });
    let catalogue = Catalogue::open(Arc::clone(&store) as Arc<_>, FRESHNESS).await.expect("opens");
    (store, catalogue)
}

async fn price(catalogue: &Catalogue<Listed>) -> Result<String, OutOfDate> {
    let sort = Sort { by: SortBy::Name, descending: false };
    let query = Query { category: None, min_price: None, max_price: None, text: None, active: None, sort };
    let page = catalogue.page(&query, None, 10).await?;
    Ok(page.items.first().map(|listed| listed.0.to_string()).unwrap_or_default())
}

#[tokio::test(start_paused = true)]
async fn a_fresh_snapshot_costs_the_store_nothing_and_an_old_one_one_read_for_all() {
    let (store, catalogue) = catalogue().await;
    store.becomes(Mood::Answering { price: 2 });
    assert_eq!(price(&catalogue).await.expect("served"), "1");
    assert_eq!(store.reads(), 1, "only the one of the start");

    advance(FRESHNESS.fresh_for * 2).await;
    let prices = join_all((0..20).map(|_| price(&catalogue))).await;
    assert!(prices.into_iter().all(|price| price.expect("served") == "2"), "nobody gets the old one");
    assert_eq!(store.reads(), 2);
}

#[tokio::test(start_paused = true)]
async fn while_the_store_is_away_the_last_snapshot_is_served_and_the_store_left_in_peace() {
    let (store, catalogue) = catalogue().await;
    store.becomes(Mood::Failing);
    advance(FRESHNESS.fresh_for * 2).await;
    for _ in 0..20 {
        assert_eq!(price(&catalogue).await.expect("served"), "1");
    }
    assert_eq!(store.reads(), 2, "one attempt in a second");

    store.becomes(Mood::Answering { price: 2 });
    advance(FRESHNESS.fresh_for).await;
    assert_eq!(price(&catalogue).await.expect("served"), "2");
}

#[tokio::test(start_paused = true)]
async fn a_snapshot_is_not_served_for_ever() {
    let (store, catalogue) = catalogue().await;
    store.becomes(Mood::Failing);
    advance(FRESHNESS.stale_for + Duration::from_secs(1)).await;
    assert!(price(&catalogue).await.is_err());
    store.becomes(Mood::Answering { price: 2 });
    advance(FRESHNESS.fresh_for).await;
    assert_eq!(price(&catalogue).await.expect("served"), "2");
}

#[tokio::test(start_paused = true)]
async fn a_store_that_hangs_holds_nobody_longer_than_the_timeout() {
    let (store, catalogue) = catalogue().await;
    store.becomes(Mood::Hanging);
    advance(FRESHNESS.fresh_for * 2).await;
    let started = Instant::now();
    let prices = join_all((0..20).map(|_| price(&catalogue))).await;
    assert!(prices.into_iter().all(|price| price.expect("served") == "1"));
    assert_eq!(started.elapsed(), FRESHNESS.renewal_timeout, "all wait for the same attempt");
}

#[tokio::test(start_paused = true)]
async fn a_request_given_up_in_the_middle_of_a_renewal_leaves_no_lock_behind() {
    let (store, catalogue) = catalogue().await;
    store.becomes(Mood::Hanging);
    advance(FRESHNESS.fresh_for * 2).await;
    assert!(timeout(Duration::from_millis(10), price(&catalogue)).await.is_err());
    store.becomes(Mood::Answering { price: 2 });
    assert_eq!(price(&catalogue).await.expect("served"), "2");
}
