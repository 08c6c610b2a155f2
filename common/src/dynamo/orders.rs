//! Orders on DynamoDB.
//!
//! A user's orders and idempotency records share the partition `user#<id>`: `order#<id>` and `idem#<key>`. To place an
//! order is one transaction: it takes the units out of the asset's stock, on condition that they are there at the
//! order's price, writes the order, and records the key, on condition that it is new. What makes a repetition harmless
//! is thus written with the order or not at all.

use std::convert::Infallible;

use async_trait::async_trait;
use aws_sdk_dynamodb::Client;
use aws_sdk_dynamodb::types::{AttributeValue, Put, ReturnValuesOnConditionCheckFailure, TransactWriteItem, Update};
use chrono::{TimeDelta, Utc};

use super::error;
use super::item::{Item, Stored, instant, item, number, text};
use super::tables::EXPIRES_AT;
use super::transaction::{self, FailedConditions, NotWritten};
use crate::entities::{Amount, AssetId, IdempotencyKey, NewOrder, Order, OrderStatus, Price, Quantity, Symbol};
use crate::ids::{OrderId, UserId};
use crate::repository::{OrderPage, OrderRepository, PlaceOrderError, Placed, RepositoryError};

/// How long a repetition is recognised.
const KEY_KEPT_FOR: TimeDelta = TimeDelta::hours(24);

const ORDER_PREFIX: &str = "order#";

// Places in the transaction.
const STOCK: usize = 0;
const ORDER: usize = 1;

/// The tables of orders and of what they sell.
#[derive(Clone, Debug)]
pub struct DynamoOrders {
    client: Client,
    table: String,
    assets: String,
}

/// Two orders were given one id.
#[derive(Debug, thiserror::Error)]
#[error("an order with this id exists")]
struct IdTaken;

/// Reads are not isolated from transactions, so that for a moment half of one can be seen; and a record may reach its
/// time between a write and a read.
#[derive(Debug, thiserror::Error)]
#[error("the idempotency key's record is just changing")]
struct Unsettled;

impl DynamoOrders {
    pub(super) fn new(client: Client, table: String, assets: String) -> Self {
        Self { client, table, assets }
    }

    async fn get(&self, user: UserId, sort_key: String) -> Result<Option<Item>, RepositoryError> {
        let request = self.client.get_item().table_name(&self.table).set_key(Some(key(user, sort_key)));
        Ok(request.consistent_read(true).send().await.map_err(error::failed)?.item)
    }

    fn take_stock(&self, order: &Order) -> Result<TransactWriteItem, RepositoryError> {
        let update = Update::builder()
            .table_name(&self.assets)
            .key("id", text(order.asset_id.as_str()))
            .condition_expression("available >= :quantity AND active = :yes AND price = :price")
            .update_expression("SET available = available - :quantity, updated_at = :now")
            .expression_attribute_values(":quantity", number(order.quantity))
            .expression_attribute_values(":yes", AttributeValue::Bool(true))
            .expression_attribute_values(":price", number(order.unit_price))
            .expression_attribute_values(":now", instant(order.created_at))
            .return_values_on_condition_check_failure(ReturnValuesOnConditionCheckFailure::AllOld);
        transaction::update(update)
    }

    fn put_order(&self, order: &Order) -> Result<TransactWriteItem, RepositoryError> {
        let put = Put::builder()
            .table_name(&self.table)
            .set_item(Some(encode(order)))
            .condition_expression("attribute_not_exists(pk)");
        transaction::put(put)
    }

    fn record_key(&self, name: &IdempotencyKey, order: &Order) -> Result<TransactWriteItem, RepositoryError> {
        let mut record = key(order.user_id, key_sort_key(name));
        record.insert("order_id".to_owned(), text(order.id.to_string()));
        record.insert("fingerprint".to_owned(), text(fingerprint(&order.asset_id, order.quantity)));
        record.insert(EXPIRES_AT.to_owned(), number((Utc::now() + KEY_KEPT_FOR).timestamp()));
        let put = Put::builder()
            .table_name(&self.table)
            .set_item(Some(record))
            // DynamoDB drops expired records days late.
            .condition_expression("attribute_not_exists(pk) OR expires_at <= :now")
            .expression_attribute_values(":now", number(Utc::now().timestamp()));
        transaction::put(put)
    }
}

#[async_trait]
impl OrderRepository for DynamoOrders {
    async fn place(&self, new: &NewOrder) -> Result<Placed, PlaceOrderError> {
        let order = &new.order;
        let mut writes = vec![self.take_stock(order)?, self.put_order(order)?];
        if let Some(name) = &new.idempotency_key {
            writes.push(self.record_key(name, order)?);
        }
        let failed = match transaction::write(&self.client, writes).await {
            Ok(()) => return Ok(Placed::Now(order.clone())),
            Err(NotWritten::Conditions(failed)) => failed,
            Err(NotWritten::Store(error)) => return Err(error.into()),
        };
        // Before all else: a repetition gets its order though the price has moved on or the stock is gone since.
        if let Some(name) = &new.idempotency_key
            && let Some(order) = self.placed_before(name, order.user_id, &order.asset_id, order.quantity).await?
        {
            return Ok(Placed::Before(order));
        }
        Err(refusal(order, &failed))
    }

    async fn placed_before(
        &self,
        name: &IdempotencyKey,
        user: UserId,
        asset: &AssetId,
        quantity: Quantity,
    ) -> Result<Option<Order>, PlaceOrderError> {
        let Some(record) = self.get(user, key_sort_key(name)).await? else { return Ok(None) };
        let record = Stored { entity: "idempotency record", item: &record };
        if record.count(EXPIRES_AT)? <= Utc::now().timestamp().unsigned_abs() {
            return Ok(None);
        }
        if record.text("fingerprint", |text| Ok::<_, Infallible>(text != fingerprint(asset, quantity)))? {
            return Err(PlaceOrderError::KeyReused);
        }
        match self.by_id(user, record.text("order_id", str::parse)?).await? {
            Some(order) => Ok(Some(order)),
            None => Err(RepositoryError::Unavailable(Box::new(Unsettled)).into()),
        }
    }

    async fn by_id(&self, user: UserId, id: OrderId) -> Result<Option<Order>, RepositoryError> {
        self.get(user, order_sort_key(id)).await?.as_ref().map(decode).transpose()
    }

    async fn of_user(&self, user: UserId, before: Option<OrderId>, limit: usize) -> Result<OrderPage, RepositoryError> {
        let one_more = limit.saturating_add(1);
        let mut items = self
            .client
            .query()
            .table_name(&self.table)
            .consistent_read(true)
            .key_condition_expression("pk = :user AND begins_with(sk, :order)")
            .expression_attribute_values(":user", text(user_key(user)))
            .expression_attribute_values(":order", text(ORDER_PREFIX))
            .scan_index_forward(false)
            .limit(i32::try_from(one_more).unwrap_or(i32::MAX))
            .set_exclusive_start_key(before.map(|id| key(user, order_sort_key(id))))
            .into_paginator()
            .items()
            .send();
        let mut orders = Vec::new();
        while orders.len() < one_more {
            let Some(item) = items.next().await else { break };
            orders.push(decode(&item.map_err(error::failed)?)?);
        }
        let more = orders.len() > limit;
        orders.truncate(limit);
        let next = orders.last().filter(|_| more).map(|order| order.id);
        Ok(OrderPage { orders, next })
    }
}

/// Why the order was not written, if not because it was before.
fn refusal(order: &Order, failed: &FailedConditions) -> PlaceOrderError {
    if failed.at(ORDER) {
        return RepositoryError::Refused(Box::new(IdTaken)).into();
    }
    if !failed.at(STOCK) {
        return RepositoryError::Unavailable(Box::new(Unsettled)).into();
    }
    let Some(found) = failed.found_at(STOCK) else { return PlaceOrderError::NotForSale };
    let asset = Stored { entity: "asset", item: found };
    match (asset.flag("active"), asset.decimal("available", Quantity::new)) {
        (Err(damaged), _) | (_, Err(damaged)) => damaged.into(),
        (Ok(false), _) => PlaceOrderError::NotForSale,
        (Ok(true), Ok(available)) if available < order.quantity => PlaceOrderError::OutOfStock { available },
        (Ok(true), Ok(_)) => PlaceOrderError::PriceChanged,
    }
}

/// What a repetition must have in common with the first attempt. Not the price: that is the service's, and moves.
fn fingerprint(asset: &AssetId, quantity: Quantity) -> String {
    format!("{quantity} {asset}")
}

fn user_key(id: UserId) -> String {
    format!("user#{id}")
}

fn order_sort_key(id: OrderId) -> String {
    format!("{ORDER_PREFIX}{id}")
}

fn key_sort_key(name: &IdempotencyKey) -> String {
    format!("idem#{name}")
}

fn key(user: UserId, sort_key: String) -> Item {
    item([("pk", text(user_key(user))), ("sk", text(sort_key))])
}

fn encode(order: &Order) -> Item {
    item([
        ("pk", text(user_key(order.user_id))),
        ("sk", text(order_sort_key(order.id))),
        ("id", text(order.id.to_string())),
        ("user_id", text(order.user_id.to_string())),
        ("asset_id", text(order.asset_id.as_str())),
        ("symbol", text(order.symbol.as_str())),
        ("quantity", number(order.quantity)),
        ("unit_price", number(order.unit_price)),
        ("total", number(order.total)),
        ("status", text(order.status.as_str())),
        ("created_at", instant(order.created_at)),
    ])
}

fn decode(item: &Item) -> Result<Order, RepositoryError> {
    let stored = Stored { entity: "order", item };
    Ok(Order {
        id: stored.text("id", str::parse)?,
        user_id: stored.text("user_id", str::parse)?,
        asset_id: stored.text("asset_id", AssetId::parse)?,
        symbol: stored.text("symbol", Symbol::parse)?,
        quantity: stored.decimal("quantity", Quantity::positive)?,
        unit_price: stored.decimal("unit_price", Price::new)?,
        total: stored.decimal("total", Amount::new)?,
        status: stored.text("status", |word| OrderStatus::from_word(word).ok_or(()))?,
        created_at: stored.instant("created_at")?,
    })
}
