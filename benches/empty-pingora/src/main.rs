//! What a Pingora proxy costs that does nothing of its own: every request goes to one upstream.
//!
//! Built with the gateway's profile, allocator and shape (one runtime, no work stealing), so that the difference to the
//! gateway is the gateway's own work.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use async_trait::async_trait;
use clap::Parser;
use pingora_core::listeners::tls::TlsSettings;
use pingora_core::listeners::{L4BufferSettings, ListenerConfig};
use pingora_core::server::Server;
use pingora_core::server::configuration::ServerConf;
use pingora_core::services::listening::Service;
use pingora_core::upstreams::peer::HttpPeer;
use pingora_proxy::{ProxyHttp, Session, http_proxy_service};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// An empty Pingora proxy, to compare with.
#[derive(Parser)]
struct Flags {
    /// Where clients connect.
    #[arg(long)]
    listen: SocketAddr,
    /// Where every request goes.
    #[arg(long)]
    upstream: SocketAddr,
    /// The read buffer of a connection in bytes; Pingora's own 64 KiB when left out.
    #[arg(long)]
    read_buffer: Option<usize>,
    /// The certificate as PEM, to speak TLS with HTTP/2 or HTTP/1.1.
    #[arg(long, requires = "key")]
    certificate: Option<PathBuf>,
    /// Its key as PEM.
    #[arg(long, requires = "certificate")]
    key: Option<PathBuf>,
}

struct Proxy {
    upstream: SocketAddr,
}

#[async_trait]
impl ProxyHttp for Proxy {
    type CTX = ();

    fn new_ctx(&self) {}

    async fn upstream_peer(&self, _: &mut Session, (): &mut ()) -> pingora_core::Result<Box<HttpPeer>> {
        Ok(Box::new(HttpPeer::new(self.upstream, false, String::new())))
    }
}

fn main() -> pingora_core::Result<()> {
    let flags = Flags::parse();
    let conf = ServerConf {
        threads: 1,
        work_stealing: false,
        grace_period_seconds: Some(0),
        graceful_shutdown_timeout_seconds: Some(0),
        ..ServerConf::default()
    };
    let mut server = Server::new_with_opt_and_conf(None, conf);
    server.bootstrap();
    let buffers = L4BufferSettings { read: flags.read_buffer, write: None };
    let mut service: Service<_> = http_proxy_service(&server.configuration, Proxy { upstream: flags.upstream });
    let listener = ListenerConfig::tcp(flags.listen.to_string()).l4_buffer(buffers);
    service.add_listener(match flags.certificate.zip(flags.key) {
        None => listener,
        Some((certificate, key)) => listener.tls(tls(&certificate, &key)?),
    });
    server.add_service(service);
    server.run_forever();
}

/// Sessions are resumed from memory, which has room for 256 of them: a listener of Pingora's own has no tickets.
fn tls(certificate: &Path, key: &Path) -> pingora_core::Result<TlsSettings> {
    let mut settings = TlsSettings::intermediate(&certificate.to_string_lossy(), &key.to_string_lossy())?;
    settings.enable_h2();
    Ok(settings)
}
