//! What files of certificates hold, if it is of use.

use std::io;
use std::path::{Path, PathBuf};

use secrecy::{ExposeSecret, SecretString};

use crate::config::values::{Authorities, BadAuthorities, BadCertificate, Certificate, ClientIdentity, read_pem};

/// Why files are of no use.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Unread {
    #[error("`{path}` cannot be read")]
    File {
        path: PathBuf,
        #[source]
        source: io::Error,
    },
    #[error("the certificate cannot be used")]
    Certificate(#[from] BadCertificate),
    #[error("the authorities cannot be used")]
    Authorities(#[from] BadAuthorities),
}

/// The certificate in the first of `paths` with its key in the second, if it counts at `now`.
pub(crate) fn read_certificate(paths: &[PathBuf], now: i64) -> Result<Certificate, Unread> {
    let [certificate, key] = paths else { return Err(BadCertificate::NoKey.into()) };
    let certificate = Certificate::from_pem(read(certificate)?.expose_secret(), &read(key)?)?;
    certificate.counts_at(now)?;
    Ok(certificate)
}

/// The certificate for no name in the first of `paths` with its key in the second, if it counts at `now`.
pub(crate) fn read_identity(paths: &[PathBuf], now: i64) -> Result<ClientIdentity, Unread> {
    let [certificate, key] = paths else { return Err(BadCertificate::NoKey.into()) };
    let identity = ClientIdentity::from_pem(read(certificate)?.expose_secret(), &read(key)?)?;
    identity.certificate().counts_at(now)?;
    Ok(identity)
}

/// The authorities in the first of `paths`, with what they have revoked in the second if there is one.
pub(crate) fn read_authorities(paths: &[PathBuf]) -> Result<Authorities, Unread> {
    let (ca, crl) = paths.split_first().ok_or(BadAuthorities::NoCertificate)?;
    let crl = crl.first().map(|crl| read(crl)).transpose()?;
    let crl = crl.as_ref().map(ExposeSecret::expose_secret);
    Ok(Authorities::from_pem(read(ca)?.expose_secret(), crl)?)
}

fn read(path: &Path) -> Result<SecretString, Unread> {
    read_pem(path).map_err(|source| Unread::File { path: path.to_owned(), source })
}
