//! The settings of this service, read from the environment once.

use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use common::auth::{IdentityTokens, TokenSettings};
use common::config::{ConfigError, Env, Reader};
use common::dynamo::DynamoConfig;
use common::health::RedisSettings;
use common::service::Limits;
use reqwest::Url;

pub use crate::catalogue::Freshness;
pub use crate::coingecko::CoinGeckoSettings;

/// The variables that [`Config::from_env`] reads, for people.
pub const VARIABLES: &str = include_str!("variables.txt");

/// What the service is started with.
#[derive(Clone, Debug)]
pub struct Config {
    /// Where it listens.
    pub addr: SocketAddr,
    /// Where it keeps the catalogue and the orders.
    pub store: DynamoConfig,
    /// How the tokens of its callers are signed.
    pub tokens: TokenSettings,
    /// By what it knows that a request came through the gateway, if that is asked.
    pub identity_tokens: Option<IdentityTokens>,
    /// The Redis that has to answer before the service calls itself ready.
    pub redis: Option<RedisSettings>,
    /// What it takes on at most.
    pub limits: Limits,
    /// How old a list may be.
    pub freshness: Freshness,
    /// Where prices come from; `None` leaves them as they are.
    pub prices: Option<PriceSettings>,
}

/// Where prices come from, and how often.
#[derive(Clone, Debug)]
pub struct PriceSettings {
    /// Who is asked.
    pub source: CoinGeckoSettings,
    /// The pause between two refreshes.
    pub interval: Duration,
    /// The pause after the first refresh that fails; each further failure doubles it, up to `interval`.
    pub first_retry: Duration,
}

impl Config {
    /// Reads every variable of the service.
    ///
    /// # Errors
    /// Everything that is missing or wrong.
    pub fn from_env(env: &Env) -> Result<Self, ConfigError> {
        let mut reader = Reader::new(env);
        let addr = reader.addr("INVENTORY_SERVICE_ADDR", (Ipv4Addr::UNSPECIFIED, 8001).into());
        let store = DynamoConfig::read(&mut reader);
        let tokens = TokenSettings::read(&mut reader);
        let identity_tokens = IdentityTokens::read(&mut reader, "inventory-service");
        let redis = RedisSettings::read(&mut reader);
        let limits = Limits::read(&mut reader);
        let freshness = freshness(&mut reader);
        let prices = prices(&mut reader);
        let required = store.zip(tokens).zip(prices);
        reader.finish(required.map(|((store, tokens), prices)| Self {
            addr,
            store,
            tokens,
            identity_tokens,
            redis,
            limits,
            freshness,
            prices,
        }))
    }
}

fn freshness(reader: &mut Reader<'_>) -> Freshness {
    let fresh_for = reader.seconds("CATALOGUE_FRESH_SECONDS", Duration::from_secs(1));
    let stale_for = reader.seconds("CATALOGUE_STALE_SECONDS", Duration::from_secs(300));
    if stale_for < fresh_for {
        reader.problem("CATALOGUE_STALE_SECONDS", "is less than CATALOGUE_FRESH_SECONDS");
    }
    Freshness { fresh_for, stale_for, renewal_timeout: Duration::from_secs(2) }
}

/// The outer `None` is a problem that the reader knows, the inner one that prices are not to be refreshed.
fn prices(reader: &mut Reader<'_>) -> Option<Option<PriceSettings>> {
    let interval = reader.seconds("PRICE_REFRESH_SECONDS", Duration::from_secs(300));
    let base_url = base_url(reader)?;
    let source = CoinGeckoSettings {
        base_url,
        api_key: reader.secret("COINGECKO_API_KEY"),
        connect_timeout: Duration::from_secs(3),
        timeout: Duration::from_secs(15),
    };
    let settings = PriceSettings { source, interval, first_retry: Duration::from_secs(5).min(interval) };
    Some((!interval.is_zero()).then_some(settings))
}

fn base_url(reader: &mut Reader<'_>) -> Option<Url> {
    const NAME: &str = "COINGECKO_BASE_URL";
    let text = reader.text(NAME, "https://api.coingecko.com");
    let url = text.parse::<Url>().ok().filter(|url| matches!(url.scheme(), "http" | "https"));
    if url.is_none() {
        reader.problem(NAME, format_args!("is {text:?}: must be a base URL, like https://api.coingecko.com"));
    }
    url
}

#[cfg(test)]
mod tests {
    use super::*;

    fn env() -> Env {
        Env::default().with("JWT_SECRET_KEY", "6f1d0a94c2b85e7733e09a1bd4c65f28")
    }

    #[test]
    fn only_the_signing_secret_is_required() {
        let config = Config::from_env(&env()).expect("sound");
        assert_eq!(config.addr.to_string(), "0.0.0.0:8001");
        let prices = config.prices.expect("refreshed");
        assert_eq!(
            (prices.interval, prices.source.base_url.as_str()),
            (Duration::from_secs(300), "https://api.coingecko.com/")
        );
        assert!(Config::from_env(&Env::default()).is_err());
    }

    #[test]
    fn zero_seconds_switch_the_price_refresh_off() {
        assert!(Config::from_env(&env().with("PRICE_REFRESH_SECONDS", "0")).expect("sound").prices.is_none());
    }

    #[test]
    fn all_problems_are_reported_at_once() {
        let env = Env::default()
            .with("INVENTORY_SERVICE_ADDR", "8001")
            .with("DYNAMODB_TABLE_PREFIX", "a b")
            .with("CATALOGUE_FRESH_SECONDS", "400")
            .with("PRICE_REFRESH_SECONDS", "often")
            .with("COINGECKO_BASE_URL", "api.coingecko.com");
        let error = Config::from_env(&env).expect_err("six problems").to_string();
        for name in [
            "INVENTORY_SERVICE_ADDR",
            "DYNAMODB_TABLE_PREFIX",
            "JWT_SECRET_KEY",
            "CATALOGUE_STALE_SECONDS",
            "PRICE_REFRESH_SECONDS",
            "COINGECKO_BASE_URL",
        ] {
            assert!(error.lines().any(|line| line.starts_with(name)), "{name} in {error}");
        }
    }

    #[test]
    fn every_variable_that_is_read_is_explained() {
        for name in
            ["INVENTORY_SERVICE_ADDR", "CATALOGUE_FRESH_SECONDS", "COINGECKO_API_KEY", "REDIS_HOST", "LOG_LEVEL"]
        {
            assert!(VARIABLES.contains(name), "{name}");
        }
    }

    #[test]
    fn secrets_do_not_show_in_debug_output() {
        let config = Config::from_env(&env().with("COINGECKO_API_KEY", "CG-hunter2")).expect("sound");
        let shown = format!("{config:?}");
        assert!(!shown.contains("hunter2") && !shown.contains("6f1d0a94"), "{shown}");
    }
}
