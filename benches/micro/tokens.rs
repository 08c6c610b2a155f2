//! How long it takes to believe a token that was not seen before: signature, claims and times, by algorithm.

use std::hint::black_box;
use std::time::{SystemTime, UNIX_EPOCH};

use aws_lc_rs::encoding::AsDer as _;
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::rsa::{KeyPair as RsaKeyPair, KeySize};
use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, Ed25519KeyPair, KeyPair as _};
use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use criterion::Criterion;
use jsonwebtoken::{Algorithm, DecodingKey, EncodingKey, Header, Validation};
use serde_json::{Map, Value, json};

/// Two sides of a key.
struct Keys {
    algorithm: Algorithm,
    sign: EncodingKey,
    verify: DecodingKey,
}

pub(crate) fn bench(criterion: &mut Criterion) -> anyhow::Result<()> {
    let mut group = criterion.benchmark_group("token");
    for keys in [hs256(), rs256()?, es256()?, eddsa()?] {
        let token = jsonwebtoken::encode(&Header::new(keys.algorithm), &claims()?, &keys.sign)?;
        let validation = validation(keys.algorithm);
        let verify = || jsonwebtoken::decode::<Map<String, Value>>(black_box(&token), &keys.verify, &validation);
        verify()?;
        group.bench_function(format!("{:?}", keys.algorithm), |bencher| bencher.iter(verify));
    }
    // The same from the gateway's cache of verified tokens belongs here, once there is one.
    group.finish();
    Ok(())
}

/// As the user service fills them.
pub(crate) fn claims() -> anyhow::Result<Value> {
    let now = SystemTime::now().duration_since(UNIX_EPOCH)?.as_secs();
    Ok(json!({
        "sub": "0199c1f2-7d52-7c1e-9d38-0b0ea4b2f6a1", "username": "ann", "jti": "0199c1f2-7d52-7c1e-9d38-0b0ea4b2f6a2",
        "iss": "order-processor", "aud": "order-processor", "iat": now, "nbf": now, "exp": now + 3600,
    }))
}

/// What the gateway checks.
fn validation(algorithm: Algorithm) -> Validation {
    let mut validation = Validation::new(algorithm);
    validation.set_issuer(&["order-processor"]);
    validation.set_audience(&["order-processor"]);
    validation.set_required_spec_claims(&["exp", "iss", "aud"]);
    validation.validate_nbf = true;
    validation
}

fn hs256() -> Keys {
    let secret = b"a secret of the benchmark, longer than 32 bytes";
    Keys {
        algorithm: Algorithm::HS256,
        sign: EncodingKey::from_secret(secret),
        verify: DecodingKey::from_secret(secret),
    }
}

fn rs256() -> anyhow::Result<Keys> {
    let pair = RsaKeyPair::generate(KeySize::Rsa2048)?;
    Ok(Keys {
        algorithm: Algorithm::RS256,
        sign: EncodingKey::from_rsa_pem(pem(pair.as_der()?.as_ref()).as_bytes())?,
        verify: DecodingKey::from_rsa_der(pair.public_key().as_ref()),
    })
}

/// The one form in which the library takes a private RSA key as it is generated.
fn pem(pkcs8: &[u8]) -> String {
    format!("-----BEGIN PRIVATE KEY-----\n{}\n-----END PRIVATE KEY-----\n", BASE64_STANDARD.encode(pkcs8))
}

fn es256() -> anyhow::Result<Keys> {
    let pkcs8 = EcdsaKeyPair::generate_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, &SystemRandom::new())?;
    let pair = EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, pkcs8.as_ref())?;
    Ok(Keys {
        algorithm: Algorithm::ES256,
        sign: EncodingKey::from_ec_der(pkcs8.as_ref()),
        verify: DecodingKey::from_ec_der(pair.public_key().as_ref()),
    })
}

fn eddsa() -> anyhow::Result<Keys> {
    let pkcs8 = Ed25519KeyPair::generate_pkcs8(&SystemRandom::new())?;
    let pair = Ed25519KeyPair::from_pkcs8(pkcs8.as_ref())?;
    Ok(Keys {
        algorithm: Algorithm::EdDSA,
        sign: EncodingKey::from_ed_der(pkcs8.as_ref()),
        verify: DecodingKey::from_ed_der(pair.public_key().as_ref()),
    })
}
