//! A client that sends exactly so many requests: blocking, over TLS or not, and the same bytes in every run.

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::os::fd::{AsFd, BorrowedFd};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use rustls::pki_types::ServerName;
use rustls::{ClientConfig, ClientConnection, HandshakeKind, StreamOwned};

/// Under valgrind a proxy takes some fifty times as long as alone.
const TIMEOUT: Duration = Duration::from_secs(60);

/// A keep-alive connection.
pub(crate) struct Connection {
    stream: Stream,
    received: Vec<u8>,
    answer: Answer,
}

/// Reads the status of the answer that bytes begin with, and its length; none while that cannot be told.
type Answer = fn(&[u8]) -> Result<Option<(u16, usize)>>;

enum Stream {
    Plain(TcpStream),
    Tls(Box<StreamOwned<ClientConnection, TcpStream>>),
}

impl Connection {
    /// Connects to `addr`, with `tls` over it if there is one; hands are shaken with the first request.
    pub(crate) fn open(addr: SocketAddr, tls: Option<&Arc<ClientConfig>>) -> Result<Self> {
        let stream = socket(addr)?;
        let stream = match tls {
            None => Stream::Plain(stream),
            Some(tls) => {
                let session = ClientConnection::new(Arc::clone(tls), ServerName::try_from("localhost")?)?;
                Stream::Tls(Box::new(StreamOwned::new(session, stream)))
            }
        };
        Ok(Self { stream, received: Vec::new(), answer: head })
    }

    /// Connects to the Redis at `addr`; what it takes well counts as a 200.
    pub(crate) fn to_redis(addr: SocketAddr) -> Result<Self> {
        Ok(Self { stream: Stream::Plain(socket(addr)?), received: Vec::new(), answer: line })
    }

    pub(crate) fn send(&mut self, request: &[u8]) -> Result<()> {
        self.stream.write_all(request)?;
        Ok(self.stream.flush()?)
    }

    /// The status of the next response; its body is read and thrown away.
    pub(crate) fn receive(&mut self) -> Result<u16> {
        loop {
            if let Some(status) = self.receive_part()? {
                return Ok(status);
            }
        }
    }

    /// Reads once; the status when the response is whole with it.
    pub(crate) fn receive_part(&mut self) -> Result<Option<u16>> {
        let mut part = [0; 16 * 1024];
        let read = self.stream.read(&mut part)?;
        if read == 0 {
            bail!("the proxy closed the connection");
        }
        self.received.extend_from_slice(&part[..read]);
        match (self.answer)(&self.received)? {
            Some((status, length)) if self.received.len() >= length => {
                self.received.clear();
                Ok(Some(status))
            }
            _ => Ok(None),
        }
    }

    /// One request and its response, which must be a 200.
    pub(crate) fn ask(&mut self, request: &[u8]) -> Result<()> {
        self.send(request)?;
        expect_ok(self.receive()?)
    }

    /// Waits until the other side has closed: who closes first keeps the port for a minute, and clients have one each.
    pub(crate) fn until_closed(mut self) -> Result<()> {
        let socket = match &mut self.stream {
            Stream::Plain(socket) => socket,
            // Below TLS: not everyone says there that it closes.
            Stream::Tls(stream) => &mut stream.sock,
        };
        let mut rest = [0; 1024];
        while socket.read(&mut rest).context("the proxy does not close the connection")? > 0 {}
        Ok(())
    }

    /// Whether the handshake took up an earlier session.
    pub(crate) fn is_resumed(&self) -> bool {
        match &self.stream {
            Stream::Plain(_) => false,
            Stream::Tls(stream) => stream.conn.handshake_kind() == Some(HandshakeKind::Resumed),
        }
    }
}

impl AsFd for Connection {
    fn as_fd(&self) -> BorrowedFd<'_> {
        match &self.stream {
            Stream::Plain(socket) => socket.as_fd(),
            Stream::Tls(stream) => stream.sock.as_fd(),
        }
    }
}

impl Read for Stream {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match self {
            Self::Plain(socket) => socket.read(buffer),
            Self::Tls(stream) => stream.read(buffer),
        }
    }
}

impl Write for Stream {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Self::Plain(socket) => socket.write(bytes),
            Self::Tls(stream) => stream.write(bytes),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        match self {
            Self::Plain(socket) => socket.flush(),
            Self::Tls(stream) => stream.flush(),
        }
    }
}

fn socket(addr: SocketAddr) -> Result<TcpStream> {
    let stream = TcpStream::connect(addr)?;
    stream.set_nodelay(true)?;
    stream.set_read_timeout(Some(TIMEOUT))?;
    stream.set_write_timeout(Some(TIMEOUT))?;
    Ok(stream)
}

/// Sends `count` requests over `connections` connections: one on each, then all responses, and so on. `request` makes
/// the request of a number.
pub(crate) fn send_all(
    open: impl Fn() -> Result<Connection>,
    connections: usize,
    count: usize,
    request: impl Fn(usize) -> Vec<u8>,
) -> Result<()> {
    let mut open = (0..connections.min(count)).map(|_| open()).collect::<Result<Vec<_>>>()?;
    let mut number = 0;
    while number < count {
        let turn = open.len().min(count - number);
        for connection in open.iter_mut().take(turn) {
            connection.send(&request(number))?;
            number += 1;
        }
        for connection in open.iter_mut().take(turn) {
            expect_ok(connection.receive()?)?;
        }
    }
    Ok(())
}

pub(crate) fn expect_ok(status: u16) -> Result<()> {
    if status != 200 {
        bail!("answered with {status}");
    }
    Ok(())
}

/// The status of the response that `received` begins with, and its length with the body; none while the head is not
/// whole.
fn head(received: &[u8]) -> Result<Option<(u16, usize)>> {
    let Some(end) = received.windows(4).position(|window| window == b"\r\n\r\n") else { return Ok(None) };
    let text = std::str::from_utf8(&received[..end])?;
    let mut lines = text.split("\r\n");
    let status = lines.next().and_then(|line| line.split(' ').nth(1)).and_then(|status| status.parse().ok());
    let length = lines
        .filter_map(|line| line.split_once(':'))
        .find(|(name, _)| name.eq_ignore_ascii_case("content-length"))
        .and_then(|(_, value)| value.trim().parse::<usize>().ok());
    let length = length.context("a response without Content-Length")?;
    Ok(Some((status.context("a response without a status")?, end + 4 + length)))
}

/// An answer of Redis' that is one line (RESP simple strings and errors).
fn line(received: &[u8]) -> Result<Option<(u16, usize)>> {
    let Some(end) = received.windows(2).position(|window| window == b"\r\n") else { return Ok(None) };
    Ok(Some((if received.starts_with(b"+") { 200 } else { 500 }, end + 2)))
}

#[cfg(test)]
mod tests {
    use super::{head, line};

    #[test]
    fn line_of_redis_is_good_or_an_error() {
        assert_eq!(line(b"+PONG\r\n").expect("a line"), Some((200, 7)));
        assert_eq!(line(b"-LOADING\r\n").expect("a line"), Some((500, 10)));
        assert_eq!(line(b"+PON").expect("not wrong yet"), None);
    }

    #[test]
    fn head_says_status_and_where_the_response_ends() {
        let response = b"HTTP/1.1 429 Too Many Requests\r\ncontent-length: 3\r\n\r\nabcHTTP/1.1";
        assert_eq!(head(response).expect("a response"), Some((429, response.len() - 8)));
    }

    #[test]
    fn head_that_is_not_whole_is_waited_for() {
        assert_eq!(head(b"HTTP/1.1 200 OK\r\nContent-Len").expect("not wrong yet"), None);
    }

    #[test]
    fn response_of_unknown_length_is_refused() {
        head(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n").expect_err("cannot be counted");
    }
}
