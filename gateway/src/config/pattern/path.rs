//! The path a route takes: `/exact`, `/with/{parameter}`, or `/prefix/*`.

use std::fmt;
use std::str::FromStr;

use schemars::JsonSchema;
use serde::Deserialize;

/// A path pattern over whole segments. `/prefix/*` takes `/prefix` and everything below it, never `/prefixed`.
///
/// Literals are in the normal form of RFC 3986, section 6.2.2: unreserved characters plain, other bytes as `%` and two
/// upper-case digits. A request's path in the same form compares byte for byte.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Deserialize, JsonSchema)]
#[serde(try_from = "String")]
#[schemars(with = "String", example = &"/orders/{id}")]
pub struct PathPattern {
    /// What stands between the slashes, from the left; none for `/` and `/*`.
    pub segments: Vec<Segment>,
    /// Whether more segments may follow.
    pub tail: Tail,
}

/// What one segment of a path must be.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Segment {
    /// Exactly this text.
    Literal(String),
    /// Any text but the empty one.
    Parameter(String),
}

/// What may follow the segments.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Tail {
    /// Nothing.
    Exact,
    /// Nothing, or a slash and anything.
    Prefix,
}

/// Why a text is no path pattern.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadPath {
    /// The first character is not a slash.
    #[error("a path begins with `/`")]
    NoLeadingSlash,
    /// Two slashes in a row, or one at the end.
    #[error("a path has no empty segment; leave the extra `/` out, or end it with `/*` to take everything below")]
    EmptySegment,
    /// `.` or `..`.
    #[error("a path has no `.` or `..` segment")]
    DotSegment,
    /// `*` anywhere but as the last segment.
    #[error("`*` can only be the whole last segment, as in `/prefix/*`")]
    MisplacedStar,
    /// A brace that does not enclose a whole segment with a name.
    #[error("a parameter is a whole segment with a name of a-z, 0-9 and `_`, as in `/users/{{id}}`")]
    BadParameter,
    /// One name used twice.
    #[error("the parameter name is used twice")]
    RepeatedParameter,
    /// A query or a fragment.
    #[error("a path has no query and no fragment (`{0}`)")]
    NotOnlyPath(char),
    /// A character that a request target cannot contain.
    #[error("the character {0:?} must be written percent-encoded")]
    IllegalCharacter(char),
    /// `%` without two hexadecimal digits.
    #[error("`%` must be followed by two hexadecimal digits")]
    BadEncoding,
    /// An encoding that no normalised request path contains.
    #[error("`%{0}` never reaches a route; {1}")]
    UnreachableEncoding(String, &'static str),
}

impl PathPattern {
    /// The pattern with its parameters' names left out: two patterns of one shape take exactly the same paths.
    #[must_use]
    pub fn shape(&self) -> Self {
        let nameless = |segment: &Segment| match segment {
            Segment::Literal(text) => Segment::Literal(text.clone()),
            Segment::Parameter(_) => Segment::Parameter(String::new()),
        };
        Self { segments: self.segments.iter().map(nameless).collect(), tail: self.tail }
    }
}

impl FromStr for PathPattern {
    type Err = BadPath;

    fn from_str(text: &str) -> Result<Self, BadPath> {
        if let Some(stray) = text.chars().find(|c| matches!(c, '?' | '#')) {
            return Err(BadPath::NotOnlyPath(stray));
        }
        let path = text.strip_prefix('/').ok_or(BadPath::NoLeadingSlash)?;
        let (path, tail) = match path.strip_suffix('*') {
            Some("") => return Ok(Self { segments: Vec::new(), tail: Tail::Prefix }),
            Some(front) => (front.strip_suffix('/').ok_or(BadPath::MisplacedStar)?, Tail::Prefix),
            None if path.is_empty() => return Ok(Self { segments: Vec::new(), tail: Tail::Exact }),
            None => (path, Tail::Exact),
        };
        let mut segments = Vec::new();
        for part in path.split('/') {
            let segment = part.parse()?;
            if matches!(segment, Segment::Parameter(_)) && segments.contains(&segment) {
                return Err(BadPath::RepeatedParameter);
            }
            segments.push(segment);
        }
        Ok(Self { segments, tail })
    }
}

impl FromStr for Segment {
    type Err = BadPath;

    fn from_str(text: &str) -> Result<Self, BadPath> {
        match text {
            "" => Err(BadPath::EmptySegment),
            "." | ".." => Err(BadPath::DotSegment),
            _ if text.contains('*') => Err(BadPath::MisplacedStar),
            _ if text.contains(['{', '}']) => parameter(text).ok_or(BadPath::BadParameter),
            _ => literal(text),
        }
    }
}

fn parameter(text: &str) -> Option<Segment> {
    let name = text.strip_prefix('{')?.strip_suffix('}')?;
    let legal = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_';
    (!name.is_empty() && name.chars().all(legal)).then(|| Segment::Parameter(name.to_owned()))
}

fn literal(text: &str) -> Result<Segment, BadPath> {
    let mut normal = String::with_capacity(text.len());
    let mut rest = text.chars();
    while let Some(c) = rest.next() {
        match c {
            '%' => {
                let digits: String = rest.by_ref().take(2).collect::<String>().to_ascii_uppercase();
                reachable(&digits)?;
                normal.push('%');
                normal.push_str(&digits);
            }
            _ if is_path_character(c) => normal.push(c),
            _ => return Err(BadPath::IllegalCharacter(c)),
        }
    }
    Ok(Segment::Literal(normal))
}

/// Refuses what the normalisation of a request's path decodes or rejects, since such a pattern would take nothing.
fn reachable(digits: &str) -> Result<(), BadPath> {
    let hexadecimal = digits.len() == 2 && digits.bytes().all(|b| b.is_ascii_hexdigit());
    let byte = u8::from_str_radix(digits, 16).ok().filter(|_| hexadecimal).ok_or(BadPath::BadEncoding)?;
    let refused = |why| Err(BadPath::UnreachableEncoding(digits.to_owned(), why));
    match char::from(byte) {
        '/' | '\\' => refused("encoded slashes and backslashes are refused in requests"),
        c if c.is_ascii_control() => refused("control characters are refused in requests"),
        c if is_unreserved(c) => refused("write the character itself"),
        _ => Ok(()),
    }
}

/// `unreserved` of RFC 3986, section 2.3.
fn is_unreserved(c: char) -> bool {
    c.is_ascii_alphanumeric() || matches!(c, '-' | '.' | '_' | '~')
}

/// `pchar` of RFC 3986, section 3.3, without the encoded ones and without `*`.
fn is_path_character(c: char) -> bool {
    is_unreserved(c) || matches!(c, '!' | '$' | '&' | '\'' | '(' | ')' | '+' | ',' | ';' | '=' | ':' | '@')
}

impl TryFrom<String> for PathPattern {
    type Error = BadPath;

    fn try_from(text: String) -> Result<Self, BadPath> {
        text.parse()
    }
}

impl fmt::Display for PathPattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for segment in &self.segments {
            write!(f, "/{segment}")?;
        }
        match self.tail {
            Tail::Exact if self.segments.is_empty() => f.write_str("/"),
            Tail::Exact => Ok(()),
            Tail::Prefix => f.write_str("/*"),
        }
    }
}

impl fmt::Display for Segment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Literal(text) => f.write_str(text),
            Self::Parameter(name) => write!(f, "{{{name}}}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn parse(text: &str) -> Result<PathPattern, BadPath> {
        text.parse()
    }

    #[test]
    fn legal_patterns_are_written_as_they_are_read() {
        for text in
            ["/", "/*", "/a", "/a/*", "/a/{id}/b", "/{x}/*", "/a;b=1/@me", "/caf%C3%A9", "/.well-known/jwks.json"]
        {
            assert_eq!(parse(text).map(|pattern| pattern.to_string()), Ok(text.to_owned()));
        }
    }

    #[test]
    fn encodings_are_kept_in_upper_case() {
        assert_eq!(parse("/caf%c3%a9"), parse("/caf%C3%A9"));
    }

    #[test]
    fn what_no_request_can_match_is_refused() {
        for (text, problem) in [
            ("", BadPath::NoLeadingSlash),
            ("a", BadPath::NoLeadingSlash),
            ("*", BadPath::NoLeadingSlash),
            ("//", BadPath::EmptySegment),
            ("/a/", BadPath::EmptySegment),
            ("/a//*", BadPath::EmptySegment),
            ("/a/../b", BadPath::DotSegment),
            ("/a/./*", BadPath::DotSegment),
            ("/a*", BadPath::MisplacedStar),
            ("/*/a", BadPath::MisplacedStar),
            ("/a/{}", BadPath::BadParameter),
            ("/a/x{id}", BadPath::BadParameter),
            ("/{Id}", BadPath::BadParameter),
            ("/{id}/{id}", BadPath::RepeatedParameter),
            ("/a?b=1", BadPath::NotOnlyPath('?')),
            ("/a b", BadPath::IllegalCharacter(' ')),
            ("/é", BadPath::IllegalCharacter('é')),
            ("/%4", BadPath::BadEncoding),
            ("/%+1", BadPath::BadEncoding),
        ] {
            assert_eq!(parse(text), Err(problem), "{text}");
        }
        for text in ["/a%2Fb", "/a%5cb", "/%00", "/%41", "/%2e%2e"] {
            assert!(matches!(parse(text), Err(BadPath::UnreachableEncoding(..))), "{text}");
        }
    }

    #[test]
    fn parameters_of_different_names_have_one_shape() {
        let shape = |text| parse(text).map(|pattern| pattern.shape());
        assert_eq!(shape("/a/{id}"), shape("/a/{name}"));
        assert_ne!(shape("/a/{id}"), shape("/a/{id}/*"));
        assert_ne!(shape("/a/{id}"), shape("/a/id"));
    }

    proptest! {
        #[test]
        fn any_text_is_refused_or_reads_the_same_when_written(text in "[/a-c{}*.%0-9A-F?]{0,12}|.{0,12}") {
            if let Ok(pattern) = parse(&text) {
                prop_assert_eq!(parse(&pattern.to_string()), Ok(pattern));
            }
        }
    }
}
