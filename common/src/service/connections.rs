//! The connections that a service takes: how many at once, and how long one may keep it waiting.
//!
//! poem closes a connection on which nothing happens at all. It would wait for ever for the rest of a request that comes
//! in drops, and take connections until the process has no files left.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use poem::http::uri::Scheme;
use poem::listener::Acceptor;
use poem::web::{LocalAddr, RemoteAddr};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{Instant, Sleep, sleep, sleep_until};

/// From a request's first byte to the first of its answer. Longer than any answer takes: a body has 10 seconds to
/// arrive, and each call of the store 5.
const REQUEST_DEADLINE: Duration = Duration::from_secs(30);

/// When the process has no file left for a connection, one may be free after this.
const PAUSE_WITHOUT_FILES: Duration = Duration::from_millis(100);

/// Takes connections, a bounded number at once; the others wait in the system's queue.
pub(super) struct Connections {
    listener: TcpListener,
    addr: LocalAddr,
    places: Arc<Semaphore>,
}

/// A connection that fails when a request on it does not get on, and gives its place free at its end.
pub(super) struct Connection<T> {
    stream: T,
    deadline: Pin<Box<Sleep>>,
    /// A request has begun to arrive and nothing of its answer was written.
    waiting: bool,
    _place: OwnedSemaphorePermit,
}

impl Connections {
    pub(super) fn new(listener: TcpListener, most: usize) -> io::Result<Self> {
        let addr = LocalAddr(listener.local_addr()?.into());
        Ok(Self { listener, addr, places: Arc::new(Semaphore::new(most.min(Semaphore::MAX_PERMITS))) })
    }
}

impl Acceptor for Connections {
    type Io = Connection<TcpStream>;

    fn local_addr(&self) -> Vec<LocalAddr> {
        vec![self.addr.clone()]
    }

    async fn accept(&mut self) -> io::Result<(Self::Io, LocalAddr, RemoteAddr, Scheme)> {
        let place = Arc::clone(&self.places).acquire_owned().await.map_err(io::Error::other)?;
        match self.listener.accept().await {
            Ok((stream, peer)) => {
                let connection = Connection::new(stream, place);
                Ok((connection, self.addr.clone(), RemoteAddr(peer.into()), Scheme::HTTP))
            }
            Err(error) => {
                let by_peer = matches!(error.kind(), io::ErrorKind::ConnectionAborted | io::ErrorKind::ConnectionReset);
                if !by_peer {
                    tracing::warn!(%error, "cannot take a connection");
                    // poem asks again at once, and would keep a core busy with it.
                    sleep(PAUSE_WITHOUT_FILES).await;
                }
                Err(error)
            }
        }
    }
}

impl<T> Connection<T> {
    fn new(stream: T, place: OwnedSemaphorePermit) -> Self {
        let deadline = Box::pin(sleep_until(Instant::now() + REQUEST_DEADLINE));
        Self { stream, deadline, waiting: false, _place: place }
    }
}

impl<T: AsyncRead + Unpin> AsyncRead for Connection<T> {
    fn poll_read(mut self: Pin<&mut Self>, ctx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let this = &mut *self;
        if let Poll::Ready(read) = Pin::new(&mut this.stream).poll_read(ctx, buffer) {
            if !this.waiting {
                this.waiting = true;
                this.deadline.as_mut().reset(Instant::now() + REQUEST_DEADLINE);
            }
            // The deadline is looked at below even while drops keep coming.
            if !this.deadline.is_elapsed() {
                return Poll::Ready(read);
            }
        }
        if this.waiting {
            ready!(this.deadline.as_mut().poll(ctx));
            return Poll::Ready(Err(io::ErrorKind::TimedOut.into()));
        }
        Poll::Pending
    }
}

impl<T: AsyncWrite + Unpin> AsyncWrite for Connection<T> {
    fn poll_write(mut self: Pin<&mut Self>, ctx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        self.waiting = false;
        Pin::new(&mut self.stream).poll_write(ctx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, ctx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(ctx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, ctx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(ctx)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        ctx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.waiting = false;
        Pin::new(&mut self.stream).poll_write_vectored(ctx, slices)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }
}

#[cfg(test)]
mod tests {
    use futures::FutureExt;
    use tokio::io::{AsyncReadExt, AsyncWriteExt, duplex};

    use super::*;

    #[tokio::test]
    async fn beyond_the_bound_connections_wait_until_one_ends() -> io::Result<()> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let addr = listener.local_addr()?;
        let mut connections = Connections::new(listener, 1)?;
        let _clients = (TcpStream::connect(addr).await?, TcpStream::connect(addr).await?);
        let (first, ..) = connections.accept().await?;
        assert!(connections.accept().now_or_never().is_none(), "the only place is taken");
        drop(first);
        connections.accept().await.map(drop)
    }

    #[tokio::test(start_paused = true)]
    async fn a_request_in_drops_ends_the_connection_and_a_pause_between_requests_does_not() -> io::Result<()> {
        let (mut client, server) = duplex(64);
        let place = Arc::new(Semaphore::new(1)).acquire_owned().await.map_err(io::Error::other)?;
        let mut server = Connection::new(server, place);
        for _ in 0..3 {
            sleep(REQUEST_DEADLINE * 2).await;
            client.write_all(b"G").await?;
            assert_eq!(server.read_u8().await?, b'G');
            server.write_all(b"answer").await?;
        }
        let drops = tokio::spawn(async move {
            while client.write_all(b"x").await.is_ok() {
                sleep(REQUEST_DEADLINE / 10).await;
            }
        });
        let started = Instant::now();
        let mut read = Vec::new();
        let error = server.read_to_end(&mut read).await.err().map(|error| error.kind());
        assert_eq!((error, started.elapsed()), (Some(io::ErrorKind::TimedOut), REQUEST_DEADLINE));
        drop(server);
        drops.await.map_err(io::Error::other)
    }
}
