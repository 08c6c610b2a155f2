//! A certificate with its private key, read from PEM.

use std::fmt;
use std::fs::File;
use std::io::{self, Read as _};
use std::path::Path;
use std::sync::Arc;

use rustls::crypto::aws_lc_rs::default_provider;
use rustls::sign::CertifiedKey;
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, PrivateKeyDer};
use secrecy::{ExposeSecret, SecretString};
use webpki::EndEntityCert;
use x509_parser::parse_x509_certificate;

/// No chain comes near.
const MOST_PEM_BYTES: u64 = 256 * 1024;

/// A certificate that clients can be shown, and the names it is for.
#[derive(Clone)]
pub struct Certificate {
    names: Vec<String>,
    /// From when to when it counts, both within, in seconds since 1970.
    validity: (i64, i64),
    key: Arc<CertifiedKey>,
}

/// Why two texts are no certificate with its key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadCertificate {
    /// Nothing in the text is a certificate.
    #[error("there is no certificate in it; it begins with `-----BEGIN CERTIFICATE-----`")]
    NoCertificate,
    /// PEM around something broken.
    #[error("its text is damaged; copy it again, with the lines that begin with `-----`")]
    Damaged,
    /// A certificate that names nobody (RFC 9525, section 4).
    #[error("this certificate is for no DNS name; browsers want one among its subject alternative names")]
    NoName,
    /// Nothing in the other text is a key.
    #[error("there is no private key in it that TLS can use; PKCS #8, PKCS #1 and SEC 1 without a password are read")]
    NoKey,
    /// A key of another certificate.
    #[error("this key is not that of the certificate")]
    OtherKey,
    /// Its time has not come.
    #[error("this certificate is not valid yet")]
    NotYetValid,
    /// Its time is over.
    #[error("this certificate has expired")]
    Expired,
}

impl Certificate {
    /// The chain in `certificate` and its key in `key`.
    ///
    /// # Errors
    /// Says why they cannot be used.
    pub fn from_pem(certificate: &str, key: &SecretString) -> Result<Self, BadCertificate> {
        let certificate = Self::of_anybody(certificate, key)?;
        if certificate.names.is_empty() { Err(BadCertificate::NoName) } else { Ok(certificate) }
    }

    /// The same for what is shown to nobody who asks for a name.
    pub(super) fn of_anybody(certificate: &str, key: &SecretString) -> Result<Self, BadCertificate> {
        let chain: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(certificate.as_bytes()).collect();
        let chain = chain.map_err(|_| BadCertificate::Damaged)?;
        let own = chain.first().ok_or(BadCertificate::NoCertificate)?;
        let (_, parsed) = parse_x509_certificate(own).map_err(|_| BadCertificate::Damaged)?;
        let validity = (parsed.validity().not_before.timestamp(), parsed.validity().not_after.timestamp());
        let own = EndEntityCert::try_from(own).map_err(|_| BadCertificate::Damaged)?;
        let names = own.valid_dns_names().map(str::to_ascii_lowercase).collect();
        let key = PrivateKeyDer::from_pem_slice(key.expose_secret().as_bytes()).map_err(|_| BadCertificate::NoKey)?;
        let key = CertifiedKey::from_der(chain, key, &default_provider()).map_err(|error| match error {
            rustls::Error::InconsistentKeys(_) => BadCertificate::OtherKey,
            _ => BadCertificate::NoKey,
        })?;
        Ok(Self { names, validity, key: Arc::new(key) })
    }

    /// Whether it counts at `now`, in seconds since 1970.
    ///
    /// # Errors
    /// Says on which side of its time `now` is.
    pub const fn counts_at(&self, now: i64) -> Result<(), BadCertificate> {
        match self.validity {
            (begins, _) if now < begins => Err(BadCertificate::NotYetValid),
            (_, ends) if now > ends => Err(BadCertificate::Expired),
            _ => Ok(()),
        }
    }

    /// The last second in which it counts, since 1970.
    #[must_use]
    pub const fn not_after(&self) -> i64 {
        self.validity.1
    }

    /// The DNS names it is for, in lower case; one may begin with `*.`.
    #[must_use]
    pub fn names(&self) -> &[String] {
        &self.names
    }

    /// What a TLS handshake needs.
    #[must_use]
    pub const fn key(&self) -> &Arc<CertifiedKey> {
        &self.key
    }
}

/// The text of the file at `path`, which holds PEM; blocks while it is read.
pub(crate) fn read_pem(path: &Path) -> io::Result<SecretString> {
    let mut text = String::new();
    File::open(path)?.take(MOST_PEM_BYTES + 1).read_to_string(&mut text)?;
    if text.len() as u64 > MOST_PEM_BYTES {
        return Err(io::Error::new(io::ErrorKind::FileTooLarge, format!("it has more than {MOST_PEM_BYTES} bytes")));
    }
    Ok(text.into())
}

/// The same chain has the same key.
impl PartialEq for Certificate {
    fn eq(&self, other: &Self) -> bool {
        self.key.cert == other.key.cert
    }
}

impl fmt::Debug for Certificate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Certificate").field("names", &self.names).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use rcgen::{CertifiedKey as Generated, generate_simple_self_signed};

    use super::*;

    fn generated(names: &[&str]) -> (String, SecretString) {
        let names: Vec<String> = names.iter().map(ToString::to_string).collect();
        let Generated { cert, signing_key } = generate_simple_self_signed(names).expect("a certificate");
        (cert.pem(), signing_key.serialize_pem().into())
    }

    #[test]
    fn a_certificate_is_read_with_its_names_and_never_shows_its_key() {
        let (certificate, key) = generated(&["A.example", "*.b.example"]);
        let read = Certificate::from_pem(&certificate, &key).expect("a certificate");
        assert_eq!(read.names(), ["a.example", "*.b.example"]);
        assert_eq!(format!("{read:?}"), r#"Certificate { names: ["a.example", "*.b.example"], .. }"#);
    }

    #[test]
    fn a_certificate_counts_from_its_first_second_to_its_last() {
        let (certificate, key) = generated(&["a.example"]);
        let certificate = Certificate::from_pem(&certificate, &key).expect("a certificate");
        let (begins, ends) = certificate.validity;
        assert!(begins < ends && ends == certificate.not_after());
        assert_eq!([begins, ends].map(|now| certificate.counts_at(now)), [Ok(()), Ok(())]);
        assert_eq!(certificate.counts_at(begins - 1), Err(BadCertificate::NotYetValid));
        assert_eq!(certificate.counts_at(ends + 1), Err(BadCertificate::Expired));
    }

    #[test]
    fn what_is_no_certificate_with_its_key_is_told_apart() {
        let (certificate, key) = generated(&["a.example"]);
        let (_, other) = generated(&["a.example"]);
        let (nameless, nameless_key) = generated(&[]);
        let bad = |certificate: &str, key: &SecretString| Certificate::from_pem(certificate, key).expect_err("refused");
        assert_eq!(bad("", &key), BadCertificate::NoCertificate);
        assert_eq!(bad(&certificate.replace("MI", "!!"), &key), BadCertificate::Damaged);
        assert_eq!(bad(&nameless, &nameless_key), BadCertificate::NoName);
        assert_eq!(bad(&certificate, &"".into()), BadCertificate::NoKey);
        assert_eq!(bad(&certificate, &certificate.clone().into()), BadCertificate::NoKey);
        assert_eq!(bad(&certificate, &other), BadCertificate::OtherKey);
        assert!(super::super::ClientIdentity::from_pem(&nameless, &nameless_key).is_ok(), "a client needs no name");
    }
}
