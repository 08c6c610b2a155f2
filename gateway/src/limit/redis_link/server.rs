//! One Redis server as requests see it: a breaker around the one connection to it.
//!
//! While it is closed (the server is up), calls go over the connection. A broken connection, an answer that says that the
//! server is of no use (a replica, still loading), or [`FAILURES_UNTIL_DOWN`] failed calls in a row open it (the server is
//! down): from then on no request asks or waits, until the server's keeper has made another connection and proved it.

use std::error::Error;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use common::telemetry::Chain;
use redis::aio::MultiplexedConnection;
use redis::{ErrorKind, RedisError, ServerErrorKind};
use tokio::sync::watch;
use tokio::time::{Instant as Deadline, timeout, timeout_at};

use super::NoAnswer;
use crate::config::values::RedisNode;

/// Fewer would let one slow save of Redis' take it down, more would make more requests wait for the deadline.
const FAILURES_UNTIL_DOWN: u32 = 3;

/// What requests and the server's keeper share.
pub(super) struct Server {
    /// What logs call it.
    name: String,
    timeout: Duration,
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
pub(super) struct Live {
    pub(super) connection: MultiplexedConnection,
    failures_in_a_row: AtomicU32,
}

impl Live {
    pub(super) fn new(connection: MultiplexedConnection) -> Arc<Self> {
        Arc::new(Self { connection, failures_in_a_row: AtomicU32::new(0) })
    }
}

impl Server {
    pub(super) fn new(name: String, timeout: Duration) -> Arc<Self> {
        Arc::new(Self { name, timeout, state: watch::Sender::new(State::Starting) })
    }

    pub(super) fn is_up(&self) -> bool {
        matches!(*self.state.borrow(), State::Up(_))
    }

    /// The connection, if it is up now.
    pub(super) fn connection(&self) -> Option<MultiplexedConnection> {
        match &*self.state.borrow() {
            State::Up(live) => Some(live.connection.clone()),
            State::Starting | State::Down(_) => None,
        }
    }

    /// Makes a call over the present connection, within the deadline, and notes how it went.
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

    /// The present connection; waits for it only at the very beginning.
    pub(super) async fn live(&self) -> Result<Arc<Live>, NoAnswer> {
        let mut state = self.state.subscribe();
        // The sender is in `self`, so waiting never fails.
        let state = state.wait_for(|state| !matches!(state, State::Starting)).await;
        match state.as_deref() {
            Ok(State::Up(live)) => Ok(Arc::clone(live)),
            Ok(State::Down(why)) => Err(NoAnswer::Down(Arc::clone(why))),
            Ok(State::Starting) | Err(_) => Err(NoAnswer::Down("no attempt to connect has ended yet".into())),
        }
    }

    /// Notes how a call over `live` went.
    pub(super) fn note<T>(&self, live: &Arc<Live>, answer: &Result<T, NoAnswer>) {
        let failure = match answer {
            Ok(_) => return live.failures_in_a_row.store(0, Ordering::Relaxed),
            Err(failure) => failure,
        };
        let failures = live.failures_in_a_row.fetch_add(1, Ordering::Relaxed) + 1;
        let is_of_no_use = matches!(failure, NoAnswer::Failed(error) if is_of_no_use(error));
        if is_of_no_use || failures >= FAILURES_UNTIL_DOWN {
            self.go_down(|state| matches!(state, State::Up(present) if Arc::ptr_eq(present, live)), failure);
        }
    }

    pub(super) fn go_up(&self, live: Arc<Live>, node: &RedisNode) {
        self.state.send_replace(State::Up(live));
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

/// Whether the next call over the same connection would fare no better: it is broken, or the server takes no writes.
fn is_of_no_use(error: &RedisError) -> bool {
    let takes_no_writes = matches!(
        error.kind(),
        ErrorKind::Server(
            ServerErrorKind::ReadOnly
                | ServerErrorKind::BusyLoading
                | ServerErrorKind::MasterDown
                | ServerErrorKind::ClusterDown
        )
    );
    takes_no_writes || error.is_unrecoverable_error()
}
