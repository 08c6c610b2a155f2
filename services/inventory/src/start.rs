//! Puts the service together: settings in, a service with its port out.

use std::sync::Arc;

use common::config::ConfigError;
use common::dynamo::{OpenError, Store};
use common::health::RedisUnavailable;
use common::repository::{AssetRepository, RepositoryError};
use common::service::{Authenticator, Running, ServeError, Service, readiness};
use common::telemetry::metrics;
use prometheus::Registry;

use crate::api::Api;
use crate::catalogue::Catalogue;
use crate::coingecko::{CoinGecko, CoinGeckoError};
use crate::config::{Config, PriceSettings};
use crate::orders::Orders;
use crate::prices::{PriceMetrics, PriceRefresh, Schedule};
use crate::seed::{self, SeedError};

/// Why the service did not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The environment is wrong.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// The store cannot be used.
    #[error(transparent)]
    Store(#[from] OpenError),
    /// The catalogue could not be read.
    #[error("the catalogue could not be read")]
    Catalogue(#[from] RepositoryError),
    /// The catalogue could not be filled.
    #[error(transparent)]
    Seed(#[from] SeedError),
    /// The Redis settings are none that Redis could have.
    #[error("the settings of Redis are wrong")]
    Redis(#[from] RedisUnavailable),
    /// CoinGecko's settings are none that it could have.
    #[error(transparent)]
    CoinGecko(#[from] CoinGeckoError),
    /// The metrics cannot be registered.
    #[error("the metrics could not be registered")]
    Metrics(#[from] prometheus::Error),
    /// The address cannot be had.
    #[error(transparent)]
    Serve(#[from] ServeError),
}

/// Reaches the store, fills the catalogue if need be and takes the port; requests wait until [`Running::run_until`].
///
/// # Errors
/// Says what of that failed.
pub async fn start(config: Config) -> Result<Running, StartError> {
    let store = Store::open(&config.store).await?;
    let assets: Arc<dyn AssetRepository> = Arc::new(store.assets());
    let created = seed::fill(&*assets).await?;
    if created > 0 {
        tracing::info!(assets = created, "the catalogue was filled from the bundled list");
    }

    let metrics = metrics::registry()?;
    let refresh = match config.prices {
        Some(settings) => Some(price_refresh(&settings, Arc::clone(&assets), &metrics)?),
        None => None,
    };
    let service = Service {
        name: "inventory-service",
        title: "Inventory service",
        description: "Assets that can be bought, and the orders of those who bought them.",
        version: env!("CARGO_PKG_VERSION"),
        api: Api {
            catalogue: Catalogue::open(Arc::clone(&assets), config.freshness).await?,
            orders: Orders::new(assets, Arc::new(store.orders())),
        },
        authenticator: Authenticator::new(config.tokens.verifier(), Arc::new(store.revocations()))
            .behind(config.identity_tokens),
        readiness: readiness(&store, config.redis.as_ref())?,
        metrics,
        limits: config.limits,
        internal: Vec::new(),
    };
    let running = service.bind(config.addr).await?;
    Ok(match refresh {
        Some(refresh) => running.with_task(|stop| refresh.run(stop)),
        None => running,
    })
}

fn price_refresh(
    settings: &PriceSettings,
    assets: Arc<dyn AssetRepository>,
    registry: &Registry,
) -> Result<PriceRefresh, StartError> {
    let source = CoinGecko::new(&settings.source)?;
    let schedule = Schedule::new(settings.interval, settings.first_retry);
    Ok(PriceRefresh::new(source, assets, schedule, PriceMetrics::register(registry)?))
}
