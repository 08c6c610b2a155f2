//! One named limit, ready to be asked.

use std::sync::Arc;
use std::time::{Duration, Instant};

use super::gcra::{Gcra, redis_key};
use super::local::LocalTable;
use super::metrics::PolicyMetrics;
use super::redis_link::{NoAnswer, RedisLink};
use super::verdict::{self, AnsweredBy, Outcome, Verdict};
use super::window::SlidingWindow;
use crate::config::file::{RateLimitAlgorithm, RateLimitFile, RateLimitScope, RedisFailureMode};
use crate::config::pattern::RateLimitKey;

/// The shortest window.
const MIN_WINDOW: Duration = Duration::from_secs(1);
/// The longest.
const MAX_WINDOW: Duration = Duration::from_secs(24 * 60 * 60);
/// Keys for which there is room unless the file says otherwise: some 3 MB.
pub(crate) const DEFAULT_MAX_KEYS: usize = 65_536;
/// Longer names bloat every response.
const MAX_NAME_BYTES: usize = 64;

/// A rate limit that requests are counted against, by name.
pub struct Policy {
    settings: Settings,
    counter: Counter,
    metrics: PolicyMetrics,
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
    /// The window of a sketch.
    #[error("the window of a sketch is in whole seconds")]
    PartOfSecond,
    /// More requests than the algorithm can tell apart.
    #[error("`limit` may be at most one request per microsecond")]
    TooFast,
    /// A longer time than the algorithm can express.
    #[error("`burst` must come back within 31 years")]
    TooSlow,
    /// A setting that a local policy cannot honour.
    #[error("`{0}` is only for scope `redis`")]
    OnlyForRedis(&'static str),
    /// A setting that what counts by a sketch, or not here at all, cannot honour.
    #[error("`{0}` is only for what this gateway counts by `gcra`")]
    OnlyForGcra(&'static str),
    /// A sketch in Redis.
    #[error("`algorithm: sketch` is only for scope `local`")]
    SketchInRedis,
    /// Scope `redis` without the `redis` block.
    #[error("scope `redis` needs the `redis` block")]
    NoRedis,
}

/// What a policy is made from; compared to know whether a reload may keep it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Settings {
    name: String,
    limit: u32,
    window: Duration,
    /// What is counted: another key is another policy.
    key: RateLimitKey,
    counted: Counted,
}

/// Where and how.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Counted {
    Local { gcra: Gcra, max_keys: usize },
    Sketch,
    Shared { gcra: Gcra, on_failure: OnFailure },
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum OnFailure {
    Open,
    Closed,
    Local { max_keys: usize },
}

enum Counter {
    Local(LocalTable),
    Sketch(SlidingWindow),
    Shared { link: Arc<RedisLink>, gcra: Gcra, key_prefix: String, on_failure: Fallback },
}

/// What answers while Redis does not.
enum Fallback {
    Open,
    Closed,
    Local(LocalTable),
}

impl PolicyProblem {
    /// The key that it is about; none for the policy's name.
    pub(crate) const fn key(&self) -> Option<&'static str> {
        match self {
            Self::Name => None,
            Self::Zero(key) | Self::OnlyForRedis(key) | Self::OnlyForGcra(key) => Some(key),
            Self::Window | Self::PartOfSecond => Some("window"),
            Self::TooFast => Some("limit"),
            Self::TooSlow => Some("burst"),
            Self::SketchInRedis => Some("algorithm"),
            Self::NoRedis => Some("scope"),
        }
    }
}

impl Settings {
    /// What `file` says of the policy `name`.
    ///
    /// # Errors
    /// All that is wrong with it, but for what other blocks say.
    pub(super) fn read(name: &str, file: &RateLimitFile) -> Result<Self, Vec<PolicyProblem>> {
        let (window, burst) = (file.window.get(), file.burst.unwrap_or(file.limit));
        let is_sketch = file.algorithm == Some(RateLimitAlgorithm::Sketch);
        let in_redis = file.scope == RateLimitScope::Redis;
        let has_table =
            !is_sketch && (!in_redis || file.on_redis_failure.unwrap_or_default() == RedisFailureMode::Local);
        let is_window = (MIN_WINDOW..=MAX_WINDOW).contains(&window);
        let is_too_fast = is_window && !is_sketch && window.as_micros() < u128::from(file.limit);
        let is_counted = is_window && !is_too_fast && !is_sketch && file.limit > 0 && burst > 0;
        let gcra = if is_counted { Gcra::new(file.limit, window, burst) } else { None };
        let problems = [
            (!is_legal_name(name), PolicyProblem::Name),
            (file.limit == 0, PolicyProblem::Zero("limit")),
            (!is_window, PolicyProblem::Window),
            (file.burst == Some(0), PolicyProblem::Zero("burst")),
            (file.max_keys == Some(0), PolicyProblem::Zero("max_keys")),
            (is_too_fast, PolicyProblem::TooFast),
            (is_counted && gcra.is_none(), PolicyProblem::TooSlow),
            (is_sketch && in_redis, PolicyProblem::SketchInRedis),
            (is_sketch && window.subsec_nanos() != 0, PolicyProblem::PartOfSecond),
            (is_sketch && file.burst.is_some(), PolicyProblem::OnlyForGcra("burst")),
            (!has_table && file.max_keys.is_some(), PolicyProblem::OnlyForGcra("max_keys")),
            (!in_redis && file.on_redis_failure.is_some(), PolicyProblem::OnlyForRedis("on_redis_failure")),
        ];
        let problems: Vec<_> = problems.into_iter().filter(|(is_so, _)| *is_so).map(|(_, problem)| problem).collect();
        let max_keys = file.max_keys.map_or(DEFAULT_MAX_KEYS, |keys| keys as usize);
        let counted = match gcra {
            _ if !problems.is_empty() => return Err(problems),
            None => Counted::Sketch,
            Some(gcra) if in_redis => {
                let on_failure = match file.on_redis_failure.unwrap_or_default() {
                    RedisFailureMode::Local => OnFailure::Local { max_keys },
                    RedisFailureMode::Open => OnFailure::Open,
                    RedisFailureMode::Closed => OnFailure::Closed,
                };
                Counted::Shared { gcra, on_failure }
            }
            Some(gcra) => Counted::Local { gcra, max_keys },
        };
        Ok(Self { name: name.to_owned(), limit: file.limit, window, key: file.key.clone(), counted })
    }

    /// What answers while Redis does not; none for a local policy.
    pub(super) const fn failure_mode(&self) -> Option<AnsweredBy> {
        match self.counted {
            Counted::Local { .. } | Counted::Sketch => None,
            Counted::Shared { on_failure: OnFailure::Open, .. } => Some(AnsweredBy::Open),
            Counted::Shared { on_failure: OnFailure::Closed, .. } => Some(AnsweredBy::Closed),
            Counted::Shared { on_failure: OnFailure::Local { .. }, .. } => Some(AnsweredBy::Local),
        }
    }
}

impl Policy {
    pub(super) fn new(
        settings: Settings,
        link: Option<&Arc<RedisLink>>,
        metrics: PolicyMetrics,
    ) -> Result<Self, PolicyProblem> {
        let local = |gcra, max_keys| LocalTable::new(gcra, max_keys, metrics.no_room().clone());
        let counter = match settings.counted {
            Counted::Local { gcra, max_keys } => Counter::Local(local(gcra, max_keys)),
            Counted::Sketch => Counter::Sketch(SlidingWindow::new(u64::from(settings.limit), settings.window)),
            Counted::Shared { gcra, on_failure } => {
                let link = Arc::clone(link.ok_or(PolicyProblem::NoRedis)?);
                let key_prefix = format!("{}:limit:{}:", link.settings().key_prefix(), settings.name);
                let on_failure = match on_failure {
                    OnFailure::Open => Fallback::Open,
                    OnFailure::Closed => Fallback::Closed,
                    OnFailure::Local { max_keys } => Fallback::Local(local(gcra, max_keys)),
                };
                Counter::Shared { link, gcra, key_prefix, on_failure }
            }
        };
        Ok(Self { settings, counter, metrics })
    }

    /// Takes one request from the quota of `key`, or says how long to wait.
    ///
    /// Local policies answer at once. Those in Redis answer within the link's deadline, whatever Redis does.
    pub async fn take(&self, key: &[u8]) -> Verdict {
        let verdict = match &self.counter {
            Counter::Local(table) => table.take(key, Instant::now()).by(AnsweredBy::Local),
            Counter::Sketch(window) => window.take(key, Instant::now()).by(AnsweredBy::Local),
            Counter::Shared { link, gcra, key_prefix, on_failure } => {
                match take_shared(link, *gcra, key_prefix, key).await {
                    Ok(counted) => counted.by(AnsweredBy::Redis),
                    // The link has logged it, once for all requests, and the counters tell the rest.
                    Err(_) => on_failure.answer(key),
                }
            }
        };
        self.metrics.count(&verdict);
        verdict
    }

    /// Its name in the file.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.settings.name
    }

    /// What a caller counts by.
    #[must_use]
    pub const fn key(&self) -> &RateLimitKey {
        &self.settings.key
    }

    /// Requests per window.
    #[must_use]
    pub const fn limit(&self) -> u32 {
        self.settings.limit
    }

    /// The window.
    #[must_use]
    pub const fn window(&self) -> Duration {
        self.settings.window
    }

    /// Whether it is counted in Redis, so that an answer may have to be waited for.
    #[must_use]
    pub const fn is_shared(&self) -> bool {
        matches!(self.counter, Counter::Shared { .. })
    }

    pub(super) const fn metrics(&self) -> &PolicyMetrics {
        &self.metrics
    }

    /// Whether it is what `settings` and `link` would give, so that a reload can keep its counts.
    pub(super) fn is_made_from(&self, settings: &Settings, link: Option<&Arc<RedisLink>>) -> bool {
        let same_link = match &self.counter {
            Counter::Local(_) | Counter::Sketch(_) => true,
            Counter::Shared { link: own, .. } => link.is_some_and(|link| Arc::ptr_eq(own, link)),
        };
        same_link && self.settings == *settings
    }
}

impl Fallback {
    fn answer(&self, key: &[u8]) -> Verdict {
        match self {
            Self::Open => Verdict { outcome: Outcome::Allowed, quota: None, answered_by: AnsweredBy::Open },
            Self::Closed => Verdict { outcome: Outcome::Unavailable, quota: None, answered_by: AnsweredBy::Closed },
            Self::Local(table) => table.take(key, Instant::now()).by(AnsweredBy::Local),
        }
    }
}

async fn take_shared(link: &RedisLink, gcra: Gcra, key_prefix: &str, key: &[u8]) -> Result<verdict::Counted, NoAnswer> {
    link.run(&gcra.invocation(&redis_key(key_prefix, key))).await.map(|decision| gcra.counted(decision))
}

fn is_legal_name(name: &str) -> bool {
    (1..=MAX_NAME_BYTES).contains(&name.len())
        && name.bytes().all(|byte| byte.is_ascii_graphic() && !matches!(byte, b'"' | b'\\'))
}
