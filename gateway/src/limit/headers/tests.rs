//! What clients read of their quota, verdict by verdict.

use std::collections::BTreeMap;

use super::super::{AnsweredBy, Policies};
use super::*;
use crate::config::file::{RateLimitAlgorithm, RateLimitFile, RateLimitScope};
use crate::config::pattern::RateLimitKey;
use crate::config::values::Span;

fn policies(windows: &[(&str, u32, Span)]) -> Vec<Arc<Policy>> {
    let file = |limit, window| RateLimitFile::new(RateLimitScope::Local, limit, window, RateLimitKey::ClientAddress);
    let files: BTreeMap<_, _> =
        windows.iter().map(|&(name, limit, window)| (name.to_owned(), file(limit, window))).collect();
    let compiled = compiled(&files);
    let place = |name: &str| files.keys().position(|key| key == name).expect("a file");
    windows.iter().map(|(name, ..)| Arc::clone(&compiled[place(name)])).collect()
}

/// The policies of `files`, by their names.
fn compiled(files: &BTreeMap<String, RateLimitFile>) -> Vec<Arc<Policy>> {
    let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime");
    let compiled = Policies::compile(files, None, runtime.handle(), None).expect("legal");
    files.keys().map(|name| Arc::clone(compiled.get(name).expect("compiled"))).collect()
}

fn two_policies() -> QuotaHeaders {
    let policies = policies(&[("per-user", 100, Span::from_secs(60)), ("burst", 5, Span::from_millis(1500))]);
    let listed: Vec<_> = policies.into_iter().map(|policy| Listed { policy, told: true }).collect();
    QuotaHeaders::prepare(&listed).expect("legal names")
}

#[test]
fn a_policy_that_is_not_told_shows_only_in_how_long_to_wait() {
    let policies = policies(&[("hidden", 100, Span::from_secs(60))]);
    let listed = [Listed { policy: Arc::clone(&policies[0]), told: false }];
    let headers = QuotaHeaders::prepare(&listed).expect("legal names");
    assert!(written(&headers, &[verdict(Outcome::Allowed, 100, 1, 1000)]).is_empty());
    let refused = Outcome::Refused { retry_after: Duration::from_secs(3) };
    let fields = written(&headers, &[verdict(refused, 100, 0, 1000)]);
    assert_eq!(fields.into_iter().collect::<Vec<_>>(), [("retry-after".to_owned(), "3".to_owned())]);
}

fn verdict(outcome: Outcome, limit: u64, remaining: u64, reset_millis: u64) -> Option<Verdict> {
    let quota = Quota { limit, remaining, reset: Duration::from_millis(reset_millis) };
    Some(Verdict { outcome, quota: Some(quota), answered_by: AnsweredBy::Local, at: None })
}

fn written(headers: &QuotaHeaders, verdicts: &[Option<Verdict>]) -> BTreeMap<String, String> {
    let mut fields = BTreeMap::new();
    headers.write(verdicts, |name, value| {
        let earlier = fields.insert(name.to_string(), value.to_str().expect("visible ASCII").to_owned());
        assert_eq!(earlier, None, "{name} is set once");
    });
    fields
}

#[test]
fn the_tightest_policy_comes_first_and_gives_the_plain_numbers() {
    let verdicts = [verdict(Outcome::Allowed, 100, 50, 29_001), verdict(Outcome::Allowed, 5, 4, 400)];
    let expected = [
        ("ratelimit", r#""burst";r=4;t=1, "per-user";r=50;t=30"#),
        ("ratelimit-policy", r#""per-user";q=100;w=60, "burst";q=5"#),
        ("x-ratelimit-limit", "5"),
        ("x-ratelimit-remaining", "4"),
        ("x-ratelimit-reset", "1"),
    ];
    assert_eq!(
        written(&two_policies(), &verdicts),
        expected.map(|(name, value)| (name.to_owned(), value.to_owned())).into()
    );
}

#[test]
fn of_requests_in_flight_no_time_is_told_and_their_unit_is() {
    let file = RateLimitFile {
        algorithm: Some(RateLimitAlgorithm::InFlight),
        window: None,
        ..RateLimitFile::new(RateLimitScope::Local, 8, Span::from_secs(1), RateLimitKey::ClientAddress)
    };
    let listed = [Listed { policy: compiled(&[("at-once".to_owned(), file)].into()).remove(0), told: true }];
    let headers = QuotaHeaders::prepare(&listed).expect("legal names");
    let fields = written(&headers, &[verdict(Outcome::Refused { retry_after: Duration::from_secs(1) }, 8, 0, 1000)]);
    assert_eq!(fields["ratelimit-policy"], r#""at-once";q=8;qu="concurrent-requests""#);
    assert_eq!((&*fields["ratelimit"], &*fields["retry-after"]), (r#""at-once";r=0"#, "1"));
}

#[test]
fn a_refusal_says_when_to_come_back_rounded_up() {
    let refused = |millis| Outcome::Refused { retry_after: Duration::from_millis(millis) };
    for (millis, seconds) in [(1, "1"), (1000, "1"), (1001, "2")] {
        let fields = written(&two_policies(), &[verdict(refused(millis), 100, 0, 60_000)]);
        assert_eq!(fields["retry-after"], seconds);
        assert_eq!(fields["ratelimit"], r#""per-user";r=0;t=60"#);
    }
}

#[test]
fn a_quota_that_nobody_counted_is_not_invented() {
    let open = Verdict { outcome: Outcome::Allowed, quota: None, answered_by: AnsweredBy::Open, at: None };
    assert_eq!(written(&two_policies(), &[Some(open)]).into_keys().collect::<Vec<_>>(), ["ratelimit-policy"]);
    let closed = Verdict { outcome: Outcome::Unavailable, quota: None, answered_by: AnsweredBy::Closed, at: None };
    let fields = written(&two_policies(), &[Some(closed)]);
    assert_eq!(fields.get("retry-after").map(String::as_str), Some("1"));
    assert_eq!(fields.get("ratelimit"), None);
}
