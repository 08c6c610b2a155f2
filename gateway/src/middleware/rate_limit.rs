//! Counts requests against policies and stops those who are over their quota.
//!
//! All policies of a step are asked together: a request that one of them refuses takes nothing from the others. What clients
//! are told of it is the route's: its quota headers cover all steps of its list.

mod figure;
mod key;

use std::sync::Arc;
use std::time::Instant;

use futures::FutureExt;
use pingora_http::RequestHeader;
use smallvec::SmallVec;

use super::{Flow, Middleware, Step};
use figure::Amount;
pub(crate) use key::told_apart;
use key::{CountsAs, Key};

use crate::config::file::{MissingKey, RouteFile};
use crate::ctx::RequestContext;
use crate::limit::{Ask, Charge, Charged, InFlight, Outcome, Policy, Verdict, decide, decide_at_once};
use crate::reply::Rejection;

/// The step that counts a request against a list of policies.
pub(crate) struct RateLimit {
    countings: Vec<Counting>,
    /// Whether Redis is asked for each request.
    waits: bool,
    /// Whether whoever is refused gets a problem document.
    document: bool,
}

/// What a request counts as for each policy, and what it takes; nothing for one that does not count it.
type Counts = SmallVec<[Option<(CountsAs, Charge)>; 4]>;

/// One policy, and what of a request it counts.
pub(crate) struct Counting {
    policy: Arc<Policy>,
    key: Key,
    cost: Amount,
    limit: Amount,
}

impl Counting {
    /// What `policy` counts of requests of `route`. With `told_apart`, what one provider says is not what another says.
    ///
    /// None when the route lacks a parameter of the key, which the check finds first.
    pub(crate) fn new(
        policy: Arc<Policy>,
        missing_key: MissingKey,
        told_apart: bool,
        route: &RouteFile,
    ) -> Option<Self> {
        let key = Key::new(policy.key(), missing_key, told_apart, route)?;
        let cost = Amount::cost(policy.cost(), policy.cost_by(), route);
        let limit = Amount::limit(policy.limit(), policy.limit_by(), route);
        Some(Self { policy, key, cost, limit })
    }

    /// What the request with this `head` counts as; none if it is not counted.
    ///
    /// # Errors
    /// When it is refused for the lack of a part of the key.
    fn key(&self, head: &RequestHeader, ctx: &RequestContext) -> Result<Option<CountsAs>, Rejection> {
        self.key.of(head, ctx).map(Some).or_else(|lacking| {
            self.policy.lacks_key();
            let without = self.key.without(&lacking, ctx);
            if self.policy.only_watches() { Ok(without.unwrap_or_default()) } else { without }
        })
    }

    /// What the request with this `head` takes.
    fn charge(&self, head: &RequestHeader, ctx: &RequestContext) -> Charge {
        Charge { cost: self.cost.of(head, ctx), limit: self.limit.of(head, ctx) }
    }
}

impl RateLimit {
    /// Counts against all of these. Whoever is refused gets a problem document or nothing beside the head.
    pub(crate) fn new(countings: Vec<Counting>, document: bool) -> Self {
        let waits = countings.iter().any(|Counting { policy, .. }| policy.is_shared() && !policy.is_leased());
        Self { countings, waits, document }
    }

    /// What a request counts as for each policy, and what it takes of that.
    ///
    /// # Errors
    /// When one, which is named, refuses it for the lack of a part of the key, before anything is taken.
    fn counts(&self, head: &RequestHeader, ctx: &RequestContext) -> Result<Counts, (Arc<Policy>, Rejection)> {
        let of_one = |counting: &Counting| {
            let key = counting.key(head, ctx).map_err(|rejection| (Arc::clone(&counting.policy), rejection))?;
            Ok(key.map(|key| (key, counting.charge(head, ctx))))
        };
        self.countings.iter().map(of_one).collect()
    }

    fn asks<'r>(&'r self, counts: &'r Counts) -> SmallVec<[Option<Ask<'r>>; 4]> {
        let countings = self.countings.iter().zip(counts);
        let ask = |(counting, count): (&'r Counting, &'r Option<(CountsAs, Charge)>)| {
            count.as_ref().map(|(key, charge)| Ask { policy: &counting.policy, key, charge: *charge })
        };
        countings.map(ask).collect()
    }

    /// What becomes of the request whose policies, asked no earlier than `since`, have answered `verdicts`.
    fn conclude(
        &self,
        counts: &Counts,
        verdicts: &[Option<Verdict>],
        since: Instant,
        ctx: &mut RequestContext,
    ) -> Flow {
        let mut flow = Flow::Continue;
        let mut charged = Vec::new();
        let asks = self.asks(counts);
        let judged = || self.countings.iter().zip(&asks).zip(verdicts);
        for ((counting, ask), verdict) in judged() {
            let (Some(ask), Some(verdict)) = (ask, verdict) else { continue };
            match self.rejection(&counting.policy, verdict) {
                Some(rejection) => {
                    flow = Flow::Reply(rejection);
                    ctx.limited_by = Some(Arc::clone(&counting.policy));
                }
                None => charged.extend(Charged::of(&counting.policy, ask, verdict, since)),
            }
        }
        self.note(verdicts, ctx);
        if matches!(flow, Flow::Continue) {
            ctx.charged.append(&mut charged);
            // Of what one has refused, all places have been given back.
            for ((counting, ask), verdict) in judged() {
                let (Some(ask), Some(verdict)) = (ask, verdict) else { continue };
                ctx.in_flight.extend(InFlight::of(&counting.policy, ask, verdict));
            }
        }
        flow
    }

    /// How the request is answered if its verdict holds it back.
    fn rejection(&self, policy: &Policy, verdict: &Verdict) -> Option<Rejection> {
        match verdict.outcome {
            _ if policy.only_watches() => None,
            Outcome::Allowed => None,
            Outcome::Refused { .. } if self.document => Some(Rejection::QuotaExceeded(policy.name().into())),
            Outcome::Refused { .. } => Some(Rejection::QuotaExceededBare),
            Outcome::Unavailable => Some(Rejection::LimiterUnavailable),
        }
    }

    /// Leaves in `ctx` what the log line and the quota headers have of it.
    fn note(&self, verdicts: &[Option<Verdict>], ctx: &mut RequestContext) {
        for (counting, verdict) in self.countings.iter().zip(verdicts) {
            let policy = &counting.policy;
            let would_refuse =
                policy.only_watches() && verdict.is_some_and(|verdict| verdict.outcome != Outcome::Allowed);
            if would_refuse {
                ctx.would_be_limited_by = Some(Arc::clone(policy));
            }
            if let Some(mode) = verdict.and_then(|verdict| verdict.answered_by.failure_mode()) {
                ctx.limit_mode = Some(mode);
            }
            ctx.verdicts.push(verdict.filter(|_| !policy.only_watches()));
        }
    }
}

impl Middleware for RateLimit {
    fn on_request<'a>(&'a self, head: &'a mut RequestHeader, ctx: &'a mut RequestContext) -> Step<'a> {
        let counts = match self.counts(head, ctx) {
            Ok(counts) => counts,
            Err((policy, rejection)) => {
                ctx.limited_by = Some(policy);
                return Step::Done(Flow::Reply(rejection));
            }
        };
        let since = Instant::now();
        // What counts here answers at once, and so do leases mostly, so that nothing has to be boxed.
        if !self.waits
            && let Some(verdicts) = decide_at_once(&self.asks(&counts), since)
        {
            return Step::Done(self.conclude(&counts, &verdicts, since, ctx));
        }
        let decided = async move {
            let verdicts = decide(&self.asks(&counts)).await;
            self.conclude(&counts, &verdicts, since, ctx)
        };
        Step::Wait(decided.boxed())
    }

    fn sees_responses(&self) -> bool {
        false
    }
}

#[cfg(test)]
mod tests;
