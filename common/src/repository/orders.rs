//! Orders in a store.

use async_trait::async_trait;

use super::RepositoryError;
use crate::entities::{AssetId, IdempotencyKey, NewOrder, Order, Quantity};
use crate::ids::{OrderId, UserId};

/// Keeps orders, and takes what they sell out of the stock.
#[async_trait]
pub trait OrderRepository: Send + Sync {
    /// Takes the order's quantity out of the asset's stock and writes the order, both or neither.
    ///
    /// A repetition under the same idempotency key (of the same user) changes nothing and returns the order that the
    /// first attempt wrote, as [`Placed::Before`].
    ///
    /// # Errors
    /// See [`PlaceOrderError`].
    async fn place(&self, new: &NewOrder) -> Result<Placed, PlaceOrderError>;

    /// The order that `user` placed under `key` before, whatever has become of the asset since.
    ///
    /// # Errors
    /// [`PlaceOrderError::KeyReused`] when it is not one of `quantity` units of `asset`; when the store fails.
    async fn placed_before(
        &self,
        key: &IdempotencyKey,
        user: UserId,
        asset: &AssetId,
        quantity: Quantity,
    ) -> Result<Option<Order>, PlaceOrderError>;

    /// The order of that user with this id. Another user's order is as absent as one that never was.
    ///
    /// # Errors
    /// When the store fails.
    async fn by_id(&self, user: UserId, id: OrderId) -> Result<Option<Order>, RepositoryError>;

    /// Up to `limit` orders of that user, the newest first, older than `before`.
    ///
    /// # Errors
    /// When the store fails.
    async fn of_user(&self, user: UserId, before: Option<OrderId>, limit: usize) -> Result<OrderPage, RepositoryError>;
}

/// What became of an attempt to buy.
#[derive(Clone, Debug, PartialEq)]
pub enum Placed {
    /// The order was written now.
    Now(Order),
    /// An earlier attempt under the same idempotency key wrote this order.
    Before(Order),
}

/// Some of a user's orders.
#[derive(Clone, Debug)]
pub struct OrderPage {
    /// The newest first.
    pub orders: Vec<Order>,
    /// Where the next page starts: pass as `before`. `None` on the last page.
    pub next: Option<OrderId>,
}

/// Why an order was not placed, or is not known to be.
#[derive(Debug, thiserror::Error)]
pub enum PlaceOrderError {
    /// Less is left than was asked for.
    #[error("only {available} left")]
    OutOfStock {
        /// Units left when it was tried.
        available: Quantity,
    },
    /// The asset is gone or cannot be bought.
    #[error("the asset cannot be bought")]
    NotForSale,
    /// The asset's price is no longer the one in the order; read it anew and try again.
    #[error("the price has changed")]
    PriceChanged,
    /// The idempotency key was used for an order of something else.
    #[error("the idempotency key was used for another order")]
    KeyReused,
    /// The store failed. When it is [`RepositoryError::Unavailable`], the answer may be all that was lost, and the order
    /// written: to repeat the call under the same idempotency key is safe, without one it may place a second order.
    #[error(transparent)]
    Repository(#[from] RepositoryError),
}
