//! Checks what signs identity tokens, and reads its keys.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use common::auth::SigningSecret;
use secrecy::ExposeSecret as _;

use super::claims::Claims;
use super::jwt::{MOST_KEY_BYTES, read};
use super::routes::repeats;
use super::span_is_within;
use crate::config::file::{GatewayFile, IdentityTokenSignerFile, MiddlewareFile, SigningAlgorithm};
use crate::config::problems::KeyPath;
use crate::config::report::Report;
use crate::config::values::SigningKey;

/// What the gateway itself says.
const OWN_CLAIMS: [&str; 11] = ["iss", "aud", "sub", "exp", "iat", "nbf", "jti", "htm", "htp", "amr", "idp"];

/// The key of each signer.
pub(super) fn check(file: &GatewayFile, directory: &Path, report: &mut Report<'_>) -> BTreeMap<String, SigningKey> {
    let mut keys = BTreeMap::new();
    for (name, signer) in &file.identity_tokens {
        let at = KeyPath::default().key("identity_tokens").key(name);
        span_is_within(signer.lifetime, Duration::from_secs(2), Duration::from_secs(60), &at.key("lifetime"), report);
        if signer.lifetime.get().subsec_nanos() != 0 {
            report.problem(&at.key("lifetime"), "a lifetime is in whole seconds, as the times of tokens are");
        }
        if signer.issuer.is_empty() {
            report.problem(&at.key("issuer"), "this is empty; upstreams ask for a certain one");
        }
        let claims = at.key("claims");
        repeats(&signer.claims, &claims, report);
        let there = told_by(name, file);
        for (index, claim) in signer.claims.iter().enumerate() {
            if OWN_CLAIMS.contains(&claim.as_str()) || claim.is_empty() {
                report.problem(&claims.index(index), "this is said by the gateway itself, or nothing");
            } else if there != Claims::None {
                there.check(claim, &claims.index(index), report);
            }
        }
        if let Some(key) = key(signer, directory, &at, report) {
            keys.insert(name.clone(), key);
        }
    }
    keys
}

/// What there is to tell on any of the routes where the signer `name` signs.
fn told_by(name: &str, file: &GatewayFile) -> Claims {
    let signs = |step: &MiddlewareFile| matches!(step, MiddlewareFile::IdentityToken(step) if step.signer == name);
    let steps = file.routes.iter().map(|route| file.middleware.iter().chain(&route.middleware));
    let signed = steps.filter(|steps| steps.clone().any(signs));
    signed.fold(Claims::None, |claims, steps| claims.or(Claims::of(steps)))
}

fn key(
    signer: &IdentityTokenSignerFile,
    directory: &Path,
    at: &KeyPath,
    report: &mut Report<'_>,
) -> Option<SigningKey> {
    if !report.is_written(&at.key("algorithm")) {
        return None;
    }
    let (secret, file) = (at.key("secret"), at.key("private_key_file"));
    match (signer.algorithm, &signer.secret, &signer.private_key_file) {
        (SigningAlgorithm::HS256, Some(shared), None) => match SigningSecret::new(shared.as_secret().clone()) {
            Ok(shared) => return Some(SigningKey::Shared(shared)),
            Err(weak) => report.problem(&secret, format!("this secret is too weak: {weak}")),
        },
        (SigningAlgorithm::HS256, None, None) => report.problem(at, "the key `secret` is missing"),
        (SigningAlgorithm::HS256, _, Some(_)) => report.problem(&file, "`HS256` has no private key but a `secret`"),
        (_, Some(_), _) => report.problem(&secret, "this algorithm has no secret but a `private_key_file`"),
        (_, None, None) => report.problem(at, "the key `private_key_file` is missing"),
        (algorithm, None, Some(path)) => match read(&directory.join(path), MOST_KEY_BYTES) {
            Ok(pem) => match SigningKey::from_pem(algorithm, pem.expose_secret()) {
                Ok(key) => return Some(key),
                Err(bad) => report.problem(&file, bad.to_string()),
            },
            Err(error) => report.problem(&file, format!("`{}` cannot be read: {error}", report.shown(&file))),
        },
    }
    None
}
