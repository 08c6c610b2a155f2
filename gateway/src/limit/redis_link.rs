//! The one connection to Redis: who makes it, when it counts as down, and how long anybody waits for it.
//!
//! A task on the control runtime, the keeper, is the only one that ever connects. It proves a new connection by running
//! the limiter's own script over it, and only then do requests see it; so recovery costs Redis one connection, and a Redis
//! that accepts connections but may not write (read-only replica, missing ACL right) stays down. Requests call over the
//! present connection with a hard deadline. A broken connection, or [`FAILURES_UNTIL_DOWN`] failed calls in a row, take it
//! down: from then on no request waits, until the keeper, trying every [`PROBE_INTERVAL`], has made another.
//!
//! Why not `redis::aio::ConnectionManager`: whichever request notices the break would reconnect on its own runtime, all
//! others would wait for it each up to its deadline, and the connection would be driven by a proxy thread.

use std::error::Error;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use common::telemetry::Chain;
use prometheus::Histogram;
use redis::aio::MultiplexedConnection;
use redis::{
    AsyncConnectionConfig, Client, ConnectionAddr, FromRedisValue, IntoConnectionInfo as _, RedisConnectionInfo,
    RedisError, ScriptInvocation,
};
use secrecy::ExposeSecret as _;
use tokio::runtime::Handle;
use tokio::sync::watch;
use tokio::task::AbortHandle;
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;

use super::gcra::Gcra;
use super::script::{self, Answer, CountsBy, Line};
use crate::config::file::RedisFile;

/// Fewer would let one slow save of Redis' take it down, more would make more requests wait for the deadline.
const FAILURES_UNTIL_DOWN: u32 = 3;
/// Between two attempts to connect, and between two pings of a connection that works.
const PROBE_INTERVAL: Duration = Duration::from_millis(250);
/// For name look-up, TCP and TLS together. No request waits for it.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(2);
/// Calls under way at once; more wait for their turn, within their deadline.
const MAX_CALLS: usize = 1024;

/// The connection to Redis that the policies share.
pub struct RedisLink {
    settings: LinkSettings,
    link: Arc<Link>,
    seconds: Histogram,
    keeper: AbortHandle,
    retired: CancellationToken,
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

/// What a link is made from; compared to know whether a reload may keep it.
#[derive(Clone)]
pub(crate) struct LinkSettings {
    addr: ConnectionAddr,
    username: Option<String>,
    password: Option<secrecy::SecretString>,
    database: u32,
    timeout: Duration,
    key_prefix: String,
}

/// What requests and the keeper share.
struct Link {
    client: Client,
    shown_addr: String,
    timeout: Duration,
    probe_key: String,
    state: watch::Sender<State>,
}

enum State {
    /// The first attempt is still under way: worth waiting for.
    Starting,
    Up(Arc<Live>),
    /// Why.
    Down(Arc<str>),
}

/// One connection from its making to its end.
struct Live {
    connection: MultiplexedConnection,
    failures_in_a_row: AtomicU32,
}

impl RedisLink {
    /// Begins to connect on `control`, whose runtime also drives the connection; never fails for want of a server.
    ///
    /// # Errors
    /// When the settings cannot be used by the client library.
    pub(super) fn open(settings: LinkSettings, seconds: Histogram, control: &Handle) -> Result<Self, RedisError> {
        let link = Arc::new(Link {
            client: settings.client()?,
            shown_addr: settings.addr.to_string(),
            timeout: settings.timeout,
            probe_key: format!("{}:probe", settings.key_prefix),
            state: watch::Sender::new(State::Starting),
        });
        let retired = CancellationToken::new();
        let keeper = control.spawn(keep_until(Arc::clone(&link), retired.clone())).abort_handle();
        Ok(Self { settings, link, seconds, keeper, retired })
    }

    /// Makes and watches over no connection any more, and closes the present one as soon as the deadline of a request that
    /// is about to use it has passed.
    pub(super) fn retire(&self) {
        self.retired.cancel();
    }

    /// Whether requests can use it now.
    pub(super) fn is_up(&self) -> bool {
        matches!(*self.link.state.borrow(), State::Up(_))
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
        self.link.call(|mut connection| async move { ping(&mut connection).await }).await
    }

    /// Runs a script within the deadline.
    pub(super) async fn run<T: FromRedisValue>(&self, script: &ScriptInvocation<'_>) -> Result<T, NoAnswer> {
        let _measured = self.seconds.start_timer();
        self.link.call(|mut connection| async move { script.invoke_async(&mut connection).await }).await
    }
}

impl Drop for RedisLink {
    fn drop(&mut self) {
        self.keeper.abort();
    }
}

impl LinkSettings {
    pub(crate) fn read(file: &RedisFile) -> Self {
        let (host, port) = (file.host.clone(), file.port);
        let addr = match file.tls {
            true => ConnectionAddr::TcpTls { host, port, insecure: false, tls_params: None },
            false => ConnectionAddr::Tcp(host, port),
        };
        let password = file.password.as_ref().map(|password| password.as_secret().clone());
        Self {
            addr,
            username: file.username.clone(),
            password: password.filter(|password| !password.expose_secret().is_empty()),
            database: file.database,
            timeout: file.timeout.get(),
            key_prefix: file.key_prefix.clone(),
        }
    }

    pub(super) fn key_prefix(&self) -> &str {
        &self.key_prefix
    }

    /// What connects with them.
    ///
    /// # Errors
    /// When they cannot be used by the client library.
    pub(crate) fn client(&self) -> Result<Client, RedisError> {
        if matches!(self.addr, ConnectionAddr::TcpTls { .. }) {
            pingora_core::tls::install_default_crypto_provider();
        }
        let mut login = RedisConnectionInfo::default().set_db(i64::from(self.database));
        if let Some(username) = &self.username {
            login = login.set_username(username);
        }
        if let Some(password) = &self.password {
            login = login.set_password(password.expose_secret());
        }
        Client::open(self.addr.clone().into_connection_info()?.set_redis_settings(login))
    }
}

impl PartialEq for LinkSettings {
    fn eq(&self, other: &Self) -> bool {
        let Self { addr, username, password, database, timeout, key_prefix } = self;
        let exposed =
            |password: &Option<secrecy::SecretString>| password.as_ref().map(|p| p.expose_secret().to_owned());
        *addr == other.addr
            && *username == other.username
            && exposed(password) == exposed(&other.password)
            && *database == other.database
            && *timeout == other.timeout
            && *key_prefix == other.key_prefix
    }
}

impl Link {
    /// Makes a call over the present connection, within the deadline, and notes how it went.
    async fn call<T, F>(&self, call: impl FnOnce(MultiplexedConnection) -> F) -> Result<T, NoAnswer>
    where
        F: Future<Output = Result<T, RedisError>>,
    {
        let mut seen = None;
        let answer = timeout(self.timeout, async {
            let live = seen.insert(self.live().await?);
            call(live.connection.clone()).await.map_err(NoAnswer::Failed)
        });
        let answer = answer.await.unwrap_or(Err(NoAnswer::Deadline(self.timeout)));
        if let Some(live) = seen {
            self.note(&live, &answer);
        }
        answer
    }

    /// The present connection; waits for it only at the very beginning.
    async fn live(&self) -> Result<Arc<Live>, NoAnswer> {
        let mut state = self.state.subscribe();
        // The sender is in `self`, so waiting never fails.
        let state = state.wait_for(|state| !matches!(state, State::Starting)).await;
        match state.as_deref() {
            Ok(State::Up(live)) => Ok(Arc::clone(live)),
            Ok(State::Down(why)) => Err(NoAnswer::Down(Arc::clone(why))),
            Ok(State::Starting) | Err(_) => Err(NoAnswer::Down("no attempt to connect has ended yet".into())),
        }
    }

    fn note<T>(&self, live: &Arc<Live>, answer: &Result<T, NoAnswer>) {
        let failure = match answer {
            Ok(_) => return live.failures_in_a_row.store(0, Ordering::Relaxed),
            Err(failure) => failure,
        };
        let failures = live.failures_in_a_row.fetch_add(1, Ordering::Relaxed) + 1;
        let broken = matches!(failure, NoAnswer::Failed(error) if error.is_unrecoverable_error());
        if broken || failures >= FAILURES_UNTIL_DOWN {
            self.go_down(|state| matches!(state, State::Up(present) if Arc::ptr_eq(present, live)), failure);
        }
    }

    fn go_up(&self, live: Arc<Live>) {
        self.state.send_replace(State::Up(live));
        tracing::info!(redis = %self.shown_addr, "Redis answers; rate limits are shared");
    }

    /// Goes down if the state is one that `applies`; so a late failure of an old connection does not end the new one,
    /// and only the first to notice writes the log line.
    fn go_down(&self, applies: impl FnOnce(&State) -> bool, cause: &(dyn Error + 'static)) {
        let cause = Chain(cause).to_string();
        let went_down = self.state.send_if_modified(|state| {
            if !applies(state) {
                return false;
            }
            let before = std::mem::replace(state, State::Down(cause.as_str().into()));
            !matches!(before, State::Down(_))
        });
        if went_down {
            tracing::warn!(redis = %self.shown_addr, cause, "Redis does not answer; rate limits use their failure modes");
        }
    }

    async fn connect(&self) -> Result<Arc<Live>, NoAnswer> {
        let config = AsyncConnectionConfig::new()
            .set_connection_timeout(None)
            .set_response_timeout(None)
            .set_pipeline_buffer_size(MAX_CALLS)
            .set_concurrency_limit(MAX_CALLS);
        let attempt = async {
            let mut connection = self.client.get_multiplexed_async_connection_with_config(&config).await?;
            let counts_by = CountsBy { algorithm: "gcra", numbers: Gcra::PROBE.numbers() };
            let line = Line { key: self.probe_key.clone(), counts_by, cost: 1, only_watches: false };
            script::take(&[line]).invoke_async::<Vec<Answer>>(&mut connection).await?;
            Ok(Arc::new(Live { connection, failures_in_a_row: AtomicU32::new(0) }))
        };
        match timeout(CONNECT_TIMEOUT, attempt).await {
            Ok(attempt) => attempt.map_err(NoAnswer::Failed),
            Err(_) => Err(NoAnswer::Deadline(CONNECT_TIMEOUT)),
        }
    }

    /// Returns when the connection is down. Pings it meanwhile, so that a death is noticed without any request.
    async fn watch_over(&self) {
        let mut state = self.state.subscribe();
        let is_down = |state: &State| !matches!(state, State::Up(_));
        while timeout(PROBE_INTERVAL, state.wait_for(is_down)).await.is_err() {
            // `call` notes how it went; there is nobody else to tell.
            let _ = self.call(|mut connection| async move { ping(&mut connection).await }).await;
        }
    }
}

/// The keeper's life: it keeps the link until a reload has put another in its place.
async fn keep_until(link: Arc<Link>, retired: CancellationToken) {
    tokio::select! {
        () = keep(&link) => {}
        () = retired.cancelled() => {}
    }
    // Who took the configuration before the reload may be about to ask, and gets its answer.
    sleep(link.timeout).await;
    link.state.send_replace(State::Down("another link has taken its place".into()));
}

/// Connects, watches over the connection, connects again.
async fn keep(link: &Link) {
    loop {
        match link.connect().await {
            Ok(live) => {
                link.go_up(live);
                link.watch_over().await;
            }
            Err(cause) => link.go_down(|state| !matches!(state, State::Up(_)), &cause),
        }
        sleep(PROBE_INTERVAL).await;
    }
}

async fn ping(connection: &mut MultiplexedConnection) -> Result<(), RedisError> {
    redis::cmd("PING").exec_async(connection).await
}
