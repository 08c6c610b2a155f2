//! One named limit, ready to be asked.

use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::runtime::Handle;

use super::here::Here;
use super::in_flight::InFlightTable;
use super::metrics::PolicyMetrics;
use super::redis_link::RedisLink;
use super::script::{Answer, Line};
use super::settings::{Counted, Late, PolicyProblem, Settings};
use super::shared::Shared;
use super::verdict::{AnsweredBy, Charge, Decision, Quota, Verdict};
use super::window::SlidingWindow;
use crate::config::file::FigureFile;
use crate::config::pattern::RateLimitKey;

/// A rate limit that requests are counted against, by name.
pub struct Policy {
    settings: Settings,
    counter: Counter,
    metrics: PolicyMetrics,
}

/// What one request asks of one policy.
pub struct Ask<'r> {
    /// The policy.
    pub policy: &'r Policy,
    /// What the request counts as.
    pub key: &'r [u8],
    /// What it takes.
    pub charge: Charge,
}

enum Counter {
    Here(Here),
    Shared(Shared),
}

impl Policy {
    pub(super) fn new(
        settings: Settings,
        link: Option<&Arc<RedisLink>>,
        metrics: PolicyMetrics,
        control: &Handle,
    ) -> Result<Self, PolicyProblem> {
        let counter = match settings.counted {
            Counted::Here { quotas, max_keys } => Counter::Here(quotas.table(max_keys, metrics.no_room())),
            Counted::Sketch => {
                Counter::Here(Here::Sketch(SlidingWindow::new(u64::from(settings.limit), settings.window)))
            }
            Counted::InFlight { max_keys } => {
                Counter::Here(Here::InFlight(InFlightTable::new(max_keys, metrics.no_room().clone())))
            }
            Counted::Shared { quotas, on_failure } => {
                let link = Arc::clone(link.ok_or(PolicyProblem::NoRedis)?);
                Counter::Shared(Shared::new(&settings.name, quotas, on_failure, link, &metrics, control))
            }
        };
        Ok(Self { settings, counter, metrics })
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

    /// Requests per window, where nothing says otherwise.
    #[must_use]
    pub const fn limit(&self) -> u32 {
        self.settings.limit
    }

    /// What says otherwise.
    pub(crate) const fn limit_by(&self) -> Option<&FigureFile> {
        self.settings.limit_by.as_ref()
    }

    /// As how many requests one counts, where nothing says otherwise.
    #[must_use]
    pub const fn cost(&self) -> u32 {
        self.settings.cost
    }

    /// What says otherwise.
    pub(crate) const fn cost_by(&self) -> Option<&FigureFile> {
        self.settings.cost_by.as_ref()
    }

    /// The window; nothing of what counts only what is under way.
    #[must_use]
    pub const fn window(&self) -> Duration {
        self.settings.window
    }

    /// Whether it only counts and tells, and holds nobody back.
    #[must_use]
    pub const fn only_watches(&self) -> bool {
        self.settings.shadow
    }

    /// Whether it is counted in Redis, so that an answer may have to be waited for.
    #[must_use]
    pub const fn is_shared(&self) -> bool {
        matches!(self.counter, Counter::Shared(_))
    }

    /// Whether only a request's answer says what it has cost.
    pub(crate) const fn is_late(&self) -> bool {
        self.late().is_some()
    }

    /// What of a request's cost only its answer says.
    pub(super) const fn late(&self) -> Option<&Late> {
        self.settings.late.as_ref()
    }

    /// What it counts, if that is what is under way.
    pub(super) const fn in_flight(&self) -> Option<&InFlightTable> {
        match &self.counter {
            Counter::Here(Here::InFlight(table)) => Some(table),
            Counter::Here(_) | Counter::Shared(_) => None,
        }
    }

    pub(super) const fn metrics(&self) -> &PolicyMetrics {
        &self.metrics
    }

    /// Where Redis has it, if it does.
    pub(super) const fn shared(&self) -> Option<&Shared> {
        match &self.counter {
            Counter::Shared(shared) => Some(shared),
            Counter::Here(_) => None,
        }
    }

    /// Whether it is what `settings` and `link` would give, so that a reload can keep its counts.
    pub(super) fn is_made_from(&self, settings: &Settings, link: Option<&Arc<RedisLink>>) -> bool {
        let same_link = match &self.counter {
            Counter::Here(_) => true,
            Counter::Shared(shared) => link.is_some_and(|link| Arc::ptr_eq(shared.link(), link)),
        };
        same_link && self.settings == *settings
    }
}

impl Ask<'_> {
    /// Takes it at once, if its policy counts here.
    pub(super) fn take_here(&self, now: Instant) -> Option<Verdict> {
        match &self.policy.counter {
            Counter::Here(here) => Some(here.take(self.key, self.charge, now).by(AnsweredBy::Local)),
            Counter::Shared(_) => None,
        }
    }

    /// What Redis is asked, if its policy counts there.
    pub(super) fn line(&self) -> Option<Line> {
        self.policy.shared().map(|shared| shared.line(self.key, self.charge, self.policy.only_watches()))
    }

    /// The next of Redis' `answers`, if its policy counts there.
    pub(super) fn counted(&self, answers: &mut impl Iterator<Item = Answer>) -> Option<Verdict> {
        let shared = self.policy.shared()?;
        // One that Redis owes is no permission.
        let none = Decision { allowed: false, remaining: 0, reset: 0, wait: 1 };
        let Answer { decision, at } = answers.next().unwrap_or(Answer { decision: none, at: 0 });
        Some(Verdict { at: Some(at), ..shared.counted(self.charge, decision).by(AnsweredBy::Redis) })
    }

    /// Takes it as the policy's failure mode does.
    pub(super) fn fall_back(&self, now: Instant) -> Option<Verdict> {
        self.policy.shared().map(|shared| shared.fallback().take(self.key, self.charge, now))
    }

    /// What is left once what was taken here, not before `since`, has cost `actual`; none if nothing was.
    pub(super) fn settle_here(&self, actual: u32, since: Instant, now: Instant) -> Option<Quota> {
        match &self.policy.counter {
            Counter::Here(here) => Some(here.settle(self.key, self.charge, actual, since, now)),
            Counter::Shared(shared) => shared.fallback().settle(self.key, self.charge, actual, since, now),
        }
    }

    /// Has what was taken in Redis, at `since` by Redis' clock, cost `actual`, soon.
    pub(super) fn settle_in_redis(&self, actual: u32, since: u64) {
        if let Some(shared) = self.policy.shared() {
            shared.settle(shared.line(self.key, self.charge, false), actual, since);
        }
    }
}
