//! One issuer of tokens: whom its tokens identify, and what the upstream is told of them.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::sync::Arc;

use http::HeaderName;
use pingora_http::RequestHeader;

use super::NotTaken;
use super::cache::{TokenCache, Verified};
use super::claims::Rules;
use super::jws;
use super::key::VerifyingKey;
use super::key_set::KeySet;
use super::metrics::CacheMetrics;
use super::remote::{Looked, RemoteKeys};
use crate::claim::{ClaimHeaders, ClaimPath};
use crate::config::ProviderKey;
use crate::config::file::{JwtAlgorithm, JwtProviderFile, TokenPlaceFile};
use crate::config::values::{ByteSize, IdentityHeader, Scalar, Span, Texts};
use crate::credential::{Place, Several, find_one, places};
use crate::ctx::Identity;
use crate::reply::BadToken;
use crate::revocation::Marks;

/// A longer token is refused before it is looked at; ours have about 400 bytes.
const MAX_TOKEN_BYTES: usize = 8 * 1024;

/// One issuer of tokens: its key, its rules, and which of its claims go to the upstream.
pub(crate) struct JwtProvider {
    settings: Settings,
    keys: Keys,
    rules: Rules,
    claims_to_headers: ClaimHeaders,
    places: Box<[Place]>,
    cache: Option<TokenCache>,
    metrics: CacheMetrics,
}

/// Where a provider has its keys from.
pub(super) enum Keys {
    /// The file; they never change.
    Fixed(KeySet),
    /// The issuer, which changes them now and then.
    Remote(Arc<RemoteKeys>),
}

impl Keys {
    /// Those that `settings` have in the file; none when they are not for their algorithm, or not in the file.
    pub(super) fn fixed(settings: &Settings) -> Option<Self> {
        let set = match (&settings.key, settings.algorithms.as_slice()) {
            (ProviderKey::Set(jwks), algorithms) => KeySet::named(jwks, algorithms, 0),
            (ProviderKey::Remote(_), _) => return None,
            (key @ (ProviderKey::Secret(_) | ProviderKey::Public(_)), [algorithm]) => {
                KeySet::one(VerifyingKey::new(*algorithm, key)?)
            }
            (ProviderKey::Secret(_) | ProviderKey::Public(_), _) => return None,
        };
        Some(Self::Fixed(set))
    }
}

/// What a provider is made from; compared to know whether a reload may keep it with the tokens it has verified.
#[derive(PartialEq)]
pub(super) struct Settings {
    algorithms: Vec<JwtAlgorithm>,
    pub(super) key: ProviderKey,
    issuer: Texts,
    audience: Texts,
    required_claims: BTreeMap<String, Scalar>,
    token_from: Vec<TokenPlaceFile>,
    leeway: Span,
    claims_to_headers: BTreeMap<String, IdentityHeader>,
    forward_token: bool,
    cache: ByteSize,
}

impl Settings {
    pub(super) fn read(file: &JwtProviderFile, key: &ProviderKey) -> Self {
        Self {
            algorithms: file.accepted(),
            key: key.clone(),
            issuer: file.issuer.clone(),
            audience: file.audience.clone(),
            required_claims: file.required_claims.clone(),
            token_from: file.token_from.clone(),
            leeway: file.leeway,
            claims_to_headers: file.claims_to_headers.clone(),
            forward_token: file.forward_token,
            cache: file.cache,
        }
    }
}

impl JwtProvider {
    /// The provider with these `settings`, whose `keys` are theirs.
    pub(super) fn new(settings: Settings, keys: Keys, metrics: CacheMetrics) -> Self {
        let required = settings.required_claims.iter();
        let required = required.map(|(claim, value)| (ClaimPath::new(claim), value.get().clone()));
        let rules = Rules::new(settings.issuer.iter(), settings.audience.iter(), settings.leeway.get().as_secs());
        let cached = settings.cache.bytes();
        Self {
            keys,
            rules: rules.requiring(required),
            claims_to_headers: ClaimHeaders::new(&settings.claims_to_headers),
            places: places(&settings.token_from),
            cache: (cached > 0).then(|| TokenCache::new(cached, metrics.clone())),
            metrics,
            settings,
        }
    }

    /// The keys that its issuer publishes, if it does.
    pub(super) const fn remote(&self) -> Option<&Arc<RemoteKeys>> {
        match &self.keys {
            Keys::Remote(remote) => Some(remote),
            Keys::Fixed(_) => None,
        }
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
        self.claims_to_headers.names()
    }

    /// Where its tokens may stand.
    pub(super) fn places(&self) -> &[Place] {
        &self.places
    }

    /// The token of the request with this `head`, if it has one.
    pub(super) fn token_of<'r>(&self, head: &'r RequestHeader) -> Result<Option<Cow<'r, [u8]>>, BadToken> {
        find_one(&self.places, head).map_err(|Several| BadToken::Several)
    }

    /// Whether the upstream sees the token.
    pub(super) const fn forwards_token(&self) -> bool {
        self.settings.forward_token
    }

    /// Whom `token` identifies at `now`, in seconds since 1970. Whether it was revoked is not asked here.
    pub(super) fn identify(&self, token: &[u8], now: u64) -> Result<Verified, NotTaken> {
        match &self.keys {
            Keys::Fixed(keys) => self.identify_with(keys, token, now).map_err(NotTaken::Bad),
            Keys::Remote(remote) => match &*remote.present() {
                Some(keys) => self.identify_with(keys, token, now).map_err(NotTaken::Bad),
                None => Err(NotTaken::NoKeys),
            },
        }
    }

    /// The same for a `token` whose key was unknown a moment ago: the issuer is asked for it, or was not long ago.
    pub(super) async fn identify_later(&self, token: &[u8], now: u64) -> Result<Verified, NotTaken> {
        let unknown = NotTaken::Bad(BadToken::UnknownKey);
        let (Keys::Remote(remote), Some(id)) = (&self.keys, jws::key_id(token)) else {
            return Err(unknown);
        };
        let looked = remote.look_for(&id).await;
        match self.identify(token, now) {
            Err(NotTaken::Bad(BadToken::UnknownKey)) => match looked {
                Looked::Away => Err(NotTaken::NoKeys),
                Looked::InVain => Err(unknown),
                Looked::Asked => {
                    remote.has_none(&id);
                    Err(unknown)
                }
            },
            other => other,
        }
    }

    fn identify_with(&self, keys: &KeySet, token: &[u8], now: u64) -> Result<Verified, BadToken> {
        let Some(cache) = &self.cache else {
            return self.verify(keys, token, now);
        };
        if let Some(found) = cache.find(token, keys.epoch()) {
            return match found.lifetime.includes(now) {
                Ok(()) => Ok(found),
                Err(bad) => {
                    cache.remove(token);
                    Err(bad)
                }
            };
        }
        let verified = self.verify(keys, token, now)?;
        cache.keep(token, verified.clone());
        Ok(verified)
    }

    fn verify(&self, keys: &KeySet, token: &[u8], now: u64) -> Result<Verified, BadToken> {
        if token.len() > MAX_TOKEN_BYTES {
            return Err(BadToken::TooLong);
        }
        let payload = jws::open(token, keys)?;
        let claims = serde_json::from_slice(&payload).map_err(|_| BadToken::BadClaims)?;
        let lifetime = self.rules.lifetime(&claims)?;
        lifetime.includes(now)?;
        let headers = self.claims_to_headers.write(&claims).map_err(|_| BadToken::NoHeader)?;
        let marks = Marks::of(&claims);
        let identity = Identity { claims, headers };
        Ok(Verified { identity: Arc::new(identity), marks, lifetime, epoch: keys.epoch() })
    }
}
