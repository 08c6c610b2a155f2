//! The catalogue on DynamoDB: one item for each asset, its stock in it.

use async_trait::async_trait;
use aws_sdk_dynamodb::Client;
use chrono::{DateTime, Utc};

use super::error;
use super::item::{Item, Stored, instant, item, number, text};
use crate::entities::{Asset, AssetId, Category, Price, Quantity, Symbol};
use crate::repository::{AssetRepository, RepositoryError};

/// The table of assets.
#[derive(Clone, Debug)]
pub struct DynamoAssets {
    client: Client,
    table: String,
}

impl DynamoAssets {
    pub(super) fn new(client: Client, table: String) -> Self {
        Self { client, table }
    }
}

#[async_trait]
impl AssetRepository for DynamoAssets {
    async fn by_id(&self, id: &AssetId) -> Result<Option<Asset>, RepositoryError> {
        let request = self.client.get_item().table_name(&self.table).key("id", text(id.as_str()));
        let found = request.consistent_read(true).send().await.map_err(error::failed)?;
        found.item.as_ref().map(decode).transpose()
    }

    async fn all(&self) -> Result<Vec<Asset>, RepositoryError> {
        let pages = self.client.scan().table_name(&self.table).into_paginator().items().send();
        let items: Vec<Item> = pages.collect::<Result<_, _>>().await.map_err(error::failed)?;
        items.iter().map(decode).collect()
    }

    async fn create_if_absent(&self, asset: &Asset) -> Result<bool, RepositoryError> {
        let request = self.client.put_item().table_name(&self.table).set_item(Some(encode(asset)));
        match request.condition_expression("attribute_not_exists(id)").send().await {
            Ok(_) => Ok(true),
            Err(failure) if failure.as_service_error().is_some_and(|e| e.is_conditional_check_failed_exception()) => {
                Ok(false)
            }
            Err(failure) => Err(error::failed(failure)),
        }
    }

    async fn set_price(&self, id: &AssetId, price: Price, as_of: DateTime<Utc>) -> Result<bool, RepositoryError> {
        let request = self
            .client
            .update_item()
            .table_name(&self.table)
            .key("id", text(id.as_str()))
            .condition_expression("price_updated_at < :as_of")
            .update_expression("SET price = :price, price_updated_at = :as_of, updated_at = :now")
            .expression_attribute_values(":price", number(price))
            .expression_attribute_values(":as_of", instant(as_of))
            .expression_attribute_values(":now", instant(Utc::now()));
        match request.send().await {
            Ok(_) => Ok(true),
            Err(failure) if failure.as_service_error().is_some_and(|e| e.is_conditional_check_failed_exception()) => {
                Ok(false)
            }
            Err(failure) => Err(error::failed(failure)),
        }
    }
}

fn encode(asset: &Asset) -> Item {
    item([
        ("id", text(asset.id.as_str())),
        ("symbol", text(asset.symbol.as_str())),
        ("name", text(&asset.name)),
        ("description", text(&asset.description)),
        ("category", text(asset.category.as_str())),
        ("price", number(asset.price)),
        ("price_updated_at", instant(asset.price_updated_at)),
        ("available", number(asset.available)),
        ("active", aws_sdk_dynamodb::types::AttributeValue::Bool(asset.active)),
        ("created_at", instant(asset.created_at)),
        ("updated_at", instant(asset.updated_at)),
    ])
}

fn decode(item: &Item) -> Result<Asset, RepositoryError> {
    let stored = Stored { entity: "asset", item };
    let owned = |text: &str| Ok::<_, std::convert::Infallible>(text.to_owned());
    Ok(Asset {
        id: stored.text("id", AssetId::parse)?,
        symbol: stored.text("symbol", Symbol::parse)?,
        name: stored.text("name", owned)?,
        description: stored.text("description", owned)?,
        category: stored.text("category", Category::parse)?,
        price: stored.decimal("price", Price::new)?,
        price_updated_at: stored.instant("price_updated_at")?,
        available: stored.decimal("available", Quantity::new)?,
        active: stored.flag("active")?,
        created_at: stored.instant("created_at")?,
        updated_at: stored.instant("updated_at")?,
    })
}
