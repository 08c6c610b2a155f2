//! The values a configuration file writes as text: spans of time, sizes, secrets, and words of HTTP.

mod header;
mod method;
mod target;

use std::fmt;
use std::time::Duration;

use schemars::JsonSchema;
use secrecy::SecretString;
use serde::{Deserialize, Deserializer, de};

pub use header::{BadHeader, IdentityHeader};
pub use method::{BadMethod, RouteMethod};
pub use target::{BadTarget, Target, Targets};

/// A span of time written with its unit: `250ms`, `2s`, `1m 30s`.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, JsonSchema)]
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

impl fmt::Debug for Span {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        humantime::format_duration(self.0).fmt(f)
    }
}

impl<'de> Deserialize<'de> for Span {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        let problem = || de::Error::custom(format!("`{text}` is no span of time; write it like 250ms, 2s or 1m"));
        humantime::parse_duration(&text).map(Self).map_err(|_| problem())
    }
}

/// A number of bytes written with its unit: `512B`, `64KiB`, `10MiB`, `1GiB`.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, JsonSchema)]
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

impl fmt::Debug for ByteSize {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}B", self.0)
    }
}

impl<'de> Deserialize<'de> for ByteSize {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        Self::parse(&text)
            .ok_or_else(|| de::Error::custom(format!("`{text}` is no size; write it like 512B, 64KiB or 10MiB")))
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

impl<'de> Deserialize<'de> for Secret {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer).map(|text| Self(SecretString::from(text)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_need_a_unit() {
        assert_eq!(ByteSize::parse("64KiB"), Some(ByteSize::from_kib(64)));
        assert_eq!(ByteSize::parse("10 MiB"), Some(ByteSize::from_kib(10 * 1024)));
        for bad in ["", "64", "KiB", "-1B", "1.5MiB", "99999999999GiB", "64kb"] {
            assert_eq!(ByteSize::parse(bad), None, "{bad:?}");
        }
    }
}
