//! A connection of HTTP/1 of which Pingora gets to see one request at a time.
//!
//! Clients may send the next request before the answer to the one before (RFC 9112, section 9.3.2). Pingora would take its
//! first bytes for a mistake, or keep them where they cannot be screened. So each request gets the bytes up to its own end,
//! and what comes behind them waits here for its turn.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use async_trait::async_trait;
use bytes::BytesMut;
use pingora_core::protocols::raw_connect::ProxyDigest;
use pingora_core::protocols::tls::SslDigest;
use pingora_core::protocols::{
    ALPN, GetProxyDigest, GetSocketDigest, GetTimingDigest, Peek, Shutdown, SocketDigest, Ssl, Stream, TimingDigest,
    UniqueID, UniqueIDType,
};
use pingora_proxy::Session;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::chunks::BadChunks;
use super::extent::Extent;
use super::front::OpenConnection;
use super::quiet::Quiet;
use super::refusal;

/// Bytes that may wait for their turn. More stay with the client.
const MOST_AHEAD: usize = 4096;

/// Bytes that are read at once while a request waits for its answer.
const GLANCE: usize = 512;

/// A connection, and how far its present request goes.
#[derive(Debug)]
pub(super) struct Turns {
    /// With its place among the open ones; none once it was taken out.
    stream: Option<(Stream, OpenConnection)>,
    extent: Extent,
    ahead: BytesMut,
    /// Whether the client, with requests ahead, has said that there will be no more: it waits for their answers.
    is_half_closed: bool,
    /// How long its request may be silent, if that asks for a WebSocket.
    quiet: Quiet,
}

impl Turns {
    /// `stream`, before its first request, of which `ahead` has come already.
    pub(super) fn new(stream: Stream, ahead: BytesMut, place: OpenConnection) -> Self {
        let (stream, extent, quiet) = (Some((stream, place)), Extent::Bytes(0), Quiet::default());
        Self { stream, extent, ahead, is_half_closed: false, quiet }
    }

    /// What has come of the next request, and where the rest of it is read from; none when the one before was not read to
    /// its end, so that nobody knows where the next begins.
    pub(super) fn next(&mut self) -> Option<(BytesMut, &mut Stream)> {
        let is_known = matches!(self.extent, Extent::Bytes(0) | Extent::Open);
        let (stream, _) = self.stream.as_mut().filter(|_| is_known)?;
        Some((std::mem::take(&mut self.ahead), stream))
    }

    /// Begins a request whose body is framed so, and which `bytes` begin with; its head is the first `head` of them. Gives
    /// back those that are its own.
    ///
    /// # Errors
    /// When what is there of its chunks must not go on, with all of `bytes`.
    pub(super) fn begin(
        &mut self,
        mut bytes: BytesMut,
        head: usize,
        extent: Extent,
    ) -> Result<BytesMut, (BadChunks, BytesMut)> {
        self.extent = extent;
        if matches!(self.extent, Extent::Open) {
            self.quiet = Quiet::default();
        }
        let own = match self.extent.pass(bytes.get(head..).unwrap_or_default()) {
            Ok(own) => head + own,
            Err(bad) => return Err((bad, bytes)),
        };
        if own < bytes.len() {
            self.ahead = bytes.split_off(own);
        }
        Ok(bytes)
    }

    /// The connection itself and its place, for whoever ends it.
    pub(super) fn into_parts(mut self) -> Option<(Stream, OpenConnection)> {
        self.stream.take()
    }

    fn stream(&mut self) -> io::Result<Pin<&mut Stream>> {
        let stream = self.stream.as_mut().map(|(stream, _)| Pin::new(stream));
        stream.ok_or_else(|| io::ErrorKind::NotConnected.into())
    }

    /// Notes that so many bytes have come or gone.
    fn note(&mut self, bytes: usize) {
        if bytes > 0 && matches!(self.extent, Extent::Open) {
            self.quiet.broken();
        }
    }

    fn inner(&self) -> Option<&Stream> {
        self.stream.as_ref().map(|(stream, _)| stream)
    }
}

/// How long the request in `session` may be silent, if it asks for a WebSocket.
pub(crate) fn quiet(session: &Session) -> Option<&Quiet> {
    let turns: &Turns = (**session.stream()?).as_any().downcast_ref()?;
    matches!(turns.extent, Extent::Open).then_some(&turns.quiet)
}

/// A client that is still sending when its connection ends would be told of it by a reset, which can overtake the answer
/// (RFC 9112, section 9.6).
impl Drop for Turns {
    fn drop(&mut self) {
        let is_sending = !self.ahead.is_empty() || !matches!(self.extent, Extent::Bytes(0));
        let Some((mut stream, place)) = self.stream.take().filter(|_| is_sending) else { return };
        if let Ok(runtime) = tokio::runtime::Handle::try_current() {
            runtime.spawn(async move {
                refusal::end(&mut stream).await;
                drop(place);
            });
        }
    }
}

impl AsyncRead for Turns {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let turns = self.get_mut();
        if !turns.extent.is_over() {
            let before = buffer.filled().len();
            match turns.stream()?.poll_read(cx, buffer) {
                Poll::Ready(read) => read?,
                Poll::Pending if matches!(turns.extent, Extent::Open) => {
                    return turns.quiet.poll_over(cx).map(|whose| Err(whose.into()));
                }
                Poll::Pending => return Poll::Pending,
            }
            let come = buffer.filled().get(before..).unwrap_or_default();
            let own = turns.extent.pass(come).map_err(|bad| io::Error::new(io::ErrorKind::InvalidData, bad))?;
            turns.ahead.extend_from_slice(come.get(own..).unwrap_or_default());
            buffer.set_filled(before + own);
            turns.note(own);
            return Poll::Ready(Ok(()));
        }
        // The request has come whole. All that is to be learnt now is that the client goes away.
        while turns.ahead.len() < MOST_AHEAD && !turns.is_half_closed {
            let mut glance = [0; GLANCE];
            let mut glance = ReadBuf::new(&mut glance);
            ready!(turns.stream()?.poll_read(cx, &mut glance))?;
            if glance.filled().is_empty() {
                if turns.ahead.is_empty() {
                    return Poll::Ready(Ok(()));
                }
                turns.is_half_closed = true;
            }
            turns.ahead.extend_from_slice(glance.filled());
        }
        // Whoever asks has the answer to wait for, too.
        Poll::Pending
    }
}

impl AsyncWrite for Turns {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let turns = self.get_mut();
        let written = ready!(turns.stream()?.poll_write(cx, bytes))?;
        turns.note(written);
        Poll::Ready(Ok(written))
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.get_mut().stream()?.poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.get_mut().stream()?.poll_shutdown(cx)
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let turns = self.get_mut();
        let written = ready!(turns.stream()?.poll_write_vectored(cx, bytes))?;
        turns.note(written);
        Poll::Ready(Ok(written))
    }

    fn is_write_vectored(&self) -> bool {
        self.inner().is_some_and(AsyncWrite::is_write_vectored)
    }
}

#[async_trait]
impl Shutdown for Turns {
    async fn shutdown(&mut self) {
        if let Some((stream, _)) = &mut self.stream {
            Shutdown::shutdown(&mut **stream).await;
        }
    }
}

impl UniqueID for Turns {
    fn id(&self) -> UniqueIDType {
        self.inner().map_or(-1, |stream| stream.id())
    }
}

impl Ssl for Turns {
    fn get_ssl_digest(&self) -> Option<Arc<SslDigest>> {
        self.inner()?.get_ssl_digest()
    }

    fn selected_alpn_proto(&self) -> Option<ALPN> {
        self.inner()?.selected_alpn_proto()
    }
}

impl GetTimingDigest for Turns {
    fn get_timing_digest(&self) -> Vec<Option<TimingDigest>> {
        self.inner().map_or_else(Vec::new, |stream| stream.get_timing_digest())
    }

    fn get_read_pending_time(&self) -> Duration {
        self.inner().map_or(Duration::ZERO, |stream| stream.get_read_pending_time())
    }

    fn get_write_pending_time(&self) -> Duration {
        self.inner().map_or(Duration::ZERO, |stream| stream.get_write_pending_time())
    }
}

impl GetProxyDigest for Turns {
    fn get_proxy_digest(&self) -> Option<Arc<ProxyDigest>> {
        self.inner()?.get_proxy_digest()
    }
}

impl GetSocketDigest for Turns {
    fn get_socket_digest(&self) -> Option<Arc<SocketDigest>> {
        self.inner()?.get_socket_digest()
    }
}

impl Peek for Turns {}
