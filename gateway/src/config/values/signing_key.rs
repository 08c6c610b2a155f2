//! A key that the gateway signs with.

use std::fmt;

use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, Ed25519KeyPair};
use common::auth::SigningSecret;
use rustls_pki_types::PrivatePkcs8KeyDer;
use rustls_pki_types::pem::PemObject as _;

use crate::config::file::SigningAlgorithm;

/// A key for one algorithm, found to be one. `Debug` hides it.
#[derive(Clone)]
pub enum SigningKey {
    /// For `EdDSA`, as PKCS #8.
    Ed25519(Vec<u8>),
    /// For `ES256`, as PKCS #8.
    P256(Vec<u8>),
    /// For `HS256`.
    Shared(SigningSecret),
}

/// Why a text is no such key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadSigningKey {
    /// No PEM of a private key.
    #[error("there is no private key in it; it begins with `-----BEGIN PRIVATE KEY-----`")]
    NoPem,
    /// A key for something else.
    #[error("its key is not for `{0:?}`; make one with: openssl genpkey -algorithm {1}")]
    OtherKey(SigningAlgorithm, &'static str),
}

impl SigningKey {
    /// The key in `pem`, which is for `algorithm`.
    ///
    /// # Errors
    /// When there is none, or one for something else.
    pub fn from_pem(algorithm: SigningAlgorithm, pem: &str) -> Result<Self, BadSigningKey> {
        let der = PrivatePkcs8KeyDer::from_pem_slice(pem.as_bytes()).map_err(|_| BadSigningKey::NoPem)?;
        let der = der.secret_pkcs8_der().to_vec();
        match algorithm {
            SigningAlgorithm::EdDSA if Ed25519KeyPair::from_pkcs8_maybe_unchecked(&der).is_ok() => {
                Ok(Self::Ed25519(der))
            }
            SigningAlgorithm::ES256 if EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, &der).is_ok() => {
                Ok(Self::P256(der))
            }
            SigningAlgorithm::ES256 => Err(BadSigningKey::OtherKey(algorithm, "EC -pkeyopt ec_paramgen_curve:P-256")),
            _ => Err(BadSigningKey::OtherKey(algorithm, "ed25519")),
        }
    }
}

impl fmt::Debug for SigningKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Ed25519(_) => "SigningKey::Ed25519",
            Self::P256(_) => "SigningKey::P256",
            Self::Shared(_) => "SigningKey::Shared",
        })
    }
}
