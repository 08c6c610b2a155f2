//! The keys that an issuer publishes, fetched so that neither its rotations nor its outages cost a request.
//!
//! A task on the control runtime, the keeper, is the only one that fetches: before the set is no longer fresh, again and
//! again with growing pauses while that fails, and at once when a token names a key that is not in the set. All requests
//! with such tokens share one fetch, and after it nobody asks for another until the cooldown is over, so that made-up names
//! cost neither the issuer nor anybody's time. A set that is no longer fresh counts for `stale_for`, and then none does.

mod disk;
mod fetch;

use std::hash::{BuildHasher as _, RandomState};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use arc_swap::{ArcSwapOption, Guard};
use common::telemetry::Chain;
use futures::FutureExt as _;
use parking_lot::Mutex;
use quick_cache::sync::Cache;
use serde_json::Value;
use tokio::runtime::Handle;
use tokio::sync::{Notify, watch};
use tokio::task::AbortHandle;
use tokio::time::{Instant, sleep_until, timeout};

pub(super) use fetch::FetchFailure;
use fetch::{Fetched, Fetcher, MOST_FRESH};

use super::key_set::KeySet;
use super::metrics::{FetchMetrics, register_keys};
use crate::config::RemoteJwks;
use crate::config::values::Jwks;

/// The pause after the first failure in a row; each further one doubles it.
const FIRST_PAUSE: Duration = Duration::from_secs(1);
const LONGEST_PAUSE: Duration = Duration::from_secs(60);

/// Names of keys that the issuer was asked for in vain.
const MOST_UNKNOWN: usize = 4096;
/// How long it is not asked for the same again. Not for ever: a name can be guessed before its key is published.
const UNKNOWN_FOR: Duration = Duration::from_secs(60);

/// The keys of one issuer, kept up to date until this is dropped.
pub(super) struct RemoteKeys {
    settings: RemoteJwks,
    shared: Arc<Shared>,
    keeper: AbortHandle,
    metrics: FetchMetrics,
}

/// What requests and the keeper share.
struct Shared {
    /// The present keys; none before the first fetch and after too long an outage.
    keys: ArcSwapOption<KeySet>,
    /// When they were fetched, in seconds since 1970; 0 for never.
    fetched_at: AtomicU64,
    /// Whether the last fetch has failed.
    failed: AtomicBool,
    /// Why it has, if one has ended at all.
    last: Mutex<Option<Result<(), Arc<str>>>>,
    demand: Mutex<Demand>,
    wake: Notify,
    /// Told whenever a fetch has ended.
    ended: watch::Sender<()>,
    /// Whether there are keys, or a fetch has ended without.
    ready: watch::Sender<bool>,
    unknown: Cache<u64, Instant>,
    hasher: RandomState,
    /// The last good set as the issuer published it, for whoever goes on with it after a reload.
    published: Mutex<Option<Arc<Published>>>,
}

/// A set as its issuer published it.
pub(super) struct Published {
    document: Value,
    /// When it was fetched, in seconds since 1970.
    fetched_at: u64,
    /// Until when it counts, which is so long after it is no longer fresh.
    ends: Instant,
    stale_for: Duration,
}

/// What requests have asked the keeper for.
#[derive(Default)]
struct Demand {
    /// Whether a fetch is under way or about to begin, which can be waited for.
    pending: bool,
    /// When requests asked for one last.
    last: Option<Instant>,
}

/// How it stands with the keys of an issuer, for operators.
pub(crate) struct KeysState {
    /// What came of the last fetch; nothing while there was none.
    pub(crate) last: Option<Result<(), Arc<str>>>,
    /// How many keys there are. With none, no token of the issuer is believed.
    pub(crate) keys: usize,
}

/// What came of looking for a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Looked {
    /// The issuer was asked; what it has is there now.
    Asked,
    /// It was asked not long ago, and had no such key.
    InVain,
    /// It does not answer.
    Away,
}

impl RemoteKeys {
    /// Begins to fetch on `control`; until the issuer has answered, the keys of a set that was `inherited` serve that are for
    /// the algorithms of `settings`, or else those of the copy on the disk.
    ///
    /// # Errors
    /// When the settings cannot be used by the client library.
    pub(super) fn start(
        provider: &str,
        settings: RemoteJwks,
        metrics: FetchMetrics,
        control: &Handle,
        inherited: Option<&Published>,
    ) -> reqwest::Result<Self> {
        let fetcher = Fetcher::new(&settings)?;
        let shared = Arc::new(Shared {
            keys: ArcSwapOption::empty(),
            fetched_at: AtomicU64::new(0),
            failed: AtomicBool::new(false),
            last: Mutex::new(None),
            // The first fetch is as good as asked for.
            demand: Mutex::new(Demand { pending: true, last: None }),
            wake: Notify::new(),
            ended: watch::Sender::new(()),
            ready: watch::Sender::new(false),
            unknown: Cache::new(MOST_UNKNOWN),
            hasher: RandomState::new(),
            published: Mutex::new(None),
        });
        let mut keeper = Keeper {
            provider: provider.to_owned(),
            settings: settings.clone(),
            fetcher,
            shared: Arc::clone(&shared),
            metrics: metrics.clone(),
            present: None,
            epoch: 0,
            failures: 0,
        };
        if let Some(published) = inherited {
            keeper.inherit(published);
        }
        let keeper = control.spawn(keeper.keep()).abort_handle();
        Ok(Self { settings, shared, keeper, metrics })
    }

    /// Waits until there are keys, or until it is known that there are none yet.
    pub(super) async fn first_attempt(&self) {
        let mut ready = self.shared.ready.subscribe();
        // The sender is in `self`, so waiting never fails; and the keeper's own deadline is no longer.
        let _ = timeout(self.settings.timeout, ready.wait_for(|ready| *ready)).await;
    }

    /// How it stands with them.
    pub(super) fn state(&self) -> KeysState {
        let keys = self.present().as_ref().map_or(0, |keys| keys.len());
        KeysState { last: self.shared.last.lock().clone(), keys }
    }

    /// The present keys.
    pub(super) fn present(&self) -> Guard<Option<Arc<KeySet>>> {
        self.shared.keys.load()
    }

    /// Has the issuer asked for a key that tokens call `id`, at most once for all that ask meanwhile.
    pub(super) async fn look_for(&self, id: &str) -> Looked {
        let shared = &self.shared;
        let name = shared.hasher.hash_one(id);
        if shared.unknown.get(&name).is_some_and(|since| since.elapsed() < UNKNOWN_FOR) {
            return Looked::InVain;
        }
        let Some(mut ended) = self.demand() else { return shared.not_now() };
        let is_over = timeout(self.settings.timeout, ended.changed()).await.is_ok();
        if is_over && !shared.failed.load(Ordering::Acquire) { Looked::Asked } else { Looked::Away }
    }

    /// Notes that the issuer was asked for a key that tokens call `id`, and has none.
    pub(super) fn has_none(&self, id: &str) {
        self.shared.unknown.insert(self.shared.hasher.hash_one(id), Instant::now());
    }

    /// The end of a fetch that can be waited for; none while the cooldown is not over.
    fn demand(&self) -> Option<watch::Receiver<()>> {
        if self.keeper.is_finished() {
            return None;
        }
        let mut demand = self.shared.demand.lock();
        if !demand.pending {
            if demand.last.is_some_and(|last| last.elapsed() < self.settings.cooldown) {
                return None;
            }
            *demand = Demand { pending: true, last: Some(Instant::now()) };
            self.shared.wake.notify_one();
        }
        // Under the lock, as the end is told: so it is that of a fetch that is still pending.
        Some(self.shared.ended.subscribe())
    }

    /// Ends the keeper; whoever took the configuration before a reload goes on with the present keys.
    pub(super) fn retire(&self) {
        self.keeper.abort();
    }

    /// The last good set, if whoever fetches by `settings` has reason to believe it as much.
    pub(super) fn published_for(&self, settings: &RemoteJwks) -> Option<Arc<Published>> {
        let same_source = self.settings.url == settings.url
            && self.settings.authorities == settings.authorities
            && self.settings.allow_insecure_http == settings.allow_insecure_http;
        if same_source { self.shared.published.lock().clone() } else { None }
    }

    pub(super) const fn settings(&self) -> &RemoteJwks {
        &self.settings
    }

    pub(super) const fn metrics(&self) -> &FetchMetrics {
        &self.metrics
    }

    /// Puts the series of `provider` into `registry`.
    ///
    /// # Errors
    /// When it has these of a provider of this name already.
    pub(super) fn register(&self, registry: &prometheus::Registry, provider: &str) -> prometheus::Result<()> {
        self.metrics.register(registry)?;
        let fetched_at = self.shared.fetched_at.load(Ordering::Acquire);
        let age = (fetched_at > 0).then(|| unix_time().as_secs_f64() - fetched_at as f64);
        register_keys(registry, provider, self.present().as_ref().map_or(0, |keys| keys.len()), age)
    }
}

impl Drop for RemoteKeys {
    fn drop(&mut self) {
        self.keeper.abort();
    }
}

impl Shared {
    fn not_now(&self) -> Looked {
        if self.failed.load(Ordering::Acquire) { Looked::Away } else { Looked::InVain }
    }

    fn end_fetch(&self, failed: bool) {
        let mut demand = self.demand.lock();
        self.failed.store(failed, Ordering::Release);
        demand.pending = false;
        self.ended.send_replace(());
        self.ready.send_replace(true);
    }
}

/// Who fetches.
struct Keeper {
    provider: String,
    settings: RemoteJwks,
    fetcher: Fetcher,
    shared: Arc<Shared>,
    metrics: FetchMetrics,
    present: Option<Present>,
    /// Counts the times that a key has left the set.
    epoch: u64,
    /// Fetches that have failed in a row.
    failures: u32,
}

/// The last good set.
struct Present {
    jwks: Jwks,
    /// Until when it counts.
    ends: Instant,
    /// Whether it does so still.
    counts: bool,
}

impl Keeper {
    async fn keep(mut self) {
        if self.present.is_none() {
            self.read_copy().await;
        }
        loop {
            self.shared.demand.lock().pending = true;
            // What was asked for until now is this very fetch.
            let _ = self.shared.wake.notified().now_or_never();
            let fetched = self.fetcher.fetch().await;
            self.metrics.count(&fetched);
            let failed = fetched.is_err();
            let pause = match fetched {
                Ok(fetched) => self.take(fetched).await,
                Err(failure) => self.fail(&failure),
            };
            self.end_if_too_old();
            self.shared.end_fetch(failed);
            self.wait(pause).await;
        }
    }

    /// Waits until the next fetch is due or asked for.
    async fn wait(&mut self, pause: Duration) {
        let due = Instant::now() + pause;
        let shared = Arc::clone(&self.shared);
        loop {
            let end = self.present.as_ref().filter(|present| present.counts).map(|present| present.ends);
            tokio::select! {
                () = sleep_until(due) => return,
                () = shared.wake.notified() => return,
                () = sleep_until(end.unwrap_or(due)), if end.is_some() => self.end_if_too_old(),
            }
        }
    }

    /// Takes a set that was fetched before a reload.
    fn inherit(&mut self, published: &Published) {
        let stale_for = self.settings.stale_for;
        let ends = published.ends.checked_sub(published.stale_for).and_then(|fresh| fresh.checked_add(stale_for));
        let Some(ends) = ends.filter(|ends| *ends > Instant::now()) else { return };
        match Jwks::parse(published.document.to_string().as_bytes(), &self.settings.algorithms) {
            Ok(jwks) => {
                self.put_in(jwks, published.document.clone(), ends, published.fetched_at);
                self.shared.ready.send_replace(true);
            }
            Err(error) => {
                tracing::warn!(provider = self.provider, error = %Chain(&error), "the keys of before are not used");
            }
        }
    }

    /// Takes the set that was kept on the disk, unless it is too old.
    async fn read_copy(&mut self) {
        let Some(path) = self.settings.cache_file.clone() else { return };
        let read = disk::read(path, self.settings.url.to_string()).await;
        let copy = match read {
            Ok(Some(copy)) => copy,
            Ok(None) => return,
            Err(error) => {
                tracing::warn!(provider = self.provider, error = %Chain(&error), "the copy of the keys is not used");
                return;
            }
        };
        let age = unix_time().checked_sub(Duration::from_secs(copy.fetched_at));
        // One that is of tomorrow would be young for ever.
        let left = age.map_or(Duration::ZERO, |age| {
            Duration::from_secs(copy.fresh_for)
                .min(MOST_FRESH)
                .saturating_add(self.settings.stale_for)
                .saturating_sub(age)
        });
        match Jwks::parse(copy.jwks.to_string().as_bytes(), &self.settings.algorithms) {
            Ok(_) if left.is_zero() => {
                tracing::warn!(
                    provider = self.provider,
                    "the copy of the keys is too old, or of tomorrow, and not used"
                );
            }
            Ok(jwks) => {
                self.put_in(jwks, copy.jwks, Instant::now() + left, copy.fetched_at);
                self.shared.ready.send_replace(true);
                tracing::info!(provider = self.provider, ?age, "keys are those of the copy until the issuer answers");
            }
            Err(error) => {
                tracing::warn!(provider = self.provider, error = %Chain(&error), "the copy of the keys is not used");
            }
        }
    }

    /// Takes a set that was fetched. Gives the time until the next fetch.
    async fn take(&mut self, fetched: Fetched) -> Duration {
        let Fetched { jwks, document, fresh_for } = fetched;
        let fresh_for = fresh_for.unwrap_or(self.settings.refresh);
        let fetched_at = unix_time().as_secs();
        self.failures = 0;
        *self.shared.last.lock() = Some(Ok(()));
        if self.present.as_ref().is_none_or(|present| present.jwks != jwks) {
            for reason in jwks.passed_over() {
                tracing::warn!(provider = self.provider, "{reason}");
            }
            tracing::info!(provider = self.provider, keys = jwks.keys().len(), "the issuer has published other keys");
        }
        self.put_in(jwks, document.clone(), Instant::now() + fresh_for + self.settings.stale_for, fetched_at);
        if let Some(path) = self.settings.cache_file.clone() {
            let url = self.settings.url.to_string();
            let copy = disk::Copy { url, fetched_at, fresh_for: fresh_for.as_secs(), jwks: document };
            if let Err(error) = disk::write(path, copy).await {
                tracing::warn!(provider = self.provider, error = %Chain(&error), "no copy of the keys could be kept");
            }
        }
        // Before its time is over, and not at the same moment as other gateways.
        fresh_for.mul_f64(rand::random_range(0.75..0.9))
    }

    fn put_in(&mut self, jwks: Jwks, document: Value, ends: Instant, fetched_at: u64) {
        // Also for a key more: a token that names none is then no longer for one key alone.
        if self.present.as_ref().is_some_and(|present| present.jwks != jwks) {
            self.epoch += 1;
        }
        let keys = KeySet::named(&jwks, &self.settings.algorithms, self.epoch);
        self.shared.keys.store(Some(Arc::new(keys)));
        self.shared.fetched_at.store(fetched_at, Ordering::Release);
        let published = Published { document, fetched_at, ends, stale_for: self.settings.stale_for };
        *self.shared.published.lock() = Some(Arc::new(published));
        self.present = Some(Present { jwks, ends, counts: true });
    }

    /// Tells of a failure. Gives the time until the next attempt.
    fn fail(&mut self, failure: &FetchFailure) -> Duration {
        *self.shared.last.lock() = Some(Err(Chain(failure).to_string().into()));
        let has_keys = self.present.as_ref().is_some_and(|present| present.counts);
        tracing::warn!(provider = self.provider, has_keys, error = %Chain(failure), "the keys could not be fetched");
        let pause = FIRST_PAUSE.saturating_mul(1 << self.failures.min(16)).min(LONGEST_PAUSE);
        self.failures += 1;
        pause.mul_f64(rand::random_range(0.5..1.0))
    }

    fn end_if_too_old(&mut self) {
        if let Some(present) = self.present.as_mut().filter(|present| present.counts && present.ends <= Instant::now())
        {
            present.counts = false;
            self.shared.keys.store(None);
            tracing::error!(
                provider = self.provider,
                "the keys are too old; tokens are refused until the issuer answers"
            );
        }
    }
}

/// Since 1970.
fn unix_time() -> Duration {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default()
}
