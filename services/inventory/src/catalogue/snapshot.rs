//! The catalogue as it was at one moment, sorted in every way it can be asked for.

use std::cmp::Ordering;
use std::collections::BTreeSet;
use std::sync::Arc;

use base64::Engine;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use common::entities::{Asset, Category};
use sha2::{Digest, Sha256};
use tokio::time::Instant;

use super::query::{Position, Query, SortBy, SortKey};

/// All assets at one moment. Never changes: a request that holds one sees one catalogue to its end.
pub(super) struct Snapshot<Item> {
    /// When it was asked for, so never later than what it shows.
    pub(super) taken_at: Instant,
    /// Differs whenever anything of any asset differs.
    pub(super) revision: Arc<str>,
    /// Every category that an asset has.
    pub(super) categories: Arc<BTreeSet<Category>>,
    by_name: Vec<Arc<Entry<Item>>>,
    by_symbol: Vec<Arc<Entry<Item>>>,
    by_price: Vec<Arc<Entry<Item>>>,
}

/// An asset beside what it is sorted and searched by, and what lists show of it.
struct Entry<Item> {
    asset: Asset,
    item: Arc<Item>,
    name: String,
    symbol: String,
}

impl<Item> Entry<Item> {
    fn position(&self, by: SortBy) -> Position {
        let key = match by {
            SortBy::Name => SortKey::Name(self.name.clone()),
            SortBy::Symbol => SortKey::Symbol(self.symbol.clone()),
            SortBy::Price => SortKey::Price(self.asset.price),
        };
        Position { key, id: self.asset.id.clone() }
    }

    fn compare(&self, position: &Position) -> Ordering {
        let by_key = match &position.key {
            SortKey::Name(name) => self.name.cmp(name),
            SortKey::Symbol(symbol) => self.symbol.cmp(symbol),
            SortKey::Price(price) => self.asset.price.cmp(price),
        };
        by_key.then_with(|| self.asset.id.cmp(&position.id))
    }

    fn matches(&self, query: &Query) -> bool {
        let found = |text: &super::SearchText| text.is_in(&self.name) || text.is_in(&self.symbol);
        query.admits(&self.asset) && query.text.as_ref().is_none_or(found)
    }
}

impl<Item: for<'a> From<&'a Asset>> Snapshot<Item> {
    pub(super) fn new(mut assets: Vec<Asset>, taken_at: Instant) -> Self {
        assets.sort_unstable_by(|a, b| a.id.cmp(&b.id));
        let revision = revision(&assets);
        let categories = Arc::new(assets.iter().map(|asset| asset.category.clone()).collect());
        let entry = |asset: Asset| {
            let (name, symbol) = (asset.name.to_lowercase(), asset.symbol.as_str().to_lowercase());
            Arc::new(Entry { item: Arc::new(Item::from(&asset)), asset, name, symbol })
        };
        let by_id: Vec<_> = assets.into_iter().map(entry).collect();
        // Stable sorts, so that equal values stay ordered by id.
        let sorted = |compare: fn(&Entry<Item>, &Entry<Item>) -> Ordering| {
            let mut entries = by_id.clone();
            entries.sort_by(|a, b| compare(a, b));
            entries
        };
        Self {
            taken_at,
            revision,
            categories,
            by_name: sorted(|a, b| a.name.cmp(&b.name)),
            by_symbol: sorted(|a, b| a.symbol.cmp(&b.symbol)),
            by_price: sorted(|a, b| a.asset.price.cmp(&b.asset.price)),
        }
    }

    /// Up to `limit` matching assets behind `after`, and the position of the last if more follow.
    pub(super) fn page(
        &self,
        query: &Query,
        after: Option<&Position>,
        limit: usize,
    ) -> (Vec<Arc<Item>>, Option<Position>) {
        let by = query.sort.by;
        let entries = match by {
            SortBy::Name => &self.by_name,
            SortBy::Symbol => &self.by_symbol,
            SortBy::Price => &self.by_price,
        };
        if query.sort.descending {
            let end = after.map_or(entries.len(), |position| entries.partition_point(|e| e.compare(position).is_lt()));
            take(entries.iter().take(end).rev(), query, limit)
        } else {
            let start = after.map_or(0, |position| entries.partition_point(|e| e.compare(position).is_le()));
            take(entries.iter().skip(start), query, limit)
        }
    }
}

fn take<'a, Item: 'a>(
    entries: impl Iterator<Item = &'a Arc<Entry<Item>>>,
    query: &Query,
    limit: usize,
) -> (Vec<Arc<Item>>, Option<Position>) {
    let mut matching = entries.filter(|entry| entry.matches(query));
    let page: Vec<_> = matching.by_ref().take(limit).collect();
    let more = matching.next().is_some();
    let next = page.last().filter(|_| more).map(|last| last.position(query.sort.by));
    (page.into_iter().map(|entry| Arc::clone(&entry.item)).collect(), next)
}

fn revision(assets: &[Asset]) -> Arc<str> {
    let mut digest = Sha256::new();
    for asset in assets {
        digest.update(format!("{asset:?}\n"));
    }
    BASE64_URL_SAFE_NO_PAD.encode(&digest.finalize()[..12]).into()
}
