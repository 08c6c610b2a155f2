//! Checks where a service is that the gateway asks about requests.

use std::path::{Path, PathBuf};

use reqwest::Url;
use secrecy::ExposeSecret;

use super::tls::text;
use crate::config::problems::KeyPath;
use crate::config::report::Report;
use crate::config::values::Authorities;
use crate::config::{RemoteService, is_trustworthy};

/// A service as the file describes it, at the keys `url`, `ca_file` and `allow_insecure_http`, of which the first has another
/// name in some blocks.
pub(super) struct Described<'f> {
    pub(super) url: (&'static str, &'f str),
    pub(super) ca_file: Option<&'f PathBuf>,
    pub(super) allow_insecure_http: bool,
}

/// The service; none when something is wrong with it, which was told.
pub(super) fn check(
    described: &Described<'_>,
    directory: &Path,
    at: &KeyPath,
    report: &mut Report<'_>,
) -> Option<RemoteService> {
    let authorities = match described.ca_file {
        Some(path) => {
            let at = at.key("ca_file");
            let pem = text(&directory.join(path), &at, report);
            let read = pem.map(|pem| Authorities::from_pem(pem.expose_secret(), None));
            let read = read.and_then(|read| read.map_err(|bad| report.problem(&at, bad.to_string())).ok());
            read.map(|authorities| authorities.certificates().iter().map(|der| der.to_vec()).collect())
        }
        None => Some(Vec::new()),
    };
    let (key, url) = described.url;
    let at = at.key(key);
    let Some(url) = Url::parse(url).ok().filter(|url| matches!(url.scheme(), "http" | "https")) else {
        report.problem(&at, "a URL is wanted here, like https://auth.example.com/verify");
        return None;
    };
    if !url.username().is_empty() || url.password().is_some() || url.fragment().is_some() {
        report.problem(&at, "a URL without user, password and `#` is wanted here");
        return None;
    }
    if !is_trustworthy(&url) && !described.allow_insecure_http {
        let message = "over http:// whoever is on the way can answer in its place, and read what it is asked; use https://, or \
                       say `allow_insecure_http: true`";
        report.problem(&at, message);
        return None;
    }
    Some(RemoteService { url, authorities: authorities? })
}
