//! Keeps the connections to a server: makes them, proves them, watches over them, makes them again.

use std::sync::Arc;
use std::time::Duration;

use futures::future::join_all;
use tokio::runtime::Handle;
use tokio::time::{sleep, timeout};
use tokio_util::task::AbortOnDropHandle;

use super::NoAnswer;
use super::sentinel::Sentinels;
use super::server::{Live, Server};
use super::settings::LinkSettings;
use crate::config::values::RedisNode;
use crate::limit::gcra::Gcra;
use crate::limit::script::{self, Answer, CountsBy, Line};

/// Between two attempts to connect, and between two pings of a connection that works.
pub(super) const PROBE_INTERVAL: Duration = Duration::from_millis(250);
/// Pings from one question to the sentinels to the next.
const PINGS_PER_QUESTION: u32 = 4;
/// For name look-up, TCP and TLS together. No request waits for it.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(2);

/// How a keeper knows where its server is.
pub(super) enum Finder {
    At(RedisNode),
    ByAsking(Box<Sentinels>),
}

/// The sentinels have made another server the master.
#[derive(Debug, thiserror::Error)]
#[error("the sentinels call {0} the master now")]
struct Moved(RedisNode);

impl Finder {
    async fn find(&mut self) -> Result<RedisNode, NoAnswer> {
        match self {
            Self::At(node) => Ok(node.clone()),
            Self::ByAsking(sentinels) => sentinels.master().await.map_err(NoAnswer::Failed),
        }
    }
}

/// Connects, watches over the connection, connects again. `probe_key` is a key that the server has, to write to.
pub(super) async fn keep(
    server: &Server,
    mut finder: Finder,
    settings: &LinkSettings,
    probe_key: impl Fn() -> Option<String>,
) {
    loop {
        match timeout(CONNECT_TIMEOUT, connect(&mut finder, settings, probe_key())).await {
            Ok(Ok((live, node))) => {
                server.go_up(live, &node);
                tokio::select! {
                    () = watch_over(server, &mut finder, &node) => {}
                    () = widen(server, &node, settings, &probe_key) => {}
                }
            }
            Ok(Err(cause)) => server.stay_down(&cause),
            Err(_) => server.stay_down(&NoAnswer::Deadline(CONNECT_TIMEOUT)),
        }
        sleep(jittered(PROBE_INTERVAL)).await;
    }
}

/// So that many gateways whose connections broke at once do not connect at once.
pub(super) fn jittered(span: Duration) -> Duration {
    span + span.mul_f64(rand::random_range(0.0..1.0))
}

/// A connection over which the limiter's own script has run, and once more within the deadline of requests. So a Redis that
/// accepts connections but may not be written to (a replica, a user without the right), or is too slow, stays down.
async fn connect(
    finder: &mut Finder,
    settings: &LinkSettings,
    probe_key: Option<String>,
) -> Result<(Arc<Live>, RedisNode), NoAnswer> {
    let node = finder.find().await?;
    Ok((connect_to(&node, settings, probe_key).await?, node))
}

async fn connect_to(
    node: &RedisNode,
    settings: &LinkSettings,
    probe_key: Option<String>,
) -> Result<Arc<Live>, NoAnswer> {
    let mut connection = settings.connect(node).await.map_err(NoAnswer::Failed)?;
    if let Some(key) = probe_key {
        let counts_by = CountsBy { algorithm: "gcra", numbers: Gcra::PROBE.numbers() };
        let probe = script::take(&[Line { key, counts_by, cost: 1, only_watches: false }]);
        probe.invoke_async::<Vec<Answer>>(&mut connection).await.map_err(NoAnswer::Failed)?;
        // The first may have taken its time: it brings the script along.
        let again = timeout(settings.timeout, probe.invoke_async::<Vec<Answer>>(&mut connection)).await;
        again.map_err(|_| NoAnswer::Deadline(settings.timeout))?.map_err(NoAnswer::Failed)?;
    }
    Ok(Live::new(connection))
}

/// Gives each runtime from which calls come a connection that it drives itself. Never returns.
async fn widen(server: &Server, node: &RedisNode, settings: &LinkSettings, probe_key: impl Fn() -> Option<String>) {
    let mut has_warned = false;
    loop {
        let runtimes = server.runtimes_without().into_iter();
        let attempts = runtimes.map(|runtime| connect_on(runtime, server, node, settings, probe_key()));
        let failure = join_all(attempts).await.into_iter().find_map(Result::err);
        if let Some(cause) = failure.as_ref().filter(|_| !has_warned) {
            server.is_shared_by_threads(cause);
        }
        has_warned = failure.is_some();
        sleep(PROBE_INTERVAL).await;
    }
}

/// Until it has its own, calls of `runtime` go over the keeper's.
async fn connect_on(
    runtime: Handle,
    server: &Server,
    node: &RedisNode,
    settings: &LinkSettings,
    probe_key: Option<String>,
) -> Result<(), NoAnswer> {
    let (node, settings) = (node.clone(), settings.clone());
    let connecting = runtime.spawn(async move { connect_to(&node, &settings, probe_key).await });
    match timeout(CONNECT_TIMEOUT, AbortOnDropHandle::new(connecting)).await {
        Ok(Ok(live)) => server.give(runtime.id(), live?),
        // It has ended.
        Ok(Err(_)) => server.forget(runtime.id()),
        Err(_) => return Err(NoAnswer::Deadline(CONNECT_TIMEOUT)),
    }
    Ok(())
}

/// Returns when the server is down. Pings it meanwhile, so that a death is noticed without any request, and asks the
/// sentinels, so that a master that was cut off from the others is left.
async fn watch_over(server: &Server, finder: &mut Finder, node: &RedisNode) {
    let mut pings = 0_u32;
    while timeout(PROBE_INTERVAL, server.until_down()).await.is_err() {
        server.ping_over_all().await;
        pings = pings.wrapping_add(1);
        if !pings.is_multiple_of(PINGS_PER_QUESTION) {
            continue;
        }
        // Sentinels that are away are no reason to leave a Redis that answers.
        if let Ok(named) = finder.find().await
            && named != *node
        {
            server.leave(&Moved(named));
        }
    }
}
