//! What counts in this process.

use std::time::Instant;

use super::in_flight::InFlightTable;
use super::local::LocalTable;
use super::log::LogTable;
use super::verdict::{Charge, Counted, Quota};
use super::window::SlidingWindow;

/// The quotas of one policy, kept in this process.
pub(super) enum Here {
    /// Exactly.
    Gcra(LocalTable),
    /// Exactly in every window.
    Log(LogTable),
    /// By an estimate. It knows neither costs nor limits of single requests, and the check has let none through.
    Sketch(SlidingWindow),
    /// What is under way.
    InFlight(InFlightTable),
}

impl Here {
    /// Takes `charge` from the quota of `key` at `now` if all of it is there.
    pub(super) fn take(&self, key: &[u8], charge: Charge, now: Instant) -> Counted {
        match self {
            Self::Gcra(table) => table.take(key, charge, now),
            Self::Log(table) => table.take(key, charge, now),
            Self::Sketch(window) => window.take(key, now),
            Self::InFlight(table) => table.take(key, charge),
        }
    }

    /// Puts right, at `now`, what was taken as `charge`, not before `since`, and has cost `actual`, and says what is left; 0 gives
    /// it back.
    pub(super) fn settle(&self, key: &[u8], charge: Charge, actual: u32, since: Instant, now: Instant) -> Quota {
        match self {
            Self::Gcra(table) => table.settle(key, charge, actual, now),
            Self::Log(table) => table.settle(key, charge, actual, since, now),
            Self::Sketch(window) => window.give_back(key, now),
            Self::InFlight(table) => table.give_back(key, charge),
        }
    }
}
