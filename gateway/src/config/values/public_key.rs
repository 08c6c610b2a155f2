//! The public key that an issuer's tokens are verified with, read from PEM.

use std::fmt;

use aws_lc_rs::encoding::{AsDer as _, PublicKeyX509Der};
use aws_lc_rs::rsa;
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_FIXED, ECDSA_P384_SHA384_FIXED, ED25519, ParsedPublicKey, RsaPublicKeyComponents,
};
use rustls_pki_types::CertificateDer;
use rustls_pki_types::pem::{PemObject, SectionKind};
use webpki::EndEntityCert;

/// A public key whose kind is known: it was parsed once, so it can be again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PublicKey {
    kind: KeyKind,
    der: Vec<u8>,
}

/// What kind of key it is; each has its own algorithms.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KeyKind {
    /// RSA of 2,048 to 8,192 bits.
    Rsa,
    /// An elliptic curve, for `ES256`.
    P256,
    /// An elliptic curve, for `ES384`.
    P384,
    /// An Edwards curve.
    Ed25519,
}

/// Why a text is no public key that tokens can be verified with.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadPublicKey {
    /// The half that signs.
    #[error("this is a private key, which only the issuer may have; make the public one with: openssl pkey -pubout")]
    Private,
    /// RSA in the form of RFC 8017.
    #[error("this form is for RSA alone; convert it with: openssl rsa -RSAPublicKey_in -pubout")]
    Pkcs1,
    /// Nothing in it looks like PEM.
    #[error(
        "there is no public key in it; it begins with `-----BEGIN PUBLIC KEY-----` or `-----BEGIN CERTIFICATE-----`"
    )]
    Missing,
    /// More than one key: whose tokens would count, the first one's?
    #[error("there is more than one key in it; a provider has one")]
    Several,
    /// PEM around something broken.
    #[error("its text is damaged; copy it again, with the lines that begin with `-----`")]
    Damaged,
    /// A key of another kind.
    #[error("this is no RSA, P-256, P-384 or Ed25519 key")]
    OtherKind,
    /// RSA that can be broken (RFC 7518, section 3.3), or that takes too long to check.
    #[error("this RSA key has {0} bits; it needs 2048 to 8192")]
    RsaSize(usize),
}

impl PublicKey {
    /// The key in `pem`: a `PUBLIC KEY` (RFC 5280's `SubjectPublicKeyInfo`), or a `CERTIFICATE`, of which only the key counts.
    ///
    /// # Errors
    /// Says why it cannot be used.
    pub fn from_pem(pem: &str) -> Result<Self, BadPublicKey> {
        // In whatever form: `RSA`, `EC` and `ENCRYPTED` ones too.
        if pem.contains("PRIVATE KEY-----") {
            return Err(BadPublicKey::Private);
        }
        if pem.contains("BEGIN RSA PUBLIC KEY-----") {
            return Err(BadPublicKey::Pkcs1);
        }
        let sections = <(SectionKind, Vec<u8>)>::pem_slice_iter(pem.as_bytes());
        let sections: Vec<_> = sections.collect::<Result<_, _>>().map_err(|_| BadPublicKey::Damaged)?;
        let mut keys = sections
            .into_iter()
            .filter(|(section, _)| matches!(section, SectionKind::PublicKey | SectionKind::Certificate));
        let (section, der) = keys.next().ok_or(BadPublicKey::Missing)?;
        if keys.next().is_some() {
            return Err(BadPublicKey::Several);
        }
        Self::from_der(if section == SectionKind::Certificate { key_of_certificate(der)? } else { der })
    }

    /// The RSA key of that modulus and exponent, each without leading zeros.
    ///
    /// # Errors
    /// Says why it cannot be used.
    pub(super) fn from_rsa(modulus: &[u8], exponent: &[u8]) -> Result<Self, BadPublicKey> {
        let components = RsaPublicKeyComponents { n: modulus, e: exponent };
        let der: PublicKeyX509Der<'_> = components.as_der().map_err(|_| BadPublicKey::Damaged)?;
        Self::from_der(der.as_ref().to_vec())
    }

    /// The key of that `kind`, which is none of RSA: a point of its curve, uncompressed.
    ///
    /// # Errors
    /// When it is no point of the curve.
    pub(super) fn from_point(kind: KeyKind, point: Vec<u8>) -> Result<Self, BadPublicKey> {
        let parsed = match kind {
            KeyKind::Rsa => return Err(BadPublicKey::OtherKind),
            KeyKind::P256 => ParsedPublicKey::new(&ECDSA_P256_SHA256_FIXED, &point),
            KeyKind::P384 => ParsedPublicKey::new(&ECDSA_P384_SHA384_FIXED, &point),
            KeyKind::Ed25519 => ParsedPublicKey::new(&ED25519, &point),
        };
        parsed.map(|_| Self { kind, der: point }).map_err(|_| BadPublicKey::Damaged)
    }

    fn from_der(der: Vec<u8>) -> Result<Self, BadPublicKey> {
        let is = |algorithm| ParsedPublicKey::new(algorithm, &der).is_ok();
        let kind = if let Ok(key) = rsa::PublicKey::from_der(&der) {
            let modulus = key.modulus();
            let modulus = modulus.big_endian_without_leading_zero();
            let unused = modulus.first().map_or(0, |byte| byte.leading_zeros() as usize);
            let bits = modulus.len() * 8 - unused;
            if !(2048..=8192).contains(&bits) {
                return Err(BadPublicKey::RsaSize(bits));
            }
            KeyKind::Rsa
        } else if is(&ECDSA_P256_SHA256_FIXED) {
            KeyKind::P256
        } else if is(&ECDSA_P384_SHA384_FIXED) {
            KeyKind::P384
        } else if is(&ED25519) {
            KeyKind::Ed25519
        } else {
            return Err(BadPublicKey::OtherKind);
        };
        Ok(Self { kind, der })
    }

    /// What kind of key it is.
    #[must_use]
    pub const fn kind(&self) -> KeyKind {
        self.kind
    }

    /// The key as DER, or the point of its curve.
    #[must_use]
    pub fn der(&self) -> &[u8] {
        &self.der
    }
}

/// Neither the name in the certificate nor its dates say anything of tokens: it is trusted because it stands in the file.
fn key_of_certificate(der: Vec<u8>) -> Result<Vec<u8>, BadPublicKey> {
    let certificate = CertificateDer::from(der);
    let certificate = EndEntityCert::try_from(&certificate).map_err(|_| BadPublicKey::Damaged)?;
    Ok(certificate.subject_public_key_info().to_vec())
}

impl fmt::Display for KeyKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Rsa => "an RSA key",
            Self::P256 => "a P-256 key",
            Self::P384 => "a P-384 key",
            Self::Ed25519 => "an Ed25519 key",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_kind_of_a_key_is_read_from_the_key() {
        for (pem, kind) in [
            (pem!("rfc7515-a2"), KeyKind::Rsa),
            (pem!("rfc7515-a3"), KeyKind::P256),
            (pem!("p384"), KeyKind::P384),
            (pem!("rfc8037-a"), KeyKind::Ed25519),
        ] {
            assert_eq!(PublicKey::from_pem(pem).map(|key| key.kind()), Ok(kind));
            let with_text = format!("issuer: us\n\n{pem}\nend\n");
            assert_eq!(PublicKey::from_pem(&with_text).map(|key| key.kind()), Ok(kind), "text around it is no matter");
        }
    }

    #[test]
    fn a_certificate_stands_for_its_key_even_when_it_has_expired() {
        assert_eq!(PublicKey::from_pem(pem!("rfc7515-a2.certificate")), PublicKey::from_pem(pem!("rfc7515-a2")));
    }

    #[test]
    fn what_is_no_public_key_of_use_is_told_apart() {
        let refused = |pem: &str| PublicKey::from_pem(pem).expect_err("refused");
        for private in [pem!("rfc7515-a2.private"), pem!("rfc7515-a3.private"), pem!("rfc8037-a.private")] {
            assert_eq!(refused(private), BadPublicKey::Private);
            assert_eq!(refused(&private.replace("PRIVATE", "ENCRYPTED PRIVATE")), BadPublicKey::Private);
            assert_eq!(refused(&private.replace("PRIVATE", "EC PRIVATE")), BadPublicKey::Private);
        }
        assert_eq!(refused(pem!("rfc7515-a2.pkcs1")), BadPublicKey::Pkcs1);
        assert_eq!(refused(pem!("rfc7515-a4")), BadPublicKey::OtherKind, "P-521");
        assert_eq!(refused(pem!("rsa-1024")), BadPublicKey::RsaSize(1024));
        assert_eq!(refused(pem!("rsa-2047")), BadPublicKey::RsaSize(2047));
        assert_eq!(refused(&pem!("p384").repeat(2)), BadPublicKey::Several);
        assert_eq!(refused("ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAA"), BadPublicKey::Missing);
        assert_eq!(refused(""), BadPublicKey::Missing);
        assert_eq!(refused(&pem!("rfc8037-a").replace("MCow", "!!!!")), BadPublicKey::Damaged);
        assert_eq!(refused(&pem!("rfc8037-a").replace("MCow", "MCox")), BadPublicKey::OtherKind);
        assert_eq!(refused(&pem!("rfc8037-a").replace("PUBLIC KEY", "CERTIFICATE")), BadPublicKey::Damaged);
        assert_eq!(refused(&pem!("rfc8037-a").replace("PUBLIC KEY", "CERTIFICATE REQUEST")), BadPublicKey::Missing);
    }
}
