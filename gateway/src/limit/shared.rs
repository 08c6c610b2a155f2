//! What counts in Redis, for all gateways together, and what stands in for it.

use std::sync::Arc;
use std::time::Instant;

use tokio::runtime::Handle;
use tokio::sync::Semaphore;

use super::exact::Exact;
use super::gcra::Quotas;
use super::here::Here;
use super::lease::LeaseTable;
use super::metrics::PolicyMetrics;
use super::redis_link::RedisLink;
use super::script::{self, Line, redis_key};
use super::settings::OnFailure;
use super::verdict::{AnsweredBy, Charge, Counted, Decision, Outcome, Quota, Verdict};

/// How many calls of a policy that no request waits for may be under way. More wait for an answer only where Redis is about to
/// count as down.
pub(super) const MOST_SETTLING: usize = 1024;

/// One policy's quotas in Redis.
pub(super) struct Shared {
    link: Arc<RedisLink>,
    quotas: Exact,
    key_prefix: String,
    fallback: Fallback,
    /// Where calls are made that no request waits for.
    control: Handle,
    /// How many of them may be under way.
    settling: Arc<Semaphore>,
}

/// One policy's quotas in Redis, leased.
pub(super) struct Leased {
    table: LeaseTable,
    shared: Shared,
}

/// What answers while Redis does not.
enum Fallback {
    Open,
    Closed,
    /// Counts this gateway's share.
    LocalShare(Arc<Here>),
}

impl Shared {
    pub(super) fn new(
        name: &str,
        quotas: Exact,
        on_failure: OnFailure,
        link: Arc<RedisLink>,
        metrics: &PolicyMetrics,
        control: &Handle,
    ) -> Self {
        let key_prefix = format!("{}:limit:{name}:", link.settings().key_prefix());
        let fallback = match on_failure {
            OnFailure::Open => Fallback::Open,
            OnFailure::Closed => Fallback::Closed,
            OnFailure::LocalShare { max_keys } => {
                Fallback::LocalShare(Arc::new(quotas.table(max_keys, metrics.no_room())))
            }
        };
        let settling = Arc::new(Semaphore::new(MOST_SETTLING));
        Self { link, quotas, key_prefix, fallback, control: control.clone(), settling }
    }

    pub(super) const fn link(&self) -> &Arc<RedisLink> {
        &self.link
    }

    /// What Redis is asked for `charge` of the quota of `key`.
    pub(super) fn line(&self, key: &[u8], charge: Charge, only_watches: bool) -> Line {
        let counts_by = self.quotas.counts_by(charge.limit);
        Line { key: redis_key(&self.key_prefix, key), counts_by, cost: charge.cost, only_watches }
    }

    /// A decision of Redis' in words.
    pub(super) fn counted(&self, charge: Charge, decision: Decision) -> Counted {
        decision.counted(self.quotas.most(charge.limit))
    }

    /// Puts right in Redis, soon, what was taken as `line` at `since`, by Redis' clock, and has cost `actual`. If Redis is away by
    /// then, or behind with too many of these, it stays as it is: what was to be given back counts too much, and what has cost more
    /// than was thought, too little.
    pub(super) fn settle(&self, line: Line, actual: u32, since: u64) {
        let Ok(permit) = Arc::clone(&self.settling).try_acquire_owned() else { return };
        let link = Arc::clone(&self.link);
        self.control.spawn(async move {
            // It has been logged, once for all, if there is no answer.
            let _ = link.run::<()>(&script::settle(&line, actual, since)).await;
            drop(permit);
        });
    }

    /// Charges this gateway's share with what Redis has let pass.
    pub(super) fn remember(&self, key: &[u8], charge: Charge, now: Instant) {
        if let Fallback::LocalShare(here) = &self.fallback {
            // A share that is used up stays so.
            here.take_share(key, charge, self.link.live_gateways(), now);
        }
    }

    /// What the failure mode answers.
    pub(super) fn fall_back(&self, key: &[u8], charge: Charge, now: Instant) -> Verdict {
        match &self.fallback {
            Fallback::Open => {
                Verdict { outcome: Outcome::Allowed, quota: None, answered_by: AnsweredBy::Open, at: None }
            }
            Fallback::Closed => {
                Verdict { outcome: Outcome::Unavailable, quota: None, answered_by: AnsweredBy::Closed, at: None }
            }
            Fallback::LocalShare(here) => {
                let gateways = self.link.live_gateways();
                here.take_share(key, charge, gateways, now).by(AnsweredBy::LocalShare { gateways })
            }
        }
    }

    /// What is left once what the failure mode took at `since`, its share being one of `gateways`, has cost `actual`.
    pub(super) fn settle_fallback(
        &self,
        key: &[u8],
        charge: Charge,
        actual: u32,
        gateways: u32,
        (since, now): (Instant, Instant),
    ) -> Option<Quota> {
        match &self.fallback {
            Fallback::Open | Fallback::Closed => None,
            Fallback::LocalShare(here) => Some(here.settle_share(key, charge, actual, gateways, since, now)),
        }
    }
}

impl Leased {
    /// `shared`, which counts by `quotas`, with leases for at most `max_keys` keys.
    pub(super) fn new(shared: Shared, quotas: Quotas, max_keys: usize, metrics: &PolicyMetrics) -> Self {
        let Shared { link, key_prefix, control, fallback, .. } = &shared;
        let share = match fallback {
            Fallback::LocalShare(here) => Some(Arc::clone(here)),
            Fallback::Open | Fallback::Closed => None,
        };
        let counters = (metrics.lease().clone(), metrics.no_room().clone());
        let stands_in = (Arc::clone(link), share);
        let table = LeaseTable::new(quotas, max_keys, stands_in, key_prefix.clone(), counters, control);
        Self { table, shared }
    }

    pub(super) const fn table(&self) -> &LeaseTable {
        &self.table
    }

    /// The same without leases.
    pub(super) const fn shared(&self) -> &Shared {
        &self.shared
    }
}
