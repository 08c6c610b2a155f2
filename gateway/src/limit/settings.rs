//! What the file says of one limit, and what of it cannot be.

use std::time::Duration;

use http::HeaderName;

use super::exact::Exact;
use super::gcra::Quotas;
use super::verdict::AnsweredBy;
use super::{lease, log};
use crate::config::file::{FigureFile, RateLimitAlgorithm, RateLimitFile, RateLimitScope, RedisFailureMode};
use crate::config::pattern::RateLimitKey;

/// The shortest window.
const MIN_WINDOW: Duration = Duration::from_secs(1);
/// The longest.
const MAX_WINDOW: Duration = Duration::from_secs(24 * 60 * 60);
/// Keys for which there is room unless the file says otherwise: some 3 MB.
pub(crate) const DEFAULT_MAX_KEYS: usize = 65_536;
/// What a log may come to here, in requests: half a gigabyte if all keys use their whole limit. With the keys for which there is room
/// if the file says nothing of them, a limit of 1024.
const MOST_LOGGED: u64 = 1 << 26;
/// Longer names bloat every response.
const MAX_NAME_BYTES: usize = 64;

/// What a policy is made from; compared to know whether a reload may keep it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Settings {
    pub(super) name: String,
    pub(super) limit: u32,
    pub(super) limit_by: Option<FigureFile>,
    /// Zero where only what is under way counts.
    pub(super) window: Duration,
    pub(super) cost: u32,
    pub(super) cost_by: Option<FigureFile>,
    /// What is counted: another key is another policy.
    pub(super) key: RateLimitKey,
    pub(super) late: Option<Late>,
    pub(super) shadow: bool,
    pub(super) counted: Counted,
}

/// What is known of a request's cost only from its answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Late {
    /// The statuses with which it counts at all; with every one if there are none.
    pub(super) only_statuses: Vec<u16>,
    /// The header in which the upstream tells it, and the most that is believed.
    pub(super) header: Option<(HeaderName, u32)>,
}

/// Where and how.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Counted {
    Here { quotas: Exact, max_keys: usize },
    Sketch,
    InFlight { max_keys: usize },
    Shared { quotas: Exact, on_failure: OnFailure },
    Leased { quotas: Quotas, max_keys: usize, on_failure: OnFailure },
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum OnFailure {
    Open,
    Closed,
    LocalShare { max_keys: usize },
}

/// Why a policy cannot be compiled.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum PolicyProblem {
    /// The name goes into a header as a quoted string (RFC 9651, section 3.3.3), and into metrics.
    #[error("its name must be 1 to 64 visible ASCII characters other than quotation mark and backslash")]
    Name,
    /// A limit, a burst or a table of nothing.
    #[error("`{0}` must not be zero")]
    Zero(&'static str),
    /// Too short or too long.
    #[error("`window` is not between 1s and 1day")]
    Window,
    /// No window where there has to be one.
    #[error("the key `window` is missing")]
    NoWindow,
    /// The window of a sketch.
    #[error("the window of a sketch is in whole seconds")]
    PartOfSecond,
    /// More requests than the algorithm can tell apart.
    #[error("`{0}` may be at most one request per microsecond")]
    TooFast(&'static str),
    /// A longer time than the algorithm can express.
    #[error("`burst` must come back within 31 years")]
    TooSlow,
    /// A setting that a local policy cannot honour.
    #[error("`{0}` is only for the scopes `redis` and `leased`")]
    OnlyForRedis(&'static str),
    /// A setting of a table where there is none.
    #[error("`{0}` is only for what this gateway counts exactly")]
    OnlyForTables(&'static str),
    /// A sketch in Redis.
    #[error("`algorithm: sketch` is only for scope `local`")]
    SketchInRedis,
    /// A setting that means nothing to the way of counting.
    #[error("`{0}` is not for `algorithm: {1}`")]
    NotFor(&'static str, &'static str),
    /// What is under way, in Redis.
    #[error("`algorithm: in_flight` is only for scope `local`")]
    InFlightInRedis,
    /// A sliding window of which parts would be taken ahead of need, and so before they are spent.
    #[error("`algorithm: sliding_window` is only for the scopes `local` and `redis`")]
    SlidingWindowLeased,
    /// A limit that is too high to keep the time of each request.
    #[error("`{0}` may be at most {max} with `algorithm: sliding_window`, which keeps the time of each request", max = log::MOST)]
    TooManyToLog(&'static str),
    /// More times than there is memory for.
    #[error(
        "`max_keys` × `limit` may be at most {MOST_LOGGED} with `algorithm: sliding_window`, which keeps the time of each request; `max_keys` is {0}"
    )]
    TooMuchToLog(usize),
    /// A request that costs more than there ever is.
    #[error(
        "`{0}` may be at most the number of requests that may come at once (`burst`, or else `limit`), or none would pass"
    )]
    CostTooHigh(&'static str),
    /// A burst of no limit in particular.
    #[error("`burst` cannot be told where `limit_by` is; it is then each request's limit")]
    BurstOfMany,
    /// A status that no final answer has.
    #[error("`only_statuses` are those of final answers, 200 to 599, and at least one")]
    Statuses,
    /// A quota of which nothing can be kept back.
    #[error("nothing can be leased of so small a quota; use scope `redis`")]
    TooSmallToLease,
    /// Scope `redis` or `leased` without the `redis` block.
    #[error("scopes `redis` and `leased` need the `redis` block")]
    NoRedis,
}

impl PolicyProblem {
    /// The key that it is about; none for the policy's name, and for what is not there.
    pub(crate) const fn key(&self) -> Option<&'static str> {
        match self {
            Self::Name | Self::NoWindow => None,
            Self::Zero(key)
            | Self::OnlyForRedis(key)
            | Self::OnlyForTables(key)
            | Self::NotFor(key, _)
            | Self::TooManyToLog(key)
            | Self::TooFast(key)
            | Self::CostTooHigh(key) => Some(key),
            Self::Window | Self::PartOfSecond => Some("window"),
            Self::TooMuchToLog(_) => Some("max_keys"),
            Self::TooSlow => Some("burst"),
            Self::SketchInRedis | Self::InFlightInRedis | Self::SlidingWindowLeased => Some("algorithm"),
            Self::BurstOfMany => Some("burst"),
            Self::Statuses => Some("only_statuses"),
            Self::NoRedis | Self::TooSmallToLease => Some("scope"),
        }
    }
}

impl Settings {
    /// What `file` says of the policy `name`.
    ///
    /// # Errors
    /// All that is wrong with it, but for what other blocks say.
    pub(super) fn read(name: &str, file: &RateLimitFile) -> Result<Self, Vec<PolicyProblem>> {
        let window = file.window.map(|window| window.get()).unwrap_or_default();
        let algorithm = file.algorithm.unwrap_or_default();
        let [is_sketch, is_log, is_in_flight] =
            [RateLimitAlgorithm::Sketch, RateLimitAlgorithm::SlidingWindow, RateLimitAlgorithm::InFlight]
                .map(|one| algorithm == one);
        let is_gcra = algorithm == RateLimitAlgorithm::Gcra;
        let in_redis = file.scope.is_shared();
        let is_leased = file.scope == RateLimitScope::Leased;
        let has_table = !is_sketch
            && (!in_redis || is_leased || file.on_redis_failure.unwrap_or_default() == RedisFailureMode::LocalShare);
        let is_window = (MIN_WINDOW..=MAX_WINDOW).contains(&window);
        let most = |by: &Option<FigureFile>| by.as_ref().map(|by| by.max);
        let is_too_fast = |limit: u32| is_window && is_gcra && window.as_micros() < u128::from(limit);
        let is_counted = is_window && is_gcra && file.limit > 0 && file.burst != Some(0) && !is_too_fast(file.limit);
        let late = file.late();
        let quotas = |limit| Quotas::new(limit, window, file.burst, late.is_some()).filter(|_| is_counted);
        let highest = file.limit.max(most(&file.limit_by).unwrap_or(0));
        let at_once = file.burst.unwrap_or(highest);
        let leased_at_once = quotas(file.limit).filter(|_| is_leased).map(|quotas| lease::burst_of(quotas.usual()));
        let at_once = match leased_at_once.flatten().and_then(|burst| u32::try_from(burst).ok()) {
            // Where requests have limits of their own, the largest of them counts.
            Some(burst) if file.limit_by.is_none() => burst,
            _ => at_once,
        };
        let max_keys = file.max_keys.map_or(DEFAULT_MAX_KEYS, |keys| keys as usize);
        let logged = max_keys as u64 * u64::from(highest.min(log::MOST));
        let statuses = file.only_statuses.as_deref();
        let problems = [
            (!is_legal_name(name), PolicyProblem::Name),
            (file.limit == 0, PolicyProblem::Zero("limit")),
            (most(&file.limit_by) == Some(0), PolicyProblem::Zero("limit_by")),
            (file.window.is_some() && !is_in_flight && !is_window, PolicyProblem::Window),
            (file.window.is_none() && !is_in_flight, PolicyProblem::NoWindow),
            (file.window.is_some() && is_in_flight, PolicyProblem::NotFor("window", "in_flight")),
            (file.burst.is_some() && is_in_flight, PolicyProblem::NotFor("burst", "in_flight")),
            (file.burst.is_some() && is_log, PolicyProblem::NotFor("burst", "sliding_window")),
            (file.only_statuses.is_some() && is_in_flight, PolicyProblem::NotFor("only_statuses", "in_flight")),
            (
                file.cost_from_response.is_some() && is_in_flight,
                PolicyProblem::NotFor("cost_from_response", "in_flight"),
            ),
            (is_in_flight && in_redis, PolicyProblem::InFlightInRedis),
            (is_log && is_leased, PolicyProblem::SlidingWindowLeased),
            (is_log && file.limit > log::MOST, PolicyProblem::TooManyToLog("limit")),
            (is_log && most(&file.limit_by) > Some(log::MOST), PolicyProblem::TooManyToLog("limit_by")),
            (is_log && has_table && logged > MOST_LOGGED, PolicyProblem::TooMuchToLog(max_keys)),
            (file.burst == Some(0), PolicyProblem::Zero("burst")),
            (file.burst.is_some() && file.limit_by.is_some(), PolicyProblem::BurstOfMany),
            (file.max_keys == Some(0), PolicyProblem::Zero("max_keys")),
            (file.cost == Some(0), PolicyProblem::Zero("cost")),
            (most(&file.cost_by) == Some(0), PolicyProblem::Zero("cost_by")),
            (file.cost.is_some_and(|cost| cost > at_once), PolicyProblem::CostTooHigh("cost")),
            (most(&file.cost_by).is_some_and(|cost| cost > at_once), PolicyProblem::CostTooHigh("cost_by")),
            (
                statuses.is_some_and(|all| all.is_empty() || !all.iter().all(|one| (200..600).contains(one))),
                PolicyProblem::Statuses,
            ),
            (is_too_fast(file.limit), PolicyProblem::TooFast("limit")),
            (most(&file.limit_by).is_some_and(is_too_fast), PolicyProblem::TooFast("limit_by")),
            (is_counted && quotas(file.limit).is_none(), PolicyProblem::TooSlow),
            (leased_at_once == Some(None), PolicyProblem::TooSmallToLease),
            (is_sketch && in_redis, PolicyProblem::SketchInRedis),
            (is_sketch && window.subsec_nanos() != 0, PolicyProblem::PartOfSecond),
            (is_sketch && file.burst.is_some(), PolicyProblem::NotFor("burst", "sketch")),
            (is_sketch && file.cost.is_some(), PolicyProblem::NotFor("cost", "sketch")),
            (is_sketch && file.cost_by.is_some(), PolicyProblem::NotFor("cost_by", "sketch")),
            (is_sketch && file.limit_by.is_some(), PolicyProblem::NotFor("limit_by", "sketch")),
            (is_sketch && file.only_statuses.is_some(), PolicyProblem::NotFor("only_statuses", "sketch")),
            (is_sketch && file.cost_from_response.is_some(), PolicyProblem::NotFor("cost_from_response", "sketch")),
            (!has_table && file.max_keys.is_some(), PolicyProblem::OnlyForTables("max_keys")),
            (!in_redis && file.on_redis_failure.is_some(), PolicyProblem::OnlyForRedis("on_redis_failure")),
        ];
        let problems: Vec<_> = problems.into_iter().filter(|(is_so, _)| *is_so).map(|(_, problem)| problem).collect();
        let quotas = match algorithm {
            RateLimitAlgorithm::SlidingWindow => log::Window::new(window).map(Exact::SlidingWindow),
            _ => quotas(file.limit).map(Exact::Gcra),
        };
        let counted = match quotas {
            _ if !problems.is_empty() => return Err(problems),
            _ if is_in_flight => Counted::InFlight { max_keys },
            None => Counted::Sketch,
            Some(quotas) if in_redis => {
                let on_failure = match file.on_redis_failure.unwrap_or_default() {
                    RedisFailureMode::LocalShare => OnFailure::LocalShare { max_keys },
                    RedisFailureMode::Open => OnFailure::Open,
                    RedisFailureMode::Closed => OnFailure::Closed,
                };
                match quotas {
                    Exact::Gcra(quotas) if is_leased => Counted::Leased { quotas, max_keys, on_failure },
                    quotas => Counted::Shared { quotas, on_failure },
                }
            }
            Some(quotas) => Counted::Here { quotas, max_keys },
        };
        Ok(Self {
            name: name.to_owned(),
            limit: file.limit,
            limit_by: file.limit_by.clone(),
            window,
            cost: file.cost.unwrap_or(1),
            cost_by: file.cost_by.clone(),
            key: file.key.clone(),
            late,
            shadow: file.shadow,
            counted,
        })
    }

    /// Whether it is leased, and would be served as well without leases.
    pub(super) fn is_leased_in_vain(&self) -> bool {
        matches!(self.counted, Counted::Leased { quotas, .. } if !lease::is_of_use(quotas.usual()))
    }

    /// What answers while Redis does not; none for a local policy.
    pub(super) const fn failure_mode(&self) -> Option<AnsweredBy> {
        let on_failure = match self.counted {
            Counted::Here { .. } | Counted::Sketch | Counted::InFlight { .. } => return None,
            Counted::Shared { on_failure, .. } | Counted::Leased { on_failure, .. } => on_failure,
        };
        Some(match on_failure {
            OnFailure::Open => AnsweredBy::Open,
            OnFailure::Closed => AnsweredBy::Closed,
            OnFailure::LocalShare { .. } => AnsweredBy::LocalShare { gateways: 1 },
        })
    }
}

impl RateLimitFile {
    fn late(&self) -> Option<Late> {
        let header = self.cost_from_response.as_ref().map(|told| (told.header.get().clone(), told.max));
        let only_statuses = self.only_statuses.clone().unwrap_or_default();
        (header.is_some() || !only_statuses.is_empty()).then_some(Late { only_statuses, header })
    }
}

fn is_legal_name(name: &str) -> bool {
    (1..=MAX_NAME_BYTES).contains(&name.len())
        && name.bytes().all(|byte| byte.is_ascii_graphic() && !matches!(byte, b'"' | b'\\'))
}

#[cfg(test)]
mod tests;
