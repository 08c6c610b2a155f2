//! What clients read of their quota, verdict by verdict.

use std::collections::BTreeMap;

use super::super::{AnsweredBy, Policies};
use super::*;
use crate::config::file::{RateLimitAlgorithm, RateLimitFile, RateLimitScope};
use crate::config::pattern::RateLimitKey;
use crate::config::values::Span;

fn policies(windows: &[(&str, u32, Span)]) -> Vec<Arc<Policy>> {
    let file = |limit, window| RateLimitFile::new(RateLimitScope::Local, limit, window, RateLimitKey::client_address());
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
    prepared(policies.into_iter().map(|policy| Listed { policy, standard: true, legacy: true, retry_after: true }))
}

fn prepared(listed: impl IntoIterator<Item = Listed>) -> QuotaHeaders {
    QuotaHeaders::prepare(&listed.into_iter().collect::<Vec<_>>()).expect("legal names")
}

const REFUSED: Outcome = Outcome::Refused { retry_after: Duration::from_secs(3) };

#[test]
fn only_the_kinds_of_fields_that_a_step_wants_are_sent() {
    let names = |standard, legacy, retry_after, outcome| {
        let policy = policies(&[("one", 100, Span::from_secs(60))]).remove(0);
        let headers = prepared([Listed { policy, standard, legacy, retry_after }]);
        written(&headers, &[verdict(outcome, 100, 0, 9000)]).into_keys().collect::<Vec<_>>().join(" ")
    };
    let legacy = "x-ratelimit-limit x-ratelimit-remaining x-ratelimit-reset";
    assert_eq!(names(true, true, true, REFUSED), format!("ratelimit ratelimit-policy retry-after {legacy}"));
    assert_eq!(names(true, false, true, REFUSED), "ratelimit ratelimit-policy retry-after");
    assert_eq!(names(false, true, true, REFUSED), format!("retry-after {legacy}"));
    assert_eq!(names(false, false, true, REFUSED), "retry-after");
    assert_eq!(names(false, false, false, REFUSED), "");
    assert_eq!(names(true, true, true, Outcome::Allowed), format!("ratelimit ratelimit-policy {legacy}"));
    assert_eq!(names(false, false, true, Outcome::Allowed), "");
    assert_eq!(
        names(false, false, false, Outcome::Unavailable),
        "retry-after",
        "that Redis is away is no secret of a quota"
    );
}

/// Of two steps on one route, each has its own say; of those that say something, the tightest comes first.
#[test]
fn what_one_step_keeps_to_itself_another_does_not_tell() {
    let policies = policies(&[("a", 100, Span::from_secs(60)), ("b", 50, Span::from_secs(60))]);
    let [a, b] = [&policies[0], &policies[1]].map(Arc::clone);
    let headers = prepared([
        Listed { policy: a, standard: true, legacy: false, retry_after: false },
        Listed { policy: b, standard: false, legacy: true, retry_after: true },
    ]);
    let fields = written(&headers, &[verdict(REFUSED, 100, 0, 9000), verdict(Outcome::Allowed, 50, 7, 4000)]);
    let told = |name: &str| fields.get(name).map(String::as_str);
    assert_eq!(told("ratelimit-policy"), Some(r#""a";q=100;w=60"#));
    assert_eq!(told("ratelimit"), Some(r#""a";r=0;t=9"#), "when the next one passes stands in no field");
    assert_eq!((told("x-ratelimit-limit"), told("x-ratelimit-remaining")), (Some("50"), Some("7")));
    assert_eq!(told("retry-after"), None);
}

#[test]
fn a_limit_that_is_another_for_each_request_is_told_as_it_is() {
    let json = serde_json::json!({
        "scope": "local", "limit": 10, "window": "1m", "key": "client_address",
        "limit_by": { "value": "claim.limit", "max": 1000 },
    });
    let files = BTreeMap::from([("plan".to_owned(), serde_json::from_value(json).expect("a policy"))]);
    let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime");
    let compiled = Policies::compile(&files, None, runtime.handle(), None).expect("legal");
    let plan = Arc::clone(compiled.get("plan").expect("compiled"));
    let fixed = policies(&[("fixed", 5, Span::from_secs(1))]).remove(0);
    let headers =
        prepared([fixed, plan].map(|policy| Listed { policy, standard: true, legacy: true, retry_after: true }));
    let fields = written(&headers, &[verdict(Outcome::Allowed, 5, 4, 1), verdict(Outcome::Allowed, 600, 3, 1)]);
    assert_eq!(fields["ratelimit-policy"], r#""fixed";q=5;w=1, "plan";q=600;w=60"#);
    assert_eq!(fields["x-ratelimit-limit"], "600");
    let fields = written(&headers, &[verdict(REFUSED, 5, 0, 1), None]);
    assert_eq!(fields["ratelimit-policy"], r#""fixed";q=5;w=1, "plan";q=10;w=60"#, "of whom nothing is known");
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
        ..RateLimitFile::new(RateLimitScope::Local, 8, Span::from_secs(1), RateLimitKey::client_address())
    };
    let policy = compiled(&[("at-once".to_owned(), file)].into()).remove(0);
    let headers = prepared([Listed { policy, standard: true, legacy: false, retry_after: true }]);
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
        assert_eq!(fields["ratelimit"], format!(r#""per-user";r=0;t={seconds}"#), "no later than `Retry-After`");
        assert_eq!(fields["x-ratelimit-reset"], "60", "until all is there again");
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
