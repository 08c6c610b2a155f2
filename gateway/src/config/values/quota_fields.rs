//! Which header fields tell clients their quota: `true`, `false`, or a list of kinds.

use std::borrow::Cow;
use std::fmt;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::de::{SeqAccess, Visitor};
use serde::{Deserialize, Deserializer, de};

/// The kinds that are sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct QuotaFields {
    /// `RateLimit` and `RateLimit-Policy`.
    pub standard: bool,
    /// `X-RateLimit-Limit`, `-Remaining` and `-Reset`.
    pub legacy: bool,
}

/// A kind, in the word of the file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
enum QuotaFieldKind {
    /// Those of the draft.
    Standard,
    /// Those that came before it.
    Legacy,
}

impl QuotaFields {
    /// Every kind.
    pub const ALL: Self = Self { standard: true, legacy: true };
    /// Not even one.
    pub const NONE: Self = Self { standard: false, legacy: false };
}

impl Default for QuotaFields {
    fn default() -> Self {
        Self::ALL
    }
}

impl<'de> Deserialize<'de> for QuotaFields {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(SwitchOrKinds)
    }
}

struct SwitchOrKinds;

impl<'de> Visitor<'de> for SwitchOrKinds {
    type Value = QuotaFields;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("`true`, `false` or a list")
    }

    fn visit_bool<E: de::Error>(self, all: bool) -> Result<QuotaFields, E> {
        Ok(if all { QuotaFields::ALL } else { QuotaFields::NONE })
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut kinds: A) -> Result<QuotaFields, A::Error> {
        let mut fields = QuotaFields::NONE;
        while let Some(kind) = kinds.next_element()? {
            let field = match kind {
                QuotaFieldKind::Standard => &mut fields.standard,
                QuotaFieldKind::Legacy => &mut fields.legacy,
            };
            if std::mem::replace(field, true) {
                return Err(de::Error::custom("one word stands twice in this list"));
            }
        }
        if fields == QuotaFields::NONE {
            return Err(de::Error::custom("this list is empty; write `false` for no headers"));
        }
        Ok(fields)
    }
}

impl JsonSchema for QuotaFields {
    fn schema_name() -> Cow<'static, str> {
        "QuotaFields".into()
    }

    fn inline_schema() -> bool {
        true
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let kind = generator.subschema_for::<QuotaFieldKind>();
        json_schema!({"type": ["boolean", "array"], "items": kind, "examples": [false]})
    }
}
