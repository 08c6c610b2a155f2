//! A value that is a text, a number, or `true` or `false`, to be compared with what a token says.

use std::borrow::Cow;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::Deserialize;
use serde_json::Value;

/// A text, a number or a truth value. What stands in quotes is a text.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct Scalar(Value);

impl Scalar {
    /// As JSON has it.
    #[must_use]
    pub const fn get(&self) -> &Value {
        &self.0
    }
}

impl JsonSchema for Scalar {
    fn schema_name() -> Cow<'static, str> {
        "Scalar".into()
    }

    fn inline_schema() -> bool {
        true
    }

    fn json_schema(_generator: &mut SchemaGenerator) -> Schema {
        json_schema!({"type": ["string", "number", "boolean"]})
    }
}
