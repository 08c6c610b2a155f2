//! The shape of `jwt_providers`.

use std::collections::BTreeMap;
use std::path::PathBuf;

use schemars::JsonSchema;
use serde::Deserialize;

use super::default_true;
use crate::config::values::{ByteSize, CredentialHeader, IdentityHeader, KeyKind, Scalar, Secret, Span, Texts};

/// An issuer of tokens, and what is made of its claims.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct JwtProviderFile {
    /// The only signature algorithm accepted.
    pub algorithm: Option<JwtAlgorithm>,
    /// The signature algorithms accepted, for a provider with a set of keys; each key is for one of them.
    #[serde(default)]
    pub algorithms: Vec<JwtAlgorithm>,
    /// The shared secret of an `HS...` algorithm; or `secret_file`.
    pub secret: Option<Secret>,
    /// A file that holds the shared secret.
    pub secret_file: Option<PathBuf>,
    /// The issuer's public key, for every other algorithm: PEM, as `PUBLIC KEY` or `CERTIFICATE`; or `public_key_file`.
    pub public_key: Option<String>,
    /// A file that holds the public key.
    pub public_key_file: Option<PathBuf>,
    /// A file that holds a set of public keys (RFC 7517); read again at each reload.
    pub jwks_file: Option<PathBuf>,
    /// Where the issuer publishes its set of public keys: `https://`, or `http://` on this machine.
    pub jwks_url: Option<String>,
    /// How the set under `jwks_url` is fetched and kept.
    pub jwks_fetch: Option<JwksFetchFile>,
    /// The `iss` a token must have; of several, one.
    pub issuer: Texts,
    /// The `aud` a token must have; of several, one.
    pub audience: Texts,
    /// Claims that must have exactly these values.
    #[serde(default)]
    pub required_claims: BTreeMap<String, Scalar>,
    /// Where a token may stand in a request; in `Authorization: Bearer` when left out.
    #[serde(default)]
    pub token_from: Vec<TokenPlaceFile>,
    /// Tolerated clock difference, at most 60 s.
    #[serde(default = "default_leeway")]
    pub leeway: Span,
    /// Which claim goes to the upstream in which header. The client's own copies of these headers never do. A claim inside
    /// of another is written like `realm_access.roles`; the items of a list are joined by commas.
    #[serde(default)]
    pub claims_to_headers: BTreeMap<String, IdentityHeader>,
    /// Whether the upstream sees the token itself.
    #[serde(default = "default_true")]
    pub forward_token: bool,
    /// Memory for tokens already verified, so that a signature is checked once; `0B` checks it on every request.
    #[serde(default = "default_token_cache")]
    pub cache: ByteSize,
}

/// A place where a token may stand: a header, a cookie, or a parameter of the query.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct TokenPlaceFile {
    /// A header.
    pub header: Option<CredentialHeader>,
    /// The word before the token in that header; the token stands there alone when left out.
    pub scheme: Option<String>,
    /// A cookie.
    pub cookie: Option<String>,
    /// A parameter of the query. Queries stand in histories and in others' logs: better not. The upstream never sees it.
    pub query: Option<String>,
}

impl JwtProviderFile {
    /// The algorithms accepted, however they are written.
    #[must_use]
    pub fn accepted(&self) -> Vec<JwtAlgorithm> {
        self.algorithm.iter().chain(&self.algorithms).copied().collect()
    }
}

/// How a set of keys is fetched and kept.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct JwksFetchFile {
    /// Where the last good set is kept for a start while the issuer is away; it is not when left out.
    pub cache_file: Option<PathBuf>,
    /// How long a set is fresh when the issuer does not say so itself (`Cache-Control: max-age`).
    pub refresh: Span,
    /// How long one fetch may take, and a request wait for it.
    pub timeout: Span,
    /// The least time between two fetches for tokens of unknown keys.
    pub cooldown: Span,
    /// How long a set that is no longer fresh still counts while the issuer is away; then every token is refused with 503.
    pub stale_for: Span,
    /// Fetches over `http://` from other machines too. Whoever is on the way can then put in keys of their own.
    pub allow_insecure_http: bool,
    /// The authorities that the issuer's certificate may be of, as PEM, in place of those of the system.
    pub ca_file: Option<PathBuf>,
}

impl Default for JwksFetchFile {
    fn default() -> Self {
        Self {
            cache_file: None,
            refresh: Span::from_secs(5 * 60),
            timeout: Span::from_secs(5),
            cooldown: Span::from_secs(10),
            stale_for: Span::from_secs(24 * 3600),
            allow_insecure_http: false,
            ca_file: None,
        }
    }
}

/// How tokens are signed (RFC 7518, section 3.1; RFC 8037; RFC 9864).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Deserialize, JsonSchema)]
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

    /// What a token's header may call it.
    #[must_use]
    pub const fn names(self) -> &'static [&'static str] {
        match self {
            Self::HS256 => &["HS256"],
            Self::HS384 => &["HS384"],
            Self::HS512 => &["HS512"],
            Self::RS256 => &["RS256"],
            Self::RS384 => &["RS384"],
            Self::RS512 => &["RS512"],
            Self::PS256 => &["PS256"],
            Self::PS384 => &["PS384"],
            Self::PS512 => &["PS512"],
            Self::ES256 => &["ES256"],
            Self::ES384 => &["ES384"],
            // One algorithm under two names, for the key is always of Ed25519 (RFC 9864, section 2.2).
            Self::EdDSA | Self::Ed25519 => &["EdDSA", "Ed25519"],
        }
    }
}

fn default_leeway() -> Span {
    Span::from_secs(5)
}

fn default_token_cache() -> ByteSize {
    ByteSize::from_kib(16 * 1024)
}
