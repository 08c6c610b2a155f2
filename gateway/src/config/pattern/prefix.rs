//! What a path begins with: `/api`, `/api/v1`.

use std::fmt;

use schemars::JsonSchema;
use serde::Deserialize;

use super::{BadPath, PathPattern, Segment, Tail};

/// One or more whole segments, in the normal form of a path.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(try_from = "String")]
#[schemars(with = "String", example = &"/api")]
pub struct PathPrefix(PathPattern);

/// Why a text is no prefix.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadPrefix {
    /// It is no path at all.
    #[error(transparent)]
    NoPath(#[from] BadPath),
    /// It has nothing, a parameter or a star.
    #[error("a prefix is one or more plain segments, like `/api`")]
    NotPlain,
}

impl PathPrefix {
    /// What stands between its slashes.
    #[must_use]
    pub fn segments(&self) -> &[Segment] {
        &self.0.segments
    }
}

impl TryFrom<String> for PathPrefix {
    type Error = BadPrefix;

    fn try_from(text: String) -> Result<Self, BadPrefix> {
        let pattern: PathPattern = text.parse()?;
        let plain = pattern.segments.iter().all(|segment| matches!(segment, Segment::Literal(_)));
        if plain && pattern.tail == Tail::Exact && !pattern.segments.is_empty() {
            Ok(Self(pattern))
        } else {
            Err(BadPrefix::NotPlain)
        }
    }
}

impl fmt::Display for PathPrefix {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_prefix_is_one_or_more_plain_segments() {
        let read = |text: &str| PathPrefix::try_from(text.to_owned());
        for good in ["/api", "/api/v1", "/a%20b"] {
            assert_eq!(read(good).map(|prefix| prefix.to_string()), Ok(good.to_owned()));
        }
        for bad in ["/", "/*", "/api/*", "/{id}"] {
            assert_eq!(read(bad), Err(BadPrefix::NotPlain), "{bad}");
        }
        for bad in ["", "api", "/api/", "//", "/a/../b", "/a?b"] {
            assert!(matches!(read(bad), Err(BadPrefix::NoPath(_))), "{bad}");
        }
    }
}
