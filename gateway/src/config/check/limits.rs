//! Checks the policies under `rate_limits`.

use std::time::Duration;

use super::{DAY, span_is_within};
use crate::config::file::{GatewayFile, RateLimitScope};
use crate::config::problems::KeyPath;
use crate::config::report::Report;

pub(super) fn check(file: &GatewayFile, report: &mut Report<'_>) {
    let has_redis = file.redis.as_ref().is_some_and(|redis| !redis.host.is_empty());
    let redis = KeyPath::default().key("redis");
    for (name, policy) in &file.rate_limits {
        let at = KeyPath::default().key("rate_limits").key(name);
        span_is_within(policy.window, Duration::from_secs(1), DAY, &at.key("window"), report);
        let scope = at.key("scope");
        if !report.is_written(&scope) {
            continue;
        }
        match policy.scope {
            RateLimitScope::Local => {
                if policy.window.get().subsec_nanos() != 0 {
                    report.problem(&at.key("window"), "a window of scope `local` is in whole seconds");
                }
                for (given, key) in
                    [(policy.burst.is_some(), "burst"), (policy.on_redis_failure.is_some(), "on_redis_failure")]
                {
                    if given {
                        report.problem(&at.key(key), "this is only for policies of scope `redis`");
                    }
                }
            }
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
