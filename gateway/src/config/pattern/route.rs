//! What a route's host and path may be written as: a pattern, or `~` and a regular expression.

use std::fmt;
use std::str::FromStr;

use schemars::JsonSchema;
use serde::Deserialize;

use super::host::{BadHost, HostPattern};
use super::path::{BadPath, PathPattern, Segment, Tail};
use super::regex::{BadRegex, Case, RegexPattern};

/// The hosts that a route takes.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Deserialize, JsonSchema)]
#[serde(try_from = "String")]
#[schemars(with = "String", example = &"api.example.com")]
pub enum HostMatch {
    /// One host, or all below a domain.
    Pattern(HostPattern),
    /// Whatever the expression fits, in lower case and without port.
    Regex(RegexPattern),
}

/// The paths that a route takes.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Deserialize, JsonSchema)]
#[serde(try_from = "String")]
#[schemars(with = "String", example = &"/orders/{id}")]
pub enum PathMatch {
    /// Segment by segment.
    Pattern(PathPattern),
    /// Whatever the expression fits, in normal form.
    Regex(RegexPattern),
}

/// Why a text is nothing that a route's host can be.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadHostMatch {
    /// No pattern.
    #[error(transparent)]
    Pattern(#[from] BadHost),
    /// No expression.
    #[error(transparent)]
    Regex(#[from] BadRegex),
}

/// Why a text is nothing that a route's path can be.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadPathMatch {
    /// No pattern.
    #[error(transparent)]
    Pattern(#[from] BadPath),
    /// No expression.
    #[error(transparent)]
    Regex(#[from] BadRegex),
    /// An expression that may fit no path.
    #[error("a regular expression for paths begins with `^/` or `/`, as every path does")]
    NoSlash,
}

impl FromStr for HostMatch {
    type Err = BadHostMatch;

    fn from_str(text: &str) -> Result<Self, BadHostMatch> {
        Ok(match text.strip_prefix('~') {
            Some(regex) => Self::Regex(RegexPattern::new(regex, Case::Ignored)?),
            None => Self::Pattern(text.parse()?),
        })
    }
}

impl FromStr for PathMatch {
    type Err = BadPathMatch;

    fn from_str(text: &str) -> Result<Self, BadPathMatch> {
        let Some(regex) = text.strip_prefix('~') else { return Ok(Self::Pattern(text.parse()?)) };
        let pattern = RegexPattern::new(regex, Case::Exact)?;
        let is_path = regex.strip_prefix('^').unwrap_or(regex).starts_with('/');
        if is_path { Ok(Self::Regex(pattern)) } else { Err(BadPathMatch::NoSlash) }
    }
}

impl HostMatch {
    /// Whether `self` takes every host that `other` takes. Of two expressions only the same is known to.
    #[must_use]
    pub fn covers(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Regex(own), Self::Pattern(HostPattern::Exact(host))) => own.fits(host.as_bytes()),
            (Self::Pattern(HostPattern::Wildcard(suffix)), Self::Pattern(HostPattern::Exact(name))) => {
                name.len() > suffix.len() && name.ends_with(suffix.as_str())
            }
            (Self::Pattern(HostPattern::Wildcard(suffix)), Self::Pattern(HostPattern::Wildcard(other))) => {
                other.ends_with(suffix.as_str())
            }
            _ => self == other,
        }
    }
}

impl PathMatch {
    /// With the parameters' names left out: what is of one shape takes exactly the same paths.
    #[must_use]
    pub fn shape(&self) -> Self {
        match self {
            Self::Pattern(pattern) => Self::Pattern(pattern.shape()),
            Self::Regex(_) => self.clone(),
        }
    }

    /// The segments it begins with; of a regular expression nobody knows any.
    #[must_use]
    pub fn segments(&self) -> &[Segment] {
        match self {
            Self::Pattern(pattern) => &pattern.segments,
            Self::Regex(_) => &[],
        }
    }

    /// Whether anything may follow its segments (`/*`).
    #[must_use]
    pub fn is_prefix(&self) -> bool {
        matches!(self, Self::Pattern(PathPattern { tail: Tail::Prefix, .. }))
    }

    /// Whether `self` takes every path that `other` takes, as far as that can be said without trying all of them.
    #[must_use]
    pub fn covers(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Pattern(own), Self::Pattern(other)) => pattern_covers(own, other),
            (Self::Pattern(own), Self::Regex(_)) => own.segments.is_empty() && own.tail == Tail::Prefix,
            (Self::Regex(own), Self::Pattern(other)) => is_one_path(other) && own.fits(other.to_string().as_bytes()),
            (Self::Regex(own), Self::Regex(other)) => own == other,
        }
    }
}

fn pattern_covers(own: &PathPattern, other: &PathPattern) -> bool {
    let enough = match own.tail {
        Tail::Exact => other.tail == Tail::Exact && own.segments.len() == other.segments.len(),
        Tail::Prefix => own.segments.len() <= other.segments.len(),
    };
    let covers = |(own, other): (&Segment, &Segment)| matches!(own, Segment::Parameter(_)) || own == other;
    enough && own.segments.iter().zip(&other.segments).all(covers)
}

fn is_one_path(pattern: &PathPattern) -> bool {
    pattern.tail == Tail::Exact && pattern.segments.iter().all(|segment| matches!(segment, Segment::Literal(_)))
}

impl TryFrom<String> for HostMatch {
    type Error = BadHostMatch;

    fn try_from(text: String) -> Result<Self, BadHostMatch> {
        text.parse()
    }
}

impl TryFrom<String> for PathMatch {
    type Error = BadPathMatch;

    fn try_from(text: String) -> Result<Self, BadPathMatch> {
        text.parse()
    }
}

impl fmt::Display for HostMatch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Pattern(pattern) => pattern.fmt(f),
            Self::Regex(regex) => write!(f, "~{regex}"),
        }
    }
}

impl fmt::Display for PathMatch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Pattern(pattern) => pattern.fmt(f),
            Self::Regex(regex) => write!(f, "~{regex}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tilde_makes_a_regular_expression() {
        for text in ["a.example", "*.example", r"~^(?<tenant>[a-z]+)\.example\.com$"] {
            assert_eq!(text.parse::<HostMatch>().map(|host| host.to_string()).as_deref(), Ok(text));
        }
        for text in ["/a/{b}/*", "~^/v[0-9]+/.*$", "~/(a|b)"] {
            assert_eq!(text.parse::<PathMatch>().map(|path| path.to_string()).as_deref(), Ok(text));
        }
        assert_eq!("~".parse::<HostMatch>(), Err(BadHostMatch::Regex(BadRegex::Empty)));
        assert_eq!("~.*".parse::<PathMatch>(), Err(BadPathMatch::NoSlash));
        assert_eq!("a~b".parse::<HostMatch>(), Err(BadHostMatch::Pattern(BadHost::NotAHost)));
    }

    #[test]
    fn hosts_cover_what_is_below_them() {
        let covers =
            |own: &str, other: &str| own.parse::<HostMatch>().expect("a host").covers(&other.parse().expect("a host"));
        for (own, other) in
            [("a.x", "A.x"), ("*.x", "a.x"), ("*.x", "*.a.x"), ("*.x", "*.x"), ("~[ab].x", "a.x"), ("~a+", "~a+")]
        {
            assert!(covers(own, other), "{own} {other}");
        }
        for (own, other) in
            [("a.x", "*.x"), ("*.x", "x"), ("*.a.x", "*.x"), ("~[ab].x", "c.x"), ("~.*", "*.x"), ("*.x", "ax")]
        {
            assert!(!covers(own, other), "{own} {other}");
        }
    }

    #[test]
    fn paths_cover_what_is_below_them() {
        let covers =
            |own: &str, other: &str| own.parse::<PathMatch>().expect("a path").covers(&other.parse().expect("a path"));
        for (own, other) in [
            ("/a", "/a"),
            ("/{x}", "/a"),
            ("/{x}", "/{y}"),
            ("/a/*", "/a"),
            ("/a/*", "/a/{b}/c/*"),
            ("/*", "/"),
            ("/*", "~/.*"),
            ("~/v[0-9]/.*", "/v1/x"),
        ] {
            assert!(covers(own, other), "{own} {other}");
        }
        for (own, other) in
            [("/a", "/{x}"), ("/a/{x}", "/a/*"), ("/a/*", "/b"), ("/a", "/a/b"), ("/a/*", "~/a/.*"), ("~/.*", "/{x}")]
        {
            assert!(!covers(own, other), "{own} {other}");
        }
    }
}
