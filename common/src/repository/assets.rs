//! The catalogue in a store.

use async_trait::async_trait;
use chrono::{DateTime, Utc};

use super::RepositoryError;
use crate::entities::{Asset, AssetId, Price};

/// Keeps the catalogue.
#[async_trait]
pub trait AssetRepository: Send + Sync {
    /// The asset with this id, as of now.
    ///
    /// # Errors
    /// When the store fails.
    async fn by_id(&self, id: &AssetId) -> Result<Option<Asset>, RepositoryError>;

    /// Every asset, in no order. May be some hundreds of milliseconds behind the last write.
    ///
    /// # Errors
    /// When the store fails.
    async fn all(&self) -> Result<Vec<Asset>, RepositoryError>;

    /// Writes the asset if there is none with its id; says whether it did.
    ///
    /// # Errors
    /// When the store fails.
    async fn create_if_absent(&self, asset: &Asset) -> Result<bool, RepositoryError>;

    /// Sets the price that was true at `as_of`, unless the stored one is as new or the asset is gone; says whether it did.
    ///
    /// # Errors
    /// When the store fails.
    async fn set_price(&self, id: &AssetId, price: Price, as_of: DateTime<Utc>) -> Result<bool, RepositoryError>;
}
