//! Counts requests against policies and stops those who are over their quota.
//!
//! What clients are told of it is the route's: its quota headers cover all steps of its list.

mod key;

use std::sync::Arc;

use futures::FutureExt;
use pingora_http::RequestHeader;

use super::{Flow, Middleware, Step};
pub(crate) use key::{Key, told_apart};

use crate::ctx::RequestContext;
use crate::limit::{AnsweredBy, Outcome, Policy};
use crate::reply::Rejection;

/// The step that counts a request against a list of policies, in order, until one refuses.
pub(crate) struct RateLimit {
    policies: Vec<(Arc<Policy>, Key)>,
    /// Whether any of the policies is counted in Redis.
    waits: bool,
}

impl RateLimit {
    /// Counts against `policies`, by the key of each.
    pub(crate) fn new(policies: Vec<(Arc<Policy>, Key)>) -> Self {
        let waits = policies.iter().any(|(policy, _)| policy.is_shared());
        Self { policies, waits }
    }

    async fn decide(&self, head: &RequestHeader, ctx: &mut RequestContext) -> Flow {
        for (policy, key) in &self.policies {
            let key = match key.of(head, ctx) {
                Ok(Some(key)) => key,
                Ok(None) => continue,
                Err(rejection) => return Flow::Reply(rejection),
            };
            let verdict = policy.take(&key).await;
            ctx.verdicts.push(verdict);
            if policy.is_shared() && verdict.answered_by != AnsweredBy::Redis {
                ctx.limited_by = Some(mode(verdict.answered_by));
            }
            match verdict.outcome {
                Outcome::Allowed => {}
                Outcome::Refused { .. } => return Flow::Reply(Rejection::QuotaExceeded(policy.name().into())),
                Outcome::Unavailable => return Flow::Reply(Rejection::LimiterUnavailable),
            }
        }
        Flow::Continue
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
