//! A key, bound to the one algorithm it is for.

use aws_lc_rs::hmac;
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_FIXED, ECDSA_P384_SHA384_FIXED, ED25519, ParsedPublicKey, RSA_PKCS1_2048_8192_SHA256,
    RSA_PKCS1_2048_8192_SHA384, RSA_PKCS1_2048_8192_SHA512, RSA_PSS_2048_8192_SHA256, RSA_PSS_2048_8192_SHA384,
    RSA_PSS_2048_8192_SHA512, VerificationAlgorithm,
};

use crate::config::ProviderKey;
use crate::config::file::JwtAlgorithm;
use crate::config::values::PublicKey;

/// A key that verifies signatures of one algorithm and no other (RFC 8725, section 3.1), made ready beforehand.
pub(super) struct VerifyingKey {
    /// What a token's header may call the algorithm.
    names: &'static [&'static str],
    key: Key,
}

enum Key {
    Shared(Box<hmac::Key>),
    Public(ParsedPublicKey),
}

impl VerifyingKey {
    /// `key` for `algorithm`; none when the two are not for each other.
    pub(super) fn new(algorithm: JwtAlgorithm, key: &ProviderKey) -> Option<Self> {
        let key = match (method(algorithm), key) {
            (Method::Shared(method), ProviderKey::Secret(secret)) => {
                Key::Shared(Box::new(hmac::Key::new(method, secret.expose())))
            }
            (Method::Public(_), ProviderKey::Public(key)) => return Self::public(algorithm, key),
            (Method::Shared(_) | Method::Public(_), _) => return None,
        };
        Some(Self { names: algorithm.names(), key })
    }

    /// `key` for `algorithm`; none when the two are not for each other.
    pub(super) fn public(algorithm: JwtAlgorithm, key: &PublicKey) -> Option<Self> {
        let Method::Public(method) = method(algorithm) else { return None };
        if algorithm.key_kind() != Some(key.kind()) {
            return None;
        }
        let key = ParsedPublicKey::new(method, key.der()).ok()?;
        Some(Self { names: algorithm.names(), key: Key::Public(key) })
    }

    #[cfg(test)]
    pub(super) fn shared(names: &'static [&'static str], key: hmac::Key) -> Self {
        Self { names, key: Key::Shared(Box::new(key)) }
    }

    /// Whether a header that names `algorithm` names this key's.
    pub(super) fn is_for(&self, algorithm: &str) -> bool {
        self.names.contains(&algorithm)
    }

    /// Whether `signature` is the issuer's for `message`.
    pub(super) fn verifies(&self, message: &[u8], signature: &[u8]) -> bool {
        match &self.key {
            Key::Shared(key) => hmac::verify(key, message, signature).is_ok(),
            Key::Public(key) => key.verify_sig(message, signature).is_ok(),
        }
    }
}

enum Method {
    Shared(hmac::Algorithm),
    Public(&'static dyn VerificationAlgorithm),
}

fn method(algorithm: JwtAlgorithm) -> Method {
    match algorithm {
        JwtAlgorithm::HS256 => Method::Shared(hmac::HMAC_SHA256),
        JwtAlgorithm::HS384 => Method::Shared(hmac::HMAC_SHA384),
        JwtAlgorithm::HS512 => Method::Shared(hmac::HMAC_SHA512),
        JwtAlgorithm::RS256 => Method::Public(&RSA_PKCS1_2048_8192_SHA256),
        JwtAlgorithm::RS384 => Method::Public(&RSA_PKCS1_2048_8192_SHA384),
        JwtAlgorithm::RS512 => Method::Public(&RSA_PKCS1_2048_8192_SHA512),
        JwtAlgorithm::PS256 => Method::Public(&RSA_PSS_2048_8192_SHA256),
        JwtAlgorithm::PS384 => Method::Public(&RSA_PSS_2048_8192_SHA384),
        JwtAlgorithm::PS512 => Method::Public(&RSA_PSS_2048_8192_SHA512),
        JwtAlgorithm::ES256 => Method::Public(&ECDSA_P256_SHA256_FIXED),
        JwtAlgorithm::ES384 => Method::Public(&ECDSA_P384_SHA384_FIXED),
        JwtAlgorithm::EdDSA | JwtAlgorithm::Ed25519 => Method::Public(&ED25519),
    }
}
