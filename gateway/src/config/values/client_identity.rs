//! The certificate that the gateway shows as a client, with its key.

use std::fmt;
use std::sync::Arc;

use rustls_pki_types::PrivateKeyDer;
use rustls_pki_types::pem::PemObject;
use secrecy::{ExposeSecret, SecretSlice, SecretString};
use x509_parser::parse_x509_certificate;

use super::{BadCertificate, Certificate};

/// A certificate for whatever name, with its key.
#[derive(Clone)]
pub struct ClientIdentity {
    certificate: Certificate,
    key: Arc<SecretSlice<u8>>,
}

impl ClientIdentity {
    /// The chain in `certificate` and its key in `key`.
    ///
    /// # Errors
    /// Says why they cannot be used.
    pub fn from_pem(certificate: &str, key: &SecretString) -> Result<Self, BadCertificate> {
        let own = Certificate::of_anybody(certificate, key)?;
        if !own.key().cert.iter().all(|der| parse_x509_certificate(der).is_ok()) {
            return Err(BadCertificate::Damaged);
        }
        let key = PrivateKeyDer::from_pem_slice(key.expose_secret().as_bytes()).map_err(|_| BadCertificate::NoKey)?;
        let key = key.secret_der().to_vec();
        // Its kind is found out again from these bytes alone.
        PrivateKeyDer::try_from(&*key).map_err(|_| BadCertificate::NoKey)?;
        Ok(Self { certificate: own, key: Arc::new(key.into()) })
    }

    /// The certificate.
    #[must_use]
    pub const fn certificate(&self) -> &Certificate {
        &self.certificate
    }

    /// The key, in whichever of the usual forms.
    #[must_use]
    pub fn key(&self) -> &SecretSlice<u8> {
        &self.key
    }
}

/// The same chain has the same key.
impl PartialEq for ClientIdentity {
    fn eq(&self, other: &Self) -> bool {
        self.certificate == other.certificate
    }
}

impl fmt::Debug for ClientIdentity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("ClientIdentity").field(&self.certificate).finish()
    }
}
