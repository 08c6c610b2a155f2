//! Checks the policies under `rate_limits`.

use std::time::Duration;

use super::{DAY, span_is_within};
use crate::config::file::{GatewayFile, RateLimitAlgorithm, RateLimitFile, RateLimitScope, RedisFailureMode};
use crate::config::problems::KeyPath;
use crate::config::report::Report;

pub(super) fn check(file: &GatewayFile, report: &mut Report<'_>) {
    let has_redis = file.redis.as_ref().is_some_and(|redis| !redis.host.is_empty());
    let redis = KeyPath::default().key("redis");
    for (name, policy) in &file.rate_limits {
        let at = KeyPath::default().key("rate_limits").key(name);
        span_is_within(policy.window, Duration::from_secs(1), DAY, &at.key("window"), report);
        algorithm(policy, &at, report);
        let scope = at.key("scope");
        if !report.is_written(&scope) {
            continue;
        }
        match policy.scope {
            RateLimitScope::Local if policy.on_redis_failure.is_some() => {
                report.problem(&at.key("on_redis_failure"), "this is only for policies of scope `redis`");
            }
            RateLimitScope::Local => {}
            RateLimitScope::Redis if !has_redis && report.is_written(&redis) => {
                let message = match file.redis {
                    Some(_) => "this scope needs Redis, and `redis.host` is empty; set it, or use scope `local`",
                    None => "this scope needs Redis, and there is no `redis` block; add it, or use scope `local`",
                };
                report.problem(&scope, message);
            }
            RateLimitScope::Redis => {}
        }
    }
}

/// What goes with the way of counting.
fn algorithm(policy: &RateLimitFile, at: &KeyPath, report: &mut Report<'_>) {
    let sketch = policy.algorithm == Some(RateLimitAlgorithm::Sketch);
    if sketch && policy.scope == RateLimitScope::Redis {
        report.problem(&at.key("algorithm"), "a sketch is only for policies of scope `local`; Redis counts by `gcra`");
    }
    if sketch && policy.window.get().subsec_nanos() != 0 {
        report.problem(&at.key("window"), "the window of a sketch is in whole seconds");
    }
    if sketch && policy.burst.is_some() {
        report.problem(&at.key("burst"), "a sketch has no burst of its own; use `gcra`");
    }
    let counts_elsewhere = policy.scope == RateLimitScope::Redis
        && matches!(policy.on_redis_failure, Some(RedisFailureMode::Open | RedisFailureMode::Closed));
    if policy.max_keys.is_some() && (sketch || counts_elsewhere) {
        report.problem(&at.key("max_keys"), "this is only for what this gateway counts by `gcra`");
    }
}
