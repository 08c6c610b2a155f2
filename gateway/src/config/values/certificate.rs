//! A certificate with its private key, read from PEM.

use std::fmt;
use std::sync::Arc;

use rustls::crypto::aws_lc_rs::default_provider;
use rustls::sign::CertifiedKey;
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, PrivateKeyDer};
use secrecy::{ExposeSecret, SecretString};
use webpki::EndEntityCert;

/// A certificate that clients can be shown, and the names it is for.
#[derive(Clone)]
pub struct Certificate {
    names: Vec<String>,
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
}

impl Certificate {
    /// The chain in `certificate` and its key in `key`.
    ///
    /// # Errors
    /// Says why they cannot be used.
    pub fn from_pem(certificate: &str, key: &SecretString) -> Result<Self, BadCertificate> {
        let chain: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(certificate.as_bytes()).collect();
        let chain = chain.map_err(|_| BadCertificate::Damaged)?;
        let own = chain.first().ok_or(BadCertificate::NoCertificate)?;
        let own = EndEntityCert::try_from(own).map_err(|_| BadCertificate::Damaged)?;
        let names: Vec<String> = own.valid_dns_names().map(str::to_ascii_lowercase).collect();
        if names.is_empty() {
            return Err(BadCertificate::NoName);
        }
        let key = PrivateKeyDer::from_pem_slice(key.expose_secret().as_bytes()).map_err(|_| BadCertificate::NoKey)?;
        let key = CertifiedKey::from_der(chain, key, &default_provider()).map_err(|error| match error {
            rustls::Error::InconsistentKeys(_) => BadCertificate::OtherKey,
            _ => BadCertificate::NoKey,
        })?;
        Ok(Self { names, key: Arc::new(key) })
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
    }
}
