//! A text that has to be this one, or what a regular expression fits: `orders`, or `~orders-[0-9]+`.

use schemars::JsonSchema;
use serde::Deserialize;

use super::{BadRegex, Case, RegexPattern};

/// One text, or all that an expression after `~` fits as a whole.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Deserialize, JsonSchema)]
#[serde(try_from = "String")]
#[schemars(with = "String", example = &"spiffe://example.com/orders")]
pub enum TextPattern {
    /// This text.
    Exact(Box<str>),
    /// What this fits.
    Fits(RegexPattern),
}

/// Why a text is no such pattern.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadText {
    /// Nothing is written.
    #[error("the text is empty")]
    Empty,
    /// What stands behind the `~` is no expression.
    #[error(transparent)]
    Regex(#[from] BadRegex),
}

impl TextPattern {
    /// Whether it takes `text`.
    #[must_use]
    pub fn takes(&self, text: &str) -> bool {
        match self {
            Self::Exact(exact) => **exact == *text,
            Self::Fits(regex) => regex.fits(text.as_bytes()),
        }
    }
}

impl TryFrom<String> for TextPattern {
    type Error = BadText;

    fn try_from(text: String) -> Result<Self, BadText> {
        match text.strip_prefix('~') {
            Some(regex) => Ok(Self::Fits(RegexPattern::new(regex, Case::Exact)?)),
            None if text.is_empty() => Err(BadText::Empty),
            None => Ok(Self::Exact(text.into())),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_is_taken_exactly_or_as_a_whole_by_an_expression() {
        let takes = |pattern: &str, text| TextPattern::try_from(pattern.to_owned()).map(|pattern| pattern.takes(text));
        assert_eq!(takes("a.example", "a.example"), Ok(true));
        assert_eq!(takes("a.example", "axexample"), Ok(false));
        assert_eq!(takes("~spiffe://e/[a-z]+", "spiffe://e/orders"), Ok(true));
        assert_eq!(takes("~spiffe://e/[a-z]+", "spiffe://e/orders/x"), Ok(false));
        assert_eq!(takes("", ""), Err(BadText::Empty));
        assert_eq!(takes("~", ""), Err(BadText::Regex(BadRegex::Empty)));
    }
}
