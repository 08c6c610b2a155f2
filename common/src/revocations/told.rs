//! One line of what a service tells to those who follow its revocations: JSON, a line for each.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use super::Revocation;

/// One line.
///
/// After `Reset` come all revocations, in any order, and after `Complete` every further one. Who comes back with the last
/// `position` that they have heard is told only what came since, if that is still known; else there is a `Reset` again.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Told {
    /// What was told before counts no more; all of it is told again.
    Reset {},
    /// Something is void.
    Revoked(Revocation),
    /// All until here was told.
    Complete {
        /// Where this is.
        position: Position,
    },
    /// Nothing has happened, and everything that was written elsewhere has been seen.
    Alive {},
}

/// A place in what one service tells.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(into = "String", try_from = "String")]
pub struct Position {
    /// Whose: another for each start of a service.
    pub epoch: String,
    /// How many were told before.
    pub number: u64,
}

/// A text is no [`Position`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("this is no position: an epoch, a colon and a number")]
pub struct NoPosition;

impl fmt::Display for Position {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.epoch, self.number)
    }
}

impl FromStr for Position {
    type Err = NoPosition;

    fn from_str(text: &str) -> Result<Self, NoPosition> {
        let (epoch, number) = text.split_once(':').ok_or(NoPosition)?;
        Ok(Self { epoch: epoch.to_owned(), number: number.parse().map_err(|_| NoPosition)? })
    }
}

impl From<Position> for String {
    fn from(position: Position) -> Self {
        position.to_string()
    }
}

impl TryFrom<String> for Position {
    type Error = NoPosition;

    fn try_from(text: String) -> Result<Self, NoPosition> {
        text.parse()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::revocations::Revoked;

    #[test]
    fn every_line_is_read_as_it_was_written() {
        let position = Position { epoch: "e".into(), number: 3 };
        let revocation = Revocation { revoked: Revoked::Token("t".into()), until: 9 };
        for (told, line) in [
            (Told::Reset {}, r#"{"reset":{}}"#),
            (Told::Revoked(revocation), r#"{"revoked":{"jti":"t","exp":9}}"#),
            (Told::Complete { position }, r#"{"complete":{"position":"e:3"}}"#),
            (Told::Alive {}, r#"{"alive":{}}"#),
        ] {
            assert_eq!(serde_json::to_string(&told).expect("written"), line);
            assert_eq!(serde_json::from_str::<Told>(line).expect("read"), told);
        }
        assert_eq!("e".parse::<Position>(), Err(NoPosition));
    }
}
