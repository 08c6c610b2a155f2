//! The shape of `jwt_providers`.

use std::collections::BTreeMap;
use std::path::PathBuf;

use schemars::JsonSchema;
use serde::Deserialize;

use super::default_true;
use crate::config::values::{ByteSize, IdentityHeader, KeyKind, Secret, Span};

/// An issuer of tokens, and what is made of its claims.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct JwtProviderFile {
    /// The only signature algorithm accepted.
    pub algorithm: JwtAlgorithm,
    /// The shared secret of an `HS...` algorithm; or `secret_file`.
    pub secret: Option<Secret>,
    /// A file that holds the shared secret.
    pub secret_file: Option<PathBuf>,
    /// The issuer's public key, for every other algorithm: PEM, as `PUBLIC KEY` or `CERTIFICATE`; or `public_key_file`.
    pub public_key: Option<String>,
    /// A file that holds the public key.
    pub public_key_file: Option<PathBuf>,
    /// The `iss` a token must have.
    pub issuer: String,
    /// The `aud` a token must have.
    pub audience: String,
    /// Tolerated clock difference, at most 60 s.
    #[serde(default = "default_leeway")]
    pub leeway: Span,
    /// Which claim goes to the upstream in which header. The client's own copies of these headers never do.
    #[serde(default)]
    pub claims_to_headers: BTreeMap<String, IdentityHeader>,
    /// Whether the upstream sees the token itself.
    #[serde(default = "default_true")]
    pub forward_token: bool,
    /// Memory for tokens already verified, so that a signature is checked once; `0B` checks it on every request.
    #[serde(default = "default_token_cache")]
    pub cache: ByteSize,
}

/// How tokens are signed (RFC 7518, section 3.1; RFC 8037; RFC 9864).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
pub enum JwtAlgorithm {
    /// HMAC with SHA-256.
    HS256,
    /// HMAC with SHA-384.
    HS384,
    /// HMAC with SHA-512.
    HS512,
    /// RSASSA-PKCS1-v1_5 with SHA-256.
    RS256,
    /// RSASSA-PKCS1-v1_5 with SHA-384.
    RS384,
    /// RSASSA-PKCS1-v1_5 with SHA-512.
    RS512,
    /// RSASSA-PSS with SHA-256.
    PS256,
    /// RSASSA-PSS with SHA-384.
    PS384,
    /// RSASSA-PSS with SHA-512.
    PS512,
    /// ECDSA on P-256 with SHA-256.
    ES256,
    /// ECDSA on P-384 with SHA-384.
    ES384,
    /// Ed25519 under its name of RFC 8037.
    EdDSA,
    /// Ed25519 under its name of RFC 9864.
    Ed25519,
}

impl JwtAlgorithm {
    /// The kind of public key it is checked with; none for those that share a secret.
    #[must_use]
    pub const fn key_kind(self) -> Option<KeyKind> {
        match self {
            Self::HS256 | Self::HS384 | Self::HS512 => None,
            Self::RS256 | Self::RS384 | Self::RS512 | Self::PS256 | Self::PS384 | Self::PS512 => Some(KeyKind::Rsa),
            Self::ES256 => Some(KeyKind::P256),
            Self::ES384 => Some(KeyKind::P384),
            Self::EdDSA | Self::Ed25519 => Some(KeyKind::Ed25519),
        }
    }
}

fn default_leeway() -> Span {
    Span::from_secs(5)
}

fn default_token_cache() -> ByteSize {
    ByteSize::from_kib(16 * 1024)
}
