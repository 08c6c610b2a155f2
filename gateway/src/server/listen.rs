//! Opens the gateway's ports before anything is started behind them.
//!
//! Pingora would try for half a minute to bind a port that is in use and then panic. Bound here first, a taken port is an
//! error with a name, and port 0 gives a free one whose number is known.
//!
//! Each worker has a socket of its own on each port, among which the kernel spreads new connections by their addresses
//! (`SO_REUSEPORT`): no worker is woken for a connection that another takes, and none takes more than its share.

use std::io;
use std::net::{SocketAddr, TcpListener};
use std::os::fd::IntoRawFd;
use std::sync::Arc;

use parking_lot::Mutex;
use pingora_core::listeners::{L4BufferSettings, ListenerConfig};
use pingora_core::server::{Fds, ListenFds};
use pingora_core::services::listening::Service;
use socket2::{Domain, Socket, Type};

use super::StartError;

/// Bytes of each connection's read and write buffer. Pingora's own default of 64 KiB per connection is most of what an
/// idle connection costs; larger bodies are read past the buffer.
const READ_BUFFER: usize = 4096;
const WRITE_BUFFER: usize = 1460;

/// Connections that may wait to be accepted, as far as the system allows (`net.core.somaxconn`).
const BACKLOG: i32 = 4096;

/// What a connection's bytes come over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Transport {
    /// TCP.
    Plain,
    /// TCP, over which a client may begin with HTTP/2 at once.
    H2c,
    /// TLS over TCP.
    Tls,
}

/// A port that is open and not yet served.
pub(super) struct Port {
    addr: SocketAddr,
    over: Transport,
    listeners: Vec<TcpListener>,
}

/// One worker's share of a port.
pub(super) struct Listener {
    socket: TcpListener,
    addr: SocketAddr,
}

impl Port {
    /// Opens `addr` for so many workers; port 0 means any free one.
    pub(super) fn open(addr: SocketAddr, over: Transport, workers: usize) -> Result<Self, StartError> {
        let failed = |source: io::Error| match source.kind() {
            io::ErrorKind::AddrInUse => StartError::AddressInUse(addr),
            _ => StartError::Listen { addr, source },
        };
        // Bound alone and shared only then: a port that another gateway shares among its workers is in use all the same.
        let first = bind(addr, false).and_then(listen).map_err(failed)?;
        let addr = first.local_addr().map_err(failed)?;
        let another = |_| if SPREADS { bind(addr, true).and_then(listen) } else { first.try_clone() };
        let mut listeners: Vec<_> = (1..workers).map(another).collect::<io::Result<_>>().map_err(failed)?;
        listeners.push(first);
        Ok(Self { addr, over, listeners })
    }

    /// The next worker's share; none when each has its own. All have to be taken, for the kernel gives to all of them.
    pub(super) fn take(&mut self) -> Option<Listener> {
        Some(Listener { socket: self.listeners.pop()?, addr: self.addr })
    }

    /// Where it is open.
    pub(super) const fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// What its connections' bytes come over.
    pub(super) const fn over(&self) -> Transport {
        self.over
    }
}

/// Whether the kernel spreads connections over the sockets of one port. Elsewhere the last one gets them all, so there
/// workers share one socket.
const SPREADS: bool = cfg!(any(target_os = "linux", target_os = "android"));

fn bind(addr: SocketAddr, shared: bool) -> io::Result<Socket> {
    let socket = Socket::new(Domain::for_address(addr), Type::STREAM, None)?;
    // A port of which only closed connections are left is free.
    socket.set_reuse_address(true)?;
    socket.set_reuse_port(shared)?;
    socket.bind(&addr.into())?;
    Ok(socket)
}

fn listen(socket: Socket) -> io::Result<TcpListener> {
    socket.set_reuse_port(SPREADS)?;
    socket.set_nonblocking(true)?;
    socket.listen(BACKLOG)?;
    Ok(socket.into())
}

/// Makes `service` serve `listeners`, which it finds again in the table that is returned.
pub(super) fn add_to<A>(service: &mut Service<A>, listeners: Vec<Listener>) -> ListenFds {
    let mut fds = Fds::new();
    for listener in listeners {
        let name = listener.addr.to_string();
        let buffers = L4BufferSettings::new(READ_BUFFER, WRITE_BUFFER);
        service.add_listener(ListenerConfig::tcp(name.clone()).l4_buffer(buffers));
        fds.add(name, listener.socket.into_raw_fd());
    }
    Arc::new(Mutex::new(fds))
}

#[cfg(test)]
mod tests {
    use std::net::{IpAddr, Ipv4Addr, TcpStream};
    use std::thread;
    use std::time::{Duration, Instant};

    use super::*;

    const ANY: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 0);

    #[test]
    fn a_port_that_workers_share_is_in_use_for_everybody_else() {
        let port = Port::open(ANY, Transport::Plain, 2).expect("a free port");
        let again = Port::open(port.addr(), Transport::Plain, 2);
        assert!(matches!(again, Err(StartError::AddressInUse(addr)) if addr == port.addr()));
    }

    #[test]
    fn every_worker_gets_connections_and_none_gets_lost() {
        let mut port = Port::open(ANY, Transport::Plain, 2).expect("a free port");
        let listeners: Vec<Listener> = std::iter::from_fn(|| port.take()).collect();
        let clients: Vec<_> = (0..64).map(|_| TcpStream::connect(port.addr()).expect("connects")).collect();
        let mut accepted = [0; 2];
        let deadline = Instant::now() + Duration::from_secs(10);
        while accepted.iter().sum::<usize>() < clients.len() && Instant::now() < deadline {
            for (accepted, listener) in accepted.iter_mut().zip(&listeners) {
                *accepted += std::iter::from_fn(|| listener.socket.accept().ok()).count();
            }
            thread::sleep(Duration::from_millis(1));
        }
        assert_eq!(accepted.iter().sum::<usize>(), clients.len());
        // By chance all to one: once in 2^63 runs. Where they share one socket, whoever comes first gets all.
        assert_eq!(accepted.iter().all(|&number| number > 0), SPREADS, "{accepted:?}");
    }
}
