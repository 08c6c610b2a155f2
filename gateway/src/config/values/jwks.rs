//! A set of public keys as an issuer publishes it (RFC 7517), each bound to the one algorithm it is for.
//!
//! What cannot be used is passed over with a reason, as section 5 asks: an issuer may publish keys for others too.

use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD as BASE64;
use serde::Deserialize;
use serde_json::Value;

use super::public_key::{BadPublicKey, KeyKind, PublicKey};
use crate::config::file::JwtAlgorithm;
use crate::config::problems::shown;

/// The most keys of one set; issuers that rotate have two or three.
const MOST_KEYS: usize = 256;
const MOST_ID_BYTES: usize = 512;

/// The keys of a set that can be used, and what was said of the others.
#[derive(Clone, Debug)]
pub struct Jwks {
    keys: Vec<Jwk>,
    passed_over: Vec<String>,
}

/// A public key of a set.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Jwk {
    /// What a token's `kid` calls it.
    pub id: Option<Box<str>>,
    /// The one algorithm it is for.
    pub algorithm: JwtAlgorithm,
    /// The key; it fits the algorithm.
    pub key: PublicKey,
}

/// Why a text is no set of keys that tokens can be verified with.
#[derive(Debug, thiserror::Error)]
pub enum BadJwks {
    /// Not what RFC 7517, section 5, describes.
    #[error("it is no set of keys, which is JSON like {{\"keys\": [...]}}")]
    NoSet(#[source] serde_json::Error),
    /// More than anybody needs.
    #[error("it has {0} keys; {MOST_KEYS} are the most")]
    TooMany(usize),
    /// None that a token could be verified with.
    #[error("none of its keys can be used{}", reasons(.0))]
    NoneOfUse(Vec<String>),
}

fn reasons(passed_over: &[String]) -> String {
    passed_over.iter().take(3).map(|reason| format!("; {reason}")).collect()
}

#[derive(Deserialize)]
struct Document {
    keys: Vec<Value>,
}

/// The members of RFC 7517, section 4, and RFC 7518, section 6, that count here.
#[derive(Deserialize)]
struct Members {
    kty: String,
    kid: Option<Box<str>>,
    alg: Option<String>,
    #[serde(rename = "use")]
    usage: Option<String>,
    key_ops: Option<Vec<String>>,
    crv: Option<String>,
    n: Option<String>,
    e: Option<String>,
    x: Option<String>,
    y: Option<String>,
    d: Option<Value>,
}

/// Why a key is passed over.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
enum Unfit {
    #[error("a member is missing or of the wrong type")]
    Members,
    #[error("it is a private key, which only the issuer may have")]
    Private,
    #[error("it is a shared secret, which has no place in a set that is published")]
    Shared,
    #[error("it is of another kind or curve")]
    OtherKind,
    #[error("it is not for signatures")]
    OtherUse,
    #[error("none of the accepted algorithms is its own")]
    OtherAlgorithm,
    #[error("its name has more than {MOST_ID_BYTES} bytes")]
    LongName,
    #[error("it stands in the set already")]
    Again,
    #[error(transparent)]
    Key(#[from] BadPublicKey),
}

impl Jwks {
    /// The keys of the set in `text` that are for one of `algorithms`. One that names no algorithm itself is for the first
    /// that fits its kind.
    ///
    /// # Errors
    /// When it is no set, or none of its keys can be used.
    pub fn parse(text: &[u8], algorithms: &[JwtAlgorithm]) -> Result<Self, BadJwks> {
        let Document { keys: members } = serde_json::from_slice(text).map_err(BadJwks::NoSet)?;
        if members.len() > MOST_KEYS {
            return Err(BadJwks::TooMany(members.len()));
        }
        let (mut keys, mut passed_over) = (Vec::new(), Vec::new());
        for (index, value) in members.into_iter().enumerate() {
            let name = value["kid"].as_str().map(|id| format!(" (`{}`)", shown(id))).unwrap_or_default();
            let key = Jwk::read(value, algorithms);
            match key.and_then(|key: Jwk| if keys.contains(&key) { Err(Unfit::Again) } else { Ok(key) }) {
                Ok(key) => keys.push(key),
                Err(unfit) => passed_over.push(format!("key {}{name} is passed over: {unfit}", index + 1)),
            }
        }
        if keys.is_empty() { Err(BadJwks::NoneOfUse(passed_over)) } else { Ok(Self { keys, passed_over }) }
    }

    /// The keys, in the order of the set; at least one.
    #[must_use]
    pub fn keys(&self) -> &[Jwk] {
        &self.keys
    }

    /// What was said of the keys that cannot be used, each as one line.
    #[must_use]
    pub fn passed_over(&self) -> &[String] {
        &self.passed_over
    }

    /// Whether every key of `before` is in this set too.
    fn includes(&self, before: &Self) -> bool {
        before.keys.iter().all(|key| self.keys.contains(key))
    }
}

/// The same keys, in whatever order.
impl PartialEq for Jwks {
    fn eq(&self, other: &Self) -> bool {
        self.includes(other) && other.includes(self)
    }
}

impl Jwk {
    fn read(value: Value, algorithms: &[JwtAlgorithm]) -> Result<Self, Unfit> {
        let members: Members = serde_json::from_value(value).map_err(|_| Unfit::Members)?;
        if members.kty == "oct" {
            return Err(Unfit::Shared);
        }
        if members.d.is_some() {
            return Err(Unfit::Private);
        }
        if members.id_is_long() {
            return Err(Unfit::LongName);
        }
        if !members.may_verify() {
            return Err(Unfit::OtherUse);
        }
        let key = members.key()?;
        let is_own = |algorithm: &&JwtAlgorithm| {
            algorithm.key_kind() == Some(key.kind())
                && members.alg.as_deref().is_none_or(|name| algorithm.names().contains(&name))
        };
        let algorithm = *algorithms.iter().find(is_own).ok_or(Unfit::OtherAlgorithm)?;
        Ok(Self { id: members.kid, algorithm, key })
    }
}

impl Members {
    fn id_is_long(&self) -> bool {
        self.kid.as_ref().is_some_and(|id| id.len() > MOST_ID_BYTES)
    }

    /// RFC 7517, sections 4.2 and 4.3.
    fn may_verify(&self) -> bool {
        self.usage.as_deref().is_none_or(|usage| usage == "sig")
            && self.key_ops.as_ref().is_none_or(|operations| operations.iter().any(|name| name == "verify"))
    }

    fn key(&self) -> Result<PublicKey, Unfit> {
        let bytes = |member: &Option<String>| {
            BASE64.decode(member.as_deref().ok_or(Unfit::Members)?).map_err(|_| Unfit::Members)
        };
        let coordinate = |member: &Option<String>, length: usize| {
            Some(bytes(member)?).filter(|bytes| bytes.len() == length).ok_or(Unfit::Members)
        };
        let key = match (self.kty.as_str(), self.crv.as_deref()) {
            ("RSA", _) => {
                let (modulus, exponent) = (bytes(&self.n)?, bytes(&self.e)?);
                PublicKey::from_rsa(without_zeros(&modulus), without_zeros(&exponent))?
            }
            ("EC", Some(curve @ ("P-256" | "P-384"))) => {
                let (kind, length) = if curve == "P-256" { (KeyKind::P256, 32) } else { (KeyKind::P384, 48) };
                let (x, y) = (coordinate(&self.x, length)?, coordinate(&self.y, length)?);
                PublicKey::from_point(kind, [vec![4], x, y].concat())?
            }
            ("OKP", Some("Ed25519")) => PublicKey::from_point(KeyKind::Ed25519, coordinate(&self.x, 32)?)?,
            _ => return Err(Unfit::OtherKind),
        };
        Ok(key)
    }
}

/// Some libraries put one in front (RFC 7518, section 6.3.1.1).
fn without_zeros(bytes: &[u8]) -> &[u8] {
    let zeros = bytes.iter().take_while(|byte| **byte == 0).count();
    bytes.get(zeros..).unwrap_or_default()
}

#[cfg(test)]
mod tests;
