//! What every service leans on: its store, and the Redis it was told of.

use crate::dynamo::Store;
use crate::health::{Readiness, RedisCheck, RedisSettings, RedisUnavailable};

/// The checks of a service on `store` and, if it has one, `redis`.
///
/// # Errors
/// When the settings are none that Redis could have.
pub fn readiness(store: &Store, redis: Option<&RedisSettings>) -> Result<Readiness, RedisUnavailable> {
    let store = store.clone();
    let readiness = Readiness::default().with("dynamodb", move || {
        let store = store.clone();
        async move { store.check().await }
    });
    let Some(settings) = redis else { return Ok(readiness) };
    let redis = RedisCheck::new(settings)?;
    Ok(readiness.with("redis", move || {
        let redis = redis.clone();
        async move { redis.ping().await }
    }))
}
