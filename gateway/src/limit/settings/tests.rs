//! What of a policy cannot be.

use super::*;
use crate::config::values::Span;

#[test]
fn a_policy_that_cannot_be_is_refused_for_what_is_wrong_with_it() {
    let good = || {
        let day = Span::from_secs(24 * 60 * 60);
        let file = RateLimitFile::new(RateLimitScope::Redis, 2, day, RateLimitKey::client_address());
        RateLimitFile { on_redis_failure: Some(RedisFailureMode::Open), ..file }
    };
    let local = || RateLimitFile { scope: RateLimitScope::Local, on_redis_failure: None, ..good() };
    let sketch = || RateLimitFile { algorithm: Some(RateLimitAlgorithm::Sketch), ..local() };
    let log_of = |limit| RateLimitFile { limit, algorithm: Some(RateLimitAlgorithm::SlidingWindow), ..local() };
    let log = || log_of(2);
    let in_flight = || RateLimitFile { algorithm: Some(RateLimitAlgorithm::InFlight), window: None, ..local() };
    let cases = [
        ("per \"user\"", local(), PolicyProblem::Name),
        ("", local(), PolicyProblem::Name),
        ("größe", local(), PolicyProblem::Name),
        ("api", RateLimitFile { limit: 0, ..local() }, PolicyProblem::Zero("limit")),
        ("api", RateLimitFile { window: Some(Span::from_secs(0)), ..local() }, PolicyProblem::Window),
        ("api", RateLimitFile { window: Some(Span::from_secs(u64::MAX)), ..local() }, PolicyProblem::Window),
        ("api", RateLimitFile { burst: Some(0), ..good() }, PolicyProblem::Zero("burst")),
        (
            "api",
            RateLimitFile { limit: 1_000_001, window: Some(Span::from_secs(1)), ..good() },
            PolicyProblem::TooFast("limit"),
        ),
        ("api", RateLimitFile { limit: 1, burst: Some(20_000), ..local() }, PolicyProblem::TooSlow),
        ("api", RateLimitFile { max_keys: Some(0), ..local() }, PolicyProblem::Zero("max_keys")),
        ("api", RateLimitFile { burst: Some(1), ..sketch() }, PolicyProblem::NotFor("burst", "sketch")),
        ("api", RateLimitFile { max_keys: Some(1), ..sketch() }, PolicyProblem::OnlyForTables("max_keys")),
        ("api", RateLimitFile { max_keys: Some(1), ..good() }, PolicyProblem::OnlyForTables("max_keys")),
        ("api", RateLimitFile { algorithm: Some(RateLimitAlgorithm::Sketch), ..good() }, PolicyProblem::SketchInRedis),
        ("api", RateLimitFile { window: None, ..good() }, PolicyProblem::NoWindow),
        ("api", RateLimitFile { burst: Some(1), ..log() }, PolicyProblem::NotFor("burst", "sliding_window")),
        ("api", RateLimitFile { limit: 10_001, max_keys: Some(1), ..log() }, PolicyProblem::TooManyToLog("limit")),
        ("api", RateLimitFile { limit: 1025, ..log() }, PolicyProblem::TooMuchToLog(65_536)),
        ("api", RateLimitFile { limit: 10_000, max_keys: Some(6711), ..log() }, PolicyProblem::TooMuchToLog(6711)),
        ("api", RateLimitFile { scope: RateLimitScope::Redis, ..in_flight() }, PolicyProblem::InFlightInRedis),
        ("api", RateLimitFile { burst: Some(1), ..in_flight() }, PolicyProblem::NotFor("burst", "in_flight")),
        (
            "api",
            RateLimitFile { window: Some(Span::from_secs(1)), ..in_flight() },
            PolicyProblem::NotFor("window", "in_flight"),
        ),
        (
            "api",
            RateLimitFile { only_statuses: Some(vec![401]), ..in_flight() },
            PolicyProblem::NotFor("only_statuses", "in_flight"),
        ),
        ("api", RateLimitFile { cost: Some(3), ..in_flight() }, PolicyProblem::CostTooHigh("cost")),
        (
            "api",
            RateLimitFile { on_redis_failure: Some(RedisFailureMode::Open), ..local() },
            PolicyProblem::OnlyForRedis("on_redis_failure"),
        ),
    ];
    for (name, file, expected) in cases {
        let problems = Settings::read(name, &file).expect_err("refused");
        assert_eq!(problems.first(), Some(&expected), "{problems:?}");
    }
    for file in [good(), local(), sketch(), log_of(1024), in_flight()] {
        assert!(Settings::read("api", &file).is_ok(), "{file:?}");
    }
}
