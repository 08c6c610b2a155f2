//! The leases of all keys of one policy at this gateway.
//!
//! A map in shards, each with a lock of its own, which a request holds for one look at its key: where there are tokens, nothing
//! more happens, and nothing is allocated. Calls to Redis are made by tasks on the control runtime ([`calls`]): for each key at most
//! one that anybody waits for, and as many at once as the link lets be. Who needs tokens that are not there waits for the call,
//! within the link's deadline.
//!
//! The map has room for `max_keys` keys, of some 400 bytes each, and forgets those that have nothing and are not asked for. A
//! key for which there is no room has no lease: Redis is asked for each of its requests, as with scope `redis`.

mod calls;

use std::hash::{BuildHasher as _, RandomState};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};

use hashbrown::HashTable;
use parking_lot::Mutex;
use prometheus::IntCounter;
use tokio::runtime::Handle;
use tokio::sync::futures::OwnedNotified;
use tokio::sync::{Notify, Semaphore, oneshot};
use tokio::task::yield_now;
use tokio::time::{Instant as Deadline, timeout, timeout_at};
use tokio_util::sync::CancellationToken;

use self::calls::{Call, MOST_LATE, RETURNS_AT_ONCE, Return};
use super::batch::{GiveBack, Stamp};
use super::holding::{Answer, Holding};
use super::metrics::LeaseMetrics;
use super::terms::Terms;
use crate::limit::gcra::Quotas;
use crate::limit::here::Here;
use crate::limit::redis_link::RedisLink;
use crate::limit::script::redis_key;
use crate::limit::shared::MOST_SETTLING;
use crate::limit::verdict::{AnsweredBy, Charge, Decision, Quota, Verdict};

/// Threads that ask for different keys meet in one of so many.
const SHARDS: usize = 64;
/// Between two looks at all keys; a lease that lives shorter is over by then.
const SHORTEST_SWEEP: Duration = Duration::from_millis(10);
/// So often at least, unless there is so much to look at.
const LONGEST_SWEEP: Duration = Duration::from_millis(250);
/// Calls and looks at keys have the same thread: this many times as long as a look took, there is none.
const PAUSE_PER_SWEEP: u32 = 9;

/// The leases of one policy.
pub(in crate::limit) struct LeaseTable {
    leases: Arc<Leases>,
}

/// What a request gets without waiting.
pub(in crate::limit) enum AtOnce {
    Answer(Verdict),
    /// Redis did not answer just now.
    Unanswered,
    /// Only who waits knows. Nothing has been counted or taken.
    Waits,
}

struct Leases {
    link: Arc<RedisLink>,
    /// What counts while Redis is away, if anything does.
    share: Option<Arc<Here>>,
    control: Handle,
    quotas: Quotas,
    key_prefix: String,
    origin: Instant,
    hasher: RandomState,
    shards: [Shard; SHARDS],
    /// In all shards.
    keys: AtomicUsize,
    max_keys: usize,
    /// How many answers may be waited for that are late already.
    late: Semaphore,
    /// How many requests may have their cost put right in Redis at once.
    settling: Arc<Semaphore>,
    /// How many returns may be under way at once, so that a Redis that is back is not asked for all at once.
    returning: Semaphore,
    metrics: LeaseMetrics,
    /// Requests of keys for which there was no room.
    no_room: IntCounter,
}

#[derive(Default)]
#[repr(align(128))]
struct Shard(Mutex<HashTable<Entry>>);

/// A key, and the limit that its requests have: with another limit they have another lease.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Name {
    hash: u64,
    limit: u32,
}

struct Entry {
    name: Name,
    redis_key: Arc<str>,
    holding: Holding,
    /// Wakes those who wait for the call that is under way.
    answered: Arc<Notify>,
}

/// What a request does next.
enum Step {
    Answer(Verdict),
    Unanswered,
    /// Waits for the answer to its own call.
    Asked(oneshot::Receiver<Option<Verdict>>),
    /// Waits for somebody else's, and comes again.
    Wait(OwnedNotified),
    /// Asks for itself alone.
    Alone,
}

impl LeaseTable {
    /// An empty table, whose calls are made on `control`. What is spent is told to the `share` that counts while Redis is away.
    pub(in crate::limit) fn new(
        quotas: Quotas,
        max_keys: usize,
        (link, share): (Arc<RedisLink>, Option<Arc<Here>>),
        key_prefix: String,
        (metrics, no_room): (LeaseMetrics, IntCounter),
        control: &Handle,
    ) -> Self {
        // The share knows keys by these hashes.
        let hasher = share.as_ref().and_then(|share| share.hasher()).cloned().unwrap_or_default();
        let leases = Arc::new(Leases {
            link,
            share,
            control: control.clone(),
            quotas,
            key_prefix,
            origin: Instant::now(),
            hasher,
            shards: std::array::from_fn(|_| Shard::default()),
            keys: AtomicUsize::new(0),
            max_keys,
            late: Semaphore::new(MOST_LATE),
            settling: Arc::new(Semaphore::new(MOST_SETTLING)),
            returning: Semaphore::new(RETURNS_AT_ONCE),
            metrics,
            no_room,
        });
        let life = Duration::from_micros(Terms::of(quotas.usual()).life);
        let every = (life / 4).clamp(SHORTEST_SWEEP, LONGEST_SWEEP);
        leases.link.spawn_returning(control, |retired| sweep(Arc::downgrade(&leases), every, retired));
        Self { leases }
    }

    /// Takes `charge` from what is here of the quota of `key`, or refuses it, if that can be said at once.
    pub(in crate::limit) fn take_at_once(&self, key: &[u8], charge: Charge, now: Instant) -> AtOnce {
        let leases = &self.leases;
        let (name, now) = (leases.name(key, charge), leases.micros(now));
        let mut shard = leases.shard(name).0.lock();
        let Some(entry) = entry_of(&mut shard, name) else { return AtOnce::Waits };
        let cost = cost(charge, entry.holding.terms());
        if entry.holding.would_wait(cost, now) {
            return AtOnce::Waits;
        }
        let answer = entry.holding.request(cost, now);
        let verdict = entry.verdict(answer, now);
        let call = entry.call(answer);
        drop(shard);
        if let Some(call) = call {
            leases.make(call, None);
        }
        verdict.map_or(AtOnce::Unanswered, AtOnce::Answer)
    }

    /// Takes `charge` from the quota of `key`, within the link's deadline. None if Redis gives no answer.
    pub(in crate::limit) async fn take(&self, key: &[u8], charge: Charge) -> Option<Verdict> {
        let leases = &self.leases;
        let deadline = Deadline::now() + leases.link.settings().timeout();
        let mut has_waited = false;
        loop {
            match leases.step(key, charge, has_waited) {
                Step::Answer(verdict) => return Some(verdict),
                Step::Unanswered => return None,
                Step::Asked(answer) => return heard(answer, deadline).await,
                Step::Wait(answered) => timeout_at(deadline, answered).await.ok()?,
                Step::Alone => return heard(leases.ask_alone(key, charge), deadline).await,
            }
            has_waited = true;
        }
    }

    /// Has what was taken as `charge` of a lease have cost `actual`; 0 gives it back. Says what is left.
    pub(in crate::limit) fn settle(
        &self,
        key: &[u8],
        charge: Charge,
        spent: Stamp,
        actual: u32,
        now: Instant,
    ) -> Quota {
        let leases = &self.leases;
        let (name, now) = (leases.name(key, charge), leases.micros(now));
        let terms = Terms::of(leases.quotas.of(charge.limit));
        let (cost, actual) = (cost(charge, terms), u64::from(actual).min(terms.burst + terms.overdraft));
        let (unspent, more) = (cost.saturating_sub(actual), actual.saturating_sub(cost));
        let mut shard = leases.shard(name).0.lock();
        let (give_back, owed, quota) = match entry_of(&mut shard, name) {
            Some(Entry { holding, .. }) => {
                let give_back = (unspent > 0).then(|| holding.unspend(spent, unspent, now)).flatten();
                let owed = if more > 0 { holding.spend_more(more, now) } else { 0 };
                (give_back, owed, quota(terms, holding.quota(now)))
            }
            None => (GiveBack::of_request(terms, spent, unspent, now), more, quota(terms, (0, 0))),
        };
        drop(shard);
        if give_back.is_some() || owed > 0 {
            leases.settle_in_redis(name, key, terms, give_back, owed);
        }
        quota
    }
}

impl Drop for LeaseTable {
    fn drop(&mut self) {
        let leases = Arc::clone(&self.leases);
        self.leases.control.spawn(async move { leases.give_all_back().await });
    }
}

impl Leases {
    fn micros(&self, now: Instant) -> u64 {
        u64::try_from(now.saturating_duration_since(self.origin).as_micros()).unwrap_or(u64::MAX / 4)
    }

    fn name(&self, key: &[u8], charge: Charge) -> Name {
        Name { hash: self.hasher.hash_one(key), limit: charge.limit }
    }

    fn shard(&self, name: Name) -> &Shard {
        // The map within goes by the lower bits and by the uppermost seven.
        let [first, ..] = &self.shards;
        self.shards.get((name.hash >> 32) as usize % SHARDS).unwrap_or(first)
    }

    fn step(self: &Arc<Self>, key: &[u8], charge: Charge, has_waited: bool) -> Step {
        let (name, now) = (self.name(key, charge), self.micros(Instant::now()));
        let mut shard = self.shard(name).0.lock();
        if entry_of(&mut shard, name).is_none() && !self.make_room(&mut shard, name, key, now) {
            return Step::Alone;
        }
        let Some(entry) = entry_of(&mut shard, name) else { return Step::Alone };
        let cost = cost(charge, entry.holding.terms());
        let answer = if has_waited { entry.holding.again(cost, now) } else { entry.holding.request(cost, now) };
        if answer == Answer::Wait {
            // Made before the lock is given back, so that no answer is missed.
            return Step::Wait(Arc::clone(&entry.answered).notified_owned());
        }
        let (verdict, call) = (entry.verdict(answer, now), entry.call(answer));
        drop(shard);
        match (answer, call) {
            (Answer::Ask(_), Some(call)) => {
                let (waits, answer) = oneshot::channel();
                self.make(call, Some(waits));
                return Step::Asked(answer);
            }
            (_, Some(call)) => self.make(call, None),
            (_, None) => {}
        }
        verdict.map_or(Step::Unanswered, Step::Answer)
    }

    /// Puts a key without anything into `shard`, if there is room and anything of it can be leased.
    fn make_room(&self, shard: &mut HashTable<Entry>, name: Name, key: &[u8], now: u64) -> bool {
        let terms = Terms::of(self.quotas.of(name.limit));
        if !terms.can_be_leased() {
            return false;
        }
        if self.keys.fetch_add(1, Ordering::Relaxed) >= self.max_keys {
            self.keys.fetch_sub(1, Ordering::Relaxed);
            self.no_room.inc();
            return false;
        }
        let redis_key = redis_key(&self.key_prefix, key).into();
        let entry = Entry { name, redis_key, holding: Holding::new(terms, now), answered: Arc::default() };
        shard.insert_unique(name.hash, entry, |entry| entry.name.hash);
        true
    }

    /// Gives back what is not asked for any more, and forgets keys that have nothing.
    async fn sweep(&self) -> Vec<Return> {
        self.walk(Holding::tick, Holding::is_forgettable).await
    }

    /// Gives back everything.
    async fn give_all_back(&self) {
        let returns = self.walk(Holding::give_back, |_, _| false).await;
        self.give_back(returns).await;
    }

    /// Looks at all keys once, and lets calls go first after each shard: takes what `next` gives back of each, until there is
    /// none, and forgets it then if it `is_over`.
    async fn walk(
        &self,
        next: impl Fn(&mut Holding, u64) -> Option<GiveBack>,
        is_over: impl Fn(&Holding, u64) -> bool,
    ) -> Vec<Return> {
        let mut returns = Vec::new();
        for shard in &self.shards {
            if self.keys.load(Ordering::Relaxed) == 0 {
                break;
            }
            self.look(shard, &next, &is_over, &mut returns);
            yield_now().await;
        }
        returns
    }

    fn look(
        &self,
        shard: &Shard,
        next: impl Fn(&mut Holding, u64) -> Option<GiveBack>,
        is_over: impl Fn(&Holding, u64) -> bool,
        returns: &mut Vec<Return>,
    ) {
        let time = Instant::now();
        let (now, mut spent) = (self.micros(time), Vec::new());
        let mut shard = shard.0.lock();
        let before = shard.len();
        shard.retain(|entry| {
            while let Some(give_back) = next(&mut entry.holding, now) {
                let (redis_key, terms) = (Arc::clone(&entry.redis_key), entry.holding.terms());
                returns.push(Return { redis_key, terms, give_back });
            }
            let tally = entry.holding.tally();
            self.metrics.add(tally);
            if tally.spent > 0 && self.share.is_some() {
                spent.push((entry.name, tally.spent));
            }
            !is_over(&entry.holding, now)
        });
        self.keys.fetch_sub(before - shard.len(), Ordering::Relaxed);
        drop(shard);
        spent.into_iter().for_each(|(name, tokens)| self.remember(name, tokens, time));
    }
}

impl Entry {
    fn verdict(&self, answer: Answer, now: u64) -> Option<Verdict> {
        let (spent, wait) = match answer {
            Answer::Pass { spent, .. } => (Some(spent), 0),
            Answer::Refuse { retry_after } => (None, retry_after),
            Answer::Ask(_) | Answer::Wait | Answer::Unanswered => return None,
        };
        Some(verdict(self.holding.terms(), spent, wait, self.holding.quota(now)))
    }

    fn call(&self, answer: Answer) -> Option<Call> {
        match answer {
            Answer::Ask(ask) | Answer::Pass { ask: Some(ask), .. } => {
                let (name, terms) = (self.name, self.holding.terms());
                Some(Call { name, redis_key: Arc::clone(&self.redis_key), terms, ask })
            }
            _ => None,
        }
    }
}

/// What a call brings until `deadline`. From then on that is for others, unless it has come just now.
async fn heard(mut answer: oneshot::Receiver<Option<Verdict>>, deadline: Deadline) -> Option<Verdict> {
    if let Ok(answer) = timeout_at(deadline, &mut answer).await {
        return answer.ok().flatten();
    }
    answer.close();
    answer.try_recv().ok().flatten()
}

fn entry_of(shard: &mut HashTable<Entry>, name: Name) -> Option<&mut Entry> {
    shard.find_mut(name.hash, |entry| entry.name == name)
}

/// What costs more than the whole quota costs all of it.
fn cost(charge: Charge, terms: Terms) -> u64 {
    u64::from(charge.cost).min(terms.burst)
}

fn verdict(terms: Terms, spent: Option<Stamp>, wait: u64, (remaining, reset): (u64, u64)) -> Verdict {
    let remaining = if spent.is_some() { remaining } else { 0 };
    let decision = Decision { allowed: spent.is_some(), remaining, reset, wait };
    decision.counted(terms.burst).by(AnsweredBy::Lease(spent.unwrap_or_default()))
}

const fn quota(terms: Terms, (remaining, reset): (u64, u64)) -> Quota {
    Quota { limit: terms.burst, remaining, reset: Duration::from_micros(reset) }
}

/// Looks at all keys again and again, until the link is retired, and then gives everything back.
async fn sweep(leases: Weak<Leases>, every: Duration, retired: CancellationToken) {
    let mut pause = every;
    while timeout(pause, retired.cancelled()).await.is_err() {
        let Some(leases) = leases.upgrade() else { return };
        let began = Instant::now();
        let returns = leases.sweep().await;
        pause = every.max(began.elapsed() * PAUSE_PER_SWEEP);
        leases.give_back(returns).await;
    }
    if let Some(leases) = leases.upgrade() {
        leases.give_all_back().await;
    }
}

#[cfg(test)]
mod tests;
