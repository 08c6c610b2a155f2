//! The server behind every proxy: as cheap as can be, so that it is never what limits a measurement.
//!
//! One thread, no parsing beyond what keeps requests apart, responses made beforehand: `/128`, `/16k`, `/1m`, and a short
//! answer to everything else, uploads included.

mod framing;

use std::collections::{HashMap, VecDeque};
use std::io::{ErrorKind, Read, Write};
use std::net::SocketAddr;

use anyhow::Result;
use mio::net::{TcpListener, TcpStream};
use mio::{Events, Interest, Poll, Registry, Token};

use framing::{Framing, Request};

const LISTENER: Token = Token(0);
const EVENTS: usize = 1024;
const READ_BYTES: usize = 256 * 1024;

/// Serves `addr` until the process is ended.
pub(crate) fn serve(addr: SocketAddr) -> Result<()> {
    let mut poll = Poll::new()?;
    let mut listener = TcpListener::bind(addr)?;
    poll.registry().register(&mut listener, LISTENER, Interest::READABLE)?;
    let responses = Responses::new();
    let mut clients = HashMap::new();
    let mut next = 1;
    let mut events = Events::with_capacity(EVENTS);
    let mut buffer = vec![0; READ_BYTES];
    loop {
        if let Err(error) = poll.poll(&mut events, None)
            && error.kind() != ErrorKind::Interrupted
        {
            return Err(error.into());
        }
        for event in &events {
            if event.token() == LISTENER {
                accept(&listener, poll.registry(), &mut clients, &mut next)?;
            } else if let Some(client) = clients.get_mut(&event.token())
                && !client.serve(&responses, &mut buffer)
            {
                clients.remove(&event.token());
            }
        }
    }
}

fn accept(
    listener: &TcpListener,
    registry: &Registry,
    clients: &mut HashMap<Token, Client>,
    next: &mut usize,
) -> Result<()> {
    // Until there is none left to accept.
    while let Ok((mut stream, _)) = listener.accept() {
        stream.set_nodelay(true)?;
        let token = Token(*next);
        *next += 1;
        registry.register(&mut stream, token, Interest::READABLE | Interest::WRITABLE)?;
        clients.insert(token, Client { stream, framing: Framing::default(), due: VecDeque::new(), written: 0 });
    }
    Ok(())
}

/// What is answered, head and body in one piece.
struct Responses {
    small: Vec<u8>,
    medium: Vec<u8>,
    large: Vec<u8>,
    other: Vec<u8>,
}

impl Responses {
    fn new() -> Self {
        let of = |length: usize| {
            let head = format!("HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: {length}\r\n\r\n");
            [head.into_bytes(), vec![b'x'; length]].concat()
        };
        Self { small: of(128), medium: of(16 * 1024), large: of(1024 * 1024), other: of(2) }
    }

    fn to(&self, request: Request) -> &[u8] {
        match request {
            Request::Small => &self.small,
            Request::Medium => &self.medium,
            Request::Large => &self.large,
            Request::Other => &self.other,
        }
    }
}

struct Client {
    stream: TcpStream,
    framing: Framing,
    /// Requests that are not wholly answered.
    due: VecDeque<Request>,
    /// Bytes written of the first of them.
    written: usize,
}

impl Client {
    /// Reads and writes as much as there is; false when the connection is over.
    fn serve(&mut self, responses: &Responses, buffer: &mut [u8]) -> bool {
        loop {
            match self.stream.read(buffer) {
                Ok(0) => return false,
                Ok(read) => {
                    let Some(received) = buffer.get(..read) else { return false };
                    if self.framing.feed(received, &mut self.due).is_err() || !self.write(responses) {
                        return false;
                    }
                    // Less than was asked for: there is no more, and the next byte is an event of its own (epoll(7)).
                    if read < buffer.len() {
                        return true;
                    }
                }
                Err(error) if error.kind() == ErrorKind::WouldBlock => return self.write(responses),
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(_) => return false,
            }
        }
    }

    fn write(&mut self, responses: &Responses) -> bool {
        while let Some(request) = self.due.front() {
            let response = responses.to(*request);
            let rest = response.get(self.written..).unwrap_or_default();
            match self.stream.write(rest) {
                Ok(written) if written == rest.len() => {
                    self.written = 0;
                    self.due.pop_front();
                }
                Ok(written) => self.written += written,
                Err(error) if error.kind() == ErrorKind::WouldBlock => return true,
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(_) => return false,
            }
        }
        true
    }
}
