//! Checks the issuers under `jwt_providers`, and reads their secrets.

use std::collections::{BTreeMap, HashSet};
use std::fs::File;
use std::io::{self, Read};
use std::path::Path;
use std::time::Duration;

use common::auth::SigningSecret;
use secrecy::SecretString;

use super::span_is_within;
use crate::config::file::{GatewayFile, JwtProviderFile};
use crate::config::problems::KeyPath;
use crate::config::report::Report;

/// RFC 8725 has no figure; a minute is what its implementers call generous.
const MOST_LEEWAY: Duration = Duration::from_secs(60);
const MOST_SECRET_BYTES: u64 = 64 * 1024;

pub(super) fn check(file: &GatewayFile, directory: &Path, report: &mut Report<'_>) -> BTreeMap<String, SigningSecret> {
    let mut secrets = BTreeMap::new();
    for (name, provider) in &file.jwt_providers {
        let at = KeyPath::default().key("jwt_providers").key(name);
        if let Some(secret) = secret(provider, directory, &at, report) {
            secrets.insert(name.clone(), secret);
        }
        for (text, key) in [(&provider.issuer, "issuer"), (&provider.audience, "audience")] {
            if text.is_empty() {
                report.problem(&at.key(key), "this is empty; a token must be asked for a certain one");
            }
        }
        let leeway = at.key("leeway");
        span_is_within(provider.leeway, Duration::ZERO, MOST_LEEWAY, &leeway, report);
        if provider.leeway.get().subsec_nanos() != 0 {
            report.problem(&leeway, "the leeway is in whole seconds, as the times of tokens are");
        }
        check_headers(provider, &at.key("claims_to_headers"), report);
    }
    secrets
}

fn check_headers(provider: &JwtProviderFile, at: &KeyPath, report: &mut Report<'_>) {
    let mut taken = HashSet::new();
    for (claim, header) in &provider.claims_to_headers {
        let here = at.key(claim);
        if claim.is_empty() {
            report.problem(&here, "the name of a claim is empty");
        }
        if report.is_written(&here) && !taken.insert(header) {
            report.problem(&here, format!("another claim goes to `{}` already", report.shown(&here)));
        }
    }
}

fn secret(
    provider: &JwtProviderFile,
    directory: &Path,
    at: &KeyPath,
    report: &mut Report<'_>,
) -> Option<SigningSecret> {
    let (inline, path) = (at.key("secret"), at.key("secret_file"));
    let (key, secret) = match (&provider.secret, &provider.secret_file) {
        (Some(secret), file) => {
            if file.is_some() {
                report.problem(&path, "there is a `secret` too; keep one of the two");
            }
            (inline, secret.as_secret().clone())
        }
        (None, Some(file)) if !report.is_written(&path) || file.as_os_str().is_empty() => {
            report.problem(&path, "the path is empty");
            return None;
        }
        (None, Some(file)) => match read(&directory.join(file)) {
            Ok(secret) => (path, secret),
            Err(error) => {
                report.problem(&path, format!("`{}` cannot be read: {error}", report.shown(&path)));
                return None;
            }
        },
        (None, None) => {
            report.problem(at, "a `secret` or a `secret_file` is missing");
            return None;
        }
    };
    // Where the secret itself could not be read, the report drops this.
    SigningSecret::new(secret).map_err(|weak| report.problem(&key, format!("this secret is too weak: {weak}"))).ok()
}

/// The text of a file that holds one secret, without the line end that editors add.
fn read(path: &Path) -> io::Result<SecretString> {
    let mut text = String::new();
    File::open(path)?.take(MOST_SECRET_BYTES).read_to_string(&mut text)?;
    Ok(SecretString::from(text.trim_end_matches(['\r', '\n'])))
}
