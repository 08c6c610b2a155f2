//! Puts the service together: settings in, a service with its port out.

use std::sync::Arc;

use common::auth::{PasswordHasher, StartHasherError};
use common::config::ConfigError;
use common::dynamo::{ConnectError, DynamoConfig, Store};
use common::health::{Readiness, RedisCheck, RedisUnavailable};
use common::repository::RepositoryError;
use common::service::{Authenticator, Running, ServeError, Service};
use common::telemetry::metrics;

use crate::Config;
use crate::accounts::Accounts;
use crate::api::Api;

/// Why the service did not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The environment is wrong.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// There are no credentials for the store.
    #[error(transparent)]
    Connect(#[from] ConnectError),
    /// The store does not answer, or has not our tables.
    #[error("the DynamoDB at {place} cannot be used")]
    Store {
        /// Its endpoint or region.
        place: String,
        /// What it did instead.
        #[source]
        source: RepositoryError,
    },
    /// The Redis settings are none that Redis could have.
    #[error("the settings of Redis are wrong")]
    Redis(#[from] RedisUnavailable),
    /// Passwords cannot be hashed.
    #[error(transparent)]
    Hasher(#[from] StartHasherError),
    /// The metrics could not be registered.
    #[error("the metrics could not be registered")]
    Metrics(#[from] prometheus::Error),
    /// The port cannot be had.
    #[error(transparent)]
    Serve(#[from] ServeError),
}

/// Reaches the store, takes the port and is ready to serve.
///
/// # Errors
/// Says what stands in the way.
pub async fn start(config: Config) -> Result<Running, StartError> {
    let store = reach(&config.store).await?;
    let metrics = metrics::registry()?;
    let hasher = PasswordHasher::new(config.hashing, &metrics)?;
    let revocations = Arc::new(store.revocations());
    let accounts = Accounts {
        users: Arc::new(store.users()),
        revocations: revocations.clone(),
        hasher: Arc::new(hasher),
        tokens: config.tokens.issuer(),
    };
    let service = Service {
        name: "user-service",
        title: "User service",
        description: "Accounts: register, log in, profile, log out.",
        version: env!("CARGO_PKG_VERSION"),
        api: Api { accounts },
        authenticator: Authenticator::new(config.tokens.verifier(), revocations),
        readiness: readiness(&config, store)?,
        metrics,
        body_limit: config.body_limit,
    };
    Ok(service.bind(config.addr).await?)
}

/// The store, after it has answered once. On this machine nobody else makes its tables, so we do.
async fn reach(config: &DynamoConfig) -> Result<Store, StartError> {
    let store = Store::connect(config).await?;
    let answered = if config.is_local() { store.ensure_tables().await } else { store.check().await };
    let place = || config.endpoint.as_ref().unwrap_or(&config.region).clone();
    answered.map_err(|source| StartError::Store { place: place(), source })?;
    Ok(store)
}

fn readiness(config: &Config, store: Store) -> Result<Readiness, StartError> {
    let dynamodb = move || {
        let store = store.clone();
        async move { store.check().await }
    };
    let readiness = Readiness::default().with("dynamodb", dynamodb);
    let Some(settings) = &config.redis else { return Ok(readiness) };
    let redis = RedisCheck::new(settings)?;
    Ok(readiness.with("redis", move || {
        let redis = redis.clone();
        async move { redis.ping().await }
    }))
}
