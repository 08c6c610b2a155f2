//! What a link is made from, and how it connects to one server.

use std::time::Duration;

use redis::aio::MultiplexedConnection;
use redis::{
    AsyncConnectionConfig, Client, ClientTlsConfig, ConnectionAddr, IntoConnectionInfo as _, RedisConnectionInfo,
    RedisError, TlsCertificates,
};
use secrecy::{ExposeSecret as _, SecretString};

use super::cluster;
use super::sentinel::Sentinels;
use super::slot::slot_of;
use crate::config::file::RedisFile;
use crate::config::values::{RedisCertificates, RedisNode, RedisNodes, Secret};

/// Calls under way at once on one connection; more wait for their turn, within their deadline.
const MAX_CALLS: usize = 1024;

/// What a link is made from; compared to know whether a reload may keep it.
#[derive(Clone, PartialEq)]
pub(crate) struct LinkSettings {
    pub(super) place: Place,
    login: Login,
    /// What TLS is spoken with, if it is.
    tls: Option<RedisCertificates>,
    pub(super) timeout: Duration,
    key_prefix: String,
    pub(super) expected_gateways: u32,
}

/// Where Redis is.
#[derive(Clone, PartialEq)]
pub(super) enum Place {
    One(RedisNode),
    /// The server that sentinels call the master of this name.
    Master {
        name: String,
        sentinels: Vec<RedisNode>,
        login: Login,
    },
    /// Some of a cluster's nodes.
    Cluster(Vec<RedisNode>),
}

/// Who the gateway is to a server.
#[derive(Clone)]
pub(super) struct Login {
    username: Option<String>,
    password: Option<SecretString>,
    database: u32,
}

impl LinkSettings {
    pub(crate) fn read(file: &RedisFile) -> Self {
        let nodes = |nodes: &[RedisNodes]| nodes.iter().flat_map(RedisNodes::iter).cloned().collect();
        let place = match (&file.sentinel, &file.cluster) {
            (Some(asked), _) => Place::Master {
                name: asked.master.clone(),
                sentinels: nodes(&asked.nodes),
                login: Login::new(asked.username.as_ref(), asked.password.as_ref(), 0),
            },
            (None, Some(cluster)) => Place::Cluster(nodes(&cluster.nodes)),
            (None, None) => Place::One(RedisNode { host: file.host.clone(), port: file.port }),
        };
        Self {
            place,
            login: Login::new(file.username.as_ref(), file.password.as_ref(), file.database),
            tls: file.tls.then(|| file.certificates.clone()),
            timeout: file.timeout.get(),
            key_prefix: file.key_prefix.clone(),
            expected_gateways: file.expected_gateways,
        }
    }

    /// How long a call may take.
    pub(in crate::limit) const fn timeout(&self) -> Duration {
        self.timeout
    }

    pub(in crate::limit) fn key_prefix(&self) -> &str {
        &self.key_prefix
    }

    /// Whether they can be used at all.
    ///
    /// # Errors
    /// Says why the client library cannot use them.
    pub(crate) fn check(&self) -> Result<(), RedisError> {
        let nodes = match &self.place {
            Place::One(node) => std::slice::from_ref(node),
            Place::Cluster(nodes) => nodes.as_slice(),
            Place::Master { sentinels, .. } => sentinels.as_slice(),
        };
        nodes.iter().try_for_each(|node| self.client(node, &self.login).map(drop))
    }

    /// Whether Redis can be at one place alone.
    pub(crate) const fn has_one_place(&self) -> bool {
        matches!(self.place, Place::One(_))
    }

    /// A connection of the caller's own to the server that has `key`. Asks who that is as often as it is called.
    ///
    /// # Errors
    /// When there is none, or it does not answer.
    pub(crate) async fn connect_for(&self, key: &str) -> Result<MultiplexedConnection, RedisError> {
        let node = match &self.place {
            Place::One(node) => node.clone(),
            Place::Master { .. } => Sentinels::new(self).master().await?,
            Place::Cluster(seeds) => cluster::owner_of(slot_of(key.as_bytes()), seeds, self).await?,
        };
        self.connect(&node).await
    }

    /// Connects to the server at `node`, for as long as that takes.
    pub(super) async fn connect(&self, node: &RedisNode) -> Result<MultiplexedConnection, RedisError> {
        self.connect_as(node, &self.login).await
    }

    /// Connects to something at `node` that knows the gateway as `login`.
    pub(super) async fn connect_as(
        &self,
        node: &RedisNode,
        login: &Login,
    ) -> Result<MultiplexedConnection, RedisError> {
        let config = AsyncConnectionConfig::new()
            .set_connection_timeout(None)
            .set_response_timeout(None)
            .set_pipeline_buffer_size(MAX_CALLS)
            .set_concurrency_limit(MAX_CALLS);
        self.client(node, login)?.get_multiplexed_async_connection_with_config(&config).await
    }

    fn client(&self, node: &RedisNode, login: &Login) -> Result<Client, RedisError> {
        let (host, port) = (node.host.clone(), node.port);
        let addr = match &self.tls {
            Some(_) => ConnectionAddr::TcpTls { host, port, insecure: false, tls_params: None },
            None => ConnectionAddr::Tcp(host, port),
        };
        let info = addr.into_connection_info()?.set_redis_settings(login.info());
        let Some(RedisCertificates { authorities, identity }) = &self.tls else { return Client::open(info) };
        pingora_core::tls::install_default_crypto_provider();
        let client_tls = identity.as_ref().map(|(certificate, key)| ClientTlsConfig {
            client_cert: certificate.clone().into_bytes(),
            client_key: key.expose_secret().as_bytes().to_vec(),
        });
        let root_cert = authorities.as_ref().map(|pem| pem.clone().into_bytes());
        Client::build_with_tls(info, TlsCertificates { client_tls, root_cert })
    }
}

impl Login {
    fn new(username: Option<&String>, password: Option<&Secret>, database: u32) -> Self {
        let password = password.map(|password| password.as_secret().clone());
        let password = password.filter(|password| !password.expose_secret().is_empty());
        Self { username: username.cloned(), password, database }
    }

    fn info(&self) -> RedisConnectionInfo {
        let mut info = RedisConnectionInfo::default().set_db(i64::from(self.database));
        if let Some(username) = &self.username {
            info = info.set_username(username);
        }
        if let Some(password) = &self.password {
            info = info.set_password(password.expose_secret());
        }
        info
    }
}

impl PartialEq for Login {
    fn eq(&self, other: &Self) -> bool {
        let exposed = |own: &Self| own.password.as_ref().map(|password| password.expose_secret().to_owned());
        self.username == other.username && exposed(self) == exposed(other) && self.database == other.database
    }
}
