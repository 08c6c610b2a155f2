//! Knows which tokens are void before their time, without asking anybody for each.
//!
//! A task on the control runtime, the keeper, follows a source: Redis or a user service. It reads everything that counts and
//! then each revocation as it happens, and puts them into a set that requests look into (`set`). While there is nothing in it,
//! a request pays one load of a byte. When the source is lost, the last known set goes on to count; with `on_loss: refuse` tokens
//! are refused once that is too old. Before the first whole set, and while there are more than `max_entries`, they are
//! refused too: half a set would let void tokens pass.

mod http_source;
mod keeper;
mod metrics;
mod redis_source;
mod set;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU8, Ordering};
use std::time::{Duration, Instant};

use arc_swap::ArcSwap;
use common::revocations::Revocation;
use parking_lot::Mutex;
use prometheus::Registry;
use secrecy::{ExposeSecret as _, SecretString};
use serde_json::{Value, json};
use tokio::runtime::Handle;
use tokio::sync::watch;
use tokio::task::AbortHandle;
use tokio::time::timeout;

use crate::config::file::{OnLoss, RedisFile, RevocationFile, RevocationSource};
use crate::config::values::Target;
use crate::limit::LinkSettings;
use keeper::{Keeper, SourceFailure};
use metrics::RevocationMetrics;
pub(crate) use set::Marks;
use set::{Builder, RevocationSet};

/// How long a start or a reload waits for the first whole set.
const FIRST_ATTEMPT: Duration = Duration::from_secs(3);

/// Something is in the set.
const SOME: u8 = 1;
/// Nobody knows whether a token is void.
const UNKNOWN: u8 = 2;

/// The revocations of one configuration, followed until this is dropped.
pub(crate) struct Revocations {
    settings: Settings,
    shared: Arc<Shared>,
    keeper: AbortHandle,
}

/// Why revocations cannot be followed.
#[derive(Debug, thiserror::Error)]
pub enum RevocationError {
    /// The settings of Redis are of no use.
    #[error("redis")]
    Redis(#[source] redis::RedisError),
    /// The settings of the user service are of no use.
    #[error("the user service cannot be asked")]
    Client(#[source] reqwest::Error),
    /// `source: redis` without a Redis. The check finds this first.
    #[error("there is no source")]
    NoSource,
    /// Two series of one name.
    #[error("the metrics of revocations cannot be made")]
    Metrics(#[source] prometheus::Error),
}

/// What it is made from; compared to know whether a reload may keep it.
#[derive(Clone, PartialEq)]
struct Settings {
    source: SourceSettings,
    max_entries: usize,
    max_staleness: Duration,
    on_loss: OnLoss,
    /// Whose tokens are looked up; everybody's when empty.
    providers: Vec<String>,
}

#[derive(Clone)]
enum SourceSettings {
    Redis(Box<LinkSettings>),
    Services { targets: Vec<Target>, secret: SecretString },
}

impl PartialEq for SourceSettings {
    fn eq(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Redis(own), Self::Redis(other)) => own == other,
            (Self::Services { targets, secret }, Self::Services { targets: others, secret: theirs }) => {
                targets == others && secret.expose_secret() == theirs.expose_secret()
            }
            (Self::Redis(_), Self::Services { .. }) | (Self::Services { .. }, Self::Redis(_)) => false,
        }
    }
}

/// What requests and the keeper share.
struct Shared {
    /// `SOME` and `UNKNOWN`; 0 lets every token pass.
    state: AtomicU8,
    set: ArcSwap<RevocationSet>,
    max_entries: usize,
    max_staleness: Duration,
    on_loss: OnLoss,
    progress: Mutex<Progress>,
    /// Whether there is a whole set, or an attempt has ended without.
    attempted: watch::Sender<bool>,
    connected: AtomicBool,
    metrics: RevocationMetrics,
}

/// How far the keeper has come.
#[derive(Clone, Default)]
struct Progress {
    /// When the set was last known to be whole and up to date; never before the first.
    heard: Option<Instant>,
    overflows: bool,
    /// Why the source is lost.
    lost: Option<Arc<str>>,
}

/// Whether a token is void.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Standing {
    Counts,
    Void,
    /// It cannot be said.
    Unknown,
}

impl Revocations {
    /// Follows what `file` says, on `control`. What `previous` knows is known from the beginning, and if nothing has
    /// changed it is kept as it is. Waits a moment for the first whole set.
    ///
    /// # Errors
    /// See [`RevocationError`]. A source that is away is none.
    pub(crate) async fn compile(
        file: &RevocationFile,
        redis: Option<&RedisFile>,
        previous: Option<&Arc<Self>>,
        control: &Handle,
    ) -> Result<Arc<Self>, RevocationError> {
        let settings = Settings::read(file, redis).ok_or(RevocationError::NoSource)?;
        if let Some(kept) = previous.filter(|previous| previous.settings == settings) {
            return Ok(Arc::clone(kept));
        }
        let metrics = previous.map(|previous| Ok(previous.shared.metrics.clone()));
        let metrics = metrics.unwrap_or_else(RevocationMetrics::new).map_err(RevocationError::Metrics)?;
        let shared = Arc::new(Shared::new(&settings, metrics, previous.map(|previous| &*previous.shared)));
        let keeper = Keeper::new(&settings.source, Arc::clone(&shared))?;
        let keeper = control.spawn(keeper.keep()).abort_handle();
        let revocations = Arc::new(Self { settings, shared, keeper });
        revocations.first_attempt().await;
        Ok(revocations)
    }

    /// Whether tokens of the provider of that name are looked up.
    pub(crate) fn concerns(&self, provider: &str) -> bool {
        self.settings.providers.is_empty() || self.settings.providers.iter().any(|name| name == provider)
    }

    /// Whether a token with these `marks` is void.
    pub(crate) fn standing(&self, marks: &Marks) -> Standing {
        match self.shared.state.load(Ordering::Relaxed) {
            0 => Standing::Counts,
            SOME if self.shared.set.load().voids(marks) => Standing::Void,
            SOME => Standing::Counts,
            _ => Standing::Unknown,
        }
    }

    /// Whether the source is followed.
    ///
    /// # Errors
    /// Says why not, and whether tokens are refused for that.
    pub(crate) fn check(&self) -> Result<(), Lost> {
        let progress = self.shared.progress.lock().clone();
        let refuses = self.shared.state.load(Ordering::Relaxed) & UNKNOWN != 0;
        let detail = match (progress.overflows, progress.heard, progress.lost) {
            (true, ..) => format!("there are more revocations than max_entries ({})", self.settings.max_entries),
            (_, None, why) => format!("the revocations are not known yet: {}", why.as_deref().unwrap_or("being read")),
            (_, Some(heard), Some(why)) => format!("revocation source lost {:?} ago: {why}", heard.elapsed()),
            (_, Some(heard), None) if heard.elapsed() > self.settings.max_staleness => {
                format!("revocation source lost {:?} ago", heard.elapsed())
            }
            (_, Some(_), None) => return Ok(()),
        };
        Err(Lost { detail, refuses })
    }

    /// What operators are shown.
    pub(crate) fn state(&self) -> Value {
        let progress = self.shared.progress.lock().clone();
        let source = match &self.settings.source {
            SourceSettings::Redis(_) => "redis".to_owned(),
            SourceSettings::Services { targets, .. } => {
                targets.iter().map(ToString::to_string).collect::<Vec<_>>().join(",")
            }
        };
        json!({
            "source": source,
            "connected": self.shared.connected.load(Ordering::Relaxed),
            "entries": self.shared.set.load().len(),
            "age_seconds": progress.heard.map(|heard| heard.elapsed().as_secs_f64()),
            "refuses_tokens": self.shared.state.load(Ordering::Relaxed) & UNKNOWN != 0,
            "problem": self.check().err().map(|lost| lost.detail),
        })
    }

    /// Puts its series into `registry`.
    ///
    /// # Errors
    /// When it has series of these names already.
    pub(crate) fn register(&self, registry: &Registry) -> prometheus::Result<()> {
        let age = self.shared.progress.lock().heard.map(|heard| heard.elapsed().as_secs_f64());
        let connected = self.shared.connected.load(Ordering::Relaxed);
        self.shared.metrics.register(registry, self.shared.set.load().len(), age, connected)
    }

    /// Follows no more; whoever took the configuration before a reload goes on with the present set.
    pub(crate) fn retire(&self) {
        self.keeper.abort();
    }

    async fn first_attempt(&self) {
        let mut attempted = self.shared.attempted.subscribe();
        // The sender is in `self`, so waiting never fails.
        let _ = timeout(FIRST_ATTEMPT, attempted.wait_for(|attempted| *attempted)).await;
    }
}

impl Drop for Revocations {
    fn drop(&mut self) {
        self.keeper.abort();
    }
}

/// Why the source is not followed.
#[derive(Debug)]
pub(crate) struct Lost {
    pub(crate) detail: String,
    /// Whether tokens are refused meanwhile.
    pub(crate) refuses: bool,
}

impl Settings {
    fn read(file: &RevocationFile, redis: Option<&RedisFile>) -> Option<Self> {
        let source = match file.source {
            RevocationSource::Redis => SourceSettings::Redis(Box::new(LinkSettings::read(redis?))),
            RevocationSource::Url => SourceSettings::Services {
                targets: file.url.as_ref()?.iter().cloned().collect(),
                secret: file.secret.as_ref()?.as_secret().clone(),
            },
        };
        Some(Self {
            source,
            max_entries: file.max_entries as usize,
            max_staleness: file.max_staleness.get(),
            on_loss: file.on_loss,
            providers: file.providers.clone(),
        })
    }
}

impl Shared {
    fn new(settings: &Settings, metrics: RevocationMetrics, previous: Option<&Self>) -> Self {
        let shared = Self {
            state: AtomicU8::new(UNKNOWN),
            set: ArcSwap::from_pointee(RevocationSet::default()),
            max_entries: settings.max_entries,
            max_staleness: settings.max_staleness,
            on_loss: settings.on_loss,
            progress: Mutex::default(),
            attempted: watch::Sender::new(false),
            connected: AtomicBool::new(false),
            metrics,
        };
        if let Some(previous) = previous {
            shared.set.store(previous.set.load_full());
            *shared.progress.lock() = previous.progress.lock().clone();
            shared.decide();
        }
        shared
    }

    /// Puts a whole set in the place of the present one, which stays if there are too many.
    fn replace(&self, built: Builder) {
        self.metrics.snapshots.inc();
        let Some(set) = built.finish() else { return self.overflow() };
        self.set.store(Arc::new(set));
        self.progress.lock().overflows = false;
        self.heard();
    }

    /// Adds to the present set.
    fn add(&self, revocations: &[Revocation]) {
        if revocations.is_empty() {
            return;
        }
        self.metrics.applied.inc_by(revocations.len() as u64);
        let mut set = self.set.load().with(revocations);
        if set.len() > self.max_entries {
            set = set.without_expired();
        }
        if set.len() > self.max_entries {
            return self.overflow();
        }
        self.set.store(Arc::new(set));
        self.decide();
    }

    /// Forgets what has expired.
    fn purge(&self) {
        let set = self.set.load();
        if set.has_expired() {
            self.set.store(Arc::new(set.without_expired()));
            self.decide();
        }
    }

    /// Notes that not everything that counts is in the set, until a whole one fits.
    fn overflow(&self) {
        self.progress.lock().overflows = true;
        self.decide();
    }

    /// Whether everything that was told is in the set.
    ///
    /// # Errors
    /// When that is more than there may be.
    fn has_room(&self) -> Result<(), SourceFailure> {
        if self.progress.lock().overflows { Err(SourceFailure::TooMany(self.max_entries)) } else { Ok(()) }
    }

    /// Notes that the set is whole at this moment.
    fn heard(&self) {
        let mut progress = self.progress.lock();
        progress.heard = Some(Instant::now());
        let was_lost = progress.lost.take().is_some();
        drop(progress);
        if was_lost {
            tracing::info!("the source of revocations is followed again");
        }
        self.connected.store(true, Ordering::Relaxed);
        self.decide();
        self.attempted.send_replace(true);
    }

    /// Notes that the source is lost for this `cause`, and logs it if that is new.
    fn lose(&self, cause: &str) {
        let mut progress = self.progress.lock();
        let (was_lost, is_known) = (progress.lost.replace(cause.into()).is_some(), progress.heard.is_some());
        drop(progress);
        self.connected.store(false, Ordering::Relaxed);
        self.attempted.send_replace(true);
        if !was_lost {
            tracing::warn!(cause, "{}", loss(is_known, self.on_loss));
        }
    }

    /// Decides what requests are told, by what is known at this moment.
    fn decide(&self) {
        let progress = self.progress.lock();
        let is_stale = progress.heard.is_none_or(|heard| heard.elapsed() > self.max_staleness);
        let is_unknown = progress.overflows || progress.heard.is_none() || (is_stale && self.on_loss == OnLoss::Refuse);
        let some = if self.set.load().len() > 0 { SOME } else { 0 };
        // Under the lock, so that two decisions do not overtake each other.
        self.state.store(some | if is_unknown { UNKNOWN } else { 0 }, Ordering::Release);
    }
}

/// What it means for tokens that the source is lost, of which something `is_known` or nothing yet.
const fn loss(is_known: bool, on_loss: OnLoss) -> &'static str {
    match (is_known, on_loss) {
        (false, _) => "the revocations cannot be read yet; until they are known, tokens are answered with 503",
        (true, OnLoss::Keep) => "the source of revocations is lost; the last known set goes on to count",
        (true, OnLoss::Refuse) => {
            "the source of revocations is lost; the last known set counts for max_staleness, and then tokens are answered with 503"
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_loss_is_told_by_what_was_known_and_what_follows() {
        for on_loss in [OnLoss::Keep, OnLoss::Refuse] {
            assert!(!loss(false, on_loss).contains("last known set"), "there is none");
        }
        assert!(loss(true, OnLoss::Keep).contains("goes on to count"));
        assert!(loss(true, OnLoss::Refuse).contains("max_staleness"));
    }
}
