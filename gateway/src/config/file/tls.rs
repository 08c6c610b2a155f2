//! The shape of `server.tls`.

use std::net::SocketAddr;
use std::path::PathBuf;

use schemars::JsonSchema;
use serde::Deserialize;

use super::{default_reload_interval, default_true};
use crate::config::values::{Span, listen_addr};

/// Where clients connect over TLS, and who the gateway says it is.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct TlsFile {
    /// Where clients connect.
    #[serde(deserialize_with = "listen_addr::several")]
    #[schemars(extend("items" = {"type": "string", "examples": ["127.0.0.1:8443"]}))]
    pub listen: Vec<SocketAddr>,
    /// A client gets the one for the name it asks for, and the first when there is none.
    pub certificates: Vec<CertificateFile>,
    /// How often the files of certificates and keys are looked at, so that renewed ones are shown; `0s` for never.
    #[serde(default = "default_reload_interval")]
    pub reload_interval: Span,
    /// Whether clients show a certificate too (mutual TLS); nobody is asked for one when left out.
    pub client_certificates: Option<ClientAuthFile>,
    /// Whether HTTP/2 is spoken too.
    #[serde(default = "default_true")]
    pub http2: bool,
    /// The oldest version of TLS that is spoken.
    #[serde(default)]
    pub min_version: TlsVersion,
    /// Whether whoever comes over plain HTTP is sent to the same place over TLS, with 308. `/health` is answered.
    #[serde(default)]
    pub redirect_http: bool,
    /// The port that clients are sent to; that of the first address when left out.
    #[schemars(range(min = 1))]
    pub redirect_port: Option<u16>,
    /// Whether browsers are told to come over TLS only (HSTS); they are not when left out.
    pub hsts: Option<HstsFile>,
}

/// Tells browsers to come over TLS only (RFC 6797).
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct HstsFile {
    /// How long they remember it, in whole seconds; `0s` has them forget it.
    pub max_age: Span,
    /// Whether it is so for every host below this one too.
    #[serde(default)]
    pub include_subdomains: bool,
    /// Whether browsers may be shipped with it; takes a year and all subdomains, and is hard to take back.
    #[serde(default)]
    pub preload: bool,
}

/// A certificate and its key.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct CertificateFile {
    /// A file that holds the chain as PEM, the gateway's own certificate first.
    pub certificate: PathBuf,
    /// A file that holds the private key as PEM.
    pub key: PathBuf,
}

/// Which clients' certificates are believed.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ClientAuthFile {
    /// A file that holds the certificates of their authorities as PEM.
    pub ca: PathBuf,
    /// Whether every client has to have one.
    #[serde(default)]
    pub mode: ClientCertificateMode,
    /// A file that holds, as PEM, the lists of what these authorities have revoked. With it, what no list of its authority
    /// speaks of is refused, and so is everything once the time of a list is over.
    pub crl: Option<PathBuf>,
}

/// Whether every client has to have a certificate.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum ClientCertificateMode {
    /// A client without one gets no connection.
    #[default]
    Required,
    /// A client without one is one that has shown none. A bad one gets no connection.
    Optional,
}

/// A version of TLS.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, JsonSchema)]
pub enum TlsVersion {
    /// TLS 1.2 (RFC 5246).
    #[default]
    #[serde(rename = "1.2")]
    Tls12,
    /// TLS 1.3 (RFC 8446).
    #[serde(rename = "1.3")]
    Tls13,
}
