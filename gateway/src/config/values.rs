//! The values a configuration file writes as text: spans of time, sizes, secrets, and words of HTTP.

mod authorities;
mod certificate;
mod client_identity;
mod header;
mod jwks;
mod known_key;
pub(super) mod listen_addr;
mod media;
mod method;
mod network;
pub(crate) mod password_hash;
mod percent;
mod public_key;
mod quota_fields;
mod redis;
mod scalar;
mod signing_key;
mod target;
mod texts;
mod upstream_tls;

use std::fmt;
use std::time::Duration;

use schemars::JsonSchema;
use secrecy::{ExposeSecret as _, SecretString};
use serde::{Deserialize, Deserializer, de};

pub use authorities::{Authorities, BadAuthorities};
pub(crate) use certificate::read_pem;
pub use certificate::{BadCertificate, Certificate};
pub use client_identity::ClientIdentity;
pub(crate) use header::{
    ABOUT_THE_CLIENT, IDENTITY_TOKEN, IS_COPY, NEVER_SAID, is_forwarded, same_but_for_underscores,
};
pub use header::{BadEdit, BadHeader, BadValue, CredentialHeader, EditableHeader, FixedValue, IdentityHeader};
pub use jwks::{BadJwks, Jwk, Jwks};
pub(crate) use known_key::is_scope;
pub use known_key::{BadKey, KnownKey};
pub use media::{BadMedia, MediaPattern};
pub use method::{BadMethod, RouteMethod};
pub use network::{BadNetwork, Network, Networks};
pub use password_hash::{BadPasswordHash, PasswordHash};
pub use percent::{BadPercent, Percent};
pub use public_key::{BadPublicKey, KeyKind, PublicKey};
pub use quota_fields::QuotaFields;
pub use redis::{BadRedisNode, RedisCertificates, RedisNode, RedisNodes};
pub use scalar::Scalar;
pub use signing_key::{BadSigningKey, SigningKey};
pub use target::{BadTarget, Target, Targets};
pub use texts::Texts;
pub use upstream_tls::UpstreamTls;

/// A span of time written with its unit: `250ms`, `2s`, `1m 30s`.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, JsonSchema)]
#[schemars(example = &"5s")]
pub struct Span(#[schemars(with = "String")] Duration);

impl Span {
    /// That many seconds.
    #[must_use]
    pub const fn from_secs(secs: u64) -> Self {
        Self(Duration::from_secs(secs))
    }

    /// That many milliseconds.
    #[must_use]
    pub const fn from_millis(millis: u64) -> Self {
        Self(Duration::from_millis(millis))
    }

    /// As the standard library's type.
    #[must_use]
    pub const fn get(self) -> Duration {
        self.0
    }
}

impl fmt::Display for Span {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        humantime::format_duration(self.0).fmt(f)
    }
}

impl fmt::Debug for Span {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl<'de> Deserialize<'de> for Span {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        let problem = |_| de::Error::custom("a span of time is written with its unit, like 250ms, 2s or 1m");
        humantime::parse_duration(&text).map(Self).map_err(problem)
    }
}

/// A number of bytes written with its unit: `512B`, `64KiB`, `10MiB`, `1GiB`.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, JsonSchema)]
#[schemars(example = &"64KiB")]
pub struct ByteSize(#[schemars(with = "String")] u64);

impl ByteSize {
    /// That many times 1,024 bytes.
    #[must_use]
    pub const fn from_kib(kib: u64) -> Self {
        Self(kib * 1024)
    }

    /// In bytes.
    #[must_use]
    pub const fn bytes(self) -> u64 {
        self.0
    }

    fn parse(text: &str) -> Option<Self> {
        let digits = text.len() - text.trim_start_matches(|c: char| c.is_ascii_digit()).len();
        let (number, unit) = text.split_at(digits);
        let factor: u64 = match unit.trim_start() {
            "B" => 1,
            "KiB" => 1 << 10,
            "MiB" => 1 << 20,
            "GiB" => 1 << 30,
            _ => return None,
        };
        number.parse::<u64>().ok()?.checked_mul(factor).map(Self)
    }
}

impl fmt::Display for ByteSize {
    /// In the largest unit that needs no fraction, as the file would have it.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            bytes if bytes > 0 && bytes % (1 << 30) == 0 => write!(f, "{}GiB", bytes >> 30),
            bytes if bytes > 0 && bytes % (1 << 20) == 0 => write!(f, "{}MiB", bytes >> 20),
            bytes if bytes > 0 && bytes % (1 << 10) == 0 => write!(f, "{}KiB", bytes >> 10),
            bytes => write!(f, "{bytes}B"),
        }
    }
}

impl fmt::Debug for ByteSize {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl<'de> Deserialize<'de> for ByteSize {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        Self::parse(&text)
            .ok_or_else(|| de::Error::custom("a size is written with its unit, like 512B, 64KiB or 10MiB"))
    }
}

/// A text that no log, error or debug output shows.
#[derive(Clone, Debug, JsonSchema)]
pub struct Secret(#[schemars(with = "String")] SecretString);

impl Secret {
    /// The secret, still wrapped.
    #[must_use]
    pub const fn as_secret(&self) -> &SecretString {
        &self.0
    }
}

impl PartialEq for Secret {
    fn eq(&self, other: &Self) -> bool {
        self.0.expose_secret() == other.0.expose_secret()
    }
}

impl<'de> Deserialize<'de> for Secret {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer).map(|text| Self(SecretString::from(text)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_written_as_they_are_read() {
        for text in ["0B", "1023B", "1KiB", "1536KiB", "10MiB", "2GiB"] {
            assert_eq!(ByteSize::parse(text).map(|size| size.to_string()).as_deref(), Some(text));
        }
    }

    #[test]
    fn sizes_need_a_unit() {
        assert_eq!(ByteSize::parse("64KiB"), Some(ByteSize::from_kib(64)));
        assert_eq!(ByteSize::parse("10 MiB"), Some(ByteSize::from_kib(10 * 1024)));
        for bad in ["", "64", "KiB", "-1B", "1.5MiB", "99999999999GiB", "64kb"] {
            assert_eq!(ByteSize::parse(bad), None, "{bad:?}");
        }
    }
}
