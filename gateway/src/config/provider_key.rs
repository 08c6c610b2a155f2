//! Where the keys of one provider come from, read and fit for its algorithms.

use std::path::PathBuf;
use std::time::Duration;

use common::auth::SigningSecret;
use reqwest::Url;

use super::file::JwtAlgorithm;
use super::values::{Jwks, PublicKey};

/// What the tokens of one provider are verified with. It fits the provider's algorithms.
#[derive(Clone, Debug)]
pub enum ProviderKey {
    /// Shared with the issuer.
    Secret(SigningSecret),
    /// The other half is the issuer's alone.
    Public(PublicKey),
    /// Several of those, from a file.
    Set(Jwks),
    /// Several of those, which the issuer publishes.
    Remote(RemoteJwks),
}

/// Where an issuer publishes its keys, and how they are fetched and kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RemoteJwks {
    /// Where.
    pub url: Url,
    /// Whether also a place that a redirect leads to may be on another machine without TLS.
    pub allow_insecure_http: bool,
    /// For which algorithms.
    pub algorithms: Vec<JwtAlgorithm>,
    /// The authorities that its certificate may be of, each as DER; those of the system when empty.
    pub authorities: Vec<Vec<u8>>,
    /// Where the last good set is kept.
    pub cache_file: Option<PathBuf>,
    /// How long a set is fresh unless the issuer says so itself.
    pub refresh: Duration,
    /// For one fetch, and for a request that waits for it.
    pub timeout: Duration,
    /// Between two fetches for unknown keys.
    pub cooldown: Duration,
    /// How long a set counts when it is no longer fresh.
    pub stale_for: Duration,
}

impl PartialEq for ProviderKey {
    fn eq(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Secret(one), Self::Secret(other)) => one.expose() == other.expose(),
            (Self::Public(one), Self::Public(other)) => one == other,
            (Self::Set(one), Self::Set(other)) => one == other,
            (Self::Remote(one), Self::Remote(other)) => one == other,
            (Self::Secret(_) | Self::Public(_) | Self::Set(_) | Self::Remote(_), _) => false,
        }
    }
}

/// Whether what comes from `url` comes from there: over TLS, or from this very machine.
pub(crate) fn is_trustworthy(url: &Url) -> bool {
    let is_loopback = match url.host_str() {
        Some("localhost") => true,
        Some(host) => {
            let host = host.trim_start_matches('[').trim_end_matches(']');
            host.parse::<std::net::IpAddr>().is_ok_and(|addr| addr.to_canonical().is_loopback())
        }
        None => false,
    };
    url.scheme() == "https" || url.scheme() == "http" && is_loopback
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_tls_and_this_machine_are_trustworthy() {
        let trusted = |url: &str| is_trustworthy(&Url::parse(url).expect("a URL"));
        for url in ["https://a.example/k", "http://127.0.0.1:1/k", "http://[::1]/k", "http://localhost:80/k"] {
            assert!(trusted(url), "{url}");
        }
        for url in ["http://a.example/k", "http://10.0.0.1/k", "http://localhost.example/k", "ftp://127.0.0.1/k"] {
            assert!(!trusted(url), "{url}");
        }
    }
}
