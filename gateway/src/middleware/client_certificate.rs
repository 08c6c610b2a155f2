//! Proves which client is there by the certificate that it has shown on its connection (mutual TLS).
//!
//! That it is of a known authority, holds its key and was not revoked, the handshake has made sure of, and `tls.rs` makes
//! sure on each request that this still holds. Here is asked whether it is one of those that may come.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use http::{HeaderName, HeaderValue};
use pingora_http::RequestHeader;

use super::identity::{Asked, Asking, Authenticator, Proof};
use crate::claim::ClaimHeaders;
use crate::config::file::{ClientCertificatesFile, GatewayFile};
use crate::config::pattern::TextPattern;
use crate::credential::Place;
use crate::ctx::Identity;
use crate::peer_certificate::{Judged, PeerCertificate};
use crate::reply::{BadCertificate, CLIENT_CERTIFICATE, Rejection};

/// Those of one configuration, by name.
pub(crate) struct ClientCertificates {
    by_name: BTreeMap<String, Arc<ClientCertificate>>,
}

/// The proof by a certificate.
pub(crate) struct ClientCertificate {
    /// By which a certificate remembers what these rules have made of it.
    number: u64,
    subjects: Box<[TextPattern]>,
    uris: Box<[TextPattern]>,
    dns_names: Box<[TextPattern]>,
    emails: Box<[TextPattern]>,
    headers: ClaimHeaders,
}

impl ClientCertificates {
    /// Those of `file`. There is nothing to keep over a reload.
    pub(crate) fn compile(file: &GatewayFile) -> Self {
        let compiled = |(name, file): (&String, _)| (name.clone(), Arc::new(ClientCertificate::new(file)));
        Self { by_name: file.client_certificates.iter().map(compiled).collect() }
    }

    /// The one of that name.
    pub(crate) fn get(&self, name: &str) -> Option<&Arc<ClientCertificate>> {
        self.by_name.get(name)
    }

    /// Every header that some client is told in.
    pub(crate) fn asserted_headers(&self) -> impl Iterator<Item = &HeaderName> {
        self.by_name.values().flat_map(|rules| rules.headers.names())
    }
}

impl ClientCertificate {
    fn new(file: &ClientCertificatesFile) -> Self {
        static RULES: AtomicU64 = AtomicU64::new(0);
        let list = |patterns: &[TextPattern]| patterns.iter().cloned().collect();
        Self {
            number: RULES.fetch_add(1, Ordering::Relaxed),
            subjects: list(&file.subjects),
            uris: list(&file.uris),
            dns_names: list(&file.dns_names),
            emails: list(&file.emails),
            headers: ClaimHeaders::new(&file.claims_to_headers),
        }
    }

    fn judge(&self, certificate: &PeerCertificate) -> Judged {
        let names = certificate.names();
        let is_met = |patterns: &[TextPattern], names: &[String]| {
            patterns.is_empty() || names.iter().any(|name| patterns.iter().any(|pattern| pattern.takes(name)))
        };
        let may_come = is_met(&self.subjects, std::slice::from_ref(&names.subject))
            && is_met(&self.uris, &names.uris)
            && is_met(&self.dns_names, &names.dns_names)
            && is_met(&self.emails, &names.emails);
        if !may_come {
            return Err(Rejection::CertificateNotPermitted);
        }
        let claims = certificate.claims().clone();
        let headers =
            self.headers.write(&claims).map_err(|_| Rejection::CertificateInvalid(BadCertificate::NoHeader))?;
        Ok(Arc::new(Identity { claims, headers }))
    }
}

impl Authenticator for ClientCertificate {
    fn ask<'a>(&'a self, _head: &'a RequestHeader, asking: &Asking) -> Asked<'a> {
        let Some(certificate) = &asking.certificate else { return Asked::Done(Proof::Absent) };
        Asked::Done(match certificate.judged(self.number, || self.judge(certificate)) {
            Ok(identity) => Proof::Given(identity),
            Err(rejection) => Proof::Refused(rejection),
        })
    }

    fn missing(&self) -> Rejection {
        Rejection::CertificateMissing
    }

    fn challenge(&self) -> HeaderValue {
        HeaderValue::from_static(CLIENT_CERTIFICATE)
    }

    fn is_absent(&self, _head: &RequestHeader, asking: &Asking) -> bool {
        asking.certificate.is_none()
    }

    /// Nowhere in the request.
    fn places(&self) -> &[Place] {
        &[]
    }

    fn forwards(&self) -> bool {
        false
    }
}

#[cfg(test)]
mod tests {
    use rcgen::{DnType, SanType};
    use serde_json::{Value, json};

    use super::*;
    use crate::peer_certificate::tests::certificate;

    fn orders() -> PeerCertificate {
        certificate(|params| {
            params.distinguished_name.push(DnType::CommonName, "orders");
            let name = |name: &str| name.try_into().expect("a name");
            params.subject_alt_names = vec![
                SanType::DnsName(name("orders.example")),
                SanType::URI(name("spiffe://example/ns/shop/orders")),
                SanType::URI(name("https://a.example/x,y")),
            ];
        })
    }

    fn judged(rules: Value, certificate: &PeerCertificate) -> Judged {
        ClientCertificate::new(&serde_json::from_value(rules).expect("rules")).judge(certificate)
    }

    #[test]
    fn every_list_that_is_written_has_to_hold() {
        let orders = orders();
        for rules in [
            json!({}),
            json!({"uris": ["x", "spiffe://example/ns/shop/orders"]}),
            json!({"uris": ["~spiffe://example/ns/[^/]+/orders"], "dns_names": ["orders.example"]}),
            json!({"subjects": ["CN=orders"]}),
        ] {
            assert!(judged(rules.clone(), &orders).is_ok(), "{rules}");
        }
        for rules in [
            json!({"uris": ["~spiffe://example/ns/[^/]+"]}),
            json!({"uris": ["orders.example"]}),
            json!({"dns_names": ["orders.example"], "subjects": ["CN=admin"]}),
            json!({"emails": ["~.*"]}),
            json!({"dns_names": ["example"]}),
        ] {
            assert_eq!(judged(rules.clone(), &orders).err(), Some(Rejection::CertificateNotPermitted), "{rules}");
        }
    }

    #[test]
    fn what_it_says_goes_to_the_upstream_or_it_is_refused() {
        let orders = orders();
        let rules = json!({"claims_to_headers": {"sub": "X-Client", "dns_names": "X-Names"}});
        let headers = judged(rules, &orders).expect("permitted").headers.clone();
        let written: Vec<_> =
            headers.iter().map(|(name, value)| (name.as_str(), value.to_str().expect("text"))).collect();
        assert_eq!(written, [("x-names", "orders.example"), ("x-client", "spiffe://example/ns/shop/orders")]);
        let with_comma = json!({"claims_to_headers": {"uris": "X-Uris"}});
        assert_eq!(judged(with_comma, &orders).err(), Some(Rejection::CertificateInvalid(BadCertificate::NoHeader)));
    }
}
