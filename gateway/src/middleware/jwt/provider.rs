//! One issuer of tokens: whom its tokens identify, and what the upstream is told of them.

use std::collections::BTreeMap;
use std::sync::Arc;

use http::{HeaderName, HeaderValue};

use super::BadToken;
use super::cache::{TokenCache, Verified};
use super::claims::Rules;
use super::jws;
use super::key::VerifyingKey;
use super::metrics::CacheMetrics;
use crate::config::ProviderKey;
use crate::config::file::{JwtAlgorithm, JwtProviderFile};
use crate::config::values::{ByteSize, IdentityHeader, Span};
use crate::ctx::Identity;

/// A longer token is refused before it is looked at; ours have about 400 bytes.
const MAX_TOKEN_BYTES: usize = 8 * 1024;

/// One issuer of tokens: its key, its rules, and which of its claims go to the upstream.
pub(crate) struct JwtProvider {
    settings: Settings,
    key: VerifyingKey,
    rules: Rules,
    claims_to_headers: Box<[(Box<str>, HeaderName)]>,
    cache: Option<TokenCache>,
    metrics: CacheMetrics,
}

/// What a provider is made from; compared to know whether a reload may keep it with the tokens it has verified.
#[derive(PartialEq)]
pub(super) struct Settings {
    algorithm: JwtAlgorithm,
    key: ProviderKey,
    issuer: String,
    audience: String,
    leeway: Span,
    claims_to_headers: BTreeMap<String, IdentityHeader>,
    forward_token: bool,
    cache: ByteSize,
}

impl Settings {
    pub(super) fn read(file: &JwtProviderFile, key: &ProviderKey) -> Self {
        Self {
            algorithm: file.algorithm,
            key: key.clone(),
            issuer: file.issuer.clone(),
            audience: file.audience.clone(),
            leeway: file.leeway,
            claims_to_headers: file.claims_to_headers.clone(),
            forward_token: file.forward_token,
            cache: file.cache,
        }
    }
}

impl JwtProvider {
    /// The provider with these `settings`; none when its key is not for its algorithm.
    pub(super) fn new(settings: Settings, metrics: CacheMetrics) -> Option<Self> {
        let header = |(claim, name): (&String, &IdentityHeader)| (claim.as_str().into(), name.get().clone());
        let cached = settings.cache.bytes();
        Some(Self {
            key: VerifyingKey::new(settings.algorithm, &settings.key)?,
            rules: Rules::new(&settings.issuer, &settings.audience, settings.leeway.get().as_secs()),
            claims_to_headers: settings.claims_to_headers.iter().map(header).collect(),
            cache: (cached > 0).then(|| TokenCache::new(cached, metrics.clone())),
            metrics,
            settings,
        })
    }

    /// What it counts.
    pub(super) const fn metrics(&self) -> &CacheMetrics {
        &self.metrics
    }

    /// Whether it is what `settings` would give.
    pub(super) fn is_made_from(&self, settings: &Settings) -> bool {
        self.settings == *settings
    }

    /// The headers this provider's claims are written to; a client must not set them on any route.
    pub(super) fn asserted_headers(&self) -> impl Iterator<Item = &HeaderName> {
        self.claims_to_headers.iter().map(|(_, header)| header)
    }

    /// Whether the upstream sees the token.
    pub(super) const fn forwards_token(&self) -> bool {
        self.settings.forward_token
    }

    /// Whom `token` identifies at `now`, in seconds since 1970.
    pub(super) fn identify(&self, token: &[u8], now: u64) -> Result<Arc<Identity>, BadToken> {
        let Some(cache) = &self.cache else {
            return self.verify(token, now).map(|verified| verified.identity);
        };
        if let Some(found) = cache.find(token) {
            return match found.lifetime.includes(now) {
                Ok(()) => Ok(found.identity),
                Err(bad) => {
                    cache.remove(token);
                    Err(bad)
                }
            };
        }
        let verified = self.verify(token, now)?;
        cache.keep(token, verified.clone());
        Ok(verified.identity)
    }

    fn verify(&self, token: &[u8], now: u64) -> Result<Verified, BadToken> {
        if token.len() > MAX_TOKEN_BYTES {
            return Err(BadToken::TooLong);
        }
        let payload = jws::open(token, &self.key)?;
        let claims = serde_json::from_slice(&payload).map_err(|_| BadToken::BadClaims)?;
        let lifetime = self.rules.lifetime(&claims)?;
        lifetime.includes(now)?;
        let mut identity = Identity { claims, headers: Vec::new() };
        for (claim, header) in &self.claims_to_headers {
            if let Some(text) = identity.claim(claim) {
                // UTF-8 as it is, for names have more letters than ASCII; line ends and other controls are refused.
                let value = HeaderValue::from_bytes(text.as_bytes()).map_err(|_| BadToken::NoHeader)?;
                identity.headers.push((header.clone(), value));
            }
        }
        Ok(Verified { identity: Arc::new(identity), lifetime })
    }
}
