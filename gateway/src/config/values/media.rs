//! Which bodies are compressed: `application/json`, `text/*`.

use std::fmt;

use schemars::JsonSchema;
use serde::Deserialize;

/// A media type without parameters, or all of one kind (RFC 9110, section 8.3.1).
#[derive(Clone, Debug, PartialEq, Eq, Hash, Deserialize, JsonSchema)]
#[serde(try_from = "String")]
#[schemars(with = "String", example = &"application/json")]
pub struct MediaPattern(String);

/// The text is no media type.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a media type is written like `application/json` or `text/*`, without parameters")]
pub struct BadMedia;

impl MediaPattern {
    /// Text, and what else is made of it.
    #[must_use]
    pub fn compressible() -> Vec<Self> {
        const LISTED: [&str; 11] = [
            "text/*",
            "application/atom+xml",
            "application/javascript",
            "application/json",
            "application/ld+json",
            "application/manifest+json",
            "application/problem+json",
            "application/rss+xml",
            "application/xhtml+xml",
            "application/xml",
            "image/svg+xml",
        ];
        LISTED.into_iter().map(|text| Self(text.to_owned())).collect()
    }

    /// Whether it takes bodies of the type `essence`, which is without parameters.
    #[must_use]
    pub fn takes(&self, essence: &[u8]) -> bool {
        match self.0.strip_suffix('*') {
            Some(kind) => essence
                .split_at_checked(kind.len())
                .is_some_and(|(front, subtype)| front.eq_ignore_ascii_case(kind.as_bytes()) && !subtype.is_empty()),
            None => self.0.as_bytes().eq_ignore_ascii_case(essence),
        }
    }
}

impl TryFrom<String> for MediaPattern {
    type Error = BadMedia;

    fn try_from(text: String) -> Result<Self, BadMedia> {
        let is_name = |text: &str| {
            !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"!#$&^_.+-".contains(&byte))
        };
        let (kind, subtype) = text.split_once('/').ok_or(BadMedia)?;
        if is_name(kind) && (subtype == "*" || is_name(subtype)) {
            Ok(Self(text.to_ascii_lowercase()))
        } else {
            Err(BadMedia)
        }
    }
}

impl fmt::Display for MediaPattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pattern_is_a_type_or_all_of_a_kind() {
        let takes = |pattern: &str, essence: &str| {
            MediaPattern::try_from(pattern.to_owned()).map(|pattern| pattern.takes(essence.as_bytes()))
        };
        for (pattern, essence, taken) in [
            ("application/json", "Application/JSON", true),
            ("Text/*", "text/html", true),
            ("application/json", "application/json5", false),
            ("text/*", "text/", false),
            ("text/*", "text", false),
            ("text/*", "texts/html", false),
            ("text/html", "text/*", false),
        ] {
            assert_eq!(takes(pattern, essence), Ok(taken), "{pattern} {essence}");
        }
        for bad in ["", "json", "*/*", "text/", "/json", "text/html; charset=utf-8", "text/*+xml", "a b/c"] {
            assert_eq!(takes(bad, "text/html"), Err(BadMedia), "{bad}");
        }
        let listed = MediaPattern::compressible();
        assert!(listed.iter().all(|own| MediaPattern::try_from(own.to_string()).as_ref() == Ok(own)));
    }
}
