//! Puts the service together: settings in, a service with its port out.

use std::sync::Arc;

use common::auth::{PasswordHasher, StartHasherError};
use common::config::ConfigError;
use common::dynamo::{OpenError, Store};
use common::health::RedisUnavailable;
use common::service::{Authenticator, Running, ServeError, Service, readiness};
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
    /// The store cannot be used.
    #[error(transparent)]
    Store(#[from] OpenError),
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
    let store = Store::open(&config.store).await?;
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
        readiness: readiness(&store, config.redis.as_ref())?,
        metrics,
        limits: config.limits,
    };
    Ok(service.bind(config.addr).await?)
}
