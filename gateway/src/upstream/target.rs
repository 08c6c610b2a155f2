//! One server of a pool, with everything a request needs to be sent there made beforehand.

use std::net::SocketAddr;

use pingora_core::protocols::l4::socket::SocketAddr as PeerAddr;
use pingora_core::upstreams::peer::HttpPeer;

use crate::config::file::TimeoutsFile;
use crate::config::values::Target as TargetUrl;

/// One server of a pool.
#[derive(Debug)]
pub(crate) struct Target {
    label: Box<str>,
    authority: Box<str>,
    peer: HttpPeer,
}

impl Target {
    /// The server at `addr` that `url` led to.
    pub(super) fn new(url: &TargetUrl, addr: SocketAddr, timeouts: &TimeoutsFile) -> Self {
        let mut peer = HttpPeer::new(addr, url.tls, if url.tls { url.host.clone() } else { String::new() });
        peer.options.connection_timeout = Some(timeouts.connect.get());
        peer.options.total_connection_timeout = Some(timeouts.connect.get());
        peer.options.read_timeout = Some(timeouts.read.get());
        peer.options.write_timeout = Some(timeouts.write.get());
        peer.options.idle_timeout = Some(timeouts.idle.get());
        Self { label: addr.to_string().into(), authority: format!("{}:{}", url.host, url.port).into(), peer }
    }

    /// Address and port, as it stands in logs and metrics.
    #[must_use]
    pub(crate) fn label(&self) -> &str {
        &self.label
    }

    /// Host and port as the file names them.
    #[must_use]
    pub(crate) fn authority(&self) -> &str {
        &self.authority
    }

    /// Where to connect, and with which deadlines.
    #[must_use]
    pub(crate) fn peer(&self) -> &HttpPeer {
        &self.peer
    }

    /// Address and port.
    #[must_use]
    pub(crate) fn address(&self) -> &PeerAddr {
        &self.peer._address
    }
}
