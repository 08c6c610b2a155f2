//! Tells clients their quota: verdicts to header fields.
//!
//! `RateLimit-Policy` and `RateLimit` are those of draft-ietf-httpapi-ratelimit-headers-10 (structured fields, RFC 9651);
//! `X-RateLimit-*` carry the tightest policy's numbers for older clients. All times are in whole seconds, rounded up, so
//! that nobody who waits that long comes too early.

use std::cmp::Reverse;
use std::sync::Arc;
use std::time::Duration;

use http::header::{InvalidHeaderValue, RETRY_AFTER};
use http::{HeaderName, HeaderValue};
use smallvec::SmallVec;

use super::policy::Policy;
use super::verdict::{Outcome, Quota, Verdict};

const RATE_LIMIT: HeaderName = HeaderName::from_static("ratelimit");
const RATE_LIMIT_POLICY: HeaderName = HeaderName::from_static("ratelimit-policy");
const X_RATE_LIMIT_LIMIT: HeaderName = HeaderName::from_static("x-ratelimit-limit");
const X_RATE_LIMIT_REMAINING: HeaderName = HeaderName::from_static("x-ratelimit-remaining");
const X_RATE_LIMIT_RESET: HeaderName = HeaderName::from_static("x-ratelimit-reset");

/// What `Retry-After` says when a policy fails closed: long enough for the next attempts to reach Redis.
const RETRY_UNAVAILABLE_AFTER: Duration = Duration::from_secs(1);

/// The header fields for one list of policies, as far as they are the same for all requests.
pub struct QuotaHeaders {
    /// That of each policy that clients are told of.
    told: Vec<Option<Member>>,
    policy: Option<HeaderValue>,
}

/// One policy's member of `RateLimit`.
struct Member {
    /// `"name";r=`.
    begin: Box<str>,
    /// Whether there is a time at which the quota is whole again.
    has_time: bool,
}

/// A policy of the list, and whether clients are told of it. Those who are refused always learn how long to wait.
pub struct Listed {
    /// The policy.
    pub policy: Arc<Policy>,
    /// Whether responses carry its quota.
    pub told: bool,
}

impl QuotaHeaders {
    /// Prepares the fields of requests that are counted against `policies` in this order.
    ///
    /// # Errors
    /// Never for policies that were compiled: their names are legal in a header.
    pub fn prepare(policies: &[Listed]) -> Result<Self, InvalidHeaderValue> {
        let members: Vec<String> =
            policies.iter().filter(|listed| listed.told).map(|listed| policy_member(&listed.policy)).collect();
        let member = |Listed { policy, told }: &Listed| {
            let begin = || format!(r#""{}";r="#, policy.name()).into();
            told.then(|| Member { begin: begin(), has_time: policy.in_flight().is_none() })
        };
        let told = policies.iter().map(member).collect();
        let policy = (!members.is_empty()).then(|| HeaderValue::from_str(&members.join(", "))).transpose()?;
        Ok(Self { told, policy })
    }

    /// Hands each field to `set`. `verdicts` are those of the prepared policies, in their order, as far as there are any.
    pub fn write(&self, verdicts: &[Option<Verdict>], mut set: impl FnMut(HeaderName, HeaderValue)) {
        if let Some(policy) = &self.policy {
            set(RATE_LIMIT_POLICY, policy.clone());
        }
        let told = self.told.iter().zip(verdicts);
        let mut counted: SmallVec<[_; 4]> = told
            .filter_map(|(member, verdict)| {
                Some((member.as_ref()?, verdict.as_ref()?.outcome, verdict.as_ref()?.quota?))
            })
            .collect();
        counted.sort_by_key(|(_, outcome, quota)| tightness(*outcome, *quota));
        if let Some((_, _, tightest)) = counted.first() {
            set(X_RATE_LIMIT_LIMIT, decimal(tightest.limit));
            set(X_RATE_LIMIT_REMAINING, decimal(tightest.remaining));
            set(X_RATE_LIMIT_RESET, decimal(whole_seconds(tightest.reset)));
        }
        let mut members = Vec::with_capacity(64 * counted.len());
        for (member, _, quota) in counted {
            let separator: &[u8] = if members.is_empty() { b"" } else { b", " };
            members.extend_from_slice(separator);
            members.extend_from_slice(member.begin.as_bytes());
            members.extend_from_slice(itoa::Buffer::new().format(quota.remaining).as_bytes());
            if member.has_time {
                members.extend_from_slice(b";t=");
                members.extend_from_slice(itoa::Buffer::new().format(whole_seconds(quota.reset)).as_bytes());
            }
        }
        if !members.is_empty()
            && let Ok(value) = HeaderValue::from_bytes(&members)
        {
            set(RATE_LIMIT, value);
        }
        if let Some(wait) = retry_after(verdicts) {
            set(RETRY_AFTER, HeaderValue::from(whole_seconds(wait).max(1)));
        }
    }
}

/// How long a client should wait before it asks again; none if every policy allowed the request.
#[must_use]
pub fn retry_after(verdicts: &[Option<Verdict>]) -> Option<Duration> {
    let wait = |verdict: &Verdict| match verdict.outcome {
        Outcome::Allowed => None,
        Outcome::Refused { retry_after } => Some(retry_after),
        Outcome::Unavailable => Some(RETRY_UNAVAILABLE_AFTER),
    };
    verdicts.iter().flatten().filter_map(wait).max()
}

/// Sorts the quota that ends first to the front: what refused, then what has least left, for the longest time.
const fn tightness(outcome: Outcome, quota: Quota) -> (bool, u64, Reverse<Duration>) {
    (matches!(outcome, Outcome::Allowed), quota.remaining, Reverse(quota.reset))
}

/// `"name";q=100;w=60`; without `w` when the window is no whole number of seconds, which the field cannot say, and with a unit
/// of its own in place of it when requests are counted that are under way.
fn policy_member(policy: &Policy) -> String {
    let (name, limit, window) = (policy.name(), policy.limit(), policy.window());
    match window.subsec_nanos() {
        _ if policy.in_flight().is_some() => format!(r#""{name}";q={limit};qu="concurrent-requests""#),
        0 => format!(r#""{name}";q={limit};w={}"#, window.as_secs()),
        _ => format!(r#""{name}";q={limit}"#),
    }
}

/// `number` in digits. `HeaderValue::from` leaves room for the largest one, and so takes two allocations.
fn decimal(number: u64) -> HeaderValue {
    HeaderValue::from_str(itoa::Buffer::new().format(number)).unwrap_or_else(|_| HeaderValue::from(number))
}

fn whole_seconds(span: Duration) -> u64 {
    span.as_secs() + u64::from(span.subsec_nanos() > 0)
}

#[cfg(test)]
mod tests;
