//! What counts in this process.

use std::hash::RandomState;
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
            Self::Gcra(table) => table.settle(key, charge, actual, since, now),
            Self::Log(table) => table.settle(key, charge, actual, since, now),
            Self::Sketch(window) => window.give_back(key, now),
            Self::InFlight(table) => table.give_back(key, charge),
        }
    }

    /// The same of the share that each of `gateways` has of the quota. Of a sliding window that is the limit divided by them, but at
    /// least 1, and what costs more than the share costs all of it. What never stands in for Redis has no shares.
    pub(super) fn take_share(&self, key: &[u8], charge: Charge, gateways: u32, now: Instant) -> Counted {
        match self {
            Self::Gcra(table) => table.take_share(key, charge, gateways, now),
            Self::Log(table) => table.take(key, share(charge, gateways), now),
            Self::Sketch(_) | Self::InFlight(_) => self.take(key, charge, now),
        }
    }

    /// Uses up of such a share what was spent elsewhere, as far as it is there, of a key that is known by its hash alone.
    pub(super) fn charge_share(&self, hash: u64, charge: Charge, gateways: u32, now: Instant) {
        match self {
            Self::Gcra(table) => table.charge_share(hash, charge, gateways, now),
            // Nothing has such hashes.
            Self::Log(_) | Self::Sketch(_) | Self::InFlight(_) => {}
        }
    }

    /// What makes these hashes of keys.
    pub(super) const fn hasher(&self) -> Option<&RandomState> {
        match self {
            Self::Gcra(table) => Some(table.hasher()),
            Self::Log(_) | Self::Sketch(_) | Self::InFlight(_) => None,
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
            Self::Log(table) => table.settle(key, share(charge, gateways), actual, since, now),
            Self::Sketch(_) | Self::InFlight(_) => self.settle(key, charge, actual, since, now),
        }
    }
}

/// What of a window's limit each of `gateways` has.
fn share(charge: Charge, gateways: u32) -> Charge {
    Charge { limit: (charge.limit / gateways.max(1)).max(1), ..charge }
}

#[cfg(test)]
mod tests;
