//! Watches how a chunked body is framed, while Pingora reads it.
//!
//! Pingora takes a chunk whose size has no digit for the last one, any byte for an extension (a bare line feed, which ends
//! the line for some servers, among them), and whatever stands before the empty line for trailers. None of that goes on, but
//! a proxy before the gateway may have read it otherwise, and then the two disagree about where the request ends. So a body
//! that is not exactly what RFC 9112, section 7.1, says ends its request.

use std::fmt;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use async_trait::async_trait;
use pingora_core::protocols::raw_connect::ProxyDigest;
use pingora_core::protocols::tls::SslDigest;
use pingora_core::protocols::{
    ALPN, GetProxyDigest, GetSocketDigest, GetTimingDigest, Peek, Shutdown, SocketDigest, Ssl, Stream, TimingDigest,
    UniqueID, UniqueIDType,
};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use crate::reply::Rejection;

/// 16 hexadecimal digits fit into 64 bits.
const MOST_DIGITS: u8 = 16;

/// Where the next byte of a chunked body stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Place {
    /// In a chunk's size, after so many digits.
    Size(u8),
    /// In blanks behind a size, which only an extension may have.
    Blank,
    Extension,
    /// Between `\r` and `\n` of a size's line.
    SizeEnd,
    Data,
    /// At the `\r`, and then the `\n`, behind a chunk's data.
    DataEnd,
    DataLineFeed,
    /// At the beginning of a trailer's line, or of the empty one.
    Trailer,
    TrailerName,
    TrailerValue,
    TrailerEnd,
    /// Before the very last `\n`.
    LastLineFeed,
    /// Behind the body.
    Done,
}

/// How far a chunked body was looked at.
#[derive(Debug)]
pub(crate) struct Chunks {
    place: Place,
    /// What is still to come of the chunk's data.
    left: u64,
    /// How many bytes extensions and trailers may still have.
    allowance: usize,
}

/// Why a chunked body ends its request.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum BadChunks {
    /// It can be read in two ways, or in none.
    #[error("the chunks are not framed as RFC 9112 says")]
    Malformed,
    /// Its extensions and trailers are larger together than headers may be.
    #[error("extensions and trailers of the chunks are too large")]
    TooLarge,
}

impl From<BadChunks> for Rejection {
    fn from(bad: BadChunks) -> Self {
        match bad {
            BadChunks::Malformed => Self::Malformed,
            BadChunks::TooLarge => Self::HeadersTooLarge,
        }
    }
}

impl Chunks {
    /// At the beginning of a body whose extensions and trailers may have `allowance` bytes together.
    pub(crate) const fn new(allowance: usize) -> Self {
        Self { place: Place::Size(0), left: 0, allowance }
    }

    /// Looks at the next bytes of the connection. Those behind the body are nobody's business here.
    ///
    /// # Errors
    /// When the body must not go on.
    pub(crate) fn look(&mut self, mut bytes: &[u8]) -> Result<(), BadChunks> {
        while let Some((&byte, rest)) = bytes.split_first() {
            match self.place {
                Place::Done => return Ok(()),
                Place::Data => {
                    let skipped = usize::try_from(self.left).unwrap_or(usize::MAX).min(bytes.len());
                    bytes = bytes.get(skipped..).unwrap_or_default();
                    self.left -= skipped as u64;
                    if self.left == 0 {
                        self.place = Place::DataEnd;
                    }
                    continue;
                }
                place => self.place = self.after(place, byte)?,
            }
            bytes = rest;
        }
        Ok(())
    }

    /// Whether its end has come.
    pub(crate) fn is_done(&self) -> bool {
        self.place == Place::Done
    }

    fn after(&mut self, place: Place, byte: u8) -> Result<Place, BadChunks> {
        use Place as P;
        let after = match (place, byte) {
            (P::Size(digits), b'0'..=b'9' | b'a'..=b'f' | b'A'..=b'F') if digits < MOST_DIGITS => {
                let digit = char::from(byte).to_digit(16).unwrap_or_default();
                self.left = self.left << 4 | u64::from(digit);
                P::Size(digits + 1)
            }
            (P::Size(1..), b'\r') | (P::Extension, b'\r') => P::SizeEnd,
            (P::Size(1..) | P::Blank, b';') => P::Extension,
            (P::Size(1..) | P::Blank, b' ' | b'\t') => P::Blank,
            (P::Extension, _) if is_text(byte) => P::Extension,
            (P::SizeEnd, b'\n') if self.left == 0 => P::Trailer,
            (P::SizeEnd, b'\n') => P::Data,
            (P::DataEnd, b'\r') => P::DataLineFeed,
            (P::DataLineFeed, b'\n') => P::Size(0),
            (P::Trailer, b'\r') => P::LastLineFeed,
            (P::Trailer | P::TrailerName, _) if is_token(byte) => P::TrailerName,
            (P::TrailerName, b':') => P::TrailerValue,
            (P::TrailerValue, b'\r') => P::TrailerEnd,
            (P::TrailerValue, _) if is_text(byte) => P::TrailerValue,
            (P::TrailerEnd, b'\n') => P::Trailer,
            (P::LastLineFeed, b'\n') => P::Done,
            _ => return Err(BadChunks::Malformed),
        };
        if matches!(after, P::Blank | P::Extension | P::TrailerName | P::TrailerValue) {
            self.allowance = self.allowance.checked_sub(1).ok_or(BadChunks::TooLarge)?;
        }
        Ok(after)
    }
}

/// What may stand in a header's value (RFC 9110, section 5.5).
const fn is_text(byte: u8) -> bool {
    matches!(byte, b'\t' | b' '..=b'~' | 0x80..)
}

/// What may stand in a header's name (RFC 9110, section 5.6.2).
const fn is_token(byte: u8) -> bool {
    byte.is_ascii_alphanumeric()
        || matches!(
            byte,
            b'!' | b'#' | b'$' | b'%' | b'&' | b'\'' | b'*' | b'+' | b'-' | b'.' | b'^' | b'_' | b'`' | b'|' | b'~'
        )
}

/// A connection whose present request has a chunked body.
pub(super) struct Watched {
    stream: Stream,
    chunks: Chunks,
}

/// `stream`, of whose request `chunks` have been looked at.
pub(super) fn watch(stream: Stream, chunks: Chunks) -> Stream {
    Box::new(Watched { stream, chunks })
}

/// The connection that was given to [`watch`].
pub(super) fn unwatched(stream: Stream) -> Option<Stream> {
    stream.into_any().downcast::<Watched>().ok().map(|watched| watched.stream)
}

/// Why a body could not be read, if it was for its chunks.
pub(crate) fn bad_chunks(cause: &(dyn std::error::Error + 'static)) -> Option<BadChunks> {
    cause.downcast_ref::<io::Error>()?.get_ref()?.downcast_ref().copied()
}

impl fmt::Debug for Watched {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Watched").field("chunks", &self.chunks).finish_non_exhaustive()
    }
}

impl AsyncRead for Watched {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        ready!(Pin::new(&mut self.stream).poll_read(cx, buffer))?;
        let read = buffer.filled().get(before..).unwrap_or_default();
        Poll::Ready(self.chunks.look(read).map_err(|bad| io::Error::new(io::ErrorKind::InvalidData, bad)))
    }
}

impl AsyncWrite for Watched {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        parts: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(cx, parts)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }
}

#[async_trait]
impl Shutdown for Watched {
    async fn shutdown(&mut self) {
        Shutdown::shutdown(&mut *self.stream).await;
    }
}

impl UniqueID for Watched {
    fn id(&self) -> UniqueIDType {
        self.stream.id()
    }
}

impl Ssl for Watched {
    fn get_ssl_digest(&self) -> Option<Arc<SslDigest>> {
        self.stream.get_ssl_digest()
    }

    fn selected_alpn_proto(&self) -> Option<ALPN> {
        self.stream.selected_alpn_proto()
    }
}

impl GetTimingDigest for Watched {
    fn get_timing_digest(&self) -> Vec<Option<TimingDigest>> {
        self.stream.get_timing_digest()
    }

    fn get_read_pending_time(&self) -> Duration {
        self.stream.get_read_pending_time()
    }

    fn get_write_pending_time(&self) -> Duration {
        self.stream.get_write_pending_time()
    }
}

impl GetProxyDigest for Watched {
    fn get_proxy_digest(&self) -> Option<Arc<ProxyDigest>> {
        self.stream.get_proxy_digest()
    }

    fn set_proxy_digest(&mut self, digest: ProxyDigest) {
        self.stream.set_proxy_digest(digest);
    }
}

impl GetSocketDigest for Watched {
    fn get_socket_digest(&self) -> Option<Arc<SocketDigest>> {
        self.stream.get_socket_digest()
    }

    fn set_socket_digest(&mut self, digest: SocketDigest) {
        self.stream.set_socket_digest(digest);
    }
}

#[async_trait]
impl Peek for Watched {
    async fn try_peek(&mut self, buffer: &mut [u8]) -> io::Result<bool> {
        self.stream.try_peek(buffer).await
    }
}

#[cfg(test)]
mod tests;
