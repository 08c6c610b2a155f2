//! A keep-alive connection of HTTP/1.1 that costs little: a request is ready bytes, of an answer only its status is kept.

use std::net::SocketAddr;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::timeout;

/// Longer than the last of a queue of logins waits, however slow the machine.
const PATIENCE: Duration = Duration::from_secs(60);

/// A keep-alive connection.
pub(crate) struct Connection {
    stream: TcpStream,
    received: Vec<u8>,
}

impl Connection {
    pub(crate) async fn open(addr: SocketAddr) -> Result<Self> {
        let stream = TcpStream::connect(addr).await?;
        stream.set_nodelay(true)?;
        Ok(Self { stream, received: Vec::with_capacity(16 * 1024) })
    }

    /// Sends `request` and waits for the whole answer; its status.
    pub(crate) async fn send(&mut self, request: &[u8]) -> Result<u16> {
        timeout(PATIENCE, self.exchange(request)).await.context("no answer came")?
    }

    async fn exchange(&mut self, request: &[u8]) -> Result<u16> {
        self.stream.write_all(request).await?;
        self.received.clear();
        let (mut status, mut length) = (0, None);
        while length.is_none_or(|length| self.received.len() < length) {
            let read = self.stream.read_buf(&mut self.received).await?;
            ensure!(read > 0, "the connection was closed");
            if length.is_none()
                && let Some(end) = end_of_head(&self.received)
            {
                let head = self.received.get(..end).context("a head")?;
                status = status_of(head).context("an answer without a status")?;
                length = Some(end + body_length(head).context("an answer without Content-Length")?);
            }
        }
        Ok(status)
    }

    /// The last answer's body.
    pub(crate) fn body(&self) -> &[u8] {
        end_of_head(&self.received).and_then(|end| self.received.get(end..)).unwrap_or_default()
    }
}

fn end_of_head(received: &[u8]) -> Option<usize> {
    received.windows(4).position(|four| four == b"\r\n\r\n").map(|at| at + 4)
}

fn status_of(head: &[u8]) -> Option<u16> {
    std::str::from_utf8(head.get(9..12)?).ok()?.parse().ok()
}

fn body_length(head: &[u8]) -> Option<usize> {
    let mut lines = std::str::from_utf8(head).ok()?.split("\r\n").filter_map(|line| line.split_once(':'));
    lines.find(|(name, _)| name.eq_ignore_ascii_case("content-length"))?.1.trim().parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_head_says_status_and_length() {
        let answer = b"HTTP/1.1 201 Created\r\nContent-Length: 3\r\n\r\nabc";
        let end = end_of_head(answer).expect("a whole head");
        assert_eq!(&answer[end..], b"abc");
        assert_eq!((status_of(answer), body_length(&answer[..end])), (Some(201), Some(3)));
        assert_eq!(end_of_head(b"HTTP/1.1 200 OK\r\n"), None);
    }
}
