//! How long the gateway takes to let a request with a token in: `checked` verifies its signature, `remembered` finds it among
//! those verified before.

use std::net::IpAddr;
use std::time::{SystemTime, UNIX_EPOCH};

use aws_lc_rs::encoding::{AsDer, PublicKeyX509Der};
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::rsa::{KeyPair as RsaKeyPair, KeySize};
use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, Ed25519KeyPair, KeyPair as _};
use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use criterion::Criterion;
use futures::FutureExt as _;
use gateway::Rehearsal;
use http::Method;
use jsonwebtoken::{Algorithm, EncodingKey, Header};
use pingora_http::RequestHeader;
use serde_json::{Value, json};

use crate::configuration::{SECRET, parse};

/// Two sides of a key.
struct Keys {
    algorithm: Algorithm,
    sign: EncodingKey,
    /// As a provider of the gateway has it.
    verify: String,
}

pub(crate) fn bench(criterion: &mut Criterion) -> anyhow::Result<()> {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build()?;
    let mut group = criterion.benchmark_group("token");
    for keys in [hs256(), rs256()?, es256()?, eddsa()?] {
        let token = jsonwebtoken::encode(&Header::new(keys.algorithm), &claims()?, &keys.sign)?;
        for (name, cache) in [("checked", "0B"), ("remembered", "16MiB")] {
            let rehearsal = runtime.block_on(Rehearsal::of(&parse(&file(&keys, cache))?, Vec::new()))?;
            let mut head = RequestHeader::build(Method::GET, b"/", None)?;
            head.insert_header("Host", "www.example.com")?;
            head.insert_header("Authorization", format!("Bearer {token}"))?;
            let mut admit = || {
                let mut ctx = rehearsal.request(IpAddr::from([192, 0, 2, 7]));
                rehearsal.admit(&mut head, &mut ctx).now_or_never()
            };
            anyhow::ensure!(matches!(admit(), Some(Ok(()))), "{:?} was not admitted", keys.algorithm);
            group.bench_function(format!("{:?}/{name}", keys.algorithm), |bencher| bencher.iter(&mut admit));
        }
    }
    group.finish();
    Ok(())
}

fn file(keys: &Keys, cache: &str) -> String {
    format!(
        "jwt_providers: {{ us: {{ algorithm: {:?}, {}, cache: {cache}, issuer: order-processor, \
         audience: order-processor, claims_to_headers: {{ sub: X-User-Id }} }} }}\n\
         upstreams: {{ u: {{ targets: [\"http://127.0.0.1:1\"] }} }}\n\
         routes: [{{ name: all, match: {{ path: \"/*\" }}, upstream: u, middleware: [{{ jwt: {{ provider: us }} }}] }}]\n",
        keys.algorithm, keys.verify
    )
}

/// As the user service fills them.
pub(crate) fn claims() -> anyhow::Result<Value> {
    let now = SystemTime::now().duration_since(UNIX_EPOCH)?.as_secs();
    Ok(json!({
        "sub": "0199c1f2-7d52-7c1e-9d38-0b0ea4b2f6a1", "username": "ann", "jti": "0199c1f2-7d52-7c1e-9d38-0b0ea4b2f6a2",
        "iss": "order-processor", "aud": "order-processor", "iat": now, "nbf": now, "exp": now + 3600,
    }))
}

fn hs256() -> Keys {
    Keys {
        algorithm: Algorithm::HS256,
        sign: EncodingKey::from_secret(SECRET.as_bytes()),
        verify: "secret: \"${JWT_SECRET_KEY}\"".to_owned(),
    }
}

fn rs256() -> anyhow::Result<Keys> {
    let pair = RsaKeyPair::generate(KeySize::Rsa2048)?;
    let pkcs8 = pair.as_der()?;
    // The one form in which the library takes a private RSA key as it is generated.
    let sign = EncodingKey::from_rsa_pem(pem("PRIVATE", pkcs8.as_ref(), "\n").as_bytes())?;
    Ok(Keys { algorithm: Algorithm::RS256, sign, verify: public(pair.public_key())? })
}

fn es256() -> anyhow::Result<Keys> {
    let pkcs8 = EcdsaKeyPair::generate_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, &SystemRandom::new())?;
    let pair = EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, pkcs8.as_ref())?;
    let sign = EncodingKey::from_ec_der(pkcs8.as_ref());
    Ok(Keys { algorithm: Algorithm::ES256, sign, verify: public(pair.public_key())? })
}

fn eddsa() -> anyhow::Result<Keys> {
    let pkcs8 = Ed25519KeyPair::generate_pkcs8(&SystemRandom::new())?;
    let pair = Ed25519KeyPair::from_pkcs8(pkcs8.as_ref())?;
    let sign = EncodingKey::from_ed_der(pkcs8.as_ref());
    Ok(Keys { algorithm: Algorithm::EdDSA, sign, verify: public(pair.public_key())? })
}

fn public(key: &impl AsDer<PublicKeyX509Der<'static>>) -> anyhow::Result<String> {
    Ok(format!("public_key: \"{}\"", pem("PUBLIC", key.as_der()?.as_ref(), "\\n")))
}

pub(crate) fn pem(which: &str, der: &[u8], line_end: &str) -> String {
    let text = BASE64_STANDARD.encode(der);
    format!("-----BEGIN {which} KEY-----{line_end}{text}{line_end}-----END {which} KEY-----{line_end}")
}
