//! How many requests of one key are under way at once.
//!
//! There is a number for each key of which a request is under way, in shards with a lock each, and nothing for any other. A key
//! is known by a hash of 64 bits whose seed nobody outside knows. There is room for a fixed number of keys; while all of it is
//! taken, no request of another key passes, and those that are under way are counted as ever.

use std::hash::{BuildHasher as _, RandomState};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use hashbrown::HashTable;
use hashbrown::hash_table::Entry;
use parking_lot::Mutex;
use prometheus::IntCounter;

use super::policy::{Ask, Policy};
use super::verdict::{AnsweredBy, Charge, Counted, Outcome, Quota, Verdict};

/// More than there are threads, so that two rarely meet.
const SHARDS: usize = 64;
/// When a place will be given back, nobody knows.
const RETRY_AFTER: Duration = Duration::from_secs(1);

/// The requests of all keys of one policy that are under way.
pub(super) struct InFlightTable {
    hasher: RandomState,
    shards: Box<[Shard; SHARDS]>,
    /// Of which a request is under way.
    keys: AtomicUsize,
    max_keys: usize,
    /// Requests of keys for which there was no room.
    no_room: IntCounter,
}

#[derive(Default)]
#[repr(align(64))]
struct Shard(Mutex<HashTable<Key>>);

struct Key {
    hash: u64,
    /// What its requests that are under way count together; never zero.
    cost: u32,
}

/// A request's place among those of its key, given back when this is dropped: however the request ends.
pub struct InFlight {
    policy: Arc<Policy>,
    hash: u64,
    charge: Charge,
}

impl InFlightTable {
    /// Nothing under way, and room for `max_keys` keys, 12 to 28 bytes for each that once was there; `no_room` counts requests
    /// of others.
    pub(super) fn new(max_keys: usize, no_room: IntCounter) -> Self {
        let shards = Box::new(std::array::from_fn(|_| Shard::default()));
        Self { hasher: RandomState::default(), shards, keys: AtomicUsize::new(0), max_keys, no_room }
    }

    /// Lets a request of `key` begin if it fits below `charge`'s limit with those that are under way.
    pub(super) fn take(&self, key: &[u8], charge: Charge) -> Counted {
        let hash = self.hash(key);
        let Shard(shard) = self.shard(hash);
        let mut keys = shard.lock();
        let cost = usual_cost(charge);
        match keys.entry(hash, |key| key.hash == hash, |key| key.hash) {
            Entry::Occupied(mut entry) => {
                let key = entry.get_mut();
                if key.cost.saturating_add(cost) > charge.limit {
                    return refused(quota(charge, key.cost));
                }
                key.cost += cost;
                Counted { outcome: Outcome::Allowed, quota: quota(charge, key.cost) }
            }
            Entry::Vacant(entry) => {
                let room = |keys| (keys < self.max_keys).then_some(keys + 1);
                if self.keys.fetch_update(Ordering::Relaxed, Ordering::Relaxed, room).is_err() {
                    self.no_room.inc();
                    return refused(quota(charge, charge.limit));
                }
                entry.insert(Key { hash, cost });
                Counted { outcome: Outcome::Allowed, quota: quota(charge, cost) }
            }
        }
    }

    /// Says that a request of `key` that was let begin has ended, and what is left.
    pub(super) fn give_back(&self, key: &[u8], charge: Charge) -> Quota {
        self.end(self.hash(key), charge)
    }

    /// What all that is under way counts together, shard by shard.
    pub(super) fn under_way(&self) -> u64 {
        let costs = |Shard(shard): &Shard| shard.lock().iter().map(|key| u64::from(key.cost)).sum::<u64>();
        self.shards.iter().map(costs).sum()
    }

    fn end(&self, hash: u64, charge: Charge) -> Quota {
        let Shard(shard) = self.shard(hash);
        let mut keys = shard.lock();
        let Ok(mut entry) = keys.find_entry(hash, |key| key.hash == hash) else { return quota(charge, 0) };
        let key = entry.get_mut();
        key.cost = key.cost.saturating_sub(usual_cost(charge));
        let cost = key.cost;
        if cost == 0 {
            entry.remove();
            self.keys.fetch_sub(1, Ordering::Relaxed);
        }
        quota(charge, cost)
    }

    fn hash(&self, key: &[u8]) -> u64 {
        self.hasher.hash_one(key)
    }

    /// By bits that neither choose the place within it nor tell keys apart there.
    fn shard(&self, hash: u64) -> &Shard {
        const { assert!(SHARDS.is_power_of_two()) };
        &self.shards[(hash >> 40) as usize % SHARDS]
    }
}

impl InFlight {
    /// The place of a request that asked for one as `ask` says, if its policy counts what is under way and let it begin.
    #[must_use]
    pub fn of(policy: &Arc<Policy>, ask: &Ask<'_>, verdict: &Verdict) -> Option<Self> {
        let has_place = verdict.outcome == Outcome::Allowed && verdict.answered_by == AnsweredBy::Local;
        let table = policy.in_flight().filter(|_| has_place)?;
        Some(Self { policy: Arc::clone(policy), hash: table.hash(ask.key), charge: ask.charge })
    }
}

impl Drop for InFlight {
    fn drop(&mut self) {
        if let Some(table) = self.policy.in_flight() {
            table.end(self.hash, self.charge);
        }
    }
}

/// What costs more than the limit costs all of it.
fn usual_cost(charge: Charge) -> u32 {
    charge.cost.clamp(1, charge.limit.max(1))
}

fn quota(charge: Charge, cost: u32) -> Quota {
    Quota {
        limit: u64::from(charge.limit),
        remaining: u64::from(charge.limit.saturating_sub(cost)),
        reset: RETRY_AFTER,
    }
}

const fn refused(quota: Quota) -> Counted {
    Counted { outcome: Outcome::Refused { retry_after: RETRY_AFTER }, quota }
}

#[cfg(test)]
mod tests;
