//! Reads the certificate that the gateway shows to a server, and its key.

use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use secrecy::{ExposeSecret as _, SecretString};

use super::tls::text;
use crate::config::problems::KeyPath;
use crate::config::report::Report;
use crate::config::values::{BadCertificate, ClientIdentity};

/// Two keys of a block, each with the file that it names.
#[derive(Clone, Copy)]
pub(super) struct Files<'f> {
    pub(super) certificate: (&'static str, Option<&'f PathBuf>),
    pub(super) key: (&'static str, Option<&'f PathBuf>),
}

/// What is in them, and the same as PEM.
pub(super) struct Shown {
    pub(super) identity: ClientIdentity,
    pub(super) pem: (String, SecretString),
}

/// What the block at `at` has the gateway show; what is wrong with it is told.
pub(super) fn read(files: Files<'_>, directory: &Path, at: &KeyPath, report: &mut Report<'_>) -> Option<Shown> {
    let [(certificate_key, certificate), (key_key, key)] = [files.certificate, files.key];
    match (certificate, key) {
        (None, None) => None,
        (Some(_), None) => {
            report.problem(&at.key(certificate_key), format!("its `{key_key}` is missing"));
            None
        }
        (None, Some(_)) => {
            report.problem(&at.key(key_key), format!("the `{certificate_key}` it is for is missing"));
            None
        }
        (Some(certificate), Some(key)) => {
            let certificate = text(&directory.join(certificate), &at.key(certificate_key), report);
            let key = text(&directory.join(key), &at.key(key_key), report);
            let (certificate, key) = (certificate?, key?);
            let told = |bad: BadCertificate| {
                let is_of_key = matches!(bad, BadCertificate::NoKey | BadCertificate::OtherKey);
                report.problem(&at.key(if is_of_key { key_key } else { certificate_key }), bad.to_string());
            };
            let identity = ClientIdentity::from_pem(certificate.expose_secret(), &key).map_err(told).ok()?;
            let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
            if let Err(bad) = identity.certificate().counts_at(i64::try_from(now).unwrap_or(i64::MAX)) {
                report.warning(&at.key(certificate_key), bad.to_string());
            }
            Some(Shown { identity, pem: (certificate.expose_secret().to_owned(), key) })
        }
    }
}
