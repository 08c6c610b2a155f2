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
    members: Box<[Member]>,
    /// `RateLimit-Policy`, unless a limit is another for each request.
    policy: Option<HeaderValue>,
}

/// A policy of the list, and what clients are told of it.
pub struct Listed {
    /// The policy.
    pub policy: Arc<Policy>,
    /// In `RateLimit` and `RateLimit-Policy`.
    pub standard: bool,
    /// In `X-RateLimit-*`.
    pub legacy: bool,
    /// How long to wait, if it refuses.
    pub retry_after: bool,
}

/// What of one policy is the same for all requests.
struct Member {
    /// None if it stands in neither `RateLimit` nor `RateLimit-Policy`.
    standard: Option<Texts>,
    legacy: bool,
    retry_after: bool,
    /// Requests per window, where nothing says otherwise.
    limit: u32,
    /// Whether something may say otherwise.
    is_told: bool,
}

/// The texts around the numbers.
struct Texts {
    /// `"name";r=`
    remaining: Box<str>,
    /// `"name";q=`
    quota: Box<str>,
    /// `;w=60`; nothing when the window is no whole number of seconds, which the field cannot say, and a unit of its own in place
    /// of it when requests are counted that are under way.
    window: Box<str>,
    /// Whether there is a time at which there is more.
    has_time: bool,
}

impl QuotaHeaders {
    /// Prepares the fields of requests that are counted against `policies` in this order.
    ///
    /// # Errors
    /// Never for policies that were compiled: their names are legal in a header.
    pub fn prepare(policies: &[Listed]) -> Result<Self, InvalidHeaderValue> {
        let members: Box<[Member]> = policies.iter().map(Member::of).collect();
        let is_fixed = !members.iter().any(|member| member.is_told && member.standard.is_some());
        let text = policy_field(&members, &[]);
        let policy = HeaderValue::from_bytes(&text)?;
        Ok(Self { members, policy: Some(policy).filter(|_| is_fixed) })
    }

    /// Hands each field to `set`. `verdicts` are those of the prepared policies, in their order, as far as there are any.
    pub fn write(&self, verdicts: &[Option<Verdict>], mut set: impl FnMut(HeaderName, HeaderValue)) {
        let policy =
            self.policy.clone().or_else(|| HeaderValue::from_bytes(&policy_field(&self.members, verdicts)).ok());
        if let Some(policy) = policy.filter(|policy| !policy.is_empty()) {
            set(RATE_LIMIT_POLICY, policy);
        }
        let judged =
            || self.members.iter().zip(verdicts).filter_map(|(member, verdict)| Some((member, verdict.as_ref()?)));
        let mut counted: SmallVec<[_; 4]> =
            judged().filter_map(|(member, verdict)| Some((member, verdict.outcome, verdict.quota?))).collect();
        counted.sort_by_key(|(_, outcome, quota)| tightness(*outcome, *quota));
        if let Some((_, _, tightest)) = counted.iter().find(|(member, ..)| member.legacy) {
            set(X_RATE_LIMIT_LIMIT, decimal(tightest.limit));
            set(X_RATE_LIMIT_REMAINING, decimal(tightest.remaining));
            set(X_RATE_LIMIT_RESET, decimal(whole_seconds(tightest.reset)));
        }
        let told = counted.iter().filter(|(member, ..)| member.standard.is_some()).count();
        let mut field = Vec::with_capacity(64 * told);
        for (member, outcome, quota) in &counted {
            let Some(texts) = &member.standard else { continue };
            begin(&mut field, &texts.remaining);
            put(&mut field, quota.remaining);
            if texts.has_time {
                field.extend_from_slice(b";t=");
                put(&mut field, member.until_more(*outcome, *quota));
            }
        }
        if !field.is_empty()
            && let Ok(value) = HeaderValue::from_bytes(&field)
        {
            set(RATE_LIMIT, value);
        }
        if let Some(wait) = judged().filter_map(|(member, verdict)| member.wait(verdict)).max() {
            set(RETRY_AFTER, HeaderValue::from(whole_seconds(wait).max(1)));
        }
    }
}

impl Member {
    fn of(listed: &Listed) -> Self {
        let Listed { policy, standard, legacy, retry_after } = listed;
        let (name, window) = (policy.name(), policy.window());
        let is_in_flight = policy.in_flight().is_some();
        let window = || match window.subsec_nanos() {
            _ if is_in_flight => r#";qu="concurrent-requests""#.into(),
            0 => format!(";w={}", window.as_secs()).into(),
            _ => "".into(),
        };
        let texts = || Texts {
            remaining: format!(r#""{name}";r="#).into(),
            quota: format!(r#""{name}";q="#).into(),
            window: window(),
            has_time: !is_in_flight,
        };
        Self {
            standard: standard.then(texts),
            legacy: *legacy,
            retry_after: *retry_after,
            limit: policy.limit(),
            is_told: policy.limit_by().is_some(),
        }
    }

    /// How long a client should wait before it asks again; none if the policy let the request pass, or keeps it to itself.
    fn wait(&self, verdict: &Verdict) -> Option<Duration> {
        match verdict.outcome {
            Outcome::Allowed => None,
            Outcome::Refused { retry_after } => Some(retry_after).filter(|_| self.retry_after),
            // Says nothing of anybody's quota.
            Outcome::Unavailable => Some(RETRY_UNAVAILABLE_AFTER),
        }
    }

    /// Seconds until there is more (section 4.1.2 of the draft). Who was let through is told when all is there again, so that
    /// nobody takes what is left for a rate (section 8.5); who was not, when the next request passes, so that `Retry-After`
    /// is no earlier (section 6).
    fn until_more(&self, outcome: Outcome, quota: Quota) -> u64 {
        match outcome {
            Outcome::Refused { retry_after } if self.retry_after => whole_seconds(retry_after).max(1),
            _ => whole_seconds(quota.reset),
        }
    }

    /// Requests per window, for the request with this `verdict`. A policy whose limit may be another has no burst beside it.
    fn limit(&self, verdict: Option<&Verdict>) -> u64 {
        let told = verdict.filter(|_| self.is_told).and_then(|verdict| verdict.quota);
        told.map_or(u64::from(self.limit), |quota| quota.limit)
    }
}

/// `"name";q=100;w=60`, policy by policy, in the order of the file.
fn policy_field(members: &[Member], verdicts: &[Option<Verdict>]) -> Vec<u8> {
    let mut field = Vec::new();
    let mut verdicts = verdicts.iter();
    for member in members {
        let verdict = verdicts.next().and_then(Option::as_ref);
        let Some(texts) = &member.standard else { continue };
        begin(&mut field, &texts.quota);
        put(&mut field, member.limit(verdict));
        field.extend_from_slice(texts.window.as_bytes());
    }
    field
}

/// Begins the next member of a list.
fn begin(field: &mut Vec<u8>, text: &str) {
    let separator: &[u8] = if field.is_empty() { b"" } else { b", " };
    field.extend_from_slice(separator);
    field.extend_from_slice(text.as_bytes());
}

fn put(field: &mut Vec<u8>, number: u64) {
    field.extend_from_slice(itoa::Buffer::new().format(number).as_bytes());
}

/// Sorts the quota that ends first to the front: what refused, then what has least left, for the longest time.
const fn tightness(outcome: Outcome, quota: Quota) -> (bool, u64, Reverse<Duration>) {
    (matches!(outcome, Outcome::Allowed), quota.remaining, Reverse(quota.reset))
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
