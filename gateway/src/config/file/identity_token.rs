//! The shape of `identity_tokens`, and of the step that sends them.

use std::path::PathBuf;

use schemars::JsonSchema;
use serde::Deserialize;

use crate::config::values::{Secret, Span};

/// What signs the gateway's word on who asks.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct IdentityTokenSignerFile {
    /// How it signs.
    pub algorithm: SigningAlgorithm,
    /// A file with the private key as PEM (PKCS #8), for `EdDSA` and `ES256`.
    pub private_key_file: Option<PathBuf>,
    /// The secret that upstreams share, for `HS256`.
    pub secret: Option<Secret>,
    /// What the key is called.
    pub key_id: Option<String>,
    /// Who says it.
    #[serde(default = "default_issuer")]
    pub issuer: String,
    /// For how long a token counts.
    #[serde(default = "default_lifetime")]
    pub lifetime: Span,
    /// Claims of whoever asks that are said too.
    #[serde(default)]
    pub claims: Vec<String>,
    /// How many tokens each step keeps for half their life; `0` signs one for every request.
    #[serde(default = "default_cache")]
    #[schemars(range(max = 1_000_000))]
    pub cache: u32,
}

/// How identity tokens are signed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
pub enum SigningAlgorithm {
    /// Ed25519 (RFC 8037).
    EdDSA,
    /// ECDSA on P-256 with SHA-256.
    ES256,
    /// HMAC with SHA-256.
    HS256,
}

/// Tells the upstream who asks, signed.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct IdentityTokenFile {
    /// Who signs; a name under `identity_tokens`.
    pub signer: String,
    /// Whom it is for; the name of the route's upstream when left out.
    pub audience: Option<String>,
}

fn default_issuer() -> String {
    "gateway".to_owned()
}

const fn default_lifetime() -> Span {
    Span::from_secs(30)
}

const fn default_cache() -> u32 {
    10_000
}
