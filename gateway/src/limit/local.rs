//! Counts requests per key in this process: exactly, in a table of fixed size.
//!
//! A key's state is one number, its TAT (see [`Gcra`]). It stands with the key's hash in one of the [`PLACES`] places of a
//! bucket, which follows from the hash; nobody outside knows the hash's seed. Each bucket has a lock of its own, held for
//! one look at its two cache lines, so threads meet only over the same few keys. A place whose quota is whole again says
//! nothing, and so is free without anybody clearing it.
//!
//! **When a bucket is full**, the new key takes the place of the key that is nearest to a whole quota, *with its TAT*: the
//! "Space-Saving" rule (Metwally, Agrawal, El Abbadi: Efficient Computation of Frequent and Top-k Elements in Data Streams,
//! 2005), for quotas that come back. Whoever is put out comes back with at least the TAT he had, since the least TAT of a
//! bucket never falls. So no key is ever counted too little: a flood of addresses cannot make the gateway forget anybody,
//! and who is over his limit stays where he is. A new key in a full bucket is counted too much, by what the most moderate of
//! the bucket's keys has used. With as many live keys as [`LocalTable::new`] was given, one bucket in a hundred is full.

use std::hash::{BuildHasher as _, RandomState};
use std::time::Instant;

use parking_lot::Mutex;
use prometheus::IntCounter;

use super::gcra::Gcra;
use super::verdict::Counted;

/// Keys of a bucket: as many as fit into two cache lines beside the lock.
const PLACES: usize = 7;
/// Places for each key that is expected, in halves: with 2.5 a full bucket is rare (Poisson with mean 2.8).
const HALF_PLACES_PER_KEY: usize = 5;

/// The quotas of all keys of one policy.
pub(super) struct LocalTable {
    gcra: Gcra,
    origin: Instant,
    hasher: RandomState,
    buckets: Box<[Bucket]>,
    /// Requests of keys that had no place of their own.
    no_room: IntCounter,
}

#[repr(align(128))]
struct Bucket(Mutex<Places>);

#[derive(Clone, Copy)]
struct Places {
    /// Hashes of the keys; 0 is a key like any other.
    keys: [u64; PLACES],
    /// Microseconds since the table's origin.
    tats: [u64; PLACES],
}

impl LocalTable {
    /// An empty table for about `max_keys` live keys, of some 45 bytes each; `no_room` counts requests of others.
    pub(super) fn new(gcra: Gcra, max_keys: usize, no_room: IntCounter) -> Self {
        let buckets = max_keys.saturating_mul(HALF_PLACES_PER_KEY).div_ceil(2 * PLACES).max(1);
        let empty = || Bucket(Mutex::new(Places { keys: [0; PLACES], tats: [0; PLACES] }));
        Self {
            gcra,
            origin: Instant::now(),
            hasher: RandomState::default(),
            buckets: std::iter::repeat_with(empty).take(buckets).collect(),
            no_room,
        }
    }

    /// Counts a request of `key` at `now` if it may pass.
    pub(super) fn take(&self, key: &[u8], now: Instant) -> Counted {
        let hash = self.hasher.hash_one(key);
        let now = u64::try_from(now.saturating_duration_since(self.origin).as_micros()).unwrap_or(u64::MAX / 2);
        let Some(Bucket(places)) = self.buckets.get(self.bucket_of(hash)) else {
            // There is one for every hash.
            return self.gcra.counted(self.gcra.take(u64::MAX, now));
        };
        let decision = places.lock().take(self.gcra, hash, now, &self.no_room);
        self.gcra.counted(decision)
    }

    /// Which bucket: the upper bits spread evenly over any number of them (Lemire: Fast Random Integer Generation in an
    /// Interval, 2019).
    fn bucket_of(&self, hash: u64) -> usize {
        ((u128::from(hash) * self.buckets.len() as u128) >> 64) as usize
    }
}

impl Places {
    fn take(&mut self, gcra: Gcra, key: u64, now: u64, no_room: &IntCounter) -> super::gcra::Decision {
        let mut least = 0;
        let mut found = None;
        for (place, (owner, tat)) in self.keys.iter().zip(&self.tats).enumerate() {
            if *owner == key {
                found = Some(place);
            }
            if *tat < self.tats[least] {
                least = place;
            }
        }
        let place = found.unwrap_or(least);
        if found.is_none() && self.tats[place] > now {
            no_room.inc();
        }
        let decision = gcra.take(self.tats[place], now);
        if let Some(tat) = decision.moved_to(now) {
            self.keys[place] = key;
            self.tats[place] = tat;
        }
        decision
    }
}

#[cfg(test)]
mod tests;
