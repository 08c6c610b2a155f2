//! What it costs a request that the gateway tells its upstream in a signed token who asks: nothing is told, a token is signed
//! for this request, or the one from a moment ago is sent again.

use std::net::IpAddr;
use std::path::Path;

use anyhow::Context as _;
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, Ed25519KeyPair};
use criterion::Criterion;
use futures::FutureExt as _;
use gateway::Rehearsal;
use http::Method;
use jsonwebtoken::{EncodingKey, Header};
use pingora_http::RequestHeader;

use crate::configuration::{SECRET, parse};
use crate::tokens::{claims, pem};

pub(crate) fn bench(criterion: &mut Criterion) -> anyhow::Result<()> {
    let keys = tempfile::tempdir()?;
    let random = SystemRandom::new();
    let ed25519 = Ed25519KeyPair::generate_pkcs8(&random)?;
    let p256 = EcdsaKeyPair::generate_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, &random)?;
    for (name, der) in [("EdDSA", ed25519.as_ref()), ("ES256", p256.as_ref())] {
        std::fs::write(keys.path().join(name), pem("PRIVATE", der, "\n"))?;
    }
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build()?;
    let rehearsal = runtime.block_on(Rehearsal::of(&parse(&file(keys.path())?)?, Vec::new()))?;
    let token = jsonwebtoken::encode(&Header::default(), &claims()?, &EncodingKey::from_secret(SECRET.as_bytes()))?;
    let client = IpAddr::from([192, 0, 2, 7]);
    let mut group = criterion.benchmark_group("identity-token");
    for path in ["nothing", "HS256/signed", "EdDSA/signed", "ES256/signed", "EdDSA/kept"] {
        let mut head = RequestHeader::build(Method::GET, format!("/{path}").as_bytes(), None)?;
        head.insert_header("Host", "www.example.com")?;
        head.insert_header("Authorization", format!("Bearer {token}"))?;
        let mut admit = || {
            let mut ctx = rehearsal.request(client);
            let decision = rehearsal.admit(&mut head, &mut ctx).now_or_never();
            (decision, ctx)
        };
        anyhow::ensure!(matches!(admit().0, Some(Ok(()))), "{path} was not admitted");
        group.bench_function(path, |bencher| bencher.iter(&mut admit));
    }
    group.finish();
    Ok(())
}

/// A route for each way, whose keys are in the directory `keys`.
fn file(keys: &Path) -> anyhow::Result<String> {
    let keys = keys.to_str().context("a path of text")?;
    let mut signers = "hs256: { algorithm: HS256, secret: \"${JWT_SECRET_KEY}\", cache: 0 }".to_owned();
    let mut routes = String::new();
    for (name, algorithm, cache) in [("eddsa", "EdDSA", "0"), ("es256", "ES256", "0"), ("kept", "EdDSA", "10000")] {
        let key = format!("private_key_file: \"{keys}/{algorithm}\"");
        signers += &format!(", {name}: {{ algorithm: {algorithm}, {key}, cache: {cache} }}");
    }
    for (name, path, signer) in [
        ("nothing", "/nothing", None),
        ("hs256", "/HS256/signed", Some("hs256")),
        ("eddsa", "/EdDSA/signed", Some("eddsa")),
        ("es256", "/ES256/signed", Some("es256")),
        ("kept", "/EdDSA/kept", Some("kept")),
    ] {
        let step = signer.map(|signer| format!(", {{ identity_token: {{ signer: {signer} }} }}")).unwrap_or_default();
        routes += &format!(
            "  - {{ name: {name}, match: {{ path: {path} }}, upstream: u, middleware: [{{ jwt: {{ provider: us }} }}{step}] }}\n"
        );
    }
    Ok(format!(
        "jwt_providers: {{ us: {{ algorithm: HS256, secret: \"${{JWT_SECRET_KEY}}\", issuer: order-processor, \
         audience: order-processor }} }}\n\
         identity_tokens: {{ {signers} }}\n\
         upstreams: {{ u: {{ targets: [\"http://127.0.0.1:1\"] }} }}\nroutes:\n{routes}"
    ))
}
