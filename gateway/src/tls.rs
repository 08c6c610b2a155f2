//! TLS as clients meet it: which certificate each of them gets, and which protocols are spoken.

use std::collections::HashMap;
use std::sync::Arc;

use rustls::crypto::aws_lc_rs::{Ticketer, default_provider};
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use rustls::{ServerConfig, version};

use crate::config::Loaded;
use crate::config::file::{TlsFile, TlsVersion};
use crate::config::values::Certificate;

/// What the handshakes of one configuration go by.
pub(crate) struct Tls {
    settings: Settings,
    config: Arc<ServerConfig>,
}

#[derive(PartialEq)]
struct Settings {
    certificates: Vec<Certificate>,
    http2: bool,
    min_version: TlsVersion,
}

impl Tls {
    /// What `loaded` says of TLS; `previous` when that says the same, so that its clients' sessions go on, or nothing.
    ///
    /// # Errors
    /// When the key for session tickets cannot be made.
    pub(crate) fn compile(loaded: &Loaded, previous: Option<&Arc<Self>>) -> Result<Option<Arc<Self>>, rustls::Error> {
        let Some(TlsFile { http2, min_version, .. }) = loaded.file.server.tls else {
            // Its listeners are open until the restart that a reload asks for.
            return Ok(previous.cloned());
        };
        let settings = Settings { certificates: loaded.certificates.clone(), http2, min_version };
        if let Some(previous) = previous.filter(|previous| previous.settings == settings) {
            return Ok(Some(Arc::clone(previous)));
        }
        let versions: &[_] = match min_version {
            TlsVersion::Tls12 => &[&version::TLS13, &version::TLS12],
            TlsVersion::Tls13 => &[&version::TLS13],
        };
        let mut config = ServerConfig::builder_with_provider(Arc::new(default_provider()))
            .with_protocol_versions(versions)?
            .with_no_client_auth()
            .with_cert_resolver(Arc::new(ByName::new(&settings.certificates)));
        config.alpn_protocols = if http2 { vec![b"h2".into(), b"http/1.1".into()] } else { vec![b"http/1.1".into()] };
        // Sessions are with the clients, so every worker can take one up and none has to be remembered.
        config.ticketer = Ticketer::new()?;
        Ok(Some(Arc::new(Self { settings, config: Arc::new(config) })))
    }

    /// What a handshake goes by.
    pub(crate) fn config(&self) -> Arc<ServerConfig> {
        Arc::clone(&self.config)
    }
}

/// Finds the certificate for a name (RFC 6066, section 3): the exact one, then the wildcard one level up, then the first.
#[derive(Debug)]
struct ByName {
    exact: HashMap<String, Arc<CertifiedKey>>,
    below: HashMap<String, Arc<CertifiedKey>>,
    first: Option<Arc<CertifiedKey>>,
}

impl ByName {
    /// Of two for one name the first counts.
    fn new(certificates: &[Certificate]) -> Self {
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
        let by_name = name.and_then(|name| {
            let name = name.to_ascii_lowercase();
            let above = name.split_once('.').map(|(_, parent)| parent);
            self.exact.get(&name).or_else(|| self.below.get(above?))
        });
        by_name.or(self.first.as_ref())
    }
}

impl ResolvesServerCert for ByName {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        self.find(hello.server_name()).cloned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn certificate(names: &[&str]) -> Certificate {
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
    }
}
