//! Buys assets and shows what was bought.

use std::sync::Arc;

use chrono::Utc;
use common::entities::{AssetId, IdempotencyKey, InvalidValue, NewOrder, Order, OrderStatus, Quantity};
use common::ids::{OrderId, UserId};
use common::repository::{AssetRepository, OrderPage, OrderRepository, PlaceOrderError, Placed, RepositoryError};

/// How often a purchase starts anew when the price changes under it. Prices change once in minutes: a second time is
/// rare, a fifth is no accident.
const MAX_ATTEMPTS: u32 = 5;

/// The purchases.
pub(crate) struct Orders {
    assets: Arc<dyn AssetRepository>,
    orders: Arc<dyn OrderRepository>,
}

/// Why nothing was bought, or nothing is known to be.
#[derive(Debug, thiserror::Error)]
pub(crate) enum BuyError {
    /// There is no such asset.
    #[error("there is no such asset")]
    UnknownAsset,
    /// The quantity makes no sensible total.
    #[error("the quantity cannot be bought")]
    Total(#[source] InvalidValue),
    /// The store did not write the order, or did not say so.
    #[error(transparent)]
    Place(#[from] PlaceOrderError),
}

impl From<RepositoryError> for BuyError {
    fn from(error: RepositoryError) -> Self {
        Self::Place(error.into())
    }
}

impl Orders {
    /// The purchases kept in `orders`, of what is kept in `assets`.
    pub(crate) fn new(assets: Arc<dyn AssetRepository>, orders: Arc<dyn OrderRepository>) -> Self {
        Self { assets, orders }
    }

    /// Buys `quantity` units for `user` at the price of this moment.
    ///
    /// # Errors
    /// See [`BuyError`].
    pub(crate) async fn buy(
        &self,
        user: UserId,
        asset: &AssetId,
        quantity: Quantity,
        idempotency_key: Option<IdempotencyKey>,
    ) -> Result<Placed, BuyError> {
        let mut attempt = 1;
        loop {
            let order = match self.at_present_price(user, asset, quantity).await {
                Ok(order) => order,
                Err(refusal) => {
                    return self.bought_before(user, asset, quantity, idempotency_key.as_ref(), refusal).await;
                }
            };
            let new = NewOrder { order, idempotency_key: idempotency_key.clone() };
            match self.orders.place(&new).await {
                Err(PlaceOrderError::PriceChanged) if attempt < MAX_ATTEMPTS => attempt += 1,
                outcome => return Ok(outcome?),
            }
        }
    }

    /// A repetition is answered with the purchase made in time, even if the asset is gone since or has a price at which
    /// nobody could buy so much; everything else with the `refusal`.
    async fn bought_before(
        &self,
        user: UserId,
        asset: &AssetId,
        quantity: Quantity,
        key: Option<&IdempotencyKey>,
        refusal: BuyError,
    ) -> Result<Placed, BuyError> {
        match (key, &refusal) {
            (Some(key), BuyError::UnknownAsset | BuyError::Total(_)) => {
                let before = self.orders.placed_before(key, user, asset, quantity).await?;
                before.map(Placed::Before).ok_or(refusal)
            }
            _ => Err(refusal),
        }
    }

    async fn at_present_price(&self, user: UserId, asset: &AssetId, quantity: Quantity) -> Result<Order, BuyError> {
        // Whether it is for sale is for the store to say, which knows a repetition of a purchase made in time.
        let asset = self.assets.by_id(asset).await?.ok_or(BuyError::UnknownAsset)?;
        let total = asset.price.times(quantity).map_err(BuyError::Total)?;
        Ok(Order {
            id: OrderId::new(),
            user_id: user,
            asset_id: asset.id,
            symbol: asset.symbol,
            quantity,
            unit_price: asset.price,
            total,
            status: OrderStatus::Confirmed,
            created_at: Utc::now(),
        })
    }

    /// The order of `user` with this id.
    ///
    /// # Errors
    /// When the store fails.
    pub(crate) async fn order(&self, user: UserId, id: OrderId) -> Result<Option<Order>, RepositoryError> {
        self.orders.by_id(user, id).await
    }

    /// Up to `limit` orders of `user`, the newest first, older than `before`.
    ///
    /// # Errors
    /// When the store fails.
    pub(crate) async fn page(
        &self,
        user: UserId,
        before: Option<OrderId>,
        limit: usize,
    ) -> Result<OrderPage, RepositoryError> {
        self.orders.of_user(user, before, limit).await
    }
}
