//! The shape of `token_introspection` and of the step that asks for such a token.

use std::collections::BTreeMap;
use std::path::PathBuf;

use schemars::JsonSchema;
use serde::Deserialize;

use super::{TokenPlaceFile, default_true};
use crate::config::values::{ByteSize, IdentityHeader, Scalar, Secret, Span, Texts};

/// Requires a token that its issuer says is active.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct IntrospectionFile {
    /// Whose tokens; a name under `token_introspection`.
    pub provider: String,
    /// Whether requests without a token pass too, as nobody's. A bad token is still refused.
    #[serde(default)]
    pub optional: bool,
}

/// An issuer of tokens that says itself what each of them is worth (RFC 7662).
#[derive(Clone, Debug, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct IntrospectionProviderFile {
    /// Where it is asked, with `POST`: `https://`, or `http://` on this machine.
    pub endpoint: String,
    /// As whom the gateway asks (HTTP Basic).
    pub client_id: String,
    /// The password for that; or `client_secret_file`.
    pub client_secret: Option<Secret>,
    /// A file that holds it.
    pub client_secret_file: Option<PathBuf>,
    /// The `iss` an answer must have; of several, one. Not asked for when left out.
    pub issuer: Option<Texts>,
    /// The `aud` an answer must have; of several, one. Not asked for when left out: then every active token of the issuer counts.
    pub audience: Option<Texts>,
    /// Claims that must have exactly these values.
    #[serde(default)]
    pub required_claims: BTreeMap<String, Scalar>,
    /// Where a token may stand in a request; in `Authorization: Bearer` when left out.
    #[serde(default)]
    pub token_from: Vec<TokenPlaceFile>,
    /// Which claim of the answer goes to the upstream in which header.
    #[serde(default)]
    pub claims_to_headers: BTreeMap<String, IdentityHeader>,
    /// Whether the upstream sees the token itself.
    #[serde(default = "default_true")]
    pub forward_token: bool,
    /// How long a call may take, and a request wait for one of another with the same token.
    #[serde(default = "default_timeout")]
    pub timeout: Span,
    /// How many calls are made at once; more wait for their turn.
    #[serde(default = "default_max_concurrent")]
    #[schemars(range(min = 1, max = 10_000))]
    pub max_concurrent: usize,
    /// Memory for answers.
    #[serde(default = "default_cache")]
    pub cache: ByteSize,
    /// How long "active" counts, at most until the token's `exp`: what is revoked meanwhile still passes. `0s` asks each time.
    #[serde(default = "default_ttl")]
    pub ttl: Span,
    /// How long "not active" counts.
    #[serde(default = "default_negative_ttl")]
    pub negative_ttl: Span,
    /// How long after its `ttl` an "active" still counts while no answer comes, at most until the token's `exp`.
    #[serde(default = "default_stale_if_error")]
    pub stale_if_error: Span,
    /// The authorities that its certificate may be of, as PEM, in place of those of the system.
    pub ca_file: Option<PathBuf>,
    /// Asks over `http://` on other machines too. Whoever is on the way can then read and accept any token.
    #[serde(default)]
    pub allow_insecure_http: bool,
}

fn default_timeout() -> Span {
    Span::from_secs(2)
}

fn default_max_concurrent() -> usize {
    64
}

fn default_cache() -> ByteSize {
    ByteSize::from_kib(16 * 1024)
}

fn default_ttl() -> Span {
    Span::from_secs(60)
}

fn default_negative_ttl() -> Span {
    Span::from_secs(5)
}

fn default_stale_if_error() -> Span {
    Span::from_secs(0)
}
