//! Puts the service together: settings in, a service with its port out.

use std::sync::Arc;

use common::auth::{PasswordHasher, StartHasherError};
use common::config::ConfigError;
use common::dynamo::{OpenError, Store};
use common::health::RedisUnavailable;
use common::service::{Authenticator, Running, ServeError, Service, readiness};
use common::telemetry::metrics;
use poem::EndpointExt as _;

use crate::Config;
use crate::accounts::Accounts;
use crate::api::Api;
use crate::revocations::{Feed, Follow, keep, publish};

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
    // Only where somebody may follow.
    let redis = config.redis.as_ref().map(|redis| redis.client()).transpose().map_err(RedisUnavailable::from)?;
    let feed = (redis.is_some() || config.revocation_secret.is_some()).then(|| Arc::new(Feed::new()));
    let follow = feed.clone().zip(config.revocation_secret).map(|(feed, secret)| Follow::new(feed, secret));
    let accounts = Accounts {
        users: Arc::new(store.users()),
        revocations: revocations.clone(),
        feed: feed.clone(),
        hasher: Arc::new(hasher),
        tokens: config.tokens.issuer(),
    };
    let service = Service {
        name: "user-service",
        title: "User service",
        description: "Accounts: register, log in, profile, log out.",
        version: env!("CARGO_PKG_VERSION"),
        api: Api { accounts },
        authenticator: Authenticator::new(config.tokens.verifier(), revocations.clone()).behind(config.identity_tokens),
        readiness: readiness(&store, config.redis.as_ref())?,
        metrics,
        limits: config.limits,
        internal: follow.into_iter().map(|follow| (common::revocations::PATH, follow.boxed())).collect(),
    };
    let running = service.bind(config.addr).await?;
    let Some(feed) = feed else { return Ok(running) };
    let publisher = redis.map(|client| (Arc::clone(&feed), client));
    let running = running.with_task(|stop| keep(feed, revocations, stop));
    Ok(match publisher {
        Some((feed, client)) => running.with_task(|stop| publish(feed, client, stop)),
        None => running,
    })
}
