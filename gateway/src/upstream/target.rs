//! One server of a pool, with everything a request needs to be sent there made beforehand.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use arc_swap::{ArcSwap, Guard};
use parking_lot::Mutex;
use pingora_core::upstreams::peer::HttpPeer;

use super::Security;
use crate::config::file::TimeoutsFile;
use crate::config::values::Target as TargetUrl;

/// One server of a pool.
#[derive(Debug)]
pub(crate) struct Target {
    addr: SocketAddr,
    label: Box<str>,
    authority: Box<str>,
    peer: ArcSwap<HttpPeer>,
    healthy: AtomicBool,
    last_probe: Mutex<Result<(), Box<str>>>,
}

impl Target {
    /// The server at `addr` that `url` led to.
    pub(super) fn new(url: &TargetUrl, addr: SocketAddr, timeouts: &TimeoutsFile, security: Option<&Security>) -> Self {
        let mut peer = HttpPeer::new(addr, url.tls, if url.tls { url.host.clone() } else { String::new() });
        peer.options.connection_timeout = Some(timeouts.connect.get());
        peer.options.total_connection_timeout = Some(timeouts.connect.get());
        peer.options.read_timeout = Some(timeouts.read.get());
        peer.options.write_timeout = Some(timeouts.write.get());
        peer.options.idle_timeout = Some(timeouts.idle.get());
        let authority = format!("{}:{}", url.host, url.port).into();
        Self {
            addr,
            label: addr.to_string().into(),
            authority,
            peer: ArcSwap::from_pointee(security.and_then(|security| security.secure(&peer)).unwrap_or(peer)),
            healthy: AtomicBool::new(true),
            last_probe: Mutex::new(Ok(())),
        }
    }

    /// Address and port, as it stands in logs and metrics.
    #[must_use]
    pub(crate) fn label(&self) -> &str {
        &self.label
    }

    /// Where it is.
    pub(super) const fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// Host and port as the file names them.
    #[must_use]
    pub(crate) fn authority(&self) -> &str {
        &self.authority
    }

    /// Whether it gets requests: until enough probes in a row have failed, and again when enough have not.
    #[must_use]
    pub(crate) fn is_healthy(&self) -> bool {
        self.healthy.load(Ordering::Relaxed)
    }

    /// Begins or ends its getting requests.
    pub(super) fn set_healthy(&self, healthy: bool) {
        self.healthy.store(healthy, Ordering::Relaxed);
    }

    /// Keeps what the last probe found.
    pub(super) fn probed(&self, found: Result<(), Box<str>>) {
        *self.last_probe.lock() = found;
    }

    /// Why the last probe failed, in a few words; none if it did not, or there was none yet.
    #[must_use]
    pub(crate) fn probe_failure(&self) -> Option<Box<str>> {
        self.last_probe.lock().clone().err()
    }

    /// Where to connect, and with which deadlines.
    #[must_use]
    pub(crate) fn peer(&self) -> Guard<Arc<HttpPeer>> {
        self.peer.load()
    }

    /// Has new connections secured by what `security` holds now.
    pub(super) fn secure(&self, security: &Security) {
        if let Some(peer) = security.secure(&self.peer()) {
            self.peer.store(Arc::new(peer));
        }
    }
}
