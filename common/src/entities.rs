//! What the business speaks of, checked once where it is made.
//!
//! A value of a type in here is valid by construction: nothing behind the edge checks it again.

mod asset;
mod money;
mod order;
mod user;

pub use asset::{Asset, AssetId, Category, Symbol};
pub use money::{Amount, Price, Quantity};
pub use order::{IdempotencyKey, NewOrder, Order, OrderStatus};
pub use user::{Email, Password, PasswordHash, PersonName, User, Username};

/// Why a text or a number is not a value of the type asked for; the sentence is made for the person who sent it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct InvalidValue(pub(crate) String);

impl InvalidValue {
    fn new(sentence: impl Into<String>) -> Self {
        Self(sentence.into())
    }
}
