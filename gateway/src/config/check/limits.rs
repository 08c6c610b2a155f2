//! Checks the policies under `rate_limits`.

use super::keys;
use crate::config::file::{GatewayFile, RedisFile};
use crate::config::problems::KeyPath;
use crate::config::report::Report;
use crate::limit::{PolicyProblem, is_leased_in_vain, problems};

/// What of a policy is judged together.
const TOGETHER: [&str; 12] = [
    "scope",
    "algorithm",
    "limit",
    "limit_by",
    "window",
    "burst",
    "max_keys",
    "cost",
    "cost_by",
    "only_statuses",
    "cost_from_response",
    "on_redis_failure",
];

pub(super) fn check(file: &GatewayFile, report: &mut Report<'_>) {
    let has_redis = file.redis.as_ref().is_some_and(RedisFile::is_somewhere);
    let redis = KeyPath::default().key("redis");
    for (name, policy) in &file.rate_limits {
        let at = KeyPath::default().key("rate_limits").key(name);
        let is_written = TOGETHER.iter().all(|key| report.is_written(&at.key(key)));
        for problem in problems(name, policy) {
            if problem == PolicyProblem::NoWindow {
                report.problem(&at, problem.to_string());
            }
            // Names are checked with those of all blocks.
            if let Some(key) = problem.key().filter(|_| is_written || problem == PolicyProblem::Window) {
                report.problem(&at.key(key), problem.to_string());
            }
        }
        keys::check(policy, &at, report);
        keys::warn_of_chosen_limits(policy, &at, report);
        let scope = at.key("scope");
        if is_written && is_leased_in_vain(name, policy) {
            let message = "leases save few calls of so small or short a quota (they pay from a burst of 50 on that comes back in a \
                           second or more); use scope `redis`";
            report.warning(&scope, message);
        }
        let is_shared = policy.scope.is_shared() && report.is_written(&scope);
        if is_shared && !has_redis && report.is_written(&redis) {
            let message = match file.redis {
                Some(_) => "this scope needs Redis, and `redis.host` is empty; set it, or use scope `local`",
                None => "this scope needs Redis, and there is no `redis` block; add it, or use scope `local`",
            };
            report.problem(&scope, message);
        }
    }
}
