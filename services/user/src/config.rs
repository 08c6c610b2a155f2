//! The service's settings, from the environment.

use std::net::{Ipv4Addr, SocketAddr};

use common::auth::{HashingLimits, IdentityTokens, SigningSecret, TokenSettings};
use common::config::{ConfigError, Env, Reader};
use common::dynamo::DynamoConfig;
use common::health::RedisSettings;
use common::service::Limits;

/// The variables that [`Config::from_env`] reads, for people.
pub const VARIABLES: &str = include_str!("variables.txt");

/// What the service needs to know.
#[derive(Clone, Debug)]
pub struct Config {
    /// Where it listens.
    pub addr: SocketAddr,
    /// How it signs tokens.
    pub tokens: TokenSettings,
    /// By what it knows that a request came through the gateway, if that is asked.
    pub identity_tokens: Option<IdentityTokens>,
    /// Where accounts and revocations are kept.
    pub store: DynamoConfig,
    /// The Redis that must answer for the service to be ready, and where revocations are published.
    pub redis: Option<RedisSettings>,
    /// What those say who may follow revocations; nobody may where there is none.
    pub revocation_secret: Option<SigningSecret>,
    /// How many passwords may be on their way.
    pub hashing: HashingLimits,
    /// What it takes on at most.
    pub limits: Limits,
}

impl Config {
    /// Reads the settings.
    ///
    /// # Errors
    /// Everything that is missing or wrong, at once.
    pub fn from_env(env: &Env) -> Result<Self, ConfigError> {
        let mut reader = Reader::new(env);
        let addr = reader.addr("USER_SERVICE_ADDR", (Ipv4Addr::UNSPECIFIED, 8000).into());
        let tokens = TokenSettings::read(&mut reader);
        let identity_tokens = IdentityTokens::read(&mut reader, "user-service");
        let store = DynamoConfig::read(&mut reader);
        let redis = RedisSettings::read(&mut reader);
        let revocation_secret = revocation_secret(&mut reader);
        let hashing = HashingLimits::read(&mut reader);
        let limits = Limits::read(&mut reader);
        let required = tokens.zip(store);
        let config =
            |(tokens, store)| Self { addr, tokens, identity_tokens, store, redis, revocation_secret, hashing, limits };
        reader.finish(required.map(config))
    }
}

fn revocation_secret(reader: &mut Reader<'_>) -> Option<SigningSecret> {
    const NAME: &str = "REVOCATION_SECRET";
    let secret = SigningSecret::new(reader.secret(NAME)?);
    secret.map_err(|weak| reader.problem(NAME, format_args!("is too weak: {weak}"))).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_is_all_that_is_required() {
        let env = Env::default().with("JWT_SECRET_KEY", "6f1d0a94c2b85e7733e09a1bd4c65f28");
        let config = Config::from_env(&env).expect("sound");
        assert_eq!(config.addr.port(), 8000);
        assert!(config.redis.is_none());
    }

    #[test]
    fn everything_wrong_is_reported_at_once() {
        let env = Env::default()
            .with("USER_SERVICE_ADDR", "everywhere")
            .with("PASSWORD_WORKERS", "0")
            .with("REVOCATION_SECRET", "changeme");
        let error = Config::from_env(&env).expect_err("four problems").to_string();
        for name in ["USER_SERVICE_ADDR", "JWT_SECRET_KEY", "PASSWORD_WORKERS", "REVOCATION_SECRET"] {
            assert!(error.contains(name), "{error}");
        }
    }

    #[test]
    fn every_variable_that_is_read_is_explained() {
        for name in [
            "USER_SERVICE_ADDR",
            "JWT_SECRET_KEY",
            "DYNAMODB_TABLE_PREFIX",
            "REDIS_HOST",
            "PASSWORD_QUEUE",
            "REVOCATION_SECRET",
            "LOG_LEVEL",
        ] {
            assert!(VARIABLES.contains(name), "{name}");
        }
    }
}
