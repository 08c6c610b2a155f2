//! One named limit, ready to be asked.

use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::runtime::Handle;

use super::exact::Exact;
use super::here::Here;
use super::in_flight::InFlightTable;
use super::lease::AtOnce;
use super::metrics::PolicyMetrics;
use super::redis_link::RedisLink;
use super::script::{Answer, Line};
use super::settings::{Counted, Late, PolicyProblem, Settings};
use super::shared::{Leased, Shared};
use super::verdict::{AnsweredBy, Charge, Quota, Verdict};
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
    Leased(Box<Leased>),
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
            Counted::Leased { quotas, max_keys, on_failure } => {
                let link = Arc::clone(link.ok_or(PolicyProblem::NoRedis)?);
                let exact = Exact::Gcra(quotas);
                let shared = Shared::new(&settings.name, exact, on_failure, link, &metrics, control);
                Counter::Leased(Box::new(Leased::new(shared, quotas, max_keys, &metrics)))
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

    /// Counts a request that lacks what it is counted by.
    pub fn lacks_key(&self) {
        self.metrics.lacks_key();
    }

    /// Whether it is counted in Redis, so that an answer may have to be waited for.
    #[must_use]
    pub const fn is_shared(&self) -> bool {
        matches!(self.counter, Counter::Shared(_) | Counter::Leased(_))
    }

    /// Whether Redis is asked for some of the requests only, so that most are answered at once.
    #[must_use]
    pub const fn is_leased(&self) -> bool {
        matches!(self.counter, Counter::Leased(_))
    }

    /// What of a request's cost only its answer says.
    pub(super) const fn late(&self) -> Option<&Late> {
        self.settings.late.as_ref()
    }

    /// What it counts, if that is what is under way.
    pub(super) const fn in_flight(&self) -> Option<&InFlightTable> {
        match &self.counter {
            Counter::Here(Here::InFlight(table)) => Some(table),
            Counter::Here(_) | Counter::Shared(_) | Counter::Leased(_) => None,
        }
    }

    pub(super) const fn metrics(&self) -> &PolicyMetrics {
        &self.metrics
    }

    /// Where Redis has it, if it is asked for each request.
    pub(super) const fn shared(&self) -> Option<&Shared> {
        match &self.counter {
            Counter::Shared(shared) => Some(shared),
            Counter::Here(_) | Counter::Leased(_) => None,
        }
    }

    /// Where Redis has it, leased or not.
    const fn in_redis(&self) -> Option<&Shared> {
        match &self.counter {
            Counter::Shared(shared) => Some(shared),
            Counter::Leased(leased) => Some(leased.shared()),
            Counter::Here(_) => None,
        }
    }

    /// Whether it is what `settings` and `link` would give, so that a reload can keep its counts.
    pub(super) fn is_made_from(&self, settings: &Settings, link: Option<&Arc<RedisLink>>) -> bool {
        let same_link = match &self.counter {
            Counter::Here(_) => true,
            Counter::Shared(shared) => link.is_some_and(|link| Arc::ptr_eq(shared.link(), link)),
            Counter::Leased(leased) => link.is_some_and(|link| Arc::ptr_eq(leased.shared().link(), link)),
        };
        same_link && self.settings == *settings
    }
}

impl Ask<'_> {
    /// Takes it at once, if its policy counts here.
    pub(super) fn take_here(&self, now: Instant) -> Option<Verdict> {
        match &self.policy.counter {
            Counter::Here(here) => Some(here.take(self.key, self.charge, now).by(AnsweredBy::Local)),
            Counter::Shared(_) | Counter::Leased(_) => None,
        }
    }

    /// Takes it from a lease, if its policy is leased and that can be said at once.
    pub(super) fn take_lease_at_once(&self, now: Instant) -> Option<AtOnce> {
        match &self.policy.counter {
            Counter::Leased(leased) => Some(leased.table().take_at_once(self.key, self.charge, now)),
            Counter::Here(_) | Counter::Shared(_) => None,
        }
    }

    /// Takes it from a lease, if its policy is leased; as its failure mode does where Redis gives no answer.
    pub(super) async fn take_lease(&self) -> Option<Verdict> {
        match &self.policy.counter {
            Counter::Leased(leased) => match leased.table().take(self.key, self.charge).await {
                Some(verdict) => Some(verdict),
                None => self.fall_back(Instant::now()),
            },
            Counter::Here(_) | Counter::Shared(_) => None,
        }
    }

    /// What Redis is asked, if its policy counts there.
    pub(super) fn line(&self) -> Option<Line> {
        self.policy.shared().map(|shared| shared.line(self.key, self.charge, self.policy.only_watches()))
    }

    /// What Redis' `answer` is in words, if its policy counts there.
    pub(super) fn counted(&self, answer: Answer) -> Option<Verdict> {
        let counted = self.policy.shared()?.counted(self.charge, answer.decision);
        Some(Verdict { at: Some(answer.at), ..counted.by(AnsweredBy::Redis) })
    }

    /// Takes it as the policy's failure mode does.
    pub(super) fn fall_back(&self, now: Instant) -> Option<Verdict> {
        self.policy.in_redis().map(|shared| shared.fall_back(self.key, self.charge, now))
    }

    /// What is left once what was taken here, not before `since`, `from` what answered then, has cost `actual`; none if nothing was.
    pub(super) fn settle_here(&self, from: AnsweredBy, actual: u32, since: Instant, now: Instant) -> Option<Quota> {
        match (&self.policy.counter, from) {
            (Counter::Here(here), _) => Some(here.settle(self.key, self.charge, actual, since, now)),
            (Counter::Leased(leased), AnsweredBy::Lease(stamp)) => {
                Some(leased.table().settle(self.key, self.charge, stamp, actual, now))
            }
            _ => self.policy.in_redis()?.settle_fallback(self.key, self.charge, actual, since, now),
        }
    }

    /// Has what was taken in Redis, at `since` by Redis' clock, cost `actual`, soon.
    pub(super) fn settle_in_redis(&self, actual: u32, since: u64) {
        if let Some(shared) = self.policy.shared() {
            shared.settle(shared.line(self.key, self.charge, false), actual, since);
        }
    }
}
