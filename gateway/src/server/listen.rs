//! Opens the gateway's ports before anything is started behind them.
//!
//! Pingora would try for half a minute to bind a port that is in use and then panic. Bound here first, a taken port is an
//! error with a name, and port 0 gives a free one whose number is known.

use std::io;
use std::net::{SocketAddr, TcpListener};
use std::os::fd::IntoRawFd;
use std::sync::Arc;

use parking_lot::Mutex;
use pingora_core::listeners::{L4BufferSettings, ListenerConfig};
use pingora_core::server::{Fds, ListenFds};
use pingora_core::services::listening::Service;

use super::StartError;

/// Bytes of each connection's read and write buffer. Pingora's own default of 64 KiB per connection is most of what an
/// idle connection costs; larger bodies are read past the buffer.
const READ_BUFFER: usize = 4096;
const WRITE_BUFFER: usize = 1460;

/// What a connection's bytes come over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Transport {
    /// TCP.
    Plain,
    /// TLS over TCP.
    Tls,
}

/// A port that is open and not yet served.
pub(super) struct Listener {
    socket: TcpListener,
    addr: SocketAddr,
    over: Transport,
}

impl Listener {
    /// Opens `addr`; port 0 means any free one.
    pub(super) fn bind(addr: SocketAddr, over: Transport) -> Result<Self, StartError> {
        let failed = |source: io::Error| match source.kind() {
            io::ErrorKind::AddrInUse => StartError::AddressInUse(addr),
            _ => StartError::Listen { addr, source },
        };
        let socket = TcpListener::bind(addr).map_err(failed)?;
        socket.set_nonblocking(true).map_err(failed)?;
        let addr = socket.local_addr().map_err(failed)?;
        Ok(Self { socket, addr, over })
    }

    /// A second handle to the same open port.
    pub(super) fn try_clone(&self) -> io::Result<Self> {
        Ok(Self { socket: self.socket.try_clone()?, ..*self })
    }

    /// Where it is open.
    pub(super) fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// What its connections' bytes come over.
    pub(super) fn over(&self) -> Transport {
        self.over
    }
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
