//! The repositories on DynamoDB: AWS itself, DynamoDB Local, or the one inside this process.
//!
//! The same client code runs against all three. Every write that matters is one conditional or transactional call, so
//! any number of processes can share the tables.

mod assets;
mod config;
mod connection;
mod contention;
mod error;
mod item;
mod orders;
mod revocations;
mod tables;
mod transaction;
mod users;

#[cfg(feature = "embedded")]
pub mod embedded;

use aws_sdk_dynamodb::Client;

use crate::repository::RepositoryError;
use tables::Tables;

pub use assets::DynamoAssets;
pub use config::{AccessKey, AssumedRole, DynamoConfig, TablePrefix};
pub use connection::ConnectError;
pub use orders::DynamoOrders;
pub use revocations::DynamoRevocations;
pub use users::DynamoUsers;

/// Why the store cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// There is no client for it.
    #[error(transparent)]
    Connect(#[from] ConnectError),
    /// It does not answer, or lacks our tables.
    #[error("the DynamoDB at {place} cannot be used")]
    Unusable {
        /// Its endpoint or region.
        place: String,
        /// What it did instead.
        #[source]
        source: RepositoryError,
    },
}

/// A DynamoDB with this system's tables. Cheap to clone; all clones share one connection pool.
#[derive(Clone, Debug)]
pub struct Store {
    client: Client,
    tables: Tables,
}

impl Store {
    /// The store that `config` names, after it has answered once and with its tables there.
    ///
    /// # Errors
    /// [`OpenError`] when it cannot be reached, or has not our tables and none are to be made.
    pub async fn open(config: &DynamoConfig) -> Result<Self, OpenError> {
        let store = Self::connect(config).await?;
        let answered = if config.create_tables { store.ensure_tables().await } else { store.check().await };
        let place = || config.endpoint.as_ref().unwrap_or(&config.region).clone();
        answered.map_err(|source| OpenError::Unusable { place: place(), source })?;
        Ok(store)
    }

    /// Makes a client for the DynamoDB that `config` names. Credentials are fetched here, so that their absence is
    /// known at the start; the tables are not looked at, see [`Store::check`].
    ///
    /// # Errors
    /// [`ConnectError`] when there are no credentials, or the role cannot be assumed.
    pub async fn connect(config: &DynamoConfig) -> Result<Self, ConnectError> {
        Ok(Self { client: connection::client(config).await?, tables: Tables::with(&config.table_prefix) })
    }

    /// Creates the tables that are missing and waits until all can be used. Safe to repeat, and to run in several
    /// processes at once.
    ///
    /// # Errors
    /// When the store fails, or a table is not usable within 30 seconds.
    pub async fn ensure_tables(&self) -> Result<(), RepositoryError> {
        tables::ensure(&self.client, &self.tables).await
    }

    /// Reads from the one table that every service uses: whether the store answers, and lets us in.
    ///
    /// # Errors
    /// When it does not.
    pub async fn check(&self) -> Result<(), RepositoryError> {
        self.revocations().check().await
    }

    /// Accounts.
    #[must_use]
    pub fn users(&self) -> DynamoUsers {
        DynamoUsers::new(self.client.clone(), self.tables.users.clone())
    }

    /// The catalogue.
    #[must_use]
    pub fn assets(&self) -> DynamoAssets {
        DynamoAssets::new(self.client.clone(), self.tables.assets.clone())
    }

    /// Orders, and the stock they are filled from.
    #[must_use]
    pub fn orders(&self) -> DynamoOrders {
        DynamoOrders::new(self.client.clone(), self.tables.orders.clone(), self.tables.assets.clone())
    }

    /// Revoked tokens, sessions and subjects.
    #[must_use]
    pub fn revocations(&self) -> DynamoRevocations {
        DynamoRevocations::new(self.client.clone(), self.tables.revocations.clone(), self.tables.revocation_log.clone())
    }
}
