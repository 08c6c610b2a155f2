//! Checks where a provider's set of keys comes from, and reads the one that stands in a file.

use std::path::{Path, PathBuf};
use std::time::Duration;

use reqwest::Url;
use rustls_pki_types::CertificateDer;
use rustls_pki_types::pem::PemObject as _;
use secrecy::ExposeSecret;

use super::{MOST_KEY_BYTES, read};
use crate::config::check::{DAY, HOUR, span_is_within};
use crate::config::file::{JwksFetchFile, JwtAlgorithm, JwtProviderFile};
use crate::config::problems::KeyPath;
use crate::config::report::Report;
use crate::config::values::Jwks;
use crate::config::{ProviderKey, RemoteJwks, is_trustworthy};

/// As much as is taken of a URL.
pub(super) const MOST_SET_BYTES: u64 = 1 << 20;

/// The keys that stand in a provider's `jwks_file` or come from its `jwks_url`; `algorithms` are what it accepts.
pub(super) fn key(
    provider: &JwtProviderFile,
    algorithms: Option<&[JwtAlgorithm]>,
    directory: &Path,
    at: &KeyPath,
    report: &mut Report<'_>,
) -> Option<ProviderKey> {
    if let Some(algorithm) = algorithms.into_iter().flatten().find(|algorithm| algorithm.key_kind().is_none()) {
        let key = if provider.algorithm.is_some() { "algorithm" } else { "algorithms" };
        report.problem(&at.key(key), format!("`{algorithm:?}` has a shared secret, and a set of keys has none"));
        return None;
    }
    match (&provider.jwks_url, &provider.jwks_file) {
        (Some(url), file) => {
            if file.is_some() {
                report.problem(&at.key("jwks_file"), "there is a `jwks_url` too; keep one of the two");
            }
            let default = JwksFetchFile::default();
            let fetch = provider.jwks_fetch.as_ref().unwrap_or(&default);
            let url = check_url(url, fetch, &at.key("jwks_url"), report);
            let (cache_file, authorities) = check_fetch(fetch, directory, &at.key("jwks_fetch"), report);
            Some(ProviderKey::Remote(RemoteJwks {
                url: url?,
                allow_insecure_http: fetch.allow_insecure_http,
                algorithms: algorithms?.to_vec(),
                authorities,
                cache_file,
                refresh: fetch.refresh.get(),
                timeout: fetch.timeout.get(),
                cooldown: fetch.cooldown.get(),
                stale_for: fetch.stale_for.get(),
            }))
        }
        (None, Some(file)) => from_file(&directory.join(file), algorithms, &at.key("jwks_file"), report),
        (None, None) => None,
    }
}

fn from_file(
    path: &Path,
    algorithms: Option<&[JwtAlgorithm]>,
    at: &KeyPath,
    report: &mut Report<'_>,
) -> Option<ProviderKey> {
    let text = match read(path, MOST_SET_BYTES) {
        Ok(text) => text,
        Err(error) => {
            report.problem(at, format!("`{}` cannot be read: {error}", report.shown(at)));
            return None;
        }
    };
    match Jwks::parse(text.expose_secret().as_bytes(), algorithms?) {
        Ok(jwks) => {
            for reason in jwks.passed_over() {
                report.warning(at, reason.clone());
            }
            Some(ProviderKey::Set(jwks))
        }
        Err(bad) => {
            report.problem(at, bad.to_string());
            None
        }
    }
}

fn check_url(text: &str, fetch: &JwksFetchFile, at: &KeyPath, report: &mut Report<'_>) -> Option<Url> {
    let url = Url::parse(text).ok().filter(|url| matches!(url.scheme(), "http" | "https"));
    let Some(url) = url else {
        report.problem(at, "a URL is wanted here, like https://login.example.com/.well-known/jwks.json");
        return None;
    };
    if !url.username().is_empty() || url.password().is_some() {
        report.problem(at, "a set of keys is public; leave the user and the password out");
        return None;
    }
    if !is_trustworthy(&url) && !fetch.allow_insecure_http {
        let message = "over http:// whoever is on the way can put in keys of their own, and sign any token; use https://, \
                       or say `allow_insecure_http: true` under `jwks_fetch`";
        report.problem(at, message);
        return None;
    }
    Some(url)
}

/// Gives the file of the copy and the authorities, as DER.
fn check_fetch(
    fetch: &JwksFetchFile,
    directory: &Path,
    at: &KeyPath,
    report: &mut Report<'_>,
) -> (Option<PathBuf>, Vec<Vec<u8>>) {
    const SECOND: Duration = Duration::from_secs(1);
    span_is_within(fetch.refresh, SECOND, DAY, &at.key("refresh"), report);
    span_is_within(fetch.timeout, Duration::from_millis(1), Duration::from_secs(60), &at.key("timeout"), report);
    span_is_within(fetch.cooldown, SECOND, HOUR, &at.key("cooldown"), report);
    span_is_within(fetch.stale_for, Duration::ZERO, 30 * DAY, &at.key("stale_for"), report);
    for (path, key) in [(&fetch.cache_file, "cache_file"), (&fetch.ca_file, "ca_file")] {
        if path.as_ref().is_some_and(|path| path.as_os_str().is_empty()) {
            report.problem(&at.key(key), "the path is empty");
        }
    }
    let authorities = fetch.ca_file.as_ref().map(|path| authorities(&directory.join(path), &at.key("ca_file"), report));
    (fetch.cache_file.as_ref().map(|path| directory.join(path)), authorities.unwrap_or_default())
}

fn authorities(path: &Path, at: &KeyPath, report: &mut Report<'_>) -> Vec<Vec<u8>> {
    let pem = match read(path, 4 * MOST_KEY_BYTES) {
        Ok(pem) => pem,
        Err(error) => {
            report.problem(at, format!("`{}` cannot be read: {error}", report.shown(at)));
            return Vec::new();
        }
    };
    let certificates = CertificateDer::pem_slice_iter(pem.expose_secret().as_bytes());
    match certificates.map(|der| der.map(|der| der.to_vec())).collect::<Result<Vec<_>, _>>() {
        Ok(authorities) if !authorities.is_empty() => authorities,
        Ok(_) | Err(_) => {
            report.problem(at, "there is no certificate in it; it begins with `-----BEGIN CERTIFICATE-----`");
            Vec::new()
        }
    }
}
