//! The link to Redis: who connects, when Redis counts as down, and how long anybody waits for it.
//!
//! A task on the control runtime, the keeper, is the only one that ever connects. It proves a new connection by running
//! the limiter's own script over it, and only then do requests see it; so recovery costs Redis one connection, and a Redis
//! that accepts connections but may not write (read-only replica, missing ACL right) stays down. Each runtime that calls is
//! then given one of its own. Requests call with a hard deadline, and never again; what fails is the breaker's business
//! (`server`). One server is
//! reached by its name, the master of a Sentinel set by asking the sentinels (`sentinel`), and each of a cluster's masters by the
//! slots it has (`cluster`).
//!
//! A connection leads to one process from its making to its end. So a Redis that was restarted or replaced, however fast, is
//! another connection, which is proved anew; nobody has to compare run ids.
//!
//! Why not `redis::aio::ConnectionManager`: whichever request notices the break would reconnect on its own runtime, all
//! others would wait for it each up to its deadline, and the connection would be driven by a proxy thread.

mod cluster;
mod keeper;
mod presence;
mod sentinel;
mod server;
mod settings;
mod slot;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use prometheus::{Histogram, HistogramTimer};
use redis::{FromRedisValue, RedisError, ScriptInvocation};
use tokio::runtime::Handle;
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use self::cluster::Cluster;
use self::keeper::{Finder, PROBE_INTERVAL};
use self::presence::{BEAT, Heard, Presence};
use self::sentinel::Sentinels;
use self::server::Server;
pub(crate) use self::settings::LinkSettings;
use self::settings::Place;
use self::slot::slot_of;

/// How long an orderly end may take to say so in Redis, with all that is done before.
const LEAVES_WITHIN: Duration = Duration::from_millis(500);
/// How long it waits for those who give back what is Redis'.
const RETURNS_WITHIN: Duration = Duration::from_millis(250);

/// The link to Redis that the policies share.
pub struct RedisLink {
    settings: LinkSettings,
    reach: Reach,
    presence: Arc<Presence>,
    seconds: Histogram,
    retired: CancellationToken,
    /// Tasks that have something to do once it is retired.
    returns: TaskTracker,
    /// Whether this gateway has been taken out of those that live.
    left: CancellationToken,
}

/// What requests and the keeper share.
#[derive(Clone)]
enum Reach {
    /// One server, or the master that sentinels name.
    One(Arc<Server>),
    Cluster(Arc<Cluster>),
}

/// Why Redis gave no answer.
#[derive(Debug, thiserror::Error)]
pub enum NoAnswer {
    /// It is known to be down, so nobody asked.
    #[error("Redis is down: {0}")]
    Down(Arc<str>),
    /// The deadline passed.
    #[error("Redis did not answer within {0:?}")]
    Deadline(Duration),
    /// It answered with an error, or the connection broke.
    #[error("Redis failed")]
    Failed(#[source] RedisError),
}

impl RedisLink {
    /// Begins to connect on `control`, and gives each runtime that calls a connection which it drives; never fails for want of a
    /// server. Until Redis says otherwise there are as many gateways as `before` knew of, or else as the settings say.
    ///
    /// # Errors
    /// When the settings cannot be used by the client library.
    pub(super) fn open(
        settings: LinkSettings,
        seconds: Histogram,
        control: &Handle,
        before: Option<&Self>,
    ) -> Result<Self, RedisError> {
        settings.check()?;
        let reach = match &settings.place {
            Place::One(node) => Reach::One(Server::new(node.to_string(), settings.timeout)),
            Place::Master { name, .. } => Reach::One(Server::new(format!("master {name}"), settings.timeout)),
            Place::Cluster(_) => Reach::Cluster(Cluster::new(&settings)),
        };
        let assumed = before.map_or(0, Self::live_gateways).max(settings.expected_gateways);
        let presence = Arc::new(Presence::new(settings.key_prefix(), assumed));
        let (retired, left) = (CancellationToken::new(), CancellationToken::new());
        let returns = TaskTracker::new();
        // What it waits for is the tasks that there are by then.
        returns.close();
        let ended = (retired.clone(), returns.clone(), left.clone());
        control.spawn(keep_until(reach.clone(), settings.clone(), Arc::clone(&presence), ended));
        Ok(Self { settings, reach, presence, seconds, retired, returns, left })
    }

    /// Makes and watches over no connection any more, takes this gateway out of those that live, and closes what it has as soon
    /// as the deadline of a request that is about to use it has passed.
    pub(super) fn retire(&self) {
        self.retired.cancel();
    }

    /// The same, and returns once it is taken out, or a moment has passed.
    pub(super) async fn leave(&self) {
        self.retire();
        // Redis may be away, and then it forgets this gateway by itself.
        let _ = timeout(LEAVES_WITHIN, self.left.cancelled()).await;
    }

    /// Runs a task, made with what tells it that the link is retired, which is then given a moment for what it has to give back.
    pub(super) fn spawn_returning<F>(&self, control: &Handle, task: impl FnOnce(CancellationToken) -> F)
    where
        F: Future<Output = ()> + Send + 'static,
    {
        self.returns.spawn_on(task(self.retired.clone()), control);
    }

    /// Whether requests can use all of it now.
    pub(super) fn is_up(&self) -> bool {
        match &self.reach {
            Reach::One(server) => server.is_up(),
            Reach::Cluster(cluster) => cluster.is_up(),
        }
    }

    /// How many gateways share this Redis, as far as is known; at least this one.
    #[must_use]
    pub fn live_gateways(&self) -> u32 {
        self.presence.number()
    }

    /// How long its calls take.
    pub(super) const fn seconds(&self) -> &Histogram {
        &self.seconds
    }

    pub(super) const fn settings(&self) -> &LinkSettings {
        &self.settings
    }

    /// Whether Redis answers in time.
    ///
    /// # Errors
    /// Says why not.
    pub async fn check(&self) -> Result<(), NoAnswer> {
        match &self.reach {
            Reach::One(server) => server.ping().await,
            Reach::Cluster(cluster) => cluster.check().await,
        }
    }

    /// Runs a script within the deadline. Its keys can all go into one call (see [`Self::groups`]).
    pub(super) async fn run<T: FromRedisValue>(&self, script: &ScriptInvocation<'_>) -> Result<T, NoAnswer> {
        self.run_past(script, Duration::ZERO, || false).await
    }

    /// The same; but a call that was sent and has no answer by then is waited for `patience` longer if `goes_on` says so, which
    /// is not asked before. That it was late counts all the same.
    pub(super) async fn run_past<T: FromRedisValue>(
        &self,
        script: &ScriptInvocation<'_>,
        patience: Duration,
        goes_on: impl FnOnce() -> bool + Send,
    ) -> Result<T, NoAnswer> {
        let mut measured = Some(self.seconds.start_timer());
        let at_deadline = || {
            measured.take().into_iter().for_each(HistogramTimer::observe_duration);
            goes_on()
        };
        let answer = self.reach.run_past(script, patience, at_deadline).await;
        if matches!(answer, Err(NoAnswer::Down(_))) {
            // Nobody was called.
            measured.map(HistogramTimer::stop_and_discard);
        }
        answer
    }

    /// Which of `keys` can go into one call together, each group by their places among them; nothing when all can. In a
    /// cluster those can that are in the same slot.
    pub(super) fn groups<'k>(&self, keys: impl ExactSizeIterator<Item = &'k [u8]>) -> Option<Vec<Vec<usize>>> {
        if matches!(self.reach, Reach::One(_)) || keys.len() < 2 {
            return None;
        }
        let mut groups: BTreeMap<u16, Vec<usize>> = BTreeMap::new();
        for (place, key) in keys.enumerate() {
            groups.entry(slot_of(key)).or_default().push(place);
        }
        (groups.len() > 1).then(|| groups.into_values().collect())
    }
}

impl Drop for RedisLink {
    fn drop(&mut self) {
        self.retire();
    }
}

impl Reach {
    async fn run<T: FromRedisValue>(&self, script: &ScriptInvocation<'_>) -> Result<T, NoAnswer> {
        self.run_past(script, Duration::ZERO, || false).await
    }

    async fn run_past<T: FromRedisValue>(
        &self,
        script: &ScriptInvocation<'_>,
        patience: Duration,
        goes_on: impl FnOnce() -> bool + Send,
    ) -> Result<T, NoAnswer> {
        match self {
            Self::One(server) => {
                let call = |mut connection| async move { script.invoke_async(&mut connection).await };
                server.call_past(call, patience, goes_on).await
            }
            Self::Cluster(cluster) => cluster.run_past(script, patience, goes_on).await,
        }
    }

    fn end(&self, why: &str) {
        match self {
            Self::One(server) => server.end(why),
            Self::Cluster(cluster) => cluster.end(why),
        }
    }
}

/// The keeper's life: it keeps the link until a reload has put another in its place, or the gateway ends.
async fn keep_until(
    reach: Reach,
    settings: LinkSettings,
    presence: Arc<Presence>,
    (retired, returns, left): (CancellationToken, TaskTracker, CancellationToken),
) {
    tokio::select! {
        _ = async { tokio::join!(keep(&reach, &settings), beat(&reach, &presence)) } => {}
        () = retired.cancelled() => {}
    }
    // What is not given back by then is a waste, no more.
    let _ = timeout(RETURNS_WITHIN, returns.wait()).await;
    // If Redis is away, it forgets this gateway by itself.
    let _ = reach.run::<u32>(&presence.says(false)).await;
    left.cancel();
    // Who took the configuration before the reload may be about to ask, and gets its answer.
    sleep(settings.timeout).await;
    reach.end("another link has taken its place");
}

/// Connects, watches over the connections, connects again.
async fn keep(reach: &Reach, settings: &LinkSettings) {
    let probe_key = || Some(format!("{}:probe", settings.key_prefix()));
    match (reach, &settings.place) {
        (Reach::One(server), Place::One(node)) => {
            keeper::keep(server, Finder::At(node.clone()), settings, probe_key).await;
        }
        (Reach::One(server), Place::Master { .. } | Place::Cluster(_)) => {
            let sentinels = Sentinels::new(settings);
            keeper::keep(server, Finder::ByAsking(Box::new(sentinels)), settings, probe_key).await;
        }
        (Reach::Cluster(cluster), Place::Cluster(seeds)) => cluster::keep(cluster, seeds, settings).await,
        // No cluster is made from such settings.
        (Reach::Cluster(cluster), Place::One(_) | Place::Master { .. }) => cluster::keep(cluster, &[], settings).await,
    }
}

/// Says again and again that this gateway lives, and hears how many do.
async fn beat(reach: &Reach, presence: &Presence) {
    let mut heard = Heard::default();
    loop {
        let said = reach.run::<u32>(&presence.says(true)).await.ok();
        presence.hear(&mut heard, said, Instant::now());
        sleep(if said.is_some() { BEAT } else { PROBE_INTERVAL }).await;
    }
}

#[cfg(test)]
mod tests;
