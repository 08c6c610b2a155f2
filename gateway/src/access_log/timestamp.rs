//! Writes a moment as RFC 3339 says it, with milliseconds, at the cost of a copy.
//!
//! Calendars are slow, and thousands of moments share a second: its text is kept from one line to the next.

use std::cell::RefCell;
use std::time::SystemTime;

use chrono::{DateTime, SecondsFormat, Utc};

/// `2026-01-31T23:59:59.123Z`.
const LENGTH: usize = 24;
/// Where the milliseconds stand in it.
const MILLIS: usize = 20;

/// A moment as text.
pub(crate) struct Timestamp([u8; LENGTH]);

impl Timestamp {
    /// The text of `moment`.
    pub(crate) fn of(moment: SystemTime) -> Self {
        thread_local! {
            static SECOND: RefCell<(u64, [u8; LENGTH])> = RefCell::new(second(0));
        }
        let since_1970 = moment.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        let mut text = SECOND.with_borrow_mut(|kept| {
            if kept.0 != since_1970.as_secs() {
                *kept = second(since_1970.as_secs());
            }
            kept.1
        });
        let millis = since_1970.subsec_millis();
        for (digit, power) in text[MILLIS..].iter_mut().zip([100, 10, 1]) {
            *digit = b'0' + (millis / power % 10) as u8;
        }
        Self(text)
    }

    /// The text.
    pub(crate) fn as_str(&self) -> &str {
        std::str::from_utf8(&self.0).unwrap_or_default()
    }
}

/// The second and its text. One that no calendar of four digits has is told as the last that it has.
fn second(seconds: u64) -> (u64, [u8; LENGTH]) {
    const LAST: i64 = 253_402_300_799;
    let moment = i64::try_from(seconds).unwrap_or(LAST).min(LAST);
    let moment = DateTime::<Utc>::from_timestamp(moment, 0).unwrap_or_default();
    let text = moment.to_rfc3339_opts(SecondsFormat::Millis, true);
    (seconds, text.as_bytes().try_into().unwrap_or([b'0'; LENGTH]))
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn every_moment_is_told_as_the_calendar_tells_it(millis in 0_i64..253_402_300_800_000) {
            let moment = SystemTime::UNIX_EPOCH + Duration::from_millis(millis.unsigned_abs());
            let told = DateTime::<Utc>::from_timestamp_millis(millis).expect("a moment");
            let told = told.to_rfc3339_opts(SecondsFormat::Millis, true);
            let text = Timestamp::of(moment);
            prop_assert_eq!(text.as_str(), &told);
        }
    }

    #[test]
    fn moments_beyond_the_calendar_break_nothing() {
        let before = SystemTime::UNIX_EPOCH - Duration::from_secs(1);
        assert_eq!(Timestamp::of(before).as_str(), "1970-01-01T00:00:00.000Z");
        let beyond = SystemTime::UNIX_EPOCH + Duration::from_secs(400_000_000_000);
        assert_eq!(Timestamp::of(beyond).as_str(), "9999-12-31T23:59:59.000Z");
    }
}
