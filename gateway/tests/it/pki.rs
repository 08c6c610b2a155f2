//! Authorities with the certificates that they issue, written to files.

use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use rcgen::{
    BasicConstraints, CertificateParams, CertificateRevocationListParams, DistinguishedName, DnType, IsCa, Issuer,
    KeyIdMethod, KeyPair, KeyUsagePurpose, RevokedCertParams, SanType, SerialNumber, date_time_ymd,
};

/// An authority of its own.
pub(crate) struct Authority {
    issuer: Issuer<'static, KeyPair>,
    /// Its certificate as PEM.
    pub(crate) pem: String,
}

/// A certificate with its key.
pub(crate) struct Issued {
    /// As PEM.
    pub(crate) certificate: String,
    /// As PEM.
    pub(crate) key: String,
}

impl Issued {
    /// Certificate and key, as a client shows them.
    pub(crate) fn identity(&self) -> reqwest::Identity {
        reqwest::Identity::from_pem(format!("{}{}", self.certificate, self.key).as_bytes()).expect("an identity")
    }

    /// Writes both to `directory` under `name`.
    pub(crate) fn write(&self, directory: &Path, name: &str) {
        std::fs::write(directory.join(format!("{name}.key")), &self.key).expect("writes");
        std::fs::write(directory.join(format!("{name}.pem")), &self.certificate).expect("writes");
    }
}

impl Authority {
    pub(crate) fn new(name: &str) -> Self {
        let mut params = CertificateParams::default();
        params.distinguished_name = named(name);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        let key = KeyPair::generate().expect("a key");
        let pem = params.self_signed(&key).expect("signs").pem();
        Self { issuer: Issuer::new(params, key), pem }
    }

    /// A certificate for `name`, with a number, alternative names, and the year in which it ends.
    pub(crate) fn issue(&self, name: &str, serial: u8, alternative: &[SanType], ends: i32) -> Issued {
        let mut params = CertificateParams::default();
        params.distinguished_name = named(name);
        params.serial_number = Some(SerialNumber::from_slice(&[serial]));
        params.subject_alt_names = alternative.to_vec();
        (params.not_before, params.not_after) = (date_time_ymd(2000, 1, 1), date_time_ymd(ends, 1, 1));
        let key = KeyPair::generate().expect("a key");
        let certificate = params.signed_by(&key, &self.issuer).expect("signs").pem();
        Issued { certificate, key: key.serialize_pem() }
    }

    /// A list that says that the certificates with these numbers count no more.
    pub(crate) fn revoke(&self, serials: &[u8]) -> String {
        self.revoke_for(serials, Duration::from_secs(800 * 365 * 86_400))
    }

    /// The same, which counts for so long from now on.
    pub(crate) fn revoke_for(&self, serials: &[u8], lifetime: Duration) -> String {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970");
        let revoked = |serial: &u8| RevokedCertParams {
            serial_number: SerialNumber::from_slice(&[*serial]),
            revocation_time: date_time_ymd(2020, 1, 1),
            reason_code: None,
            invalidity_date: None,
        };
        let list = CertificateRevocationListParams {
            this_update: date_time_ymd(2020, 1, 1),
            next_update: date_time_ymd(1970, 1, 1) + now + lifetime,
            crl_number: SerialNumber::from_slice(&[1]),
            issuing_distribution_point: None,
            revoked_certs: serials.iter().map(revoked).collect(),
            key_identifier_method: KeyIdMethod::Sha256,
        };
        list.signed_by(&self.issuer).expect("signs").pem().expect("pem")
    }
}

fn named(name: &str) -> DistinguishedName {
    let mut distinguished = DistinguishedName::new();
    distinguished.push(DnType::CommonName, name);
    distinguished
}

/// A DNS name.
pub(crate) fn dns(name: &str) -> SanType {
    SanType::DnsName(name.try_into().expect("a name"))
}

/// A URI.
pub(crate) fn uri(name: &str) -> SanType {
    SanType::URI(name.try_into().expect("a name"))
}

/// Writes `text` to the file `name` in `directory` in one step, and gives back where that is.
pub(crate) fn put(directory: &Path, name: &str, text: &str) -> PathBuf {
    let path = directory.join(name);
    let beside = directory.join(format!("{name}.next"));
    std::fs::write(&beside, text).expect("writes");
    std::fs::rename(beside, &path).expect("renames");
    path
}
