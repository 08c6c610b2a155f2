//! Whether Redis answers.

use std::time::Duration;

use redis::aio::{ConnectionManager, ConnectionManagerConfig};
use redis::{Client, ConnectionAddr, IntoConnectionInfo, RedisConnectionInfo, RedisError};
use secrecy::{ExposeSecret, SecretString};

use crate::config::Reader;

/// Where Redis is.
#[derive(Clone, Debug)]
pub struct RedisSettings {
    /// Host name or IP address.
    pub host: String,
    /// TCP port.
    pub port: u16,
    /// What to authenticate with.
    pub password: Option<SecretString>,
    /// Which of the server's numbered databases.
    pub db: u16,
}

impl RedisSettings {
    /// Reads `REDIS_HOST`, `REDIS_PORT`, `REDIS_PASSWORD` and `REDIS_DB`; without a host there is no Redis.
    pub fn read(reader: &mut Reader<'_>) -> Option<Self> {
        let port = reader.parsed("REDIS_PORT", 6379);
        let db = reader.parsed("REDIS_DB", 0);
        let host = reader.optional("REDIS_HOST")?;
        Some(Self { host, port, password: reader.secret("REDIS_PASSWORD"), db })
    }

    /// What connects to it.
    ///
    /// # Errors
    /// When the settings are none that Redis could have.
    pub fn client(&self) -> Result<Client, RedisError> {
        let mut redis = RedisConnectionInfo::default().set_db(i64::from(self.db));
        if let Some(password) = &self.password {
            redis = redis.set_password(password.expose_secret());
        }
        let addr = ConnectionAddr::Tcp(self.host.clone(), self.port);
        Client::open(addr.into_connection_info()?.set_redis_settings(redis))
    }
}

/// Pings a Redis; connects when first asked, and again after a failure.
#[derive(Clone)]
pub struct RedisCheck(ConnectionManager);

/// Redis did not answer as it should.
#[derive(Debug, thiserror::Error)]
#[error("Redis does not answer")]
pub struct RedisUnavailable(#[from] RedisError);

impl RedisCheck {
    /// Shorter than the deadline of a check, so that the reason is known.
    const TIMEOUT: Duration = Duration::from_millis(400);

    /// A check of the Redis at `settings`; must be called within a Tokio runtime.
    ///
    /// # Errors
    /// When the settings are none that Redis could have.
    pub fn new(settings: &RedisSettings) -> Result<Self, RedisUnavailable> {
        let config = ConnectionManagerConfig::new()
            .set_number_of_retries(0)
            .set_connection_timeout(Some(Self::TIMEOUT))
            .set_response_timeout(Some(Self::TIMEOUT));
        Ok(Self(ConnectionManager::new_lazy_with_config(settings.client()?, config)?))
    }

    /// Pings once.
    ///
    /// # Errors
    /// When Redis is not there, refuses us or answers late.
    pub async fn ping(&self) -> Result<(), RedisUnavailable> {
        Ok(redis::cmd("PING").query_async(&mut self.0.clone()).await?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Env;

    #[tokio::test]
    async fn an_absent_redis_is_no_panic_but_an_error() {
        let free = std::net::TcpListener::bind("127.0.0.1:0").expect("binds").local_addr().expect("bound").port();
        let env = Env::default().with("REDIS_HOST", "127.0.0.1").with("REDIS_PORT", free.to_string());
        let settings = RedisSettings::read(&mut Reader::new(&env)).expect("a host is set");
        let check = RedisCheck::new(&settings).expect("settings are sound");
        assert!(check.ping().await.is_err());
    }

    #[test]
    fn the_password_is_not_shown() {
        let env = Env::default().with("REDIS_HOST", "localhost").with("REDIS_PASSWORD", "hunter2");
        let settings = RedisSettings::read(&mut Reader::new(&env)).expect("a host is set");
        assert!(!format!("{settings:?}").contains("hunter2"));
    }
}
