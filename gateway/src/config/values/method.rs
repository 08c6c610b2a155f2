//! The method a route can be chosen by.

use std::fmt;

use common::names::nearest;
use http::Method;
use schemars::JsonSchema;
use serde::Deserialize;

/// A method in the upper case of RFC 9110, section 9.1.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Deserialize, JsonSchema)]
#[serde(try_from = "String")]
#[schemars(with = "String", example = &"GET")]
pub struct RouteMethod(Method);

/// The text is no method that a gateway routes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub struct BadMethod(Option<&'static str>);

impl RouteMethod {
    /// Those that the router can tell apart. `CONNECT` and `TRACE` are left out: a reverse proxy must forward neither.
    const KNOWN: [&str; 7] = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"];

    /// The method.
    #[must_use]
    pub const fn get(&self) -> &Method {
        &self.0
    }
}

impl TryFrom<String> for RouteMethod {
    type Error = BadMethod;

    fn try_from(text: String) -> Result<Self, BadMethod> {
        let method = Self::KNOWN.contains(&text.as_str()).then(|| text.parse().ok()).flatten();
        method.map(Self).ok_or_else(|| BadMethod(nearest(&text.to_ascii_uppercase(), Self::KNOWN)))
    }
}

impl fmt::Display for BadMethod {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("there is no such method to choose routes by; methods are written in upper case")?;
        self.0.map_or(Ok(()), |near| write!(f, "; did you mean `{near}`?"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<RouteMethod, BadMethod> {
        RouteMethod::try_from(text.to_owned())
    }

    #[test]
    fn only_routable_methods_in_upper_case_are_taken() {
        assert_eq!(read("PATCH"), Ok(RouteMethod(Method::PATCH)));
        assert_eq!(read("get"), Err(BadMethod(Some("GET"))));
        assert_eq!(read("PSOT"), Err(BadMethod(Some("POST"))));
        assert_eq!(read("CONNECT"), Err(BadMethod(None)));
        assert_eq!(read(""), Err(BadMethod(None)));
    }
}
