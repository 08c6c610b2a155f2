//! A service that has its port: serves until it is told to stop, then lets what is under way come to its end.

use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::num::NonZeroUsize;
use std::time::Duration;

use futures::future::BoxFuture;
use poem::endpoint::{BoxEndpoint, EndpointExt};
use poem::{Endpoint, Response, Server};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use super::connections::Connections;

/// What is under way when the service is stopped may take this much longer.
const DRAIN: Duration = Duration::from_secs(5);

/// A connection on which nothing is said for so long is closed; longer than a gateway keeps its own idle ones.
const IDLE: Duration = Duration::from_secs(90);

/// Requests at once on one HTTP/2 connection (RFC 9113, section 6.5.2, advises no fewer).
const HTTP2_STREAMS: u32 = 100;

/// A service whose port is taken.
pub struct Running {
    name: &'static str,
    addr: SocketAddr,
    connections: Connections,
    endpoint: BoxEndpoint<'static, Response>,
    tasks: Vec<Task>,
}

type Task = Box<dyn FnOnce(CancellationToken) -> BoxFuture<'static, ()> + Send>;

/// Why an address cannot be listened on.
#[derive(Debug, thiserror::Error)]
pub enum BindError {
    /// Somebody else does.
    #[error("{0} is in use by another process; stop that one or choose another address")]
    InUse(SocketAddr),
    /// This process may not.
    #[error("cannot listen on {0}: this needs more rights; take a port above 1023")]
    Forbidden(SocketAddr),
    /// The system says no for another reason.
    #[error("cannot listen on {0}")]
    Other(SocketAddr, #[source] io::Error),
}

impl Running {
    pub(super) async fn bind(
        name: &'static str,
        addr: SocketAddr,
        most_connections: NonZeroUsize,
        endpoint: impl Endpoint<Output = Response> + 'static,
    ) -> Result<Self, BindError> {
        let failed = |error: io::Error| match error.kind() {
            io::ErrorKind::AddrInUse => BindError::InUse(addr),
            io::ErrorKind::PermissionDenied => BindError::Forbidden(addr),
            _ => BindError::Other(addr, error),
        };
        let listener = TcpListener::bind(addr).await.map_err(failed)?;
        let addr = listener.local_addr().map_err(failed)?;
        let connections = Connections::new(listener, most_connections.get()).map_err(failed)?;
        Ok(Self { name, addr, connections, endpoint: endpoint.boxed(), tasks: Vec::new() })
    }

    /// The same with a task that runs beside the server: started with it, told to stop with it, awaited at the end.
    #[must_use]
    pub fn with_task<F>(mut self, task: impl FnOnce(CancellationToken) -> F + Send + 'static) -> Self
    where
        F: Future<Output = ()> + Send + 'static,
    {
        self.tasks.push(Box::new(|stop| Box::pin(task(stop))));
        self
    }

    /// Where it listens.
    #[must_use]
    pub const fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// Serves until `stop`, then refuses new connections and gives what is under way five seconds.
    ///
    /// # Errors
    /// When the server fails.
    pub async fn run_until(self, stop: CancellationToken) -> io::Result<()> {
        tracing::info!(server = self.name, addr = %self.addr, "listening");
        // However the server ends, the tasks end with it.
        let tasks_stop = stop.child_token();
        let _end = tasks_stop.clone().drop_guard();
        let tasks: Vec<_> = self.tasks.into_iter().map(|task| tokio::spawn(task(tasks_stop.clone()))).collect();
        let served = Server::new_with_acceptor(self.connections)
            .idle_timeout(IDLE)
            .http2_max_concurrent_streams(HTTP2_STREAMS)
            .run_with_graceful_shutdown(self.endpoint, async move { stop.cancelled().await }, Some(DRAIN))
            .await;
        tasks_stop.cancel();
        for result in futures::future::join_all(tasks).await {
            if let Err(error) = result {
                tracing::error!(server = self.name, %error, "a task beside the server failed");
            }
        }
        tracing::info!(server = self.name, "stopped");
        served
    }
}
