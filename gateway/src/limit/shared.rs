//! What counts in Redis, for all gateways together, and what stands in for it.

use std::sync::Arc;
use std::time::Instant;

use tokio::runtime::Handle;

use super::exact::Exact;
use super::here::Here;
use super::metrics::PolicyMetrics;
use super::redis_link::RedisLink;
use super::script::{self, Line, redis_key};
use super::settings::OnFailure;
use super::verdict::{AnsweredBy, Charge, Counted, Decision, Outcome, Quota, Verdict};

/// One policy's quotas in Redis.
pub(super) struct Shared {
    link: Arc<RedisLink>,
    quotas: Exact,
    key_prefix: String,
    fallback: Fallback,
    /// Where calls are made that no request waits for.
    control: Handle,
}

/// What answers while Redis does not.
pub(super) enum Fallback {
    Open,
    Closed,
    Local(Here),
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
            OnFailure::Local { max_keys } => Fallback::Local(quotas.table(max_keys, metrics.no_room())),
        };
        Self { link, quotas, key_prefix, fallback, control: control.clone() }
    }

    pub(super) const fn link(&self) -> &Arc<RedisLink> {
        &self.link
    }

    pub(super) const fn fallback(&self) -> &Fallback {
        &self.fallback
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

    /// Puts right in Redis, soon, what was taken as `line` at `since`, by Redis' clock, and has cost `actual`. If Redis is away by then, it stays as it is:
    /// counted too much rather than too little.
    pub(super) fn settle(&self, line: Line, actual: u32, since: u64) {
        let link = Arc::clone(&self.link);
        self.control.spawn(async move { link.run::<()>(&script::settle(&line, actual, since)).await.ok() });
    }
}

impl Fallback {
    pub(super) fn take(&self, key: &[u8], charge: Charge, now: Instant) -> Verdict {
        match self {
            Self::Open => Verdict { outcome: Outcome::Allowed, quota: None, answered_by: AnsweredBy::Open, at: None },
            Self::Closed => {
                Verdict { outcome: Outcome::Unavailable, quota: None, answered_by: AnsweredBy::Closed, at: None }
            }
            Self::Local(here) => here.take(key, charge, now).by(AnsweredBy::Local),
        }
    }

    pub(super) fn settle(
        &self,
        key: &[u8],
        charge: Charge,
        actual: u32,
        since: Instant,
        now: Instant,
    ) -> Option<Quota> {
        match self {
            Self::Open | Self::Closed => None,
            Self::Local(here) => Some(here.settle(key, charge, actual, since, now)),
        }
    }
}
