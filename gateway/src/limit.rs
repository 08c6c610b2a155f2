//! How many requests a key may make: the gateway's rate limits, knowing nothing of HTTP servers or sessions.
//!
//! All policies of a request are asked together ([`decide()`]), each with a key and a charge, and each answers with a [`Verdict`].
//! A [`Policy`] counts either in this process or in Redis for all gateways together, exactly both ways (or here by an
//! estimate in constant memory, or with leases from Redis, if it is told to); while Redis does not answer it does what its
//! failure mode says. What only
//! the answer to a request shows of its cost, [`Charged`] puts right. [`QuotaHeaders`] turns verdicts into response headers.

mod charged;
mod decide;
mod exact;
mod gcra;
mod headers;
mod here;
mod in_flight;
mod lease;
mod local;
mod log;
mod metrics;
mod policy;
mod redis_link;
mod script;
mod settings;
mod shared;
mod verdict;
mod window;

use std::collections::BTreeMap;
use std::sync::Arc;

use prometheus::Registry;
use tokio::runtime::Handle;

use self::metrics::{PolicyMetrics, in_flight_gauge, live_gateways, redis_seconds, redis_up};
use self::settings::Settings;
use crate::config::file::{RateLimitFile, RedisFile};

pub use self::charged::Charged;
pub use self::decide::{Verdicts, decide, decide_at_once};
pub use self::headers::{Listed, QuotaHeaders};
pub use self::in_flight::InFlight;
pub use self::lease::Stamp;
pub use self::policy::{Ask, Policy};
pub(crate) use self::redis_link::LinkSettings;
pub use self::redis_link::{NoAnswer, RedisLink};
#[cfg(test)]
pub(crate) use self::settings::DEFAULT_MAX_KEYS;
pub use self::settings::PolicyProblem;
pub use self::verdict::{AnsweredBy, Charge, Outcome, Quota, Verdict};

/// All policies of one configuration, and the link to Redis that they share.
pub struct Policies {
    by_name: BTreeMap<String, Arc<Policy>>,
    redis: Option<Arc<RedisLink>>,
}

/// Why the policies of a configuration cannot be compiled.
#[derive(Debug, thiserror::Error)]
pub enum LimitError {
    /// One of them has settings that cannot be.
    #[error("rate limit `{policy}`")]
    Policy {
        /// Its name in the file.
        policy: String,
        /// What is wrong with it.
        #[source]
        problem: PolicyProblem,
    },
    /// The `redis` block cannot be used.
    #[error("redis")]
    Redis(#[source] redis::RedisError),
    /// The metrics' names are not legal, which no name that the check lets through can cause.
    #[error("the metrics of the rate limits cannot be made")]
    Metrics(#[source] prometheus::Error),
}

impl Policies {
    /// Compiles `files`. The connection to Redis is made and driven on `control`, which must outlive the policies.
    ///
    /// What `previous` has and the files did not change is kept with its state: counts and the link. A policy of the same
    /// name goes on with its metrics, whatever else changed.
    ///
    /// # Errors
    /// Names the policy and what is wrong with it. A Redis that is down is no error.
    pub fn compile(
        files: &BTreeMap<String, RateLimitFile>,
        redis: Option<&RedisFile>,
        control: &Handle,
        previous: Option<&Self>,
    ) -> Result<Self, LimitError> {
        let redis = redis.map(|file| link(file, control, previous)).transpose()?;
        let compile = |(name, file): (&String, &RateLimitFile)| {
            let named = |problem| LimitError::Policy { policy: name.clone(), problem };
            let first = |problems: Vec<_>| problems.into_iter().next().unwrap_or(PolicyProblem::Name);
            let settings = Settings::read(name, file).map_err(first).map_err(named)?;
            let namesake = previous.and_then(|previous| previous.by_name.get(name));
            if let Some(policy) = namesake.filter(|policy| policy.is_made_from(&settings, redis.as_ref())) {
                return Ok((name.clone(), Arc::clone(policy)));
            }
            let metrics = match namesake {
                Some(namesake) => namesake.metrics().carried_on(settings.failure_mode()),
                None => PolicyMetrics::new(name, settings.failure_mode()).map_err(LimitError::Metrics)?,
            };
            let policy = Policy::new(settings, redis.as_ref(), metrics, control).map_err(named)?;
            Ok((name.clone(), Arc::new(policy)))
        };
        let by_name = files.iter().map(compile).collect::<Result<_, _>>()?;
        Ok(Self { by_name, redis })
    }

    /// Ends the link to Redis unless `successor` has taken it over, even while a request still has these policies.
    pub fn retire(&self, successor: &Self) {
        let kept = |link: &Arc<RedisLink>| successor.redis.as_ref().is_some_and(|kept| Arc::ptr_eq(kept, link));
        if let Some(link) = self.redis.as_ref().filter(|link| !kept(link)) {
            link.retire();
        }
    }

    /// Says in Redis, if there is one, that this gateway ends, and ends the link.
    pub async fn leave(&self) {
        if let Some(link) = &self.redis {
            link.leave().await;
        }
    }

    /// Puts the series of every policy and of the link into `registry`, to be shown now.
    ///
    /// # Errors
    /// When it has series of these names already.
    pub fn register(&self, registry: &Registry) -> prometheus::Result<()> {
        for policy in self.by_name.values() {
            policy.metrics().register(registry)?;
            if let Some(table) = policy.in_flight() {
                registry.register(Box::new(in_flight_gauge(policy.name(), table.under_way())?))?;
            }
            if policy.is_leased() {
                policy.metrics().lease().register(registry)?;
            }
        }
        if let Some(link) = &self.redis {
            registry.register(Box::new(link.seconds().clone()))?;
            registry.register(Box::new(redis_up(link.is_up())?))?;
            registry.register(Box::new(live_gateways(link.live_gateways())?))?;
        }
        Ok(())
    }

    /// The policy of that name.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&Arc<Policy>> {
        self.by_name.get(name)
    }

    /// The link to Redis, if one is configured.
    #[must_use]
    pub const fn redis(&self) -> Option<&Arc<RedisLink>> {
        self.redis.as_ref()
    }
}

/// All that is wrong with the policy `name` of the file, but for what other blocks say.
pub(crate) fn problems(name: &str, file: &RateLimitFile) -> Vec<PolicyProblem> {
    Settings::read(name, file).err().unwrap_or_default()
}

/// Whether it is leased, and would be served as well with scope `redis`.
pub(crate) fn is_leased_in_vain(name: &str, file: &RateLimitFile) -> bool {
    Settings::read(name, file).is_ok_and(|settings| settings.is_leased_in_vain())
}

/// The previous link if its settings are the same, else a new one.
fn link(file: &RedisFile, control: &Handle, previous: Option<&Policies>) -> Result<Arc<RedisLink>, LimitError> {
    let settings = LinkSettings::read(file);
    let previous = previous.and_then(|previous| previous.redis.as_ref());
    let seconds = match previous {
        Some(link) if *link.settings() == settings => return Ok(Arc::clone(link)),
        Some(link) => link.seconds().clone(),
        None => redis_seconds().map_err(LimitError::Metrics)?,
    };
    RedisLink::open(settings, seconds, control, previous.map(|link| &**link)).map(Arc::new).map_err(LimitError::Redis)
}

#[cfg(test)]
mod tests;
