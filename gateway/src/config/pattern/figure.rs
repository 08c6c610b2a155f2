//! A number that is another for each request: `claim.<name>`, or `=` and an expression.

use std::fmt;
use std::str::FromStr;

use schemars::JsonSchema;
use serde::Deserialize;

use super::expression::{BadExpression, Expression, Kind};

/// Where a number comes from.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(try_from = "String")]
#[schemars(with = "String", example = &"claim.plan.limit")]
pub enum Figure {
    /// A claim of who asks, by name.
    Claim(String),
    /// What an expression says.
    Expression(Expression),
}

/// Why no number comes from a text.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadFigure {
    /// It is none of what there is.
    #[error("a number comes from a claim (`claim.<name>`, as in `claim.plan.limit`), or from `=` and an expression")]
    Unknown,
    /// What stands behind the `=` is no expression that gives a number.
    #[error(transparent)]
    Expression(#[from] BadExpression),
}

impl FromStr for Figure {
    type Err = BadFigure;

    fn from_str(text: &str) -> Result<Self, BadFigure> {
        if let Some(expression) = text.strip_prefix('=') {
            let expression = Expression::new(expression.trim())?;
            return match expression.kind() {
                Kind::Number | Kind::Any => Ok(Self::Expression(expression)),
                found => Err(BadExpression::Result { found, wanted: "a number" }.into()),
            };
        }
        let claim = text.strip_prefix("claim.").filter(|name| !name.is_empty());
        let legal = |name: &&str| name.bytes().all(|byte| byte.is_ascii_graphic());
        claim.filter(legal).map(|name| Self::Claim(name.to_owned())).ok_or(BadFigure::Unknown)
    }
}

impl TryFrom<String> for Figure {
    type Error = BadFigure;

    fn try_from(text: String) -> Result<Self, BadFigure> {
        text.parse()
    }
}

impl fmt::Display for Figure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Claim(name) => write!(f, "claim.{name}"),
            Self::Expression(expression) => write!(f, "= {expression}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_comes_from_a_claim_or_an_expression_and_from_nothing_else() {
        for text in ["claim.limit", "claim.plan.limit", "= size(path)", "= claims.plan == 'pro' ? 600 : 60"] {
            assert_eq!(text.parse::<Figure>().map(|figure| figure.to_string()), Ok(text.to_owned()));
        }
        for text in ["", "claim.", "claim. ", "60", "client_address", "header.x-cost"] {
            assert_eq!(text.parse::<Figure>(), Err(BadFigure::Unknown), "{text}");
        }
        for text in ["= method", "= [1]", "= true"] {
            assert!(matches!(text.parse::<Figure>(), Err(BadFigure::Expression(_))), "{text}");
        }
    }
}
