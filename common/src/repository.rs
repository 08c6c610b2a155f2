//! What the services need of a store, in the domain's words.
//!
//! Every write that matters is one conditional or transactional call, so that any number of replicas can run side by
//! side, and safe to repeat.

mod assets;
mod error;
mod orders;
mod revocations;
mod users;

pub use assets::AssetRepository;
pub use error::RepositoryError;
pub use orders::{OrderPage, OrderRepository, PlaceOrderError, Placed};
pub use revocations::{RevocationLog, RevocationRepository};
pub use users::{CreateUserError, UpdateUserError, UserRepository};
