//! Who may issue the certificates that a peer shows, and which of those count no more, read from PEM.

use std::sync::Arc;

use rustls::RootCertStore;
use rustls::crypto::aws_lc_rs::default_provider;
use rustls::server::WebPkiClientVerifier;
use rustls::server::danger::ClientCertVerifier;
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, CertificateRevocationListDer};
use x509_parser::parse_x509_certificate;

/// Authorities with what they have revoked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Authorities {
    certificates: Vec<CertificateDer<'static>>,
    revoked: Vec<CertificateRevocationListDer<'static>>,
}

/// Why two texts are no authorities with their lists.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadAuthorities {
    /// Nothing in the text is a certificate.
    #[error("there is no certificate in it; it begins with `-----BEGIN CERTIFICATE-----`")]
    NoCertificate,
    /// PEM around something broken, or what can be no authority.
    #[error("a certificate in it is damaged")]
    Damaged,
    /// Nothing in the other text is a list.
    #[error("there is no list in it; it begins with `-----BEGIN X509 CRL-----`")]
    NoList,
    /// PEM around a broken list.
    #[error("a list in it is damaged, or of a kind that is not read (RFC 5280, section 5)")]
    DamagedList,
}

impl Authorities {
    /// Those in `certificates`, and the lists of what they have revoked in `lists`.
    ///
    /// # Errors
    /// Says why they cannot be used.
    pub fn from_pem(certificates: &str, lists: Option<&str>) -> Result<Self, BadAuthorities> {
        let certificates: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(certificates.as_bytes()).collect();
        let certificates = certificates.map_err(|_| BadAuthorities::Damaged)?;
        if certificates.is_empty() {
            return Err(BadAuthorities::NoCertificate);
        }
        if !certificates.iter().all(|der| parse_x509_certificate(der).is_ok()) {
            return Err(BadAuthorities::Damaged);
        }
        let lists = lists.map(|text| CertificateRevocationListDer::pem_slice_iter(text.as_bytes()).collect());
        let lists: Option<Vec<_>> = lists.transpose().map_err(|_| BadAuthorities::DamagedList)?;
        if lists.as_ref().is_some_and(Vec::is_empty) {
            return Err(BadAuthorities::NoList);
        }
        let authorities = Self { certificates, revoked: lists.unwrap_or_default() };
        authorities.verifier(true)?;
        Ok(authorities)
    }

    /// What believes these alone.
    ///
    /// # Errors
    /// When one can be no authority.
    pub(crate) fn roots(&self) -> Result<RootCertStore, BadAuthorities> {
        let mut roots = RootCertStore::empty();
        for certificate in &self.certificates {
            roots.add(certificate.clone()).map_err(|_| BadAuthorities::Damaged)?;
        }
        Ok(roots)
    }

    /// Their certificates.
    pub(crate) fn certificates(&self) -> &[CertificateDer<'static>] {
        &self.certificates
    }

    /// What believes clients whose certificates are of these. Where there are lists, one whose authority has none, or only one
    /// whose time is over, is refused like one that stands in it.
    ///
    /// # Errors
    /// When they cannot be used.
    pub(crate) fn verifier(&self, optional: bool) -> Result<Arc<dyn ClientCertVerifier>, BadAuthorities> {
        let provider = Arc::new(default_provider());
        let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(self.roots()?), provider)
            .with_crls(self.revoked.iter().cloned())
            .enforce_revocation_expiration();
        let verifier = if optional { verifier.allow_unauthenticated() } else { verifier };
        verifier.build().map_err(|_| BadAuthorities::DamagedList)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_authority_or_no_list_is_told_apart() {
        let generated = rcgen::generate_simple_self_signed(["a.example".to_owned()]).expect("a certificate");
        let pem = generated.cert.pem();
        let bad = |certificates: &str, lists| Authorities::from_pem(certificates, lists).expect_err("refused");
        assert_eq!(Authorities::from_pem(&pem.repeat(2), None).expect("two").certificates().len(), 2);
        assert_eq!(bad("", None), BadAuthorities::NoCertificate);
        assert_eq!(bad(&pem.replace("MI", "!!"), None), BadAuthorities::Damaged);
        assert_eq!(bad(&pem, Some("")), BadAuthorities::NoList);
        assert_eq!(bad(&pem, Some(&pem)), BadAuthorities::NoList);
        let list = pem.replace("CERTIFICATE", "X509 CRL");
        assert_eq!(bad(&pem, Some(&list)), BadAuthorities::DamagedList, "a certificate under another name");
    }
}
