//! One Redis server as requests see it: a breaker around the connections to it.
//!
//! While it is closed (the server is up), calls go over a connection that the caller's own runtime drives, so that no call
//! changes threads and no thread has the calls of all others; over the keeper's, until there is one. An answer that says that the
//! server is of no use (a replica, still loading) opens it, and so does the keeper's connection when it breaks, or when
//! [`FAILURES_UNTIL_DOWN`] calls in a row fail over it (the server is down): from then on no request asks or waits, until the
//! keeper has made another connection and proved it. The same of another connection costs only that one, whose runtime may
//! have ended or be late itself; where it was the server, the next call over the keeper's shows that.

use std::error::Error;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use common::telemetry::Chain;
use futures::future::join_all;
use parking_lot::Mutex;
use redis::aio::MultiplexedConnection;
use redis::{ErrorKind, RedisError, ServerErrorKind};
use tokio::runtime::{Handle, Id};
use tokio::sync::watch;
use tokio::time::{Instant as Deadline, timeout, timeout_at};

use super::NoAnswer;
use crate::config::values::RedisNode;

/// Fewer would let one slow save of Redis' take it down, more would make more requests wait for the deadline.
const FAILURES_UNTIL_DOWN: u32 = 3;
/// Runtimes with a connection of their own; more use the keeper's.
const MOST_RUNTIMES: usize = 256;

/// What requests and the server's keeper share.
pub(super) struct Server {
    /// What logs call it.
    name: String,
    timeout: Duration,
    state: watch::Sender<State>,
    /// From which calls have come.
    runtimes: Mutex<Vec<Handle>>,
}

enum State {
    /// The first attempt is still under way: worth waiting for.
    Starting,
    Up(Connections),
    /// Why.
    Down(Arc<str>),
}

/// Those to a server that is up.
struct Connections {
    keepers: Arc<Live>,
    /// By the runtime that drives it.
    own: Vec<(Id, Arc<Live>)>,
}

/// One connection from its making to its end.
pub(super) struct Live {
    pub(super) connection: MultiplexedConnection,
    failures_in_a_row: AtomicU32,
}

impl Live {
    pub(super) fn new(connection: MultiplexedConnection) -> Arc<Self> {
        Arc::new(Self { connection, failures_in_a_row: AtomicU32::new(0) })
    }
}

impl Connections {
    fn all(&self) -> impl Iterator<Item = &Arc<Live>> {
        std::iter::once(&self.keepers).chain(self.own.iter().map(|(_, live)| live))
    }

    fn of(&self, runtime: Id) -> Option<&Arc<Live>> {
        self.own.iter().find(|(id, _)| *id == runtime).map(|(_, live)| live)
    }
}

impl Server {
    pub(super) fn new(name: String, timeout: Duration) -> Arc<Self> {
        Arc::new(Self { name, timeout, state: watch::Sender::new(State::Starting), runtimes: Mutex::default() })
    }

    pub(super) fn is_up(&self) -> bool {
        matches!(*self.state.borrow(), State::Up(_))
    }

    /// The keeper's connection, if it is up now.
    pub(super) fn connection(&self) -> Option<MultiplexedConnection> {
        match &*self.state.borrow() {
            State::Up(connections) => Some(connections.keepers.connection.clone()),
            State::Starting | State::Down(_) => None,
        }
    }

    /// Makes a call over the caller's connection, within the deadline, and notes how it went.
    pub(super) async fn call<T, F>(&self, call: impl FnOnce(MultiplexedConnection) -> F) -> Result<T, NoAnswer>
    where
        F: Future<Output = Result<T, RedisError>>,
    {
        self.call_past(call, Duration::ZERO, || false).await
    }

    /// The same; but if there is no answer by then, and `goes_on` says so, it is waited for `patience` longer.
    pub(super) async fn call_past<T, F>(
        &self,
        call: impl FnOnce(MultiplexedConnection) -> F,
        patience: Duration,
        goes_on: impl FnOnce() -> bool,
    ) -> Result<T, NoAnswer>
    where
        F: Future<Output = Result<T, RedisError>>,
    {
        let deadline = Deadline::now() + self.timeout;
        let late = || NoAnswer::Deadline(self.timeout);
        let live = timeout_at(deadline, self.live()).await.map_err(|_| late())??;
        let mut answer = pin!(call(live.connection.clone()));
        if let Ok(answer) = timeout_at(deadline, &mut answer).await {
            let answer = answer.map_err(NoAnswer::Failed);
            self.note(&live, &answer);
            return answer;
        }
        self.note(&live, &Err::<T, _>(late()));
        match goes_on() {
            true => timeout(patience, answer).await.map_err(|_| late())?.map_err(NoAnswer::Failed),
            false => Err(late()),
        }
    }

    /// Whether it answers in time.
    pub(super) async fn ping(&self) -> Result<(), NoAnswer> {
        self.call(|mut connection| async move { redis::cmd("PING").exec_async(&mut connection).await }).await
    }

    /// The same over each of its connections, so that none dies unnoticed for want of requests.
    pub(super) async fn ping_over_all(&self) {
        let all: Vec<_> = match &*self.state.borrow() {
            State::Up(connections) => connections.all().cloned().collect(),
            State::Starting | State::Down(_) => return,
        };
        let ping = |live: Arc<Live>| async move {
            let mut connection = live.connection.clone();
            let answer = timeout(self.timeout, redis::cmd("PING").exec_async(&mut connection)).await;
            let answer = answer.map(|answer| answer.map_err(NoAnswer::Failed));
            self.note(&live, &answer.unwrap_or(Err(NoAnswer::Deadline(self.timeout))));
        };
        join_all(all.into_iter().map(ping)).await;
    }

    /// The connection for calls from here; waits for it only at the very beginning.
    pub(super) async fn live(&self) -> Result<Arc<Live>, NoAnswer> {
        if let Some(present) = self.present() {
            return present;
        }
        // The sender is in `self`, so waiting never fails.
        let _ = self.state.subscribe().wait_for(|state| !matches!(state, State::Starting)).await;
        self.present().unwrap_or_else(|| Err(NoAnswer::Down("no attempt to connect has ended yet".into())))
    }

    /// The same without waiting; nothing at the very beginning.
    fn present(&self) -> Option<Result<Arc<Live>, NoAnswer>> {
        match &*self.state.borrow() {
            State::Starting => None,
            State::Up(connections) => Some(Ok(Arc::clone(self.callers(connections)))),
            State::Down(why) => Some(Err(NoAnswer::Down(Arc::clone(why)))),
        }
    }

    /// That of the present runtime, which is remembered if it has none.
    fn callers<'c>(&self, connections: &'c Connections) -> &'c Arc<Live> {
        let Ok(here) = Handle::try_current() else { return &connections.keepers };
        if let Some(live) = connections.of(here.id()) {
            return live;
        }
        let mut runtimes = self.runtimes.lock();
        if runtimes.len() < MOST_RUNTIMES && !runtimes.iter().any(|runtime| runtime.id() == here.id()) {
            runtimes.push(here);
        }
        &connections.keepers
    }

    /// The runtimes that have called and have no connection of their own; none unless it is up.
    pub(super) fn runtimes_without(&self) -> Vec<Handle> {
        let State::Up(connections) = &*self.state.borrow() else { return Vec::new() };
        let runtimes = self.runtimes.lock();
        runtimes.iter().filter(|runtime| connections.of(runtime.id()).is_none()).cloned().collect()
    }

    /// Calls from `runtime` go over `live` from now on, if it is up still.
    pub(super) fn give(&self, runtime: Id, live: Arc<Live>) {
        self.state.send_if_modified(|state| {
            if let State::Up(connections) = state {
                connections.own.push((runtime, live));
            }
            false
        });
    }

    /// Notes that some runtime has no connection of its own.
    pub(super) fn is_shared_by_threads(&self, cause: &(dyn Error + 'static)) {
        let cause = Chain(cause).to_string();
        tracing::warn!(redis = %self.name, cause, "a thread gets no connection to Redis of its own and uses the one that there is");
    }

    /// A runtime has ended.
    pub(super) fn forget(&self, runtime: Id) {
        self.runtimes.lock().retain(|own| own.id() != runtime);
    }

    /// Notes how a call over `live` went.
    pub(super) fn note<T>(&self, live: &Arc<Live>, answer: &Result<T, NoAnswer>) {
        let failure = match answer {
            Ok(_) => return live.failures_in_a_row.store(0, Ordering::Relaxed),
            Err(failure) => failure,
        };
        let failures = live.failures_in_a_row.fetch_add(1, Ordering::Relaxed) + 1;
        let error = if let NoAnswer::Failed(error) = failure { Some(error) } else { None };
        let takes_no_writes = error.is_some_and(takes_no_writes);
        let is_over = takes_no_writes || error.is_some_and(RedisError::is_unrecoverable_error);
        if !is_over && failures < FAILURES_UNTIL_DOWN {
            return;
        }
        let same = |own: &Arc<Live>| Arc::ptr_eq(own, live);
        let ends = |state: &State| match state {
            State::Up(connections) => same(&connections.keepers) || takes_no_writes && connections.all().any(same),
            State::Starting | State::Down(_) => false,
        };
        self.go_down(ends, failure);
        self.take_away(live);
    }

    /// Calls over `live` go over the keeper's connection from now on, unless it is that one.
    fn take_away(&self, live: &Arc<Live>) {
        self.state.send_if_modified(|state| {
            if let State::Up(connections) = state {
                connections.own.retain(|(_, own)| !Arc::ptr_eq(own, live));
            }
            false
        });
    }

    /// Calls from the present runtime, which is the keeper's, go over `live`, and so do others until they have their own.
    pub(super) fn go_up(&self, live: Arc<Live>, node: &RedisNode) {
        let own = Handle::try_current().map(|keepers| (keepers.id(), Arc::clone(&live)));
        self.state.send_replace(State::Up(Connections { keepers: live, own: own.into_iter().collect() }));
        tracing::info!(redis = %self.name, addr = %node, "Redis answers; rate limits are shared");
    }

    /// Notes that an attempt to connect has failed.
    pub(super) fn stay_down(&self, cause: &(dyn Error + 'static)) {
        self.go_down(|state| !matches!(state, State::Up(_)), cause);
    }

    /// Takes it down although it may answer.
    pub(super) fn leave(&self, cause: &(dyn Error + 'static)) {
        self.go_down(|_| true, cause);
    }

    /// Ends it without a word: nobody is to use it any more.
    pub(super) fn end(&self, why: &str) {
        self.state.send_replace(State::Down(why.into()));
    }

    /// Returns once it is not up.
    pub(super) async fn until_down(&self) {
        // The sender is in `self`, so waiting never fails.
        let _ = self.state.subscribe().wait_for(|state| !matches!(state, State::Up(_))).await;
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
            tracing::warn!(redis = %self.name, cause, "Redis does not answer; rate limits use their failure modes");
        }
    }
}

/// Whether the server is of no use to any connection.
fn takes_no_writes(error: &RedisError) -> bool {
    matches!(
        error.kind(),
        ErrorKind::Server(
            ServerErrorKind::ReadOnly
                | ServerErrorKind::BusyLoading
                | ServerErrorKind::MasterDown
                | ServerErrorKind::ClusterDown
        )
    )
}
