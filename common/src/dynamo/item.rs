//! Items of a table: writing attributes, and reading them back as checked values.

use std::collections::HashMap;

use aws_sdk_dynamodb::types::AttributeValue;
use chrono::{DateTime, SecondsFormat, Utc};
use rust_decimal::Decimal;

use crate::repository::RepositoryError;

/// An item as the SDK has it.
pub(super) type Item = HashMap<String, AttributeValue>;

/// An item, or a key, of these attributes.
pub(super) fn item<const N: usize>(attributes: [(&str, AttributeValue); N]) -> Item {
    attributes.into_iter().map(|(name, value)| (name.to_owned(), value)).collect()
}

/// A string.
pub(super) fn text(value: impl Into<String>) -> AttributeValue {
    AttributeValue::S(value.into())
}

/// A number; DynamoDB keeps 38 decimal digits of it exactly.
pub(super) fn number(value: impl ToString) -> AttributeValue {
    AttributeValue::N(value.to_string())
}

/// A moment as a string of fixed width, so that the earlier one is also the lesser string.
pub(super) fn instant(moment: DateTime<Utc>) -> AttributeValue {
    AttributeValue::S(moment.to_rfc3339_opts(SecondsFormat::Nanos, true))
}

/// A stored item on its way to being a checked value.
pub(super) struct Stored<'a> {
    /// What it should be.
    pub(super) entity: &'static str,
    /// What was read.
    pub(super) item: &'a Item,
}

/// Names the attribute and never its value: errors reach logs.
#[derive(Debug, thiserror::Error)]
#[error("attribute {0} is missing or not what it should be")]
struct BadAttribute(&'static str);

impl<'a> Stored<'a> {
    /// A string that `parse` takes.
    pub(super) fn text<T, E>(
        &self,
        name: &'static str,
        parse: impl FnOnce(&'a str) -> Result<T, E>,
    ) -> Result<T, RepositoryError> {
        self.attribute(name, |value| parse(value.as_s().ok()?).ok())
    }

    /// A decimal number that `parse` takes.
    pub(super) fn decimal<T, E>(
        &self,
        name: &'static str,
        parse: impl FnOnce(Decimal) -> Result<T, E>,
    ) -> Result<T, RepositoryError> {
        self.attribute(name, |value| parse(decimal(value.as_n().ok()?)?).ok())
    }

    /// A whole number from 0.
    pub(super) fn count(&self, name: &'static str) -> Result<u64, RepositoryError> {
        self.attribute(name, |value| value.as_n().ok()?.parse().ok())
    }

    /// Whether something is so.
    pub(super) fn flag(&self, name: &'static str) -> Result<bool, RepositoryError> {
        self.attribute(name, |value| value.as_bool().ok().copied())
    }

    /// A moment.
    pub(super) fn instant(&self, name: &'static str) -> Result<DateTime<Utc>, RepositoryError> {
        self.text(name, |value| DateTime::parse_from_rfc3339(value).map(|moment| moment.with_timezone(&Utc)))
    }

    fn attribute<T>(
        &self,
        name: &'static str,
        read: impl FnOnce(&'a AttributeValue) -> Option<T>,
    ) -> Result<T, RepositoryError> {
        self.item
            .get(name)
            .and_then(read)
            .ok_or_else(|| RepositoryError::Damaged { entity: self.entity, source: Box::new(BadAttribute(name)) })
    }
}

/// DynamoDB may give a number back in scientific notation.
fn decimal(text: &str) -> Option<Decimal> {
    Decimal::from_str_exact(text).or_else(|_| Decimal::from_scientific(text)).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stored(item: &Item) -> Stored<'_> {
        Stored { entity: "thing", item }
    }

    #[test]
    fn numbers_are_read_in_plain_and_scientific_notation() {
        for (text, plain) in [("0.00000001", "0.00000001"), ("1E-8", "0.00000001"), ("1E+12", "1000000000000")] {
            assert_eq!(decimal(text).map(|number| number.to_string()).as_deref(), Some(plain), "{text}");
        }
        assert_eq!(decimal("NaN"), None);
    }

    #[test]
    fn moments_sort_as_strings_and_come_back_to_the_nanosecond() {
        let earlier = DateTime::from_timestamp(1_700_000_000, 1).expect("moment");
        let later = DateTime::from_timestamp(1_700_000_000, 20).expect("moment");
        let (a, b) = (instant(earlier), instant(later));
        assert!(a.as_s().expect("text") < b.as_s().expect("text"));
        assert_eq!(stored(&item([("at", a)])).instant("at").expect("moment"), earlier);
    }

    #[test]
    fn damage_names_the_attribute_but_not_its_value() {
        let item = item([("price", text("secret"))]);
        let error = stored(&item).decimal("price", Ok::<_, ()>).expect_err("no number");
        let shown = format!("{error:?}");
        assert!(shown.contains("price") && !shown.contains("secret"), "{shown}");
    }
}
