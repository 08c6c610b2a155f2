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
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use prometheus::IntCounter;

use super::gcra::{Gcra, Quotas};
use super::verdict::{Charge, Counted, Decision, Quota};

/// Keys of a bucket: as many as fit into two cache lines beside the lock.
const PLACES: usize = 7;
/// Places for each key that is expected, in halves: with 2.5 a full bucket is rare (Poisson with mean 2.8).
const HALF_PLACES_PER_KEY: usize = 5;

/// The quotas of all keys of one policy.
pub(super) struct LocalTable {
    quotas: Quotas,
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
    pub(super) fn new(quotas: Quotas, max_keys: usize, no_room: IntCounter) -> Self {
        let buckets = max_keys.saturating_mul(HALF_PLACES_PER_KEY).div_ceil(2 * PLACES).max(1);
        let empty = || Bucket(Mutex::new(Places { keys: [0; PLACES], tats: [0; PLACES] }));
        Self {
            quotas,
            origin: Instant::now(),
            hasher: RandomState::default(),
            buckets: std::iter::repeat_with(empty).take(buckets).collect(),
            no_room,
        }
    }

    /// Takes `charge` from the quota of `key` at `now` if all of it is there.
    pub(super) fn take(&self, key: &[u8], charge: Charge, now: Instant) -> Counted {
        self.take_share(key, charge, 1, now)
    }

    /// The same of the share that each of `gateways` has of the quota.
    pub(super) fn take_share(&self, key: &[u8], charge: Charge, gateways: u32, now: Instant) -> Counted {
        let gcra = self.quotas.of(charge.limit).share(gateways, charge.cost);
        let decision = self.at(key, now, |places, key, now| places.take(gcra, charge.cost, key, now, &self.no_room));
        decision.counted(gcra.burst())
    }

    /// Puts right, at `now`, what was taken as `charge` at `since` and has cost `actual`; 0 gives it back.
    pub(super) fn settle(&self, key: &[u8], charge: Charge, actual: u32, since: Instant, now: Instant) -> Quota {
        self.settle_share(key, charge, actual, 1, since, now)
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
        let gcra = self.quotas.of(charge.limit).share(gateways, charge.cost);
        let age = micros(now.saturating_duration_since(since));
        let decision = self.at(key, now, |places, key, now| places.settle(gcra, charge.cost, actual, age, key, now));
        decision.quota(gcra.burst())
    }

    /// Uses up `charge` of such a share, which was spent elsewhere, as far as it is there. The key is known by its hash by
    /// [`Self::hasher`].
    pub(super) fn charge_share(&self, hash: u64, charge: Charge, gateways: u32, now: Instant) {
        let gcra = self.quotas.of(charge.limit).share(gateways, 1);
        self.at_hash(hash, now, |places, key, now| places.use_up(gcra, charge.cost, key, now, &self.no_room));
    }

    /// What makes hashes of keys.
    pub(super) const fn hasher(&self) -> &RandomState {
        &self.hasher
    }

    fn at(&self, key: &[u8], now: Instant, change: impl FnOnce(&mut Places, u64, u64) -> Decision) -> Decision {
        self.at_hash(self.hasher.hash_one(key), now, change)
    }

    fn at_hash(&self, hash: u64, now: Instant, change: impl FnOnce(&mut Places, u64, u64) -> Decision) -> Decision {
        let now = micros(now.saturating_duration_since(self.origin));
        match self.buckets.get(self.bucket_of(hash)) {
            Some(Bucket(places)) => change(&mut places.lock(), hash, now),
            // There is one for every hash.
            None => Decision { allowed: false, remaining: 0, reset: 0, wait: 1 },
        }
    }

    /// Which bucket: the upper bits spread evenly over any number of them (Lemire: Fast Random Integer Generation in an
    /// Interval, 2019).
    fn bucket_of(&self, hash: u64) -> usize {
        ((u128::from(hash) * self.buckets.len() as u128) >> 64) as usize
    }
}

impl Places {
    fn take(&mut self, gcra: Gcra, cost: u32, key: u64, now: u64, no_room: &IntCounter) -> Decision {
        let (place, is_own) = self.place_of(key);
        let tat = self.tats[place];
        if !is_own && tat > now {
            no_room.inc();
        }
        let decision = gcra.take(tat, cost, now);
        if decision.allowed {
            self.keys[place] = key;
            self.tats[place] = now + decision.reset;
        }
        decision
    }

    fn settle(&mut self, gcra: Gcra, cost: u32, actual: u32, age: u64, key: u64, now: u64) -> Decision {
        let (place, is_own) = self.place_of(key);
        // Whoever was put out has left his debt to another, and nothing is given back to that one.
        let cost = if is_own { cost } else { cost.min(actual) };
        let decision = gcra.settle(self.tats[place], cost, actual, age, now);
        if is_own || actual > cost {
            self.keys[place] = key;
            self.tats[place] = now + decision.reset;
        }
        decision
    }

    fn use_up(&mut self, gcra: Gcra, cost: u32, key: u64, now: u64, no_room: &IntCounter) -> Decision {
        let (place, is_own) = self.place_of(key);
        if !is_own && self.tats[place] > now {
            no_room.inc();
        }
        let decision = gcra.use_up(self.tats[place], cost, now);
        self.keys[place] = key;
        self.tats[place] = now + decision.reset;
        decision
    }

    /// The place of `key`, or else the one that a new key gets; and whether it is its own.
    fn place_of(&self, key: u64) -> (usize, bool) {
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
        (found.unwrap_or(least), found.is_some())
    }
}

/// Some hundred thousand years are enough.
fn micros(span: Duration) -> u64 {
    u64::try_from(span.as_micros()).unwrap_or(u64::MAX / 4)
}

#[cfg(test)]
mod tests;
