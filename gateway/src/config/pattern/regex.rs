//! A regular expression in the file: it must fit the whole of a text, takes time linear in the text's length, and has a bounded
//! size.

use std::fmt;
use std::hash::{Hash, Hasher};

use regex::bytes::{Regex, RegexBuilder, RegexSet, RegexSetBuilder};
use schemars::JsonSchema;
use serde::Deserialize;

/// No expression that a person can read is longer.
const MOST_TEXT: usize = 1024;

/// Bytes that one may take when it is compiled, and again for what is remembered of its use.
const MOST_COMPILED: usize = 128 << 10;

/// Bytes that all of one router may take. The check lets fewer expressions pass than could reach it.
const MOST_SET: usize = 512 << 20;

/// What is remembered of the use of a set, for each thread.
const SET_CACHE: usize = 4 << 20;

/// An expression over bytes: `\w`, `\d` and the like are those of ASCII, and the `i` flag too.
#[derive(Clone, Deserialize, JsonSchema)]
#[serde(try_from = "String")]
#[schemars(with = "String", example = &"[0-9]+")]
pub struct RegexPattern {
    text: Box<str>,
    regex: Regex,
}

/// Whether letters in upper and lower case are the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Case {
    /// As in hosts.
    Ignored,
    /// As in everything else.
    Exact,
}

/// Why a text is no regular expression that can be used here.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadRegex {
    /// Nothing is written.
    #[error("the regular expression is empty")]
    Empty,
    /// More than [`MOST_TEXT`] bytes.
    #[error("a regular expression has at most {MOST_TEXT} bytes")]
    TooLong,
    /// A counted repetition of something large, mostly.
    #[error("the regular expression is too large; repeat less in it")]
    TooLarge,
    /// What the syntax does not have, in its words.
    #[error("this is no regular expression: {0}")]
    Syntax(String),
}

impl RegexPattern {
    /// The expression that is written as `text`.
    ///
    /// # Errors
    /// See [`BadRegex`].
    pub fn new(text: &str, case: Case) -> Result<Self, BadRegex> {
        match text.len() {
            0 => return Err(BadRegex::Empty),
            1..=MOST_TEXT => {}
            _ => return Err(BadRegex::TooLong),
        }
        // Alone first: what is wrong with it must not be mended by what is put around it, as `a)|(b` would be.
        let compile = |text: &str| {
            let mut builder = RegexBuilder::new(text);
            builder.unicode(false).case_insensitive(case == Case::Ignored);
            builder.size_limit(MOST_COMPILED).dfa_size_limit(MOST_COMPILED).build()
        };
        let regex = compile(text).and_then(|_| compile(&whole(text))).map_err(BadRegex::from)?;
        Ok(Self { text: text.into(), regex })
    }

    /// As it is written.
    #[must_use]
    pub const fn text(&self) -> &str {
        &self.text
    }

    /// Whether it fits all of `text`.
    #[must_use]
    pub fn fits(&self, text: &[u8]) -> bool {
        self.regex.is_match(text)
    }

    /// All `patterns` at once, for one pass over a text.
    ///
    /// # Errors
    /// When they are too large together.
    pub(crate) fn set<'p>(patterns: impl IntoIterator<Item = &'p Self>, case: Case) -> Result<RegexSet, regex::Error> {
        let mut builder = RegexSetBuilder::new(patterns.into_iter().map(|pattern| whole(&pattern.text)));
        builder.unicode(false).case_insensitive(case == Case::Ignored);
        builder.size_limit(MOST_SET).dfa_size_limit(SET_CACHE).build()
    }
}

fn whole(text: &str) -> String {
    format!(r"\A(?:{text})\z")
}

impl From<regex::Error> for BadRegex {
    fn from(error: regex::Error) -> Self {
        match error {
            regex::Error::CompiledTooBig(_) => Self::TooLarge,
            // It shows the expression above its last line, and that may come from a variable.
            error => {
                let told = error.to_string();
                let last = told.lines().last().unwrap_or_default();
                Self::Syntax(last.strip_prefix("error: ").unwrap_or("it cannot be read").to_owned())
            }
        }
    }
}

/// In which case counts.
impl TryFrom<String> for RegexPattern {
    type Error = BadRegex;

    fn try_from(text: String) -> Result<Self, BadRegex> {
        Self::new(&text, Case::Exact)
    }
}

impl PartialEq for RegexPattern {
    fn eq(&self, other: &Self) -> bool {
        self.text == other.text
    }
}

impl Eq for RegexPattern {}

impl Hash for RegexPattern {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.text.hash(state);
    }
}

impl fmt::Debug for RegexPattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.text, f)
    }
}

impl fmt::Display for RegexPattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fits(pattern: &str, text: &str) -> bool {
        RegexPattern::new(pattern, Case::Exact).expect("a regex").fits(text.as_bytes())
    }

    #[test]
    fn an_expression_fits_the_whole_text_or_not_at_all() {
        assert!(fits("v[0-9]+", "v12") && fits("^v[0-9]+$", "v12") && fits("a|bc", "bc"));
        for text in ["xv1", "v1x", "v1\n", "\nv1", ""] {
            assert!(!fits("^v[0-9]+$", text) && !fits("(?m)^v[0-9]+$", text), "{text:?}");
        }
        assert!(!fits("a|bc", "abc"));
    }

    #[test]
    fn case_counts_unless_it_is_said_otherwise() {
        assert!(RegexPattern::new("A", Case::Ignored).expect("a regex").fits(b"a"));
        assert!(!fits("A", "a") && fits("(?i)A", "a"));
    }

    #[test]
    fn what_cannot_be_used_is_told_on_one_line_without_the_expression() {
        let read = |text: &str| RegexPattern::new(text, Case::Exact);
        assert_eq!(read(""), Err(BadRegex::Empty));
        assert_eq!(read(&"a".repeat(1025)), Err(BadRegex::TooLong));
        assert_eq!(read("((a{100}){100}){100}"), Err(BadRegex::TooLarge));
        for bad in ["(hush", "hush)", "hush)|(hush", "[z-a]hush", "(?x)a # hush", r"hush\1", "(?=hush)", "*hush"] {
            let problem = read(bad).expect_err(bad).to_string();
            assert!(!problem.contains("hush") && !problem.contains('\n'), "{problem}");
        }
        assert_eq!(read("(a"), Err(BadRegex::Syntax("unclosed group".to_owned())));
    }

    #[test]
    fn what_takes_other_engines_exponential_time_is_answered() {
        assert!(!fits("(a|a)*(a*)*b", &"a".repeat(64 << 10)));
    }
}
