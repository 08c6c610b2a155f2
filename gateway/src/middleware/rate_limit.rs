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

use crate::config::file::RouteFile;
use crate::ctx::RequestContext;
use crate::limit::{AnsweredBy, Ask, Charge, Charged, InFlight, Outcome, Policy, Verdict, decide};
use crate::reply::Rejection;

/// The step that counts a request against a list of policies.
pub(crate) struct RateLimit {
    countings: Vec<Counting>,
    /// Whether any of the policies is counted in Redis.
    waits: bool,
    /// Whether of any of them only the answer says what a request has cost.
    is_late: bool,
}

/// One policy, and what of a request it counts.
pub(crate) struct Counting {
    policy: Arc<Policy>,
    key: Key,
    cost: Amount,
    limit: Amount,
}

impl Counting {
    /// What `policy` counts of requests of `route`. With `told_apart`, what one provider says is not what another says.
    pub(crate) fn new(policy: Arc<Policy>, told_apart: bool, route: &RouteFile) -> Self {
        let key = Key::new(policy.key(), told_apart, route);
        let cost = Amount::new(policy.cost(), policy.cost_by(), route);
        let limit = Amount::new(policy.limit(), policy.limit_by(), route);
        Self { policy, key, cost, limit }
    }

    /// What the request with this `head`, which counts as `key`, asks of the policy.
    fn ask<'r>(&'r self, key: &'r CountsAs<'_>, head: &RequestHeader, ctx: &RequestContext) -> Ask<'r> {
        let charge = Charge { cost: self.cost.of(head, ctx), limit: self.limit.of(head, ctx) };
        Ask { policy: &self.policy, key: key.as_ref(), charge }
    }
}

impl RateLimit {
    /// Counts against all of these.
    pub(crate) fn new(countings: Vec<Counting>) -> Self {
        let waits = countings.iter().any(|counting| counting.policy.is_shared());
        let is_late = countings.iter().any(|counting| counting.policy.is_late());
        Self { countings, waits, is_late }
    }

    async fn decide(&self, head: &RequestHeader, ctx: &mut RequestContext) -> Flow {
        let keys: SmallVec<[_; 4]> = self.countings.iter().map(|counting| counting.key.of(head, ctx)).collect();
        let countings = self.countings.iter().zip(&keys);
        let asks: SmallVec<[_; 4]> = countings.map(|(counting, key)| Some(counting.ask(key, head, ctx))).collect();
        let since = if self.is_late { Instant::now() } else { ctx.started };
        let verdicts = decide(&asks).await;
        let mut flow = Flow::Continue;
        let (mut charged, mut in_flight) = (Vec::new(), Vec::new());
        for ((counting, ask), verdict) in self.countings.iter().zip(&asks).zip(&verdicts) {
            let (Some(ask), Some(verdict)) = (ask, verdict) else { continue };
            match rejection(&counting.policy, verdict) {
                Some(rejection) => flow = Flow::Reply(rejection),
                None => charged.extend(Charged::of(&counting.policy, ask.key, ask.charge, verdict, since)),
            }
        }
        // Of what one has refused, all places have been given back.
        if matches!(flow, Flow::Continue) {
            for ((counting, ask), verdict) in self.countings.iter().zip(&asks).zip(&verdicts) {
                let (Some(ask), Some(verdict)) = (ask, verdict) else { continue };
                in_flight.extend(InFlight::of(&counting.policy, ask.key, ask.charge, verdict));
            }
        }
        drop(asks);
        drop(keys);
        self.note(&verdicts, ctx);
        if matches!(flow, Flow::Continue) {
            ctx.charged.append(&mut charged);
            ctx.in_flight.append(&mut in_flight);
        }
        flow
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
            if let Some(verdict) =
                verdict.filter(|verdict| policy.is_shared() && verdict.answered_by != AnsweredBy::Redis)
            {
                ctx.limited_by = Some(mode(verdict.answered_by));
            }
            ctx.verdicts.push(verdict.filter(|_| !policy.only_watches()));
        }
    }
}

/// How the request is answered if its verdict holds it back.
fn rejection(policy: &Policy, verdict: &Verdict) -> Option<Rejection> {
    match verdict.outcome {
        _ if policy.only_watches() => None,
        Outcome::Allowed => None,
        Outcome::Refused { .. } => Some(Rejection::QuotaExceeded(policy.name().into())),
        Outcome::Unavailable => Some(Rejection::LimiterUnavailable),
    }
}

impl Middleware for RateLimit {
    fn on_request<'a>(&'a self, head: &'a mut RequestHeader, ctx: &'a mut RequestContext) -> Step<'a> {
        if self.waits {
            return Step::Wait(self.decide(head, ctx).boxed());
        }
        // Local policies answer at the first poll, so that nothing has to be boxed.
        match self.decide(head, ctx).now_or_never() {
            Some(flow) => Step::Done(flow),
            None => Step::Done(Flow::Reply(Rejection::LimiterUnavailable)),
        }
    }

    fn sees_responses(&self) -> bool {
        false
    }
}

const fn mode(answered_by: AnsweredBy) -> &'static str {
    match answered_by {
        AnsweredBy::Redis => "redis",
        AnsweredBy::Local => "local",
        AnsweredBy::Open => "open",
        AnsweredBy::Closed => "closed",
    }
}

#[cfg(test)]
mod tests;
