//! Reads a query, in one way for routes and expressions.

use std::borrow::Cow;

/// The decoded values of the parameter `name`, read as forms are (`+` is a space). Those without escapes are borrowed.
pub(crate) fn named<'q>(query: &'q str, name: &str) -> impl Iterator<Item = Cow<'q, [u8]>> {
    let pairs = form_urlencoded::parse(query.as_bytes()).filter(move |(own, _)| own == name);
    pairs.map(|(_, value)| match value {
        Cow::Borrowed(value) => Cow::Borrowed(value.as_bytes()),
        Cow::Owned(value) => Cow::Owned(value.into_bytes()),
    })
}
