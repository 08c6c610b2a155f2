//! How a pool's targets are spoken to over TLS: whom the gateway believes, and what it shows.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use arc_swap::ArcSwap;
use pingora_core::protocols::tls::CaType;
use pingora_core::upstreams::peer::HttpPeer;
use pingora_core::utils::tls::{CertKey, WrappedX509, parse_x509};
use secrecy::ExposeSecret;

use crate::config::file::UpstreamTlsFile;
use crate::config::values::{ClientIdentity, UpstreamTls};
use crate::tls::{CertificateSeries, Source, read_authorities, read_identity, unix_time};

/// What connections to one pool's targets are secured with, renewed when its files change.
pub(crate) struct Security {
    file: UpstreamTlsFile,
    authorities: Option<Source>,
    identity: Option<Source>,
    present: ArcSwap<Present>,
}

/// What the files have come to, as Pingora wants it.
struct Present {
    read: UpstreamTls,
    /// Tells it from all others; never 0. Connections that were made with others are not used again.
    epoch: u64,
    authorities: Option<Arc<CaType>>,
    identity: Option<Arc<CertKey>>,
}

impl Security {
    /// What `file` says, and its files were `read` to hold; their paths begin in `directory`.
    pub(crate) fn new(file: &UpstreamTlsFile, directory: &Path, read: &UpstreamTls) -> Self {
        let authorities = file.ca.as_ref().map(|ca| Source::new(directory, ca, [ca]));
        let identity = file.certificate.as_ref().zip(file.key.as_ref());
        Self {
            file: file.clone(),
            authorities,
            identity: identity.map(|(certificate, key)| Source::new(directory, certificate, [certificate, key])),
            present: ArcSwap::from_pointee(Present::new(read.clone())),
        }
    }

    /// Whether its files hold what was `read`.
    pub(super) fn holds(&self, read: &UpstreamTls) -> bool {
        self.present.load().read == *read
    }

    /// How often [`Self::renew`] wants to be called; never when this is nothing.
    pub(super) fn reload_interval(&self) -> Option<Duration> {
        Some(self.file.reload_interval.get()).filter(|interval| !interval.is_zero())
    }

    /// Has connections to `peer` secured. Says nothing new to a peer that goes by what the files hold now.
    pub(super) fn secure(&self, peer: &HttpPeer) -> Option<HttpPeer> {
        let present = self.present.load();
        if peer.group_key == present.epoch || !peer.is_tls() {
            return None;
        }
        let mut peer = peer.clone();
        if let Some(name) = &self.file.server_name {
            peer.sni.clone_from(name);
        }
        peer.options.verify_cert = self.file.verify;
        peer.options.verify_hostname = self.file.verify;
        peer.options.ca.clone_from(&present.authorities);
        peer.client_cert_key.clone_from(&present.identity);
        // Pingora's own key of a connection does not tell authorities apart.
        peer.group_key = present.epoch;
        Some(peer)
    }

    /// Says in `series` how its files are.
    pub(super) fn show(&self, series: &CertificateSeries) {
        if let Some(source) = &self.authorities {
            series.show(source, None);
        }
        if let Some(source) = &self.identity {
            series.show(source, self.present.load().read.identity.as_ref().map(ClientIdentity::certificate));
        }
    }

    /// Looks whether the files have changed, and takes what is good of them. Blocks while it reads.
    pub(super) fn renew(&self, upstream: &str) {
        let before = self.present.load_full();
        let mut read = before.read.clone();
        if let Some(found) = self.authorities.as_ref().and_then(|source| source.look(read_authorities)) {
            read.authorities = Some(found);
        }
        let look = |source: &Source| source.look(|paths| read_identity(paths, unix_time()));
        if let Some(found) = self.identity.as_ref().and_then(look) {
            read.identity = Some(found);
        }
        if read != before.read {
            tracing::info!(upstream, "renewed certificates are used from now on");
            self.present.store(Arc::new(Present::new(read)));
        }
    }
}

impl Present {
    fn new(read: UpstreamTls) -> Self {
        static EPOCHS: AtomicU64 = AtomicU64::new(1);
        let wrapped = |der: &[u8]| WrappedX509::new(der.to_vec(), parse_x509);
        let authorities = read.authorities.as_ref();
        let authorities = authorities.map(|all| all.certificates().iter().map(|der| wrapped(der)).collect());
        let identity = read.identity.as_ref().map(|identity| {
            let chain = identity.certificate().key().cert.iter().map(|der| der.to_vec()).collect();
            Arc::new(CertKey::new(chain, identity.key().expose_secret().to_vec()))
        });
        Self { epoch: EPOCHS.fetch_add(1, Ordering::Relaxed), authorities, identity, read }
    }
}
