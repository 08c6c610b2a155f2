//! One server of a pool, with everything a request needs to be sent there made beforehand.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use arc_swap::{ArcSwap, Guard};
use http::HeaderValue;
use parking_lot::Mutex;
use pingora_core::protocols::TcpKeepalive;
use pingora_core::upstreams::peer::{H1UpgradePolicy, HttpPeer, HttpUpstreamRequestPolicy, PeerOptions};

use super::Security;
use crate::config::file::{UpstreamFile, UpstreamProtocol};
use crate::config::values::{Span, Target as TargetUrl};

/// One server of a pool.
#[derive(Debug)]
pub(crate) struct Target {
    url: TargetUrl,
    addr: SocketAddr,
    label: Box<str>,
    authority: Box<str>,
    host: Option<HeaderValue>,
    peer: ArcSwap<HttpPeer>,
    healthy: AtomicBool,
    last_probe: Mutex<Result<(), Box<str>>>,
}

impl Target {
    /// The server at `addr` that `url` led to, which is told `host` in place of the client's.
    pub(super) fn new(
        url: &TargetUrl,
        addr: SocketAddr,
        options: &PeerOptions,
        security: Option<&Security>,
        host: Option<HeaderValue>,
    ) -> Self {
        let mut peer = HttpPeer::new(addr, url.tls, if url.tls { url.host.clone() } else { String::new() });
        peer.options = options.clone();
        let authority = format!("{}:{}", url.host, url.port).into();
        Self {
            url: url.clone(),
            addr,
            label: addr.to_string().into(),
            authority,
            host,
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

    /// Whether it is the one at `addr` that `url` led to.
    pub(super) fn is(&self, url: &TargetUrl, addr: SocketAddr) -> bool {
        self.addr == addr && self.url == *url
    }

    /// Host and port as the file names them.
    #[must_use]
    pub(crate) fn authority(&self) -> &str {
        &self.authority
    }

    /// The `Host` that it is sent; none where it is the client's.
    #[must_use]
    pub(crate) const fn host(&self) -> Option<&HeaderValue> {
        self.host.as_ref()
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

/// HTTP/2 requests that may be under way on one connection, unless the file says otherwise; what most servers allow.
pub(crate) const MOST_STREAMS: u32 = 100;

/// How long a connection may say nothing until it is asked whether there still is somebody, and then how often.
const KEEPALIVE: Duration = Duration::from_secs(15);
const KEEPALIVE_INTERVAL: Duration = Duration::from_secs(5);
const KEEPALIVE_PROBES: usize = 3;

/// How often HTTP/2 asks whether the program behind a connection still lives, unless the file says otherwise. gRPC servers end
/// connections on which they are asked more than once in five minutes.
pub(crate) const PING_INTERVAL: Duration = Duration::from_secs(360);

/// What is agreed with every target that `file` names: deadlines, and which version of HTTP is spoken.
pub(super) fn peer_options(file: &UpstreamFile) -> PeerOptions {
    let mut options = PeerOptions::new();
    let timeouts = &file.timeouts;
    options.connection_timeout = Some(timeouts.connect.get());
    options.total_connection_timeout = Some(timeouts.connect.get());
    options.read_timeout = Some(timeouts.read.get());
    options.write_timeout = Some(timeouts.write.get());
    options.idle_timeout = Some(timeouts.idle.get());
    // HTTP/2 would go on using the connection to a machine that is gone for as long as TCP hopes.
    options.tcp_keepalive = Some(TcpKeepalive {
        idle: KEEPALIVE,
        interval: KEEPALIVE_INTERVAL,
        count: KEEPALIVE_PROBES,
        #[cfg(target_os = "linux")]
        user_timeout: timeouts.write.get(),
    });
    let ping_interval = file.ping_interval.map_or(PING_INTERVAL, Span::get);
    options.h2_ping_interval =
        Some(ping_interval).filter(|interval| file.protocol != UpstreamProtocol::Http1 && !interval.is_zero());
    // Written out, so that no other default of Pingora's lets `Upgrade: h2c` through: what is spoken behind that passes no route.
    options.http_upstream_request_policy = HttpUpstreamRequestPolicy {
        strip_hop_by_hop: true,
        strip_connection_nominated: true,
        reject_malformed_connection_nominations: true,
        h1_upgrade: H1UpgradePolicy::WebSocketOnly,
    };
    let (newest, oldest) = match file.protocol {
        UpstreamProtocol::Http1 => (1, 1),
        UpstreamProtocol::Http2 => (2, 2),
        UpstreamProtocol::Auto => (2, 1),
    };
    options.set_http_version(newest, oldest);
    options.max_h2_streams = usize::try_from(file.max_concurrent_streams.unwrap_or(MOST_STREAMS)).unwrap_or(usize::MAX);
    options
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener as StdListener;
    use std::sync::Arc;

    use pingora_core::connectors::http::Connector;
    use pingora_core::listeners::tls::Acceptor;
    use pingora_core::protocols::l4::stream::Stream;
    use rcgen::generate_simple_self_signed;
    use rustls::ServerConfig;
    use rustls::crypto::aws_lc_rs::default_provider;
    use rustls_pki_types::PrivateKeyDer;

    use super::*;

    /// What is spoken with a target over TLS that would speak `offered`, when the file says `protocol`; none when the two do
    /// not come together.
    async fn spoken(protocol: UpstreamProtocol, offered: &[&[u8]]) -> Option<&'static str> {
        let generated = generate_simple_self_signed(vec!["localhost".to_owned()]).expect("a certificate");
        let key = PrivateKeyDer::try_from(generated.signing_key.serialize_der()).expect("a key");
        let config = ServerConfig::builder_with_provider(Arc::new(default_provider()));
        let config = config.with_safe_default_protocol_versions().expect("versions").with_no_client_auth();
        let mut config = config.with_single_cert(vec![generated.cert.der().clone()], key).expect("a certificate");
        config.alpn_protocols = offered.iter().map(|protocol| protocol.to_vec()).collect();
        let listener = StdListener::bind("127.0.0.1:0").expect("a port");
        listener.set_nonblocking(true).expect("a socket");
        let addr = listener.local_addr().expect("an address");
        let listener = tokio::net::TcpListener::from_std(listener).expect("a listener");
        let server = tokio::spawn(async move {
            let (socket, _) = listener.accept().await.expect("accepts");
            let acceptor = Acceptor::from_server_config(Arc::new(config));
            let Ok(stream) = acceptor.tls_handshake(Stream::from(socket)).await else { return };
            if let Ok(mut connection) = h2::server::handshake(stream).await {
                while connection.accept().await.is_some() {}
            }
        });
        let file = serde_json::json!({ "targets": [], "protocol": match protocol {
            UpstreamProtocol::Http1 => "http1",
            UpstreamProtocol::Http2 => "http2",
            UpstreamProtocol::Auto => "auto",
        } });
        let mut options = peer_options(&serde_json::from_value(file).expect("an upstream"));
        // Nobody has signed its certificate.
        (options.verify_cert, options.verify_hostname) = (false, false);
        let target = Target::new(&"https://localhost".parse().expect("a url"), addr, &options, None, None);
        let session = Connector::new(None).get_http_session(&**target.peer()).await;
        server.abort();
        session.ok().map(|(session, _)| if session.as_http2().is_some() { "h2" } else { "http/1.1" })
    }

    #[tokio::test]
    async fn which_http_is_spoken_over_tls_is_agreed_on_in_the_handshake() {
        use UpstreamProtocol::{Auto, Http1, Http2};
        let both: &[&[u8]] = &[b"h2", b"http/1.1"];
        let old: &[&[u8]] = &[b"http/1.1"];
        assert_eq!(spoken(Http1, both).await, Some("http/1.1"));
        assert_eq!(spoken(Http2, both).await, Some("h2"));
        assert_eq!(spoken(Auto, both).await, Some("h2"));
        assert_eq!(spoken(Auto, old).await, Some("http/1.1"));
        assert_eq!(spoken(Http2, old).await, None, "never less than what is asked for");
    }
}
