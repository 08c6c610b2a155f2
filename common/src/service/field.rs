//! One field of a body, whose mistake does not hide the mistakes of the others.
//!
//! poem-openapi stops at the first field that cannot be read. A [`Field`] is read in any case and keeps what is wrong
//! with it; [`Fields`] then gathers the values, or everything that is wrong, unknown fields included.

use std::borrow::Cow;

use poem_openapi::registry::{MetaSchema, MetaSchemaRef};
use poem_openapi::types::{ParseFromJSON, ParseResult, ToJSON, Type};
use serde_json::Value;

use super::{FieldError, Problem};
use crate::entities::{Email, InvalidValue, Password, PersonName, Username};

/// A value that is sent as a JSON string.
pub trait FieldValue: Sized + Send + Sync {
    /// What the API's document says of it.
    fn schema() -> MetaSchema;

    /// Reads it.
    ///
    /// # Errors
    /// Says what is wrong.
    fn parse(text: &str) -> Result<Self, InvalidValue>;
}

/// A `T`, or what is wrong with what stood in its place.
pub struct Field<T>(Result<T, String>);

/// Gathers what is wrong with the fields of one body; [`Body::read`](super::Body::read) makes it.
pub struct Fields {
    wrong: Vec<FieldError>,
    unknown: Vec<FieldError>,
}

impl Fields {
    /// Begins with the fields of a body that are `unknown`.
    pub(super) const fn with_unknown(unknown: Vec<FieldError>) -> Self {
        Self { wrong: Vec::new(), unknown }
    }

    /// The value of the field called `name`; what is wrong with it is kept.
    pub fn take<T>(&mut self, name: &str, field: Field<T>) -> Option<T> {
        field.0.map_err(|detail| self.wrong(name, detail)).ok()
    }

    /// The same for a field that may be left out.
    pub fn take_optional<T>(&mut self, name: &str, field: Option<Field<T>>) -> Option<T> {
        field.and_then(|field| self.take(name, field))
    }

    /// Says that the field called `name` is wrong.
    pub fn wrong(&mut self, name: &str, detail: impl Into<String>) {
        self.wrong.push(FieldError { field: name.to_owned(), detail: detail.into() });
    }

    /// What was made of the values; it is there if nothing was wrong with any that it needs.
    ///
    /// # Errors
    /// 422 with everything that was wrong.
    pub fn finish<T>(mut self, made: Option<T>) -> Result<T, Problem> {
        self.wrong.append(&mut self.unknown);
        match made {
            Some(made) if self.wrong.is_empty() => Ok(made),
            _ => Err(Problem::invalid_fields(self.wrong)),
        }
    }
}

impl<T: FieldValue> Type for Field<T> {
    const IS_REQUIRED: bool = true;

    type RawValueType = Self;
    type RawElementValueType = Self;

    fn name() -> Cow<'static, str> {
        "string".into()
    }

    fn schema_ref() -> MetaSchemaRef {
        MetaSchemaRef::Inline(Box::new(T::schema()))
    }

    fn as_raw_value(&self) -> Option<&Self::RawValueType> {
        Some(self)
    }

    fn raw_element_iter<'a>(&'a self) -> Box<dyn Iterator<Item = &'a Self::RawElementValueType> + 'a> {
        Box::new(std::iter::once(self))
    }
}

impl<T: FieldValue> ParseFromJSON for Field<T> {
    fn parse_from_json(value: Option<Value>) -> ParseResult<Self> {
        Ok(Self(match value {
            None | Some(Value::Null) => Err("is missing".to_owned()),
            Some(Value::String(text)) => T::parse(&text).map_err(|error| error.to_string()),
            Some(_) => Err("must be a string".to_owned()),
        }))
    }
}

/// The derive of `Object` asks for it; a field is only ever read.
impl<T: FieldValue> ToJSON for Field<T> {
    fn to_json(&self) -> Option<Value> {
        None
    }
}

/// A password as it is typed to log in: any string.
impl FieldValue for String {
    fn schema() -> MetaSchema {
        MetaSchema::new("string")
    }

    fn parse(text: &str) -> Result<Self, InvalidValue> {
        Ok(text.to_owned())
    }
}

macro_rules! field_value {
    ($type:ty, $description:literal, $lengths:expr $(, $format:literal)?) => {
        impl FieldValue for $type {
            fn schema() -> MetaSchema {
                let (min, max): (usize, usize) = $lengths;
                let schema = MetaSchema::new("string");
                $(let schema = MetaSchema { format: Some($format), ..schema };)?
                MetaSchema { description: Some($description), min_length: Some(min), max_length: Some(max), ..schema }
            }

            fn parse(text: &str) -> Result<Self, InvalidValue> {
                <$type>::parse(text)
            }
        }
    };
}

field_value!(Username, "Letters `a-z` (case and width are folded), digits, `.`, `_` and `-`", (3, 32));
field_value!(Email, "Folded to lower case", (6, 254), "email");
field_value!(Password, "Any characters", (12, 128), "password");
field_value!(PersonName, "In any script, without invisible characters", (1, 100));
