//! Checks the block `server.tls`, and reads its certificates.

use std::fs::File;
use std::io::{self, Read};
use std::path::Path;
use std::time::Duration;

use secrecy::{ExposeSecret, SecretString};

use super::{DAY, span_is_within};
use crate::config::file::{CertificateFile, GatewayFile, HstsFile};
use crate::config::problems::KeyPath;
use crate::config::report::Report;
use crate::config::values::{BadCertificate, Certificate};

/// No chain comes near.
const MOST_PEM_BYTES: u64 = 256 * 1024;

const YEAR: Duration = Duration::from_secs(365 * DAY.as_secs());

/// Gives the certificates in the order of the file; one that is missing was told.
pub(super) fn check(file: &GatewayFile, directory: &Path, report: &mut Report<'_>) -> Vec<Certificate> {
    let Some(tls) = &file.server.tls else { return Vec::new() };
    let at = KeyPath::default().key("server").key("tls");
    if tls.redirect_port.is_some() && !tls.redirect_http {
        report.problem(&at.key("redirect_port"), "nobody is sent there; write `redirect_http: true`");
    }
    if let Some(hsts) = &tls.hsts {
        check_hsts(hsts, &at.key("hsts"), report);
    }
    let at = at.key("certificates");
    if tls.certificates.is_empty() {
        report.problem(&at, "there is no certificate to show to clients");
    }
    let read = |(index, certificate)| certificate_of(certificate, directory, &at.index(index), report);
    tls.certificates.iter().enumerate().filter_map(read).collect()
}

fn check_hsts(hsts: &HstsFile, at: &KeyPath, report: &mut Report<'_>) {
    let age = hsts.max_age.get();
    span_is_within(hsts.max_age, Duration::ZERO, 10 * YEAR, &at.key("max_age"), report);
    if age.subsec_nanos() != 0 {
        report.problem(&at.key("max_age"), "browsers count in whole seconds");
    }
    if hsts.preload && (!hsts.include_subdomains || age < YEAR) && report.is_written(at) {
        let message = "browsers take this only with `include_subdomains: true` and a `max_age` of at least 365d";
        report.problem(&at.key("preload"), message);
    }
}

fn certificate_of(
    file: &CertificateFile,
    directory: &Path,
    at: &KeyPath,
    report: &mut Report<'_>,
) -> Option<Certificate> {
    let (certificate_at, key_at) = (at.key("certificate"), at.key("key"));
    let certificate = text(&directory.join(&file.certificate), &certificate_at, report);
    let key = text(&directory.join(&file.key), &key_at, report);
    Certificate::from_pem(certificate?.expose_secret(), &key?)
        .map_err(|bad| {
            let place = match bad {
                BadCertificate::NoCertificate | BadCertificate::Damaged | BadCertificate::NoName => &certificate_at,
                BadCertificate::NoKey | BadCertificate::OtherKey => &key_at,
            };
            report.problem(place, bad.to_string());
        })
        .ok()
}

fn text(path: &Path, at: &KeyPath, report: &mut Report<'_>) -> Option<SecretString> {
    let told = |error: io::Error| report.problem(at, format!("`{}` cannot be read: {error}", report.shown(at)));
    read(path).map_err(told).ok()
}

fn read(path: &Path) -> io::Result<SecretString> {
    let mut text = String::new();
    File::open(path)?.take(MOST_PEM_BYTES).read_to_string(&mut text)?;
    Ok(text.into())
}
