//! Which certificate a client gets.

use std::collections::HashMap;
use std::sync::Arc;

use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;

use crate::config::values::Certificate;

/// Finds the certificate for a name (RFC 6066, section 3): the exact one, then the wildcard one level up, then the first.
#[derive(Debug)]
pub(super) struct ByName {
    exact: HashMap<String, Arc<CertifiedKey>>,
    below: HashMap<String, Arc<CertifiedKey>>,
    first: Option<Arc<CertifiedKey>>,
}

impl ByName {
    /// Of two for one name the first counts.
    pub(super) fn new(certificates: &[Certificate]) -> Self {
        let (mut exact, mut below) = (HashMap::new(), HashMap::new());
        for certificate in certificates.iter().rev() {
            for name in certificate.names() {
                match name.strip_prefix("*.") {
                    Some(parent) => below.insert(parent.to_owned(), Arc::clone(certificate.key())),
                    None => exact.insert(name.clone(), Arc::clone(certificate.key())),
                };
            }
        }
        Self { exact, below, first: certificates.first().map(|certificate| Arc::clone(certificate.key())) }
    }

    fn find(&self, name: Option<&str>) -> Option<&Arc<CertifiedKey>> {
        let by_name = name.and_then(|name| self.of(&name.to_ascii_lowercase()));
        by_name.or(self.first.as_ref())
    }

    /// The one that is for `name`, which is in lower case.
    pub(super) fn of(&self, name: &str) -> Option<&Arc<CertifiedKey>> {
        let above = name.split_once('.').map(|(_, parent)| parent);
        self.exact.get(name).or_else(|| self.below.get(above?))
    }
}

impl ResolvesServerCert for ByName {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        self.find(hello.server_name()).cloned()
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    pub(crate) fn certificate(names: &[&str]) -> Certificate {
        let names: Vec<String> = names.iter().map(ToString::to_string).collect();
        let generated = rcgen::generate_simple_self_signed(names).expect("a certificate");
        Certificate::from_pem(&generated.cert.pem(), &generated.signing_key.serialize_pem().into()).expect("fits")
    }

    #[test]
    fn the_most_specific_certificate_is_shown_and_the_first_to_strangers() {
        let all =
            [certificate(&["a.example"]), certificate(&["*.b.example"]), certificate(&["c.b.example", "a.example"])];
        let by_name = ByName::new(&all);
        let shown = |name| {
            let found = by_name.find(name).expect("one");
            all.iter().position(|certificate| Arc::ptr_eq(certificate.key(), found)).expect("of these")
        };
        assert_eq!(shown(Some("a.example")), 0, "of two the first");
        assert_eq!(shown(Some("X.B.example")), 1);
        assert_eq!(shown(Some("c.b.example")), 2, "exact before wildcard");
        assert_eq!(shown(Some("y.x.b.example")), 0, "a wildcard is one label");
        assert_eq!((shown(Some("b.example")), shown(None)), (0, 0));
        assert!(
            by_name.of("c.b.example").is_some() && by_name.of("b.example").is_none(),
            "the first is for no stranger"
        );
    }
}
