//! Where Redis servers are, and what they are spoken to with over TLS.

use std::fmt;
use std::str::FromStr;

use http::uri::Authority;
use schemars::JsonSchema;
use secrecy::{ExposeSecret as _, SecretString};
use serde::Deserialize;

/// One server or sentinel.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct RedisNode {
    /// Host name or address; an IPv6 address without brackets.
    pub host: String,
    /// Port.
    pub port: u16,
}

/// One or more nodes in one text, with commas between them, so that one variable can hold all.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(try_from = "String")]
#[schemars(with = "String", example = &"127.0.0.1:6379")]
pub struct RedisNodes(Vec<RedisNode>);

/// A text that is no node.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a node is written like redis-1.example:6379, without `redis://`; several have commas between them")]
pub struct BadRedisNode;

impl RedisNodes {
    /// Each node, in the order of the text; never none.
    pub fn iter(&self) -> impl Iterator<Item = &RedisNode> {
        self.0.iter()
    }
}

impl TryFrom<String> for RedisNodes {
    type Error = BadRedisNode;

    fn try_from(text: String) -> Result<Self, BadRedisNode> {
        text.split(',').map(|part| part.trim().parse()).collect::<Result<_, _>>().map(Self)
    }
}

impl FromStr for RedisNode {
    type Err = BadRedisNode;

    fn from_str(text: &str) -> Result<Self, BadRedisNode> {
        let authority: Authority = text.parse().map_err(|_| BadRedisNode)?;
        let host = authority.host().trim_start_matches('[').trim_end_matches(']');
        let port = authority.port_u16().filter(|port| *port != 0);
        match port {
            Some(port) if !host.is_empty() && !text.contains('@') => Ok(Self { host: host.to_ascii_lowercase(), port }),
            Some(_) | None => Err(BadRedisNode),
        }
    }
}

impl fmt::Display for RedisNode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.host.contains(':') {
            true => write!(f, "[{}]:{}", self.host, self.port),
            false => write!(f, "{}:{}", self.host, self.port),
        }
    }
}

/// What Redis is spoken to with over TLS, as PEM.
#[derive(Clone, Default)]
pub struct RedisCertificates {
    /// Whose the servers' certificates may be; those of the system when there is nothing.
    pub authorities: Option<String>,
    /// What the gateway shows, with its key, if it shows anything.
    pub identity: Option<(String, SecretString)>,
}

impl PartialEq for RedisCertificates {
    fn eq(&self, other: &Self) -> bool {
        let shown = |own: &Self| own.identity.as_ref().map(|(own, key)| (own.clone(), key.expose_secret().to_owned()));
        self.authorities == other.authorities && shown(self) == shown(other)
    }
}

impl fmt::Debug for RedisCertificates {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RedisCertificates").field("authorities", &self.authorities).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<Vec<String>, BadRedisNode> {
        RedisNodes::try_from(text.to_owned()).map(|nodes| nodes.iter().map(RedisNode::to_string).collect())
    }

    #[test]
    fn one_text_can_hold_all_nodes() {
        assert_eq!(
            read("A:1, b.example:26379,[::1]:7000"),
            Ok(vec!["a:1".to_owned(), "b.example:26379".to_owned(), "[::1]:7000".to_owned()])
        );
    }

    #[test]
    fn what_has_no_host_or_no_port_is_no_node() {
        for text in ["", "a", "a:", "a:0", "a:70000", ":1", "redis://a:1", "a:1,", "me:pw@a:1", "a:1/0", "a b:1"] {
            assert_eq!(read(text), Err(BadRedisNode), "{text}");
        }
    }
}
