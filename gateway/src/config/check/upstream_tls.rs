//! Checks how targets are spoken to over TLS, and reads the files for it.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use rustls_pki_types::ServerName;
use secrecy::{ExposeSecret, SecretString};

use super::tls::{LEAST_INTERVAL, text};
use super::{DAY, may_be_never};
use crate::config::file::{GatewayFile, UpstreamTlsFile};
use crate::config::problems::KeyPath;
use crate::config::report::Report;
use crate::config::values::{Authorities, BadCertificate, ClientIdentity, UpstreamTls};

/// What the upstreams with a block `tls` are spoken to with, by name.
pub(super) fn check(file: &GatewayFile, directory: &Path, report: &mut Report<'_>) -> BTreeMap<String, UpstreamTls> {
    let mut all = BTreeMap::new();
    for (name, upstream) in &file.upstreams {
        let Some(tls) = &upstream.tls else { continue };
        let targets = KeyPath::default().key("upstreams").key(name).key("targets");
        let at = KeyPath::default().key("upstreams").key(name).key("tls");
        if report.is_written(&targets) && !upstream.all_targets().any(|target| target.tls) {
            report.problem(&at, "no target is spoken to over TLS; write its URL with `https://`");
        }
        may_be_never(tls.reload_interval, LEAST_INTERVAL, DAY, &at.key("reload_interval"), report);
        if let Some(name) = &tls.server_name
            && ServerName::try_from(name.as_str()).is_err()
        {
            report.problem(&at.key("server_name"), "this is neither a host name nor an address");
        }
        if !tls.verify {
            if tls.ca.is_some() {
                report.problem(&at.key("ca"), "with `verify: false` nobody looks at this; keep one of the two");
            }
            report.warning(&at.key("verify"), "whoever is on the way to the targets can read and change everything");
        }
        let authorities = tls.ca.as_ref().and_then(|path| authorities(path, directory, &at.key("ca"), report));
        all.insert(name.clone(), UpstreamTls { authorities, identity: identity(tls, directory, &at, report) });
    }
    all
}

fn authorities(path: &Path, directory: &Path, at: &KeyPath, report: &mut Report<'_>) -> Option<Authorities> {
    let pem = text(&directory.join(path), at, report)?;
    Authorities::from_pem(pem.expose_secret(), None).map_err(|bad| report.problem(at, bad.to_string())).ok()
}

fn identity(tls: &UpstreamTlsFile, directory: &Path, at: &KeyPath, report: &mut Report<'_>) -> Option<ClientIdentity> {
    let mut read =
        |path: &PathBuf, key: &str| -> Option<SecretString> { text(&directory.join(path), &at.key(key), report) };
    match (&tls.certificate, &tls.key) {
        (None, None) => None,
        (Some(_), None) => {
            report.problem(&at.key("certificate"), "its `key` is missing");
            None
        }
        (None, Some(_)) => {
            report.problem(&at.key("key"), "the `certificate` it is for is missing");
            None
        }
        (Some(certificate), Some(key)) => {
            let (certificate, key) = (read(certificate, "certificate"), read(key, "key"));
            let identity = ClientIdentity::from_pem(certificate?.expose_secret(), &key?);
            let told = |bad: BadCertificate| {
                let key = matches!(bad, BadCertificate::NoKey | BadCertificate::OtherKey);
                report.problem(&at.key(if key { "key" } else { "certificate" }), bad.to_string());
            };
            let identity = identity.map_err(told).ok()?;
            let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
            if let Err(bad) = identity.certificate().counts_at(i64::try_from(now).unwrap_or(i64::MAX)) {
                report.warning(&at.key("certificate"), bad.to_string());
            }
            Some(identity)
        }
    }
}
