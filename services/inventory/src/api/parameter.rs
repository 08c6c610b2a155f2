//! Query parameters of which every wrong one is reported, not only the first.
//!
//! poem-openapi refuses a request at the first parameter that it cannot read, and passes over those it does not know. A
//! [`Parameter`] is read in any case and keeps what is wrong with it; [`Parameters`] gathers the values and the problems,
//! among them names that do not exist: a misspelt filter must not show everything.

use std::borrow::Cow;

use common::service::{FieldError, Problem};
use poem::Request;
use poem_openapi::param::Query;
use poem_openapi::registry::{MetaSchema, MetaSchemaRef};
use poem_openapi::types::{ParseFromParameter, ParseResult, Type};

/// A value that is sent as a query parameter.
pub(super) trait ParameterValue: Sized + Send + Sync {
    /// What the API's document says of it.
    fn schema() -> MetaSchema;

    /// Reads it, or says what is wrong.
    fn parse(text: &str) -> Result<Self, String>;
}

/// A `T`, or what is wrong with what stood in its place.
pub(super) struct Parameter<T>(Result<T, String>);

/// An optional parameter of a handler.
pub(super) type Optional<T> = Query<Option<Parameter<T>>>;

impl<T: ParameterValue> Type for Parameter<T> {
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

impl<T: ParameterValue> ParseFromParameter for Parameter<T> {
    fn parse_from_parameter(text: &str) -> ParseResult<Self> {
        Ok(Self(T::parse(text)))
    }
}

/// Gathers what is wrong with the query parameters of one request.
pub(super) struct Parameters(Vec<FieldError>);

impl Parameters {
    /// Begins with the parameters of `request` that are none of `known`, or stand there twice.
    pub(super) fn of(request: &Request, known: &[&str]) -> Self {
        let mut problems = Self(Vec::new());
        let sent = request.params::<Vec<(String, String)>>().unwrap_or_default();
        let mut seen = Vec::with_capacity(known.len());
        for (name, _) in &sent {
            if !known.contains(&name.as_str()) {
                problems.0.push(FieldError::unknown("parameter", name, known));
            } else if seen.contains(&name) {
                problems.wrong(name, "is given more than once");
            } else {
                seen.push(name);
            }
        }
        problems
    }

    /// The value of the parameter called `name`; what is wrong with it is kept.
    pub(super) fn take<T>(&mut self, name: &str, parameter: Optional<T>) -> Option<T> {
        let value = parameter.0?.0;
        value.map_err(|detail| self.wrong(name, detail)).ok()
    }

    /// Says that the parameter called `name` is wrong.
    pub(super) fn wrong(&mut self, name: &str, detail: impl Into<String>) {
        self.0.push(FieldError { field: name.to_owned(), detail: detail.into() });
    }

    /// Ends well if nothing was wrong.
    ///
    /// # Errors
    /// 400 with everything that was wrong.
    pub(super) fn finish(self) -> Result<(), Problem> {
        let detail = match self.0.as_slice() {
            [] => return Ok(()),
            [problem] => format!("{} {}", problem.field, problem.detail),
            problems => format!("{} parameters are wrong", problems.len()),
        };
        Err(Problem::bad_request("invalid_parameter", detail).with_errors(self.0))
    }
}
