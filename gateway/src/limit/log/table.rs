//! The logs of all keys of one policy in this process: exact while there is room, never forgetful when there is not.
//!
//! As in [`local`](super::super::local), a key stands with its hash in one of the [`PLACES`] of a bucket that follows from the
//! hash, whose seed nobody outside knows, and each bucket has a lock of its own. A place whose log is at rest is free without
//! anybody clearing it; the memory of its log goes when somebody new comes to the bucket.
//!
//! **When a bucket is full**, new keys are counted together, in one log that the bucket has beside those of its places. Once
//! a place is free, the next of them gets it, *with a copy of that log*: what he may have had in it he has still. So no key is
//! ever counted too little: a flood of others cannot make the gateway forget anybody, and who has a place is counted exactly.
//! New keys in a full bucket are counted too much, by what all of them have used. With as many live keys as
//! [`LogTable::new`] was given, one bucket in a hundred is full.
//!
//! **Time** goes forward in each bucket: who has read the clock before another and comes later passes when the other did.

use std::hash::{BuildHasher as _, RandomState};
use std::time::Instant;

use parking_lot::Mutex;
use prometheus::IntCounter;

use super::{Entry, Log, Window};
use crate::limit::verdict::{Charge, Counted, Decision, Quota};

/// Keys of a bucket.
const PLACES: usize = 7;
/// Places for each key that is expected, in halves: with 2.5 a full bucket is rare (Poisson with mean 2.8).
const HALF_PLACES_PER_KEY: usize = 5;

/// The quotas of all keys of one policy.
pub(in crate::limit) struct LogTable {
    window: Window,
    origin: Instant,
    hasher: RandomState,
    buckets: Box<[Mutex<Bucket>]>,
    /// Requests of keys that had no place of their own.
    no_room: IntCounter,
}

#[derive(Default)]
struct Bucket {
    /// Hashes of the keys; 0 is a key like any other.
    keys: [u64; PLACES],
    logs: [Log; PLACES],
    /// That of all keys that have no place.
    others: Log,
    /// When it was last asked, in microseconds since the table's origin.
    latest: u64,
}

impl LogTable {
    /// An empty table for about `max_keys` live keys, of some 150 bytes each and 8 to 16 for each request within the window;
    /// `no_room` counts requests of others.
    pub(in crate::limit) fn new(window: Window, max_keys: usize, no_room: IntCounter) -> Self {
        let buckets = max_keys.saturating_mul(HALF_PLACES_PER_KEY).div_ceil(2 * PLACES).max(1);
        Self {
            window,
            origin: Instant::now(),
            hasher: RandomState::default(),
            buckets: std::iter::repeat_with(Mutex::default).take(buckets).collect(),
            no_room,
        }
    }

    /// Takes `charge` from the quota of `key` at `now` if all of it is there.
    pub(in crate::limit) fn take(&self, key: &[u8], charge: Charge, now: Instant) -> Counted {
        let now = self.micros(now);
        self.at(key, |bucket, key| bucket.take(self.window, key, charge, now, &self.no_room))
            .counted(u64::from(charge.limit))
    }

    /// Puts right, at `now`, what was taken as `charge` at `since` and has cost `actual`; 0 gives it back.
    pub(in crate::limit) fn settle(
        &self,
        key: &[u8],
        charge: Charge,
        actual: u32,
        since: Instant,
        now: Instant,
    ) -> Quota {
        let (since, now) = (self.micros(since), self.micros(now));
        self.at(key, |bucket, key| bucket.settle(self.window, key, charge, actual, since, now))
            .quota(u64::from(charge.limit))
    }

    fn micros(&self, at: Instant) -> u64 {
        u64::try_from(at.saturating_duration_since(self.origin).as_micros()).unwrap_or(u64::MAX).min(Entry::LATEST)
    }

    fn at(&self, key: &[u8], change: impl FnOnce(&mut Bucket, u64) -> Decision) -> Decision {
        let hash = self.hasher.hash_one(key);
        // The upper bits spread evenly over any number of buckets (Lemire: Fast Random Integer Generation in an Interval, 2019).
        let bucket = ((u128::from(hash) * self.buckets.len() as u128) >> 64) as usize;
        match self.buckets.get(bucket) {
            Some(bucket) => change(&mut bucket.lock(), hash),
            // There is one for every hash.
            None => Decision { allowed: false, remaining: 0, reset: 0, wait: 1 },
        }
    }
}

impl Bucket {
    fn take(&mut self, window: Window, key: u64, charge: Charge, now: u64, no_room: &IntCounter) -> Decision {
        let now = self.forward(now);
        if let Some(own) = self.own(key) {
            return own.take(window, charge, now);
        }
        let free = self.free(window, now);
        let is_alone = free.is_some() && self.others.is_at_rest(window, now);
        if !is_alone {
            no_room.inc();
        }
        let decision = self.others.take(window, charge, now);
        if decision.allowed
            && let Some((owner, log)) = free.and_then(|place| self.keys.get_mut(place).zip(self.logs.get_mut(place)))
        {
            *owner = key;
            if is_alone {
                *log = std::mem::take(&mut self.others);
            } else {
                *log = self.others.clone();
                self.others.settle(window, charge, 0, now, now);
            }
        }
        decision
    }

    fn settle(&mut self, window: Window, key: u64, charge: Charge, actual: u32, since: u64, now: u64) -> Decision {
        let now = self.forward(now);
        let log = match self.own(key) {
            Some(own) => own,
            // Whoever has no place has it among the others, or nothing any more.
            None => &mut self.others,
        };
        log.settle(window, charge, actual, since, now)
    }

    /// The log of `key`, if it has one of its own.
    fn own(&mut self, key: u64) -> Option<&mut Log> {
        let place = self.keys.iter().position(|owner| *owner == key)?;
        self.logs.get_mut(place)
    }

    /// A place that a new key may have. The memory of all that are free goes.
    fn free(&mut self, window: Window, now: u64) -> Option<usize> {
        let mut free = None;
        for (place, log) in self.logs.iter_mut().enumerate() {
            if log.is_at_rest(window, now) {
                *log = Log::default();
                free = Some(place);
            }
        }
        free
    }

    fn forward(&mut self, now: u64) -> u64 {
        self.latest = self.latest.max(now);
        self.latest
    }
}

#[cfg(test)]
mod tests;
