//! Checks the block `server.tls`, and reads its certificates.

use std::io;
use std::path::Path;
use std::time::Duration;

use secrecy::{ExposeSecret, SecretString};

use super::{DAY, may_be_never, span_is_within};
use crate::config::file::{CertificateFile, ClientCertificateMode, GatewayFile, HstsFile};
use crate::config::problems::KeyPath;
use crate::config::report::Report;
use crate::config::values::{Authorities, BadAuthorities, BadCertificate, Certificate, read_pem};

/// What looks at files more often does little else.
pub(super) const LEAST_INTERVAL: Duration = Duration::from_millis(100);

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
    may_be_never(tls.reload_interval, LEAST_INTERVAL, DAY, &at.key("reload_interval"), report);
    let at = at.key("certificates");
    if tls.certificates.is_empty() {
        report.problem(&at, "there is no certificate to show to clients");
    }
    let read = |(index, certificate)| certificate_of(certificate, directory, &at.index(index), report);
    tls.certificates.iter().enumerate().filter_map(read).collect()
}

/// Those of whom clients' certificates have to be, if `server.tls` asks for any; none when they are missing, which was told.
pub(super) fn client_authorities(file: &GatewayFile, directory: &Path, report: &mut Report<'_>) -> Option<Authorities> {
    let tls = file.server.tls.as_ref()?;
    let clients = tls.client_certificates.as_ref()?;
    let at = KeyPath::default().key("server").key("tls").key("client_certificates");
    if clients.mode == ClientCertificateMode::Required && !file.server.listen.is_empty() && !tls.redirect_http {
        let message = "whoever comes over plain HTTP needs none; write `redirect_http: true`";
        report.warning(&at.key("mode"), message);
    }
    let (ca, crl) = (at.key("ca"), at.key("crl"));
    let certificates = text(&directory.join(&clients.ca), &ca, report);
    let lists = clients.crl.as_ref().map(|path| text(&directory.join(path), &crl, report));
    let lists = lists.map_or(Some(None), |text| text.map(Some))?;
    let lists = lists.as_ref().map(ExposeSecret::expose_secret);
    Authorities::from_pem(certificates?.expose_secret(), lists)
        .map_err(|bad| {
            let place = match bad {
                BadAuthorities::NoCertificate | BadAuthorities::Damaged => &ca,
                BadAuthorities::NoList | BadAuthorities::DamagedList => &crl,
            };
            report.problem(place, bad.to_string());
        })
        .ok()
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
                BadCertificate::NoKey | BadCertificate::OtherKey => &key_at,
                _ => &certificate_at,
            };
            report.problem(place, bad.to_string());
        })
        .ok()
}

pub(super) fn text(path: &Path, at: &KeyPath, report: &mut Report<'_>) -> Option<SecretString> {
    let told = |error: io::Error| report.problem(at, format!("`{}` cannot be read: {error}", report.shown(at)));
    read_pem(path).map_err(told).ok()
}
