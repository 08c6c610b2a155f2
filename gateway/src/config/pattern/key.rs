//! What a rate limit counts by: one part of a request, or several that are the key together.

mod part;

use std::borrow::Cow;
use std::fmt;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::de::{SeqAccess, Visitor};
use serde::{Deserialize, Deserializer, de};

pub use part::{BadKey, KeyPart};

/// Requests of one key share one quota. It has one part at least, unless the file says so in error.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RateLimitKey(Vec<KeyPart>);

impl RateLimitKey {
    /// What everybody is counted by of whom nothing else is known.
    #[must_use]
    pub fn client_address() -> Self {
        Self(vec![KeyPart::CLIENT_ADDRESS])
    }

    /// Its parts, in the order of the file.
    #[must_use]
    pub fn parts(&self) -> &[KeyPart] {
        &self.0
    }

    /// Whether there are requests that lack a part of it.
    #[must_use]
    pub fn may_be_missing(&self) -> bool {
        self.0.iter().any(KeyPart::may_be_missing)
    }

    /// Which network of an IPv6 address counts as one where it is by the address.
    #[must_use]
    pub fn ipv6_prefix(&self) -> u8 {
        let prefix = |part: &KeyPart| match part {
            KeyPart::ClientAddress { ipv6_prefix } => Some(*ipv6_prefix),
            _ => None,
        };
        self.0.iter().find_map(prefix).unwrap_or(KeyPart::IPV6_PREFIX)
    }
}

impl<'de> Deserialize<'de> for RateLimitKey {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(OneOrSeveral)
    }
}

/// Reads the items one by one, so that a wrong one is told at its own place.
struct OneOrSeveral;

impl<'de> Visitor<'de> for OneOrSeveral {
    type Value = RateLimitKey;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a part of a key, or a list of them")
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<RateLimitKey, E> {
        text.parse().map(|part| RateLimitKey(vec![part])).map_err(E::custom)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<RateLimitKey, A::Error> {
        let mut parts = Vec::new();
        while let Some(part) = items.next_element()? {
            parts.push(part);
        }
        Ok(RateLimitKey(parts))
    }
}

impl JsonSchema for RateLimitKey {
    fn schema_name() -> Cow<'static, str> {
        "RateLimitKey".into()
    }

    fn inline_schema() -> bool {
        true
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let part = generator.subschema_for::<KeyPart>();
        json_schema!({"type": ["string", "array"], "items": part, "examples": ["client_address"]})
    }
}
