//! A purchase.

use std::fmt;

use chrono::{DateTime, Utc};

use super::{Amount, AssetId, InvalidValue, Price, Quantity, Symbol};
use crate::ids::{OrderId, UserId};

/// One purchase of one asset by one user.
#[derive(Clone, Debug, PartialEq)]
pub struct Order {
    /// Its identity; later orders sort behind earlier ones.
    pub id: OrderId,
    /// Who bought.
    pub user_id: UserId,
    /// What was bought.
    pub asset_id: AssetId,
    /// That asset's symbol at the time.
    pub symbol: Symbol,
    /// How many units.
    pub quantity: Quantity,
    /// Price of one unit at the time.
    pub unit_price: Price,
    /// `unit_price` × `quantity`.
    pub total: Amount,
    /// How far it has come.
    pub status: OrderStatus,
    /// When it was placed.
    pub created_at: DateTime<Utc>,
}

/// How far an order has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OrderStatus {
    /// Stock is reserved and the order is written.
    Confirmed,
}

impl OrderStatus {
    /// The word used in the store and on the wire.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Confirmed => "confirmed",
        }
    }

    /// The status that `word` stands for.
    #[must_use]
    pub fn from_word(word: &str) -> Option<Self> {
        match word {
            "confirmed" => Some(Self::Confirmed),
            _ => None,
        }
    }
}

/// An order to be written, with what makes its repetition harmless.
#[derive(Clone, Debug)]
pub struct NewOrder {
    /// The order as it will stand.
    pub order: Order,
    /// The client's name for this attempt, if it gave one.
    pub idempotency_key: Option<IdempotencyKey>,
}

/// A client's name for one attempt to buy: 1 to 128 visible ASCII characters
/// (draft-ietf-httpapi-idempotency-key-header).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IdempotencyKey(String);

impl IdempotencyKey {
    /// Checks `text`.
    ///
    /// # Errors
    /// Says which rule `text` breaks.
    pub fn parse(text: &str) -> Result<Self, InvalidValue> {
        if (1..=128).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_graphic()) {
            Ok(Self(text.to_owned()))
        } else {
            Err(InvalidValue::new("must have 1 to 128 visible ASCII characters"))
        }
    }

    /// The key as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for IdempotencyKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}
