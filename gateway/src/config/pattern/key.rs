//! What a rate limit counts by: `client_address`, `claim.<name>`, or `=` and an expression.

use std::fmt;
use std::str::FromStr;

use schemars::JsonSchema;
use serde::Deserialize;

use super::expression::{BadExpression, Expression, Kind};

/// Requests of one key share one quota.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Deserialize, JsonSchema)]
#[serde(try_from = "String")]
#[schemars(with = "String", example = &"client_address")]
pub enum RateLimitKey {
    /// The address the request came from.
    ClientAddress,
    /// A claim of the verified token, by name.
    Claim(String),
    /// What an expression says: a text, a whole number or a truth value.
    Expression(Expression),
}

/// Why a rate limit cannot count by a text.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadKey {
    /// It is none of what there is.
    #[error(
        "a rate limit counts by `client_address`, by `claim.<name>`, as in `claim.sub`, or by `=` and an expression"
    )]
    Unknown,
    /// What stands behind the `=` is no expression that a request can be counted by.
    #[error(transparent)]
    Expression(#[from] BadExpression),
}

impl FromStr for RateLimitKey {
    type Err = BadKey;

    fn from_str(text: &str) -> Result<Self, BadKey> {
        if let Some(expression) = text.strip_prefix('=') {
            let expression = Expression::new(expression.trim())?;
            return match expression.kind() {
                Kind::Text | Kind::Number | Kind::Bool | Kind::Any => Ok(Self::Expression(expression)),
                found @ (Kind::Bytes | Kind::List | Kind::Null) => {
                    Err(BadExpression::Result { found, wanted: "a text, a whole number, `true` or `false`" }.into())
                }
            };
        }
        let legal = |name: &&str| !name.is_empty() && name.bytes().all(|b| b.is_ascii_graphic());
        match text.strip_prefix("claim.") {
            Some(name) => Some(name).filter(legal).map(|name| Self::Claim(name.to_owned())).ok_or(BadKey::Unknown),
            None if text == "client_address" => Ok(Self::ClientAddress),
            None => Err(BadKey::Unknown),
        }
    }
}

impl TryFrom<String> for RateLimitKey {
    type Error = BadKey;

    fn try_from(text: String) -> Result<Self, BadKey> {
        text.parse()
    }
}

impl fmt::Display for RateLimitKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::ClientAddress => f.write_str("client_address"),
            Self::Claim(name) => write!(f, "claim.{name}"),
            Self::Expression(expression) => write!(f, "= {expression}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_an_address_or_a_claim_and_nothing_else() {
        for text in ["client_address", "claim.sub", "claim.https://example.com/tenant", "= method + path"] {
            assert_eq!(text.parse::<RateLimitKey>().map(|key| key.to_string()), Ok(text.to_owned()));
        }
        for text in ["", "claim.", "claim. ", "claims.sub", "Client_Address", "header.x-api-key", "method"] {
            assert_eq!(text.parse::<RateLimitKey>(), Err(BadKey::Unknown), "{text}");
        }
    }
}
