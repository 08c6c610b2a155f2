//! What the certificate says that a client has shown on its connection.

mod subject;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use arc_swap::ArcSwapOption;
use aws_lc_rs::digest;
use rustls_pki_types::CertificateDer;
use serde_json::{Map, Value, json};
use x509_parser::extensions::GeneralName;
use x509_parser::parse_x509_certificate;

use crate::ctx::Identity;
use crate::reply::Rejection;

/// The claims that a certificate may have.
pub(crate) const CLAIMS: [&str; 10] =
    ["sub", "subject", "common_name", "issuer", "serial", "fingerprint", "uris", "dns_names", "emails", "not_after"];

/// A certificate that its client has shown and holds the key of.
pub(crate) struct PeerCertificate {
    chain: Vec<CertificateDer<'static>>,
    names: Names,
    claims: Map<String, Value>,
    /// From when to when it counts, both within, in seconds since 1970.
    validity: (u64, u64),
    /// Which trust was asked last, and in the lowest bit what it said.
    verdict: AtomicU64,
    /// What the rules that were asked last have made of it, by their number.
    judged: ArcSwapOption<(u64, Judged)>,
}

/// Whom it identifies by some rules.
pub(crate) type Judged = Result<Arc<Identity>, Rejection>;

/// What it is called.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Names {
    /// By its issuer (RFC 4514).
    pub(crate) subject: String,
    /// As URIs.
    pub(crate) uris: Vec<String>,
    /// In the DNS, in lower case.
    pub(crate) dns_names: Vec<String>,
    /// As e-mail addresses.
    pub(crate) emails: Vec<String>,
}

/// A certificate that cannot be read in full.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the certificate cannot be read")]
pub(crate) struct Unreadable;

impl PeerCertificate {
    /// Reads `chain`, the client's own certificate first, which the trust of this `epoch` has verified, or none, for 0.
    pub(crate) fn read(chain: &[CertificateDer<'_>], epoch: u64) -> Result<Self, Unreadable> {
        let own = chain.first().ok_or(Unreadable)?;
        let (rest, certificate) = parse_x509_certificate(own).map_err(|_| Unreadable)?;
        if !rest.is_empty() {
            return Err(Unreadable);
        }
        let mut names = Names { subject: subject::text(certificate.subject()), ..Names::default() };
        let alternative = certificate.subject_alternative_name().map_err(|_| Unreadable)?;
        for name in alternative.iter().flat_map(|extension| &extension.value.general_names) {
            match name {
                GeneralName::URI(uri) => names.uris.push((*uri).to_owned()),
                GeneralName::DNSName(name) => names.dns_names.push(name.to_ascii_lowercase()),
                GeneralName::RFC822Name(email) => names.emails.push((*email).to_owned()),
                _ => {}
            }
        }
        let serial = certificate.raw_serial();
        // The sign of what would else be negative.
        let serial = serial.strip_prefix(&[0]).filter(|rest| !rest.is_empty()).unwrap_or(serial);
        let seconds = |time: i64| u64::try_from(time).unwrap_or(0);
        let validity = certificate.validity();
        let validity = (seconds(validity.not_before.timestamp()), seconds(validity.not_after.timestamp()));
        let mut claims = Map::new();
        let mut claim = |name: &str, value: Value| drop(claims.insert(name.to_owned(), value));
        claim("sub", names.principal().into());
        claim("subject", names.subject.as_str().into());
        if let Some(name) = subject::common_name(certificate.subject()) {
            claim("common_name", name.into());
        }
        claim("issuer", subject::text(certificate.issuer()).into());
        claim("serial", hex(serial).into());
        claim("fingerprint", hex(digest::digest(&digest::SHA256, own).as_ref()).into());
        for (name, values) in [("uris", &names.uris), ("dns_names", &names.dns_names), ("emails", &names.emails)] {
            if !values.is_empty() {
                claim(name, json!(values));
            }
        }
        claim("not_after", validity.1.into());
        Ok(Self {
            chain: chain.iter().map(|der| der.clone().into_owned()).collect(),
            names,
            claims,
            validity,
            verdict: AtomicU64::new((epoch << 1) | 1),
            judged: ArcSwapOption::empty(),
        })
    }

    /// The client's own certificate, and those between it and its authority.
    pub(crate) fn chain(&self) -> Option<(&CertificateDer<'static>, &[CertificateDer<'static>])> {
        self.chain.split_first()
    }

    /// What it is called.
    pub(crate) const fn names(&self) -> &Names {
        &self.names
    }

    /// What it says.
    pub(crate) const fn claims(&self) -> &Map<String, Value> {
        &self.claims
    }

    /// Whether it counts at `now`, in seconds since 1970: a connection may be older than its certificate.
    pub(crate) fn counts_at(&self, now: u64) -> bool {
        (self.validity.0..=self.validity.1).contains(&now)
    }

    /// What `ask` says for the trust of this `epoch`; it is asked once.
    pub(crate) fn is_trusted(&self, epoch: u64, ask: impl FnOnce() -> bool) -> bool {
        let verdict = self.verdict.load(Ordering::Relaxed);
        if verdict >> 1 == epoch {
            return verdict & 1 == 1;
        }
        let trusted = ask();
        self.verdict.store((epoch << 1) | u64::from(trusted), Ordering::Relaxed);
        trusted
    }

    /// What `judge` makes of it for the rules of this number; it is asked once, unless others are asked in between.
    pub(crate) fn judged(&self, rules: u64, judge: impl FnOnce() -> Judged) -> Judged {
        if let Some(judged) = self.judged.load().as_deref().filter(|(of, _)| *of == rules) {
            return judged.1.clone();
        }
        let judged = judge();
        self.judged.store(Some(Arc::new((rules, judged.clone()))));
        judged
    }
}

impl Names {
    /// The one that tells best who it is.
    fn principal(&self) -> &str {
        self.uris.first().or(self.dns_names.first()).map_or(&*self.subject, String::as_str)
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
pub(crate) mod tests {
    use rcgen::{CertificateParams, DnType, KeyPair, SanType, SerialNumber, date_time_ymd};

    use super::*;

    pub(crate) fn certificate(change: impl FnOnce(&mut CertificateParams)) -> PeerCertificate {
        let mut params = CertificateParams::default();
        params.distinguished_name = rcgen::DistinguishedName::new();
        change(&mut params);
        let key = KeyPair::generate().expect("a key");
        let certificate = params.self_signed(&key).expect("signs");
        PeerCertificate::read(&[certificate.der().clone()], 7).expect("readable")
    }

    #[test]
    fn what_a_certificate_says_becomes_claims() {
        let certificate = certificate(|params| {
            params.distinguished_name.push(DnType::OrganizationName, "Example, Inc.");
            params.distinguished_name.push(DnType::CommonName, "orders");
            params.serial_number = Some(SerialNumber::from_slice(&[0x80, 0x01]));
            let name = |name: &str| name.try_into().expect("a name");
            params.subject_alt_names = vec![
                SanType::DnsName(name("Orders.example")),
                SanType::URI(name("spiffe://example/orders")),
                SanType::Rfc822Name(name("ann@example")),
            ];
            params.not_after = date_time_ymd(2970, 1, 1);
        });
        let claims = certificate.claims();
        for (claim, value) in [
            ("sub", json!("spiffe://example/orders")),
            ("subject", json!(r"CN=orders,O=Example\, Inc.")),
            ("issuer", json!(r"CN=orders,O=Example\, Inc.")),
            ("common_name", json!("orders")),
            ("serial", json!("8001")),
            ("uris", json!(["spiffe://example/orders"])),
            ("dns_names", json!(["orders.example"])),
            ("emails", json!(["ann@example"])),
            ("not_after", json!(31_556_995_200_u64)),
        ] {
            assert_eq!(claims.get(claim), Some(&value), "{claim}");
        }
        assert_eq!(claims["fingerprint"].as_str().map(str::len), Some(64));
        assert!(claims.keys().all(|claim| CLAIMS.contains(&claim.as_str())) && claims.len() == CLAIMS.len());
        assert!(certificate.counts_at(31_556_995_200) && !certificate.counts_at(31_556_995_201));
    }

    #[test]
    fn each_trust_and_each_rule_is_asked_once() {
        let certificate = certificate(|_| {});
        assert!(certificate.is_trusted(7, || unreachable!("it was verified by this one")));
        assert!(!certificate.is_trusted(8, || false));
        assert!(!certificate.is_trusted(8, || unreachable!("asked before")));
        assert!(certificate.is_trusted(9, || true));
        let refused = || Err(Rejection::CertificateNotPermitted);
        assert_eq!(certificate.judged(1, refused).err(), Some(Rejection::CertificateNotPermitted));
        assert!(certificate.judged(1, || unreachable!("asked before")).is_err());
        let identity = Arc::new(Identity { claims: Map::new(), headers: Vec::new() });
        assert!(certificate.judged(2, || Ok(identity)).is_ok());
    }

    #[test]
    fn what_is_no_certificate_is_not_read() {
        for der in [&b""[..], b"\x30\x03\x02\x01\x01"] {
            assert_eq!(PeerCertificate::read(&[CertificateDer::from(der)], 1).err(), Some(Unreadable));
        }
        assert_eq!(PeerCertificate::read(&[], 1).err(), Some(Unreadable));
    }
}
