//! What a request was charged before it was known what it costs.

use std::sync::Arc;
use std::time::Instant;

use http::{HeaderMap, StatusCode};

use super::policy::{Ask, Policy};
use super::verdict::{AnsweredBy, Charge, Outcome, Verdict};

/// A charge that the answer makes final. If it never is, the request has cost what it was charged.
pub struct Charged {
    policy: Arc<Policy>,
    key: Box<[u8]>,
    charge: Charge,
    answered_by: AnsweredBy,
    /// When it was asked for.
    since: Instant,
    /// When Redis has charged it, by Redis' clock.
    at: Option<u64>,
    /// What the upstream has said of it.
    told: Option<u32>,
}

impl Charged {
    /// What a request was charged as `key`, asked for no earlier than `since`, if it passed and its answer has something to say
    /// of that.
    #[must_use]
    pub fn of(policy: &Arc<Policy>, ask: &Ask<'_>, verdict: &Verdict, since: Instant) -> Option<Self> {
        let is_final = policy.late().is_none() || verdict.outcome != Outcome::Allowed;
        (!is_final).then(|| Self {
            policy: Arc::clone(policy),
            key: ask.key.into(),
            charge: ask.charge,
            answered_by: verdict.answered_by,
            since,
            at: verdict.at,
            told: None,
        })
    }

    /// Reads what an upstream's answer says of the cost: a whole number. Anything else says nothing.
    pub fn read(&mut self, headers: &HeaderMap) {
        let Some((name, most)) = self.policy.late().and_then(|late| late.header.as_ref()) else { return };
        let cost = headers.get(name).and_then(|value| value.to_str().ok()?.trim().parse::<u64>().ok());
        self.told = cost.map(|cost| u32::try_from(cost).unwrap_or(u32::MAX).min(*most));
    }

    /// Puts the charge right, now that the request was answered with `status`. One that nobody waited for counts.
    pub fn settle(&self, status: Option<StatusCode>) {
        let Some(late) = self.policy.late() else { return };
        let counts =
            |status: StatusCode| late.only_statuses.is_empty() || late.only_statuses.contains(&status.as_u16());
        let actual = if status.is_none_or(counts) { self.told.unwrap_or(self.charge.cost) } else { 0 };
        if actual == self.charge.cost {
            return;
        }
        let ask = Ask { policy: &self.policy, key: &self.key, charge: self.charge };
        match self.answered_by {
            from @ (AnsweredBy::Local | AnsweredBy::LocalShare | AnsweredBy::Lease(_)) => {
                // Nobody is told any more what is left.
                let _ = ask.settle_here(from, actual, self.since, Instant::now());
            }
            AnsweredBy::Redis => self.at.into_iter().for_each(|at| ask.settle_in_redis(actual, at)),
            AnsweredBy::Open | AnsweredBy::Closed => {}
        }
    }
}
