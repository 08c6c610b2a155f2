//! The keys and tokens of a run: made when it begins, in its own directory, and never used again.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::Result;
use chrono::{TimeDelta, Utc};
use jsonwebtoken::{EncodingKey, Header, encode};
use serde_json::json;

use crate::process::output;

/// How tokens are signed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Algorithm {
    Hs256,
    Rs256,
    Es256,
    EdDsa,
}

impl Algorithm {
    pub(crate) const ALL: [Self; 4] = [Self::Hs256, Self::Rs256, Self::Es256, Self::EdDsa];

    /// As it is called in a token's header and in configurations.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Hs256 => "HS256",
            Self::Rs256 => "RS256",
            Self::Es256 => "ES256",
            Self::EdDsa => "EdDSA",
        }
    }

    fn header(self) -> Header {
        Header::new(match self {
            Self::Hs256 => jsonwebtoken::Algorithm::HS256,
            Self::Rs256 => jsonwebtoken::Algorithm::RS256,
            Self::Es256 => jsonwebtoken::Algorithm::ES256,
            Self::EdDsa => jsonwebtoken::Algorithm::EdDSA,
        })
    }
}

/// A key to sign with, and the file that verifiers read.
struct Key {
    signs: EncodingKey,
    /// The shared secret, or the public key as PEM.
    verifies: PathBuf,
}

/// Everything by which clients prove who they are.
pub(crate) struct Tokens {
    directory: PathBuf,
    keys: BTreeMap<Algorithm, Key>,
}

impl Tokens {
    /// New keys, in `directory`.
    pub(crate) fn new(directory: &Path) -> Result<Self> {
        let mut keys = BTreeMap::new();
        for algorithm in Algorithm::ALL {
            keys.insert(algorithm, make_key(algorithm, directory)?);
        }
        Ok(Self { directory: directory.to_owned(), keys })
    }

    /// The file that a verifier of `algorithm` reads.
    pub(crate) fn verifying_key(&self, algorithm: Algorithm) -> &Path {
        &self.keys[&algorithm].verifies
    }

    /// `count` different tokens, of as many users.
    pub(crate) fn issue(&self, algorithm: Algorithm, count: usize) -> Result<Vec<String>> {
        let (key, header) = (&self.keys[&algorithm].signs, algorithm.header());
        let now = Utc::now();
        (0..count)
            .map(|number| {
                let claims = json!({
                    "sub": format!("01890000-0000-7000-8000-{number:012x}"),
                    "username": format!("user-{number}"),
                    "jti": format!("01890000-0000-7001-8000-{number:012x}"),
                    "iss": "order-processor",
                    "aud": "order-processor",
                    "iat": now.timestamp(),
                    "nbf": now.timestamp(),
                    "exp": (now + TimeDelta::hours(12)).timestamp(),
                });
                Ok(encode(&header, &claims, key)?)
            })
            .collect()
    }

    /// A file with `count` tokens, one on each line; made once.
    pub(crate) fn file(&self, algorithm: Algorithm, count: usize) -> Result<PathBuf> {
        let path = self.directory.join(format!("{}-{count}.tokens", algorithm.name()));
        if !path.exists() {
            fs::write(&path, self.issue(algorithm, count)?.join("\n"))?;
        }
        Ok(path)
    }
}

fn make_key(algorithm: Algorithm, directory: &Path) -> Result<Key> {
    let verifies = directory.join(format!("{}.key", algorithm.name()));
    if algorithm == Algorithm::Hs256 {
        let secret = openssl(&["rand", "-hex", "32"])?;
        fs::write(&verifies, secret.trim())?;
        return Ok(Key { signs: EncodingKey::from_secret(secret.trim().as_bytes()), verifies });
    }
    let kind: &[&str] = match algorithm {
        Algorithm::Rs256 => &["-algorithm", "RSA", "-pkeyopt", "rsa_keygen_bits:2048"],
        Algorithm::Es256 => &["-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-256"],
        Algorithm::Hs256 | Algorithm::EdDsa => &["-algorithm", "ED25519"],
    };
    let private = openssl(&[&["genpkey"], kind].concat())?;
    let private_file = directory.join(format!("{}.private.pem", algorithm.name()));
    fs::write(&private_file, &private)?;
    let path = private_file.to_string_lossy();
    fs::write(&verifies, openssl(&["pkey", "-pubout", "-in", &path])?)?;
    let signs = match algorithm {
        Algorithm::Rs256 => EncodingKey::from_rsa_pem(private.as_bytes())?,
        Algorithm::Es256 => EncodingKey::from_ec_pem(private.as_bytes())?,
        Algorithm::Hs256 | Algorithm::EdDsa => EncodingKey::from_ed_pem(private.as_bytes())?,
    };
    Ok(Key { signs, verifies })
}

fn openssl(arguments: &[&str]) -> Result<String> {
    output(Command::new("openssl").args(arguments), None)
}
