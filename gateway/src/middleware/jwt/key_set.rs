//! The keys that one provider's tokens may be signed with, and which of them a token asks for.

use super::key::VerifyingKey;
use crate::config::file::JwtAlgorithm;
use crate::config::values::{Jwk, Jwks};
use crate::reply::BadToken;

/// Keys, each bound to its algorithm; no token chooses how a key is used.
pub(super) struct KeySet {
    keys: Keys,
    /// Counts the times that a key has left the provider's set. What an earlier set has verified counts no more.
    epoch: u64,
}

enum Keys {
    /// The provider's one key, whatever a token calls it.
    One(VerifyingKey),
    /// Keys by the names that the issuer gave them, and the algorithms of those that it may have besides.
    Named(Box<[(Option<Box<str>>, VerifyingKey)]>, Box<[JwtAlgorithm]>),
}

impl KeySet {
    /// The set of one key.
    pub(super) const fn one(key: VerifyingKey) -> Self {
        Self { keys: Keys::One(key), epoch: 0 }
    }

    /// The keys of `jwks`, of a provider that accepts `algorithms`.
    pub(super) fn named(jwks: &Jwks, algorithms: &[JwtAlgorithm], epoch: u64) -> Self {
        let key = |jwk: &Jwk| Some((jwk.id.clone(), VerifyingKey::public(jwk.algorithm, &jwk.key)?));
        let keys = jwks.keys().iter().filter_map(key).collect();
        Self { keys: Keys::Named(keys, algorithms.into()), epoch }
    }

    /// How often a key has left the provider's set.
    pub(super) const fn epoch(&self) -> u64 {
        self.epoch
    }

    /// How many keys there are.
    pub(super) fn len(&self) -> usize {
        match &self.keys {
            Keys::One(_) => 1,
            Keys::Named(keys, _) => keys.len(),
        }
    }

    /// Checks that `signature` is the issuer's for `message`, by the key that the token's header names.
    pub(super) fn verify(
        &self,
        algorithm: &str,
        id: Option<&str>,
        message: &[u8],
        signature: &[u8],
    ) -> Result<(), BadToken> {
        let is_signed = match &self.keys {
            Keys::One(key) if !key.is_for(algorithm) => return Err(BadToken::OtherAlgorithm),
            Keys::One(key) => key.verifies(message, signature),
            Keys::Named(keys, accepted) => match id {
                Some(id) => {
                    let mut named = keys.iter().filter(|(own, _)| own.as_deref() == Some(id)).peekable();
                    if named.peek().is_none() {
                        // Asking the issuer for a key whose tokens are not accepted would be in vain.
                        let known = accepted.iter().any(|accepted| accepted.names().contains(&algorithm));
                        return Err(if known { BadToken::UnknownKey } else { BadToken::OtherAlgorithm });
                    }
                    let mut fitting = named.filter(|(_, key)| key.is_for(algorithm)).peekable();
                    if fitting.peek().is_none() {
                        return Err(BadToken::OtherAlgorithm);
                    }
                    fitting.any(|(_, key)| key.verifies(message, signature))
                }
                None => {
                    let mut fitting = keys.iter().filter(|(_, key)| key.is_for(algorithm));
                    match (fitting.next(), fitting.next()) {
                        (None, _) => return Err(BadToken::OtherAlgorithm),
                        (Some((_, key)), None) => key.verifies(message, signature),
                        (Some(_), Some(_)) => return Err(BadToken::NoKeyNamed),
                    }
                }
            },
        };
        if is_signed { Ok(()) } else { Err(BadToken::BadSignature) }
    }
}
