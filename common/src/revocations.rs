//! What makes tokens void before their time, and how that is written where one process tells another.
//!
//! A revocation is of one token, of one session, or of all tokens of a subject that were issued before a moment. It counts
//! until the last token that it could concern has expired, and may be told any number of times, in any order.

mod told;

#[cfg(feature = "redis")]
pub mod redis;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use crate::ids::{TokenId, UserId};

pub use told::{Position, Told};

/// Where a service tells of revocations.
pub const PATH: &str = "/internal/revocations";

/// How often somebody who follows hears at least that nothing has happened.
pub const HEARTBEAT: std::time::Duration = std::time::Duration::from_millis(500);

/// What is void.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Revoked {
    /// The token of this `jti`.
    #[serde(rename = "jti")]
    Token(String),
    /// Every token of this `sid`.
    #[serde(rename = "sid")]
    Session(String),
    /// Every token of a subject that was issued before a moment, and every one that does not say when it was issued.
    #[serde(rename = "sub")]
    Subject {
        /// The subject.
        id: String,
        /// The moment, in seconds since 1970.
        before: u64,
    },
}

/// What is void, and until when that must be known.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Revocation {
    /// What is void.
    #[serde(flatten)]
    pub revoked: Revoked,
    /// From when on no such token counts anyway, in seconds since 1970.
    #[serde(rename = "exp")]
    pub until: u64,
}

/// What revocations go by of one token.
#[derive(Clone, Copy, Debug)]
pub struct TokenMarks<'t> {
    /// Its `jti`.
    pub token: TokenId,
    /// Its `sid`.
    pub session: Option<&'t str>,
    /// Its `sub`.
    pub subject: UserId,
    /// Its `iat`.
    pub issued_at: i64,
}

impl Revocation {
    /// The token is void; it would have expired at `until`.
    #[must_use]
    pub fn of_token(token: TokenId, until: DateTime<Utc>) -> Self {
        Self { revoked: Revoked::Token(token.to_string()), until: seconds(until) }
    }

    /// The tokens of `subject` that were issued up to `now` are void; the last of them would have expired at `until`.
    ///
    /// Tokens tell their moment in whole seconds, so those of the present second are void too.
    #[must_use]
    pub fn of_subject(subject: UserId, now: DateTime<Utc>, until: DateTime<Utc>) -> Self {
        let before = seconds(now).saturating_add(1);
        Self { revoked: Revoked::Subject { id: subject.to_string(), before }, until: seconds(until) }
    }
}

fn seconds(moment: DateTime<Utc>) -> u64 {
    u64::try_from(moment.timestamp()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn every_kind_has_its_written_form_and_comes_back() {
        let subject = Revoked::Subject { id: "s".into(), before: 7 };
        for (revoked, written) in [
            (Revoked::Token("t".into()), json!({"jti": "t", "exp": 9})),
            (Revoked::Session("s".into()), json!({"sid": "s", "exp": 9})),
            (subject, json!({"sub": {"id": "s", "before": 7}, "exp": 9})),
        ] {
            let revocation = Revocation { revoked, until: 9 };
            assert_eq!(serde_json::to_value(&revocation).expect("written"), written);
            assert_eq!(serde_json::from_value::<Revocation>(written).expect("read"), revocation);
        }
    }

    #[test]
    fn tokens_of_the_very_second_are_void_too() {
        let now = DateTime::from_timestamp(1000, 1).expect("a moment");
        let Revoked::Subject { before, .. } = Revocation::of_subject(UserId::new(), now, now).revoked else {
            unreachable!("of a subject")
        };
        assert_eq!(before, 1001);
    }
}
