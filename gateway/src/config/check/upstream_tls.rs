//! Checks how targets are spoken to over TLS, and reads the files for it.

use std::collections::BTreeMap;
use std::path::Path;

use rustls_pki_types::ServerName;
use secrecy::ExposeSecret as _;

use super::tls::{LEAST_INTERVAL, text};
use super::{DAY, client_identity, may_be_never};
use crate::config::file::GatewayFile;
use crate::config::problems::KeyPath;
use crate::config::report::Report;
use crate::config::values::{Authorities, UpstreamTls};

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
        let files = client_identity::Files {
            certificate: ("certificate", tls.certificate.as_ref()),
            key: ("key", tls.key.as_ref()),
        };
        let identity = client_identity::read(files, directory, &at, report).map(|shown| shown.identity);
        all.insert(name.clone(), UpstreamTls { authorities, identity });
    }
    all
}

fn authorities(path: &Path, directory: &Path, at: &KeyPath, report: &mut Report<'_>) -> Option<Authorities> {
    let pem = text(&directory.join(path), at, report)?;
    Authorities::from_pem(pem.expose_secret(), None).map_err(|bad| report.problem(at, bad.to_string())).ok()
}
