//! What a part of an expression is, as far as that is known before a request comes.

use std::fmt;

/// What a part of an expression is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// `true` or `false`.
    Bool,
    /// A number.
    Number,
    /// A text.
    Text,
    /// Bytes.
    Bytes,
    /// A list.
    List,
    /// Nothing.
    Null,
    /// What is known when the request comes: a claim, and what is made of one.
    Any,
}

impl Kind {
    /// Whether something may be both.
    #[must_use]
    pub fn fits(self, other: Self) -> bool {
        self == other || self == Self::Any || other == Self::Any
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Bool => "`true` or `false`",
            Self::Number => "a number",
            Self::Text => "a text",
            Self::Bytes => "bytes",
            Self::List => "a list",
            Self::Null => "nothing",
            Self::Any => "anything",
        })
    }
}
