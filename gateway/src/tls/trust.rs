//! Which clients' certificates are believed.

use std::cell::Cell;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use async_trait::async_trait;
use pingora_core::listeners::TlsAccept;
use pingora_core::protocols::tls::TlsRef;
use rustls::client::danger::HandshakeSignatureValid;
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::{CertificateError, DigitallySignedStruct, DistinguishedName, Error, SignatureScheme};
use rustls_pki_types::{CertificateDer, UnixTime};

use crate::config::file::ClientCertificateMode;
use crate::config::values::{Authorities, BadAuthorities};
use crate::peer_certificate::PeerCertificate;
use crate::reply::{BadCertificate, Rejection};

tokio::task_local! {
    /// Whether the verifier was asked in the handshake that is under way. It is not when a client takes up a session from
    /// before, of which its certificate is a part.
    static VERIFIED: Cell<bool>;
}

/// Whom connections of clients are believed to be of.
pub(super) struct Trust {
    authorities: Authorities,
    mode: ClientCertificateMode,
    verifier: Arc<Readable>,
    /// Tells it from all before it; never 0.
    epoch: u64,
}

impl Trust {
    pub(super) fn new(authorities: Authorities, mode: ClientCertificateMode) -> Result<Self, BadAuthorities> {
        static EPOCHS: AtomicU64 = AtomicU64::new(1);
        let verifier = Arc::new(Readable(authorities.verifier(mode == ClientCertificateMode::Optional)?));
        Ok(Self { authorities, mode, verifier, epoch: EPOCHS.fetch_add(1, Ordering::Relaxed) })
    }

    /// Whether it believes the same clients as `authorities` say.
    pub(super) fn is_made_from(&self, authorities: &Authorities, mode: ClientCertificateMode) -> bool {
        self.authorities == *authorities && self.mode == mode
    }

    /// Whom they are issued by.
    pub(super) const fn authorities(&self) -> &Authorities {
        &self.authorities
    }

    /// What handshakes ask.
    pub(super) fn verifier(&self) -> Arc<dyn ClientCertVerifier> {
        Arc::clone(&self.verifier) as _
    }

    /// What remembers a client's certificate after its handshake.
    pub(super) const fn introduction(&self) -> Introduction {
        Introduction { epoch: self.epoch }
    }

    /// Whether a request may come at `now` on a connection on which this `certificate` was shown, however long ago and
    /// whoever was trusted then.
    pub(super) fn admit(&self, certificate: Option<&PeerCertificate>, now: u64) -> Result<(), Rejection> {
        match certificate {
            Some(certificate) if !certificate.counts_at(now) => {
                Err(Rejection::CertificateInvalid(BadCertificate::OutOfDate))
            }
            Some(certificate) if self.believes(certificate) => Ok(()),
            Some(_) => Err(Rejection::CertificateInvalid(BadCertificate::NotTrusted)),
            None if self.mode == ClientCertificateMode::Required => Err(Rejection::CertificateMissing),
            None => Ok(()),
        }
    }

    fn believes(&self, certificate: &PeerCertificate) -> bool {
        certificate.is_trusted(self.epoch, || {
            let verified = |(own, between): (&_, &[_])| self.verifier.verify_client_cert(own, between, UnixTime::now());
            certificate.chain().is_some_and(|chain| verified(chain).is_ok())
        })
    }
}

/// Believes what the verifier inside of it believes and we can read in full: what comes after the handshake takes that for
/// granted, Pingora too.
#[derive(Debug)]
struct Readable(Arc<dyn ClientCertVerifier>);

impl ClientCertVerifier for Readable {
    fn offer_client_auth(&self) -> bool {
        self.0.offer_client_auth()
    }

    fn client_auth_mandatory(&self) -> bool {
        self.0.client_auth_mandatory()
    }

    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        self.0.root_hint_subjects()
    }

    fn verify_client_cert(
        &self,
        own: &CertificateDer<'_>,
        between: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<ClientCertVerified, Error> {
        let verified = self.0.verify_client_cert(own, between, now)?;
        PeerCertificate::read(std::slice::from_ref(own), 0)
            .map_err(|_| Error::InvalidCertificate(CertificateError::BadEncoding))?;
        // Outside of a handshake nobody wants to know.
        let _ = VERIFIED.try_with(|asked| asked.set(true));
        Ok(verified)
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.0.verify_tls12_signature(message, certificate, signed)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.0.verify_tls13_signature(message, certificate, signed)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.supported_verify_schemes()
    }
}

/// Keeps what a client has shown with its connection, as an `Arc<PeerCertificate>`.
pub(crate) struct Introduction {
    epoch: u64,
}

impl Introduction {
    /// Drives `handshake`, which calls this back, and remembers whether the verifier was asked in it.
    pub(crate) async fn witness<T>(&self, handshake: impl Future<Output = T>) -> T {
        VERIFIED.scope(Cell::new(false), handshake).await
    }
}

#[async_trait]
impl TlsAccept for Introduction {
    async fn handshake_complete_callback(&self, tls: &TlsRef) -> Option<Arc<dyn std::any::Any + Send + Sync>> {
        // Of a certificate from a former handshake nothing is known but its key: a list may have ended since.
        let epoch = if VERIFIED.try_with(Cell::get).unwrap_or(false) { self.epoch } else { 0 };
        let certificate = PeerCertificate::read(tls.peer_cert_chain_der()?, epoch).ok()?;
        Some(Arc::new(Arc::new(certificate)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tls::unix_time;

    #[test]
    fn a_request_comes_only_with_what_is_believed_and_counts_now() {
        let generate = || rcgen::generate_simple_self_signed(["a.example".to_owned()]).expect("a certificate");
        let (own, other) = (generate(), generate());
        let trust = |of: &rcgen::CertifiedKey<rcgen::KeyPair>, mode| {
            Trust::new(Authorities::from_pem(&of.cert.pem(), None).expect("authorities"), mode).expect("a trust")
        };
        let required = trust(&own, ClientCertificateMode::Required);
        let certificate = PeerCertificate::read(&[own.cert.der().clone()], required.epoch).expect("readable");
        let now = u64::try_from(unix_time()).expect("after 1970");
        assert_eq!(required.admit(Some(&certificate), now), Ok(()));
        assert_eq!(
            required.admit(Some(&certificate), u64::MAX),
            Err(Rejection::CertificateInvalid(BadCertificate::OutOfDate))
        );
        assert_eq!(required.admit(None, now), Err(Rejection::CertificateMissing));
        let optional = trust(&other, ClientCertificateMode::Optional);
        assert_eq!(optional.admit(None, now), Ok(()));
        assert_eq!(
            optional.admit(Some(&certificate), now),
            Err(Rejection::CertificateInvalid(BadCertificate::NotTrusted)),
            "of another authority"
        );
    }
}
