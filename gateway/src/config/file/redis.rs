//! The shape of `redis`.

use std::path::PathBuf;

use schemars::JsonSchema;
use serde::Deserialize;

use crate::config::values::{RedisCertificates, RedisNodes, Secret, Span};

/// The Redis that gateways share: one server (`host`), the master that sentinels name (`sentinel`), or a cluster (`cluster`).
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct RedisFile {
    /// Host name or address of a single server.
    pub host: String,
    /// Its port.
    #[schemars(range(min = 1))]
    pub port: u16,
    /// The sentinels that say which server is the master.
    pub sentinel: Option<RedisSentinelFile>,
    /// A Redis Cluster.
    pub cluster: Option<RedisClusterFile>,
    /// ACL user, who has a password; the default user when left out.
    pub username: Option<String>,
    /// Its password; an empty one counts as none.
    pub password: Option<Secret>,
    /// Database number; a cluster has none but 0.
    pub database: u32,
    /// Whether to speak TLS, to sentinels too.
    pub tls: bool,
    /// A file that holds, as PEM, the authorities that certificates may be of, in place of those of the system.
    pub ca_file: Option<PathBuf>,
    /// A file that holds the certificate that the gateway shows, as PEM, its own first.
    pub certificate_file: Option<PathBuf>,
    /// A file that holds its private key as PEM.
    pub key_file: Option<PathBuf>,
    /// How long a request waits for an answer at most.
    pub timeout: Span,
    /// What every key begins with.
    pub key_prefix: String,
    /// How many gateways there are, as far as this one believes while it has never seen Redis, which knows.
    #[schemars(range(min = 1, max = 10_000))]
    pub expected_gateways: u32,
    /// What its files hold, once they were read.
    #[serde(skip)]
    pub certificates: RedisCertificates,
}

/// The sentinels that say which server is the master.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RedisSentinelFile {
    /// What they call it.
    pub master: String,
    /// Where they are; as many as are known.
    pub nodes: Vec<RedisNodes>,
    /// The ACL user that they know, who has a password; their default user when left out.
    pub username: Option<String>,
    /// Its password; an empty one counts as none.
    pub password: Option<Secret>,
}

/// A Redis Cluster.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RedisClusterFile {
    /// Where some of its nodes are; they tell where the others are.
    pub nodes: Vec<RedisNodes>,
}

impl RedisFile {
    /// Whether it says where a Redis is.
    #[must_use]
    pub fn is_somewhere(&self) -> bool {
        !self.host.is_empty() || self.sentinel.is_some() || self.cluster.is_some()
    }
}

impl Default for RedisFile {
    fn default() -> Self {
        Self {
            host: String::new(),
            port: 6379,
            sentinel: None,
            cluster: None,
            username: None,
            password: None,
            database: 0,
            tls: false,
            ca_file: None,
            certificate_file: None,
            key_file: None,
            timeout: Span::from_millis(10),
            key_prefix: "gateway".to_owned(),
            expected_gateways: 1,
            certificates: RedisCertificates::default(),
        }
    }
}
