//! Headers, parameters and cookies, of which an expression asks for one by its name.

use std::borrow::Cow;

use cel::ExecutionError;
use cel::common::traits::{Container, Indexer};
use cel::common::types::{CelString, MAP_TYPE, Type};
use cel::common::value::{CowVal, Val};
use http::HeaderValue;

use super::Offer;
use crate::config::pattern::Variable;
use crate::cookies;
use crate::query;

/// All of one kind that a request has.
#[derive(Clone, Copy, Debug)]
pub(super) struct Members<'r> {
    pub(super) offer: &'r Offer<'r>,
    pub(super) of: Variable,
}

/// Whether something is there.
enum Found<'r> {
    One(Cow<'r, [u8]>),
    Nothing,
    /// It is there more than once, and servers differ in which of them they read.
    Several,
}

impl<'r> Members<'r> {
    fn text(&self, name: &str) -> Found<'r> {
        let offer = self.offer;
        match self.of {
            Variable::Headers => {
                let mut values = offer.headers.get_all(name).iter();
                let Some(first) = values.next() else { return Found::Nothing };
                let Some(second) = values.next() else { return Found::One(first.as_bytes().into()) };
                let all: Vec<&[u8]> = [first, second].into_iter().chain(values).map(HeaderValue::as_bytes).collect();
                Found::One(all.join(&b", "[..]).into())
            }
            Variable::Query => only(query::named(offer.query.unwrap_or_default(), name)),
            Variable::Cookies => only(cookies::named(offer.headers, name)),
            Variable::Params => {
                let found = offer.params.and_then(|params| params.find(name, offer.path));
                found.map_or(Found::Nothing, |text| Found::One(text.as_bytes().into()))
            }
            Variable::Auth => match (offer.prover, name) {
                (Some(prover), "kind") => Found::One(prover.kind.name().as_bytes().into()),
                (Some(prover), "provider") => Found::One(prover.provider.as_bytes().into()),
                _ => Found::Nothing,
            },
            Variable::Claims | Variable::Method | Variable::Host | Variable::Path | Variable::ClientIp => {
                Found::Nothing
            }
        }
    }

    fn find(&self, name: &str) -> Result<Option<Box<dyn Val + 'r>>, ExecutionError> {
        let text = match self.text(name) {
            Found::Nothing => return Ok(None),
            Found::Several => return Err(ExecutionError::function_error(self.of.name(), "it is there twice")),
            Found::One(Cow::Borrowed(text)) => std::str::from_utf8(text).map(Cow::Borrowed).ok(),
            Found::One(Cow::Owned(text)) => String::from_utf8(text).map(Cow::Owned).ok(),
        };
        let text = text.ok_or_else(|| ExecutionError::function_error(self.of.name(), "it is no text"))?;
        Ok(Some(Box::new(CelString::from(text))))
    }
}

fn only<'r>(mut values: impl Iterator<Item = Cow<'r, [u8]>>) -> Found<'r> {
    match (values.next(), values.next()) {
        (None, _) => Found::Nothing,
        (Some(value), None) => Found::One(value),
        (Some(_), Some(_)) => Found::Several,
    }
}

pub(super) fn name(key: &dyn Val) -> Result<&str, ExecutionError> {
    key.downcast_ref::<CelString<'_>>().map(CelString::inner).ok_or_else(|| ExecutionError::UnexpectedType {
        got: key.get_type().name().to_owned(),
        want: "string".to_owned(),
    })
}

impl Val for Members<'_> {
    fn get_type(&self) -> &Type {
        Self::cel_type()
    }

    fn cel_type() -> &'static Type {
        &MAP_TYPE
    }

    fn as_indexer<'b, 'v>(&'b self) -> Option<&'b (dyn Indexer + 'v)>
    where
        Self: 'v,
    {
        Some(self)
    }

    fn as_container(&self) -> Option<&dyn Container> {
        Some(self)
    }

    fn clone_as_boxed<'v>(&self) -> Box<dyn Val + 'v>
    where
        Self: 'v,
    {
        Box::new(*self)
    }
}

impl Indexer for Members<'_> {
    fn get<'b, 'v>(&'b self, key: &dyn Val) -> Result<CowVal<'b, 'v>, ExecutionError>
    where
        Self: 'v,
    {
        let found = self.find(name(key)?)?;
        found.map(|value| CowVal::Owned(value as Box<dyn Val + 'v>)).ok_or_else(|| ExecutionError::no_such_key(""))
    }

    fn steal<'v>(self: Box<Self>, key: &dyn Val) -> Result<Box<dyn Val + 'v>, ExecutionError>
    where
        Self: 'v,
    {
        self.get(key).map(CowVal::into_owned)
    }
}

impl Container for Members<'_> {
    fn contains(&self, key: &dyn Val) -> Result<bool, ExecutionError> {
        self.find(name(key)?).map(|found| found.is_some())
    }
}
