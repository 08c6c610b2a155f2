//! What counts in this process.

use std::time::Instant;

use super::local::LocalTable;
use super::verdict::{Charge, Counted, Quota};
use super::window::SlidingWindow;

/// The quotas of one policy, kept in this process.
pub(super) enum Here {
    /// Exactly.
    Gcra(LocalTable),
    /// By an estimate. It knows neither costs nor limits of single requests, and the check has let none through.
    Sketch(SlidingWindow),
}

impl Here {
    /// Takes `charge` from the quota of `key` at `now` if all of it is there.
    pub(super) fn take(&self, key: &[u8], charge: Charge, now: Instant) -> Counted {
        match self {
            Self::Gcra(table) => table.take(key, charge, now),
            Self::Sketch(window) => window.take(key, now),
        }
    }

    /// Puts right, at `now`, what was taken as `charge` at `since` and has cost `actual`, and says what is left; 0 gives it back.
    pub(super) fn settle(&self, key: &[u8], charge: Charge, actual: u32, since: Instant, now: Instant) -> Quota {
        match self {
            Self::Gcra(table) => table.settle(key, charge, actual, since, now),
            Self::Sketch(window) => window.give_back(key, now),
        }
    }

    /// The same of the share that each of `gateways` has of the quota.
    pub(super) fn take_share(&self, key: &[u8], charge: Charge, gateways: u32, now: Instant) -> Counted {
        match self {
            Self::Gcra(table) => table.take_share(key, charge, gateways, now),
            Self::Sketch(window) => window.take(key, now),
        }
    }

    /// The same of what was taken of such a share.
    pub(super) fn settle_share(
        &self,
        key: &[u8],
        charge: Charge,
        actual: u32,
        gateways: u32,
        since: Instant,
        now: Instant,
    ) -> Quota {
        match self {
            Self::Gcra(table) => table.settle_share(key, charge, actual, gateways, since, now),
            Self::Sketch(window) => window.give_back(key, now),
        }
    }
}
