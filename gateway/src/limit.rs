//! How many requests a key may make: the gateway's rate limits, knowing nothing of HTTP servers or sessions.
//!
//! A [`Policy`] is asked with a key and answers with a [`Verdict`]. It counts either in this process (an estimate in
//! constant memory) or in Redis for all gateways together (exactly); while Redis does not answer it does what its failure
//! mode says. [`QuotaHeaders`] turns verdicts into response headers.

mod gcra;
mod headers;
mod metrics;
mod policy;
mod redis_link;
mod verdict;
mod window;

use std::collections::BTreeMap;
use std::sync::Arc;

use prometheus::Registry;
use tokio::runtime::Handle;

use self::metrics::Metrics;
use self::policy::Settings;
use self::redis_link::LinkSettings;
use crate::config::file::{RateLimitFile, RedisFile};

pub use self::headers::{Listed, QuotaHeaders, retry_after};
pub use self::policy::{Policy, PolicyProblem};
pub use self::redis_link::{NoAnswer, RedisLink};
pub use self::verdict::{AnsweredBy, Outcome, Quota, Verdict};

/// All policies of one configuration, and the link to Redis that they share.
pub struct Policies {
    by_name: BTreeMap<String, Arc<Policy>>,
    redis: Option<Arc<RedisLink>>,
    metrics: Arc<Metrics>,
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
    /// The metrics' names are taken.
    #[error("the metrics of the rate limits cannot be registered")]
    Metrics(#[source] prometheus::Error),
}

impl Policies {
    /// Compiles `files`. The connection to Redis is made and driven on `control`, which must outlive the policies.
    ///
    /// What `previous` has and the files did not change is kept with its state: counts, the link, and the metrics, which
    /// are registered in `registry` only when there is no `previous`.
    ///
    /// # Errors
    /// Names the policy and what is wrong with it. A Redis that is down is no error.
    pub fn compile(
        files: &BTreeMap<String, RateLimitFile>,
        redis: Option<&RedisFile>,
        registry: &Registry,
        control: &Handle,
        previous: Option<&Self>,
    ) -> Result<Self, LimitError> {
        let metrics = match previous {
            Some(previous) => Arc::clone(&previous.metrics),
            None => Arc::new(Metrics::register(registry).map_err(LimitError::Metrics)?),
        };
        let redis = redis.map(|file| link(file, &metrics, control, previous)).transpose()?;
        let compile = |(name, file): (&String, &RateLimitFile)| {
            let settings = Settings::read(name, file)?;
            let kept = previous
                .and_then(|previous| previous.by_name.get(name))
                .filter(|policy| policy.is_made_from(&settings, redis.as_ref()));
            Ok(match kept {
                Some(policy) => Arc::clone(policy),
                None => Arc::new(Policy::new(settings, redis.as_ref(), &metrics)?),
            })
        };
        let by_name = files
            .iter()
            .map(|entry| {
                let named = |problem| LimitError::Policy { policy: entry.0.clone(), problem };
                compile(entry).map(|policy| (entry.0.clone(), policy)).map_err(named)
            })
            .collect::<Result<_, _>>()?;
        Ok(Self { by_name, redis, metrics })
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

/// The previous link if its settings are the same, else a new one.
fn link(
    file: &RedisFile,
    metrics: &Arc<Metrics>,
    control: &Handle,
    previous: Option<&Policies>,
) -> Result<Arc<RedisLink>, LimitError> {
    let settings = LinkSettings::read(file);
    let previous = previous.and_then(|previous| previous.redis.as_ref());
    match previous.filter(|link| *link.settings() == settings) {
        Some(link) => Ok(Arc::clone(link)),
        None => RedisLink::open(settings, Arc::clone(metrics), control).map(Arc::new).map_err(LimitError::Redis),
    }
}

#[cfg(test)]
mod tests;
