//! Counts requests against policies and stops those who are over their quota.
//!
//! What clients are told of it is the route's: its quota headers cover all steps of its list.

use std::net::IpAddr;
use std::sync::Arc;

use futures::FutureExt;
use pingora_http::RequestHeader;

use super::{Flow, Middleware, Step};
use crate::client_addr::ClientAddr;
use crate::config::pattern::RateLimitKey;
use crate::ctx::RequestContext;
use crate::limit::{AnsweredBy, Outcome, Policy, Verdict};
use crate::reply::Rejection;

/// IPv6 addresses are counted by the network that one customer usually has: who has one address of it has all.
const IPV6_PREFIX: u32 = 64;

/// The step that counts a request against a list of policies, in order, until one refuses.
pub(crate) struct RateLimit {
    policies: Vec<Arc<Policy>>,
    /// Whether any of the policies is counted in Redis.
    waits: bool,
}

impl RateLimit {
    /// Counts against `policies`.
    pub(crate) fn new(policies: Vec<Arc<Policy>>) -> Self {
        let waits = policies.iter().any(|policy| policy.is_shared());
        Self { policies, waits }
    }

    async fn decide(&self, ctx: &mut RequestContext) -> Flow {
        for policy in &self.policies {
            let verdict = take(policy, ctx).await;
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
    fn on_request<'a>(&'a self, _head: &'a mut RequestHeader, ctx: &'a mut RequestContext) -> Step<'a> {
        if self.waits {
            return Step::Wait(self.decide(ctx).boxed());
        }
        // Local policies answer at the first poll, so that nothing has to be boxed.
        match self.decide(ctx).now_or_never() {
            Some(flow) => Step::Done(flow),
            None => Step::Done(Flow::Reply(Rejection::LimiterUnavailable)),
        }
    }

    fn sees_responses(&self) -> bool {
        false
    }
}

/// Takes from the quota of the request's key. A request without the claim is counted by its address, never not at all.
async fn take(policy: &Policy, ctx: &RequestContext) -> Verdict {
    if let RateLimitKey::Claim(name) = policy.key()
        && let Some(claim) = ctx.identity.as_ref().and_then(|identity| identity.claim(name))
    {
        return policy.take(claim.as_bytes()).await;
    }
    policy.take(&address_key(ctx.client)).await
}

/// The client's network behind a byte that no text has, so that no claim can be made to count as somebody's address.
fn address_key(client: ClientAddr) -> [u8; 17] {
    let addr = match network(client.get()) {
        IpAddr::V4(addr) => addr.to_ipv6_mapped(),
        IpAddr::V6(addr) => addr,
    };
    let mut key = [0xFF; 17];
    key[1..].copy_from_slice(&addr.octets());
    key
}

fn network(client: IpAddr) -> IpAddr {
    match client.to_canonical() {
        IpAddr::V4(addr) => addr.into(),
        IpAddr::V6(addr) => IpAddr::V6((u128::from(addr) & (u128::MAX << (128 - IPV6_PREFIX))).into()),
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
mod tests {
    use super::*;
    use crate::client_addr::PeerAddr;

    #[test]
    fn clients_are_counted_by_network() {
        let network = |text: &str| network(text.parse().expect("an address")).to_string();
        assert_eq!(network("192.0.2.7"), "192.0.2.7");
        assert_eq!(network("::ffff:192.0.2.7"), "192.0.2.7");
        assert_eq!(network("2001:db8:1:2:3:4:5:6"), "2001:db8:1:2::");
    }

    #[test]
    fn no_claim_counts_as_an_address() {
        for addr in ["97.98.99.100", "6162:6364:6566:6768::"] {
            let key = address_key(PeerAddr::new(addr.parse().expect("an address")).into());
            assert!(std::str::from_utf8(&key).is_err(), "{addr}");
        }
    }
}
