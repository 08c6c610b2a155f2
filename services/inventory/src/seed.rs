//! Fills an empty catalogue from the bundled list.
//!
//! What is in the store already is never touched, so that every replica may do this at every start, and an interrupted
//! start is made good by the next. An asset is taken off the market by making it inactive; a deleted one comes back.

use std::collections::HashSet;

use chrono::{DateTime, Utc};
use common::entities::{Asset, AssetId, Category, InvalidValue, Price, Quantity, Symbol};
use common::repository::{AssetRepository, RepositoryError};
use futures::{StreamExt, TryStreamExt, stream};
use rust_decimal::Decimal;
use serde::Deserialize;

const BUNDLED: &str = include_str!("../data/assets.json");

/// Writes under way at once: enough for a quick start, few enough for a small table's write capacity.
const CONCURRENT_WRITES: usize = 8;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Bundle {
    priced_at: DateTime<Utc>,
    assets: Vec<BundledAsset>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct BundledAsset {
    id: String,
    symbol: String,
    name: String,
    category: String,
    description: String,
    price_usd: Decimal,
    available: Decimal,
}

/// The bundled list is damaged; the tests keep that from being shipped.
#[derive(Debug, thiserror::Error)]
pub enum BundleError {
    /// It is not the JSON it should be.
    #[error("the bundled catalogue cannot be read")]
    Json(#[from] serde_json::Error),
    /// A value in it is out of bounds.
    #[error("the bundled catalogue has an invalid value")]
    Value(#[from] InvalidValue),
}

/// Why the catalogue was not filled.
#[derive(Debug, thiserror::Error)]
pub enum SeedError {
    /// The bundled list is damaged.
    #[error(transparent)]
    Bundle(#[from] BundleError),
    /// The store failed.
    #[error("the catalogue could not be filled")]
    Repository(#[from] RepositoryError),
}

/// Creates the bundled assets that are missing; returns how many it created.
///
/// # Errors
/// When the store fails; the next call goes on where this one ended.
pub(crate) async fn fill(assets: &dyn AssetRepository) -> Result<usize, SeedError> {
    let present: HashSet<AssetId> = assets.all().await?.into_iter().map(|asset| asset.id).collect();
    let missing = bundled(Utc::now())?.into_iter().filter(|asset| !present.contains(&asset.id));
    let created = stream::iter(missing)
        .map(|asset| async move { assets.create_if_absent(&asset).await })
        .buffer_unordered(CONCURRENT_WRITES)
        .try_fold(0, |created, is_new| async move { Ok(created + usize::from(is_new)) })
        .await?;
    Ok(created)
}

/// The bundled assets, listed at `now`.
fn bundled(now: DateTime<Utc>) -> Result<Vec<Asset>, BundleError> {
    let bundle: Bundle = serde_json::from_str(BUNDLED)?;
    let asset = |bundled: BundledAsset| {
        Ok(Asset {
            id: AssetId::parse(&bundled.id)?,
            symbol: Symbol::parse(&bundled.symbol)?,
            name: bundled.name,
            description: bundled.description,
            category: Category::parse(&bundled.category)?,
            price: Price::new(bundled.price_usd)?,
            price_updated_at: bundle.priced_at,
            available: Quantity::positive(bundled.available)?,
            active: true,
            created_at: now,
            updated_at: now,
        })
    };
    bundle.assets.into_iter().map(asset).collect()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn the_bundled_catalogue_is_valid_and_large_enough() {
        let assets = bundled(Utc::now()).expect("valid");
        assert!(assets.len() >= 100, "{}", assets.len());
        let ids: BTreeSet<_> = assets.iter().map(|asset| &asset.id).collect();
        assert_eq!(ids.len(), assets.len(), "ids are unique");
        for asset in &assets {
            assert!(asset.description.ends_with('.') && asset.description.len() > 20, "{}", asset.id);
            assert!(!asset.name.trim().is_empty() && asset.price_updated_at < Utc::now(), "{}", asset.id);
        }
    }

    #[test]
    fn the_bundled_catalogue_has_few_categories_and_all_are_used_more_than_once() {
        let assets = bundled(Utc::now()).expect("valid");
        let categories: BTreeSet<_> = assets.iter().map(|asset| asset.category.as_str()).collect();
        assert!(categories.len() <= 12, "{categories:?}");
        for category in categories {
            assert!(assets.iter().filter(|asset| asset.category.as_str() == category).count() > 1, "{category}");
        }
    }
}
