//! What must hold of a request beside its host, path and method.

use std::fmt;

use http::HeaderName;

use super::expression::Predicate;
use super::regex::RegexPattern;
use crate::config::values::Networks;

/// One thing that must hold.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Condition {
    /// Of a header.
    Header(HeaderName, Test),
    /// Of a parameter of the query, by its decoded name.
    Query(String, Test),
    /// Of a cookie.
    Cookie(String, Test),
    /// Of the address of who asks.
    Client(Networks),
    /// Whatever this says.
    Expression(Predicate),
}

/// What one of a field's values must be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Test {
    /// This.
    Value(String),
    /// What this fits.
    Regex(RegexPattern),
    /// Anything, or else there must be none.
    Present(bool),
}

impl Condition {
    /// Whether no request that is meant fits both: who writes `value: a` on one route and `value: b` on another means requests
    /// that have one of the two.
    #[must_use]
    pub fn excludes(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Header(a, one), Self::Header(b, other)) => a == b && one.excludes(other),
            (Self::Query(a, one), Self::Query(b, other)) | (Self::Cookie(a, one), Self::Cookie(b, other)) => {
                a == b && one.excludes(other)
            }
            (Self::Client(a), Self::Client(b)) => a.are_apart_from(b),
            _ => false,
        }
    }
}

impl Test {
    fn excludes(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Present(a), Self::Present(b)) => a != b,
            (Self::Present(wanted), _) | (_, Self::Present(wanted)) => !wanted,
            (Self::Value(a), Self::Value(b)) => a != b,
            (Self::Value(value), Self::Regex(regex)) | (Self::Regex(regex), Self::Value(value)) => {
                !regex.fits(value.as_bytes())
            }
            (Self::Regex(_), Self::Regex(_)) => false,
        }
    }
}

/// Equal for equal conditions alone.
impl fmt::Display for Condition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Header(name, test) => write!(f, "header {:?} {test}", name.as_str()),
            Self::Query(name, test) => write!(f, "query {name:?} {test}"),
            Self::Cookie(name, test) => write!(f, "cookie {name:?} {test}"),
            Self::Client(networks) => write!(f, "client {networks}"),
            Self::Expression(predicate) => write!(f, "expression {:?}", predicate.expression()),
        }
    }
}

impl fmt::Display for Test {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Value(value) => write!(f, "= {value:?}"),
            Self::Regex(regex) => write!(f, "~ {regex:?}"),
            Self::Present(present) => write!(f, "? {present}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::regex::Case;
    use super::*;

    #[test]
    fn tests_of_one_field_exclude_each_other_where_no_value_is_meant_by_both() {
        let value = |text: &str| Test::Value(text.to_owned());
        let regex = |text: &str| Test::Regex(RegexPattern::new(text, Case::Exact).expect("a regex"));
        let query = |test: Test| Condition::Query("q".to_owned(), test);
        for (one, other) in [
            (value("a"), value("b")),
            (value("a"), regex("b+")),
            (Test::Present(true), Test::Present(false)),
            (value("a"), Test::Present(false)),
        ] {
            assert!(
                query(one.clone()).excludes(&query(other.clone()))
                    && query(other.clone()).excludes(&query(one.clone()))
            );
            assert!(!query(one).excludes(&Condition::Cookie("q".to_owned(), other)));
        }
        for (one, other) in [
            (value("a"), value("a")),
            (value("a"), regex("a+")),
            (regex("a"), regex("b")),
            (value("a"), Test::Present(true)),
        ] {
            assert!(!query(one).excludes(&query(other)));
        }
    }
}
