//! Tells the upstream who asks in a token that the gateway signs, for one method and path of one audience.
//!
//! An upstream that demands it need not trust the network: what is seen on it is of no use for another method, path or audience,
//! but counts for the same ones, with any query and body, until it ends. Signing costs more than all the rest of a request
//! does; so a token is kept for half of its life and sent again to whoever asks for the same. It bears the id of the request
//! that it was made for, and who has checked the proof: one provider's `ann` need not be another's.

use std::collections::BTreeMap;
use std::hash::{Hash, Hasher};
use std::sync::{Arc, Weak};

use aws_lc_rs::hmac;
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, Ed25519KeyPair, KeyPair as _};
use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD as BASE64;
use http::{HeaderValue, Method};
use pingora_http::RequestHeader;
use quick_cache::sync::Cache;
use quick_cache::{Equivalent, Weighter};
use serde_json::{Map, Value, json};

use super::{Flow, Middleware, Step};
use crate::claim::ClaimPath;
use crate::config::Loaded;
use crate::config::file::IdentityTokenSignerFile;
use crate::config::values::{IDENTITY_TOKEN, SigningKey};
use crate::ctx::{Identity, Prover, RequestContext};
use crate::reply::Rejection;

/// What a kept token may take on average.
const KEPT_BYTES: u64 = 2048;

/// Every signer of one configuration.
pub(crate) struct IdentitySigners {
    by_name: BTreeMap<String, Arc<Signer>>,
}

/// What signs.
struct Signer {
    key: Key,
    /// The token's header, encoded, with its dot.
    head: Box<str>,
    key_id: Option<String>,
    issuer: Box<str>,
    lifetime: u64,
    claims: Box<[(String, ClaimPath)]>,
    cache: usize,
}

enum Key {
    Ed25519(Box<Ed25519KeyPair>),
    P256(Box<EcdsaKeyPair>, SystemRandom),
    Shared(Box<hmac::Key>),
}

/// The step of one route.
pub(crate) struct IdentityToken {
    signer: Arc<Signer>,
    audience: Box<str>,
    known: Option<Cache<Asked, Signed, ByBytes>>,
}

/// For whom and what a token was made.
#[derive(PartialEq, Eq)]
struct Asked {
    /// The places in memory of the identity and of who has proven it; the token beside it keeps them from becoming others'.
    who: (usize, usize),
    method: Method,
    path: Box<str>,
}

/// The same, of a request.
struct Asks<'r> {
    identity: &'r Arc<Identity>,
    prover: Option<&'r Arc<Prover>>,
    method: &'r Method,
    path: &'r str,
}

#[derive(Clone)]
struct Signed {
    token: HeaderValue,
    /// Until when it is used, in seconds since 1970.
    fresh_until: u64,
    /// Keep the places alone, not what was in them.
    _identity: Weak<Identity>,
    _prover: Option<Weak<Prover>>,
}

#[derive(Clone)]
struct ByBytes;

impl Weighter<Asked, Signed> for ByBytes {
    fn weight(&self, asked: &Asked, signed: &Signed) -> u64 {
        (size_of::<Asked>() + size_of::<Signed>() + asked.path.len() + signed.token.len()) as u64
    }
}

impl IdentitySigners {
    /// Those of `loaded`; none when a key is missing, which the check finds first.
    pub(crate) fn compile(loaded: &Loaded) -> Option<Self> {
        let signer = |(name, file): (&String, &IdentityTokenSignerFile)| {
            let signer = Signer::new(file, loaded.signing_keys.get(name)?)?;
            Some((name.clone(), Arc::new(signer)))
        };
        Some(Self { by_name: loaded.file.identity_tokens.iter().map(signer).collect::<Option<_>>()? })
    }

    /// The step by which the signer of that name tells `audience`.
    pub(crate) fn step(&self, name: &str, audience: &str) -> Option<IdentityToken> {
        let signer = Arc::clone(self.by_name.get(name)?);
        let known = (signer.cache > 0)
            .then(|| Cache::with_weighter(signer.cache, KEPT_BYTES.saturating_mul(signer.cache as u64), ByBytes));
        Some(IdentityToken { signer, audience: audience.into(), known })
    }

    /// The public keys that upstreams check with (RFC 7517).
    pub(crate) fn jwks(&self) -> Value {
        let keys: Vec<Value> = self.by_name.values().filter_map(|signer| signer.public_key()).collect();
        json!({"keys": keys})
    }
}

impl Signer {
    fn new(file: &IdentityTokenSignerFile, key: &SigningKey) -> Option<Self> {
        let key = match key {
            SigningKey::Ed25519(der) => Key::Ed25519(Box::new(Ed25519KeyPair::from_pkcs8_maybe_unchecked(der).ok()?)),
            SigningKey::P256(der) => {
                let pair = EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, der).ok()?;
                Key::P256(Box::new(pair), SystemRandom::new())
            }
            SigningKey::Shared(secret) => Key::Shared(Box::new(hmac::Key::new(hmac::HMAC_SHA256, secret.expose()))),
        };
        let mut head = json!({"alg": key.algorithm(), "typ": common::auth::IDENTITY_TOKEN_TYPE});
        if let Some(id) = &file.key_id {
            head["kid"] = id.as_str().into();
        }
        Some(Self {
            key,
            head: format!("{}.", BASE64.encode(head.to_string())).into(),
            key_id: file.key_id.clone(),
            issuer: file.issuer.as_str().into(),
            lifetime: file.lifetime.get().as_secs(),
            claims: file.claims.iter().map(|claim| (claim.clone(), ClaimPath::new(claim))).collect(),
            cache: file.cache as usize,
        })
    }

    fn public_key(&self) -> Option<Value> {
        let mut key = match &self.key {
            Key::Ed25519(pair) => {
                json!({"kty": "OKP", "crv": "Ed25519", "x": BASE64.encode(pair.public_key().as_ref())})
            }
            Key::P256(pair, _) => {
                // The form of a point that is not compressed: 4, x, y.
                let (x, y) = pair.public_key().as_ref().get(1..)?.split_at_checked(32)?;
                json!({"kty": "EC", "crv": "P-256", "x": BASE64.encode(x), "y": BASE64.encode(y)})
            }
            Key::Shared(_) => return None,
        };
        key["use"] = "sig".into();
        key["alg"] = self.key.algorithm().into();
        if let Some(id) = &self.key_id {
            key["kid"] = id.as_str().into();
        }
        Some(key)
    }

    /// A token that counts from `now` on.
    fn sign(&self, asks: &Asks<'_>, audience: &str, now: u64, id: &HeaderValue) -> Option<HeaderValue> {
        let mut claims = Map::new();
        for (name, path) in &self.claims {
            if let Some(claim) = path.find(&asks.identity.claims) {
                claims.insert(name.clone(), claim.clone());
            }
        }
        if let Some(subject) = asks.identity.name() {
            claims.insert("sub".to_owned(), subject.into());
        }
        if let Some(prover) = asks.prover {
            claims.insert("amr".to_owned(), json!([prover.kind.name()]));
            claims.insert("idp".to_owned(), (&*prover.provider).into());
        }
        for (name, claim) in [
            ("iss", Value::from(&*self.issuer)),
            ("aud", audience.into()),
            ("iat", now.into()),
            ("exp", now.saturating_add(self.lifetime).into()),
            ("jti", id.to_str().ok()?.into()),
            ("htm", asks.method.as_str().into()),
            ("htp", asks.path.into()),
        ] {
            claims.insert(name.to_owned(), claim);
        }
        let mut token = String::from(&*self.head);
        BASE64.encode_string(Value::Object(claims).to_string(), &mut token);
        let signature = self.key.sign(token.as_bytes())?;
        token.push('.');
        BASE64.encode_string(signature, &mut token);
        HeaderValue::try_from(token).ok()
    }
}

impl Key {
    const fn algorithm(&self) -> &'static str {
        match self {
            Self::Ed25519(_) => "EdDSA",
            Self::P256(..) => "ES256",
            Self::Shared(_) => "HS256",
        }
    }

    fn sign(&self, message: &[u8]) -> Option<Vec<u8>> {
        match self {
            Self::Ed25519(pair) => Some(pair.sign(message).as_ref().to_vec()),
            Self::P256(pair, random) => Some(pair.sign(random, message).ok()?.as_ref().to_vec()),
            Self::Shared(key) => Some(hmac::sign(key, message).as_ref().to_vec()),
        }
    }
}

impl IdentityToken {
    /// The token for whoever was proven, made now or a moment ago.
    fn token(&self, asks: &Asks<'_>, now: u64, id: &HeaderValue) -> Option<HeaderValue> {
        // An identity that nobody else has was made for this request alone, and does not come again.
        let Some(known) = self.known.as_ref().filter(|_| Arc::strong_count(asks.identity) > 1) else {
            return self.signer.sign(asks, &self.audience, now, id);
        };
        // A clock that was put back must not keep one for longer than it counts.
        let half = self.signer.lifetime / 2;
        let is_fresh = |signed: &Signed| (now..=now.saturating_add(half)).contains(&signed.fresh_until);
        if let Some(signed) = known.get(asks).filter(is_fresh) {
            return Some(signed.token);
        }
        let token = self.signer.sign(asks, &self.audience, now, id)?;
        let signed = Signed {
            token: token.clone(),
            fresh_until: now + half,
            _identity: Arc::downgrade(asks.identity),
            _prover: asks.prover.map(Arc::downgrade),
        };
        known.insert(Asked { who: asks.who(), method: asks.method.clone(), path: asks.path.into() }, signed);
        Some(token)
    }
}

impl Middleware for IdentityToken {
    fn on_request<'a>(&'a self, head: &'a mut RequestHeader, ctx: &'a mut RequestContext) -> Step<'a> {
        let Some(identity) = &ctx.identity else { return Step::Done(Flow::Continue) };
        let target = ctx.rewritten.as_ref().map(|target| target.path());
        let path = target.or(ctx.path.as_deref()).unwrap_or_else(|| head.uri.path());
        let asks = Asks { identity, prover: ctx.proven_by.as_ref(), method: &head.method, path };
        match self.token(&asks, ctx.unix_time(), &ctx.request_id) {
            Some(token) => ctx.request_headers.push((IDENTITY_TOKEN, token)),
            None => return Step::Done(Flow::Reply(Rejection::Internal)),
        }
        Step::Done(Flow::Continue)
    }

    fn sees_responses(&self) -> bool {
        false
    }
}

impl Asks<'_> {
    fn who(&self) -> (usize, usize) {
        (Arc::as_ptr(self.identity) as usize, self.prover.map_or(0, |prover| Arc::as_ptr(prover) as usize))
    }
}

impl Hash for Asked {
    fn hash<H: Hasher>(&self, state: &mut H) {
        (self.who, &self.method, &*self.path).hash(state);
    }
}

impl Hash for Asks<'_> {
    fn hash<H: Hasher>(&self, state: &mut H) {
        (self.who(), self.method, self.path).hash(state);
    }
}

impl Equivalent<Asked> for Asks<'_> {
    fn equivalent(&self, asked: &Asked) -> bool {
        self.who() == asked.who && *self.method == asked.method && *self.path == *asked.path
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::file::ProofKind;

    const ID: HeaderValue = HeaderValue::from_static("id");

    fn step() -> IdentityToken {
        let signer = Signer {
            key: Key::Shared(Box::new(hmac::Key::new(hmac::HMAC_SHA256, b"6f1d0a94c2b85e7733e09a1bd4c65f28"))),
            head: "e30.".into(),
            key_id: None,
            issuer: "gateway".into(),
            lifetime: 30,
            claims: ["org.id".to_owned()].map(|claim| (claim.clone(), ClaimPath::new(&claim))).into(),
            cache: 100,
        };
        let signers = IdentitySigners { by_name: BTreeMap::from([("s".to_owned(), Arc::new(signer))]) };
        signers.step("s", "us").expect("the signer")
    }

    fn kept(step: &IdentityToken) -> usize {
        step.known.as_ref().expect("a cache").len()
    }

    fn claims(token: &HeaderValue) -> Value {
        let claims = token.to_str().expect("text").split('.').nth(1).expect("claims");
        serde_json::from_slice(&BASE64.decode(claims).expect("encoded")).expect("json")
    }

    fn ann() -> Arc<Identity> {
        let Value::Object(claims) = json!({"sub": "ann", "org": {"id": 7}}) else { unreachable!("a block") };
        Arc::new(Identity { claims, headers: Vec::new() })
    }

    #[test]
    fn who_has_the_same_name_by_another_proof_gets_another_token() {
        let (step, ann) = (step(), ann());
        let _known = Arc::clone(&ann);
        let prover = |kind, provider: &str| Arc::new(Prover { kind, provider: provider.into() });
        let provers = [prover(ProofKind::Jwt, "users"), prover(ProofKind::ApiKey, "programs")];
        for (prover, kind) in provers.iter().zip(["jwt", "api_key"]) {
            let asks = Asks { identity: &ann, prover: Some(prover), method: &Method::GET, path: "/" };
            let token = step.token(&asks, 1000, &ID).expect("signs");
            let said = claims(&token);
            assert_eq!((&said["amr"], &said["idp"]), (&json!([kind]), &json!(prover.provider)));
            assert_eq!((&said["sub"], &said["org.id"]), (&json!("ann"), &json!(7)), "also one inside of another");
            assert_eq!(step.token(&asks, 1001, &ID), Some(token), "it is kept");
        }
        assert_eq!(kept(&step), 2);
    }

    #[test]
    fn what_does_not_come_again_or_is_too_large_is_not_kept() {
        let (step, ann) = (step(), ann());
        let asks = |path| Asks { identity: &ann, prover: None, method: &Method::GET, path };
        step.token(&asks("/"), 1000, &ID).expect("signs");
        assert_eq!(kept(&step), 0, "an identity of this request alone");
        let _known = Arc::clone(&ann);
        let long = "/".repeat(300 * 1024);
        step.token(&asks(&long), 1000, &ID).expect("signs");
        assert_eq!(kept(&step), 0);
        step.token(&asks("/"), 1000, &ID).expect("signs");
        assert_eq!(kept(&step), 1);
    }
}
