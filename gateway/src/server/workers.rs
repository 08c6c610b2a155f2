//! The threads that serve clients: each with an async runtime, a listening socket and upstream connections of its own.
//!
//! Nothing is stolen between them, so that a request stays on one core. Pingora's own runtimes are not used: it finds the
//! runtime of a thread in a table that outlives the thread, and a gateway started after another had ended in the same
//! process would run on the dead one's.

use std::io;
use std::sync::Arc;
use std::thread::{self, JoinHandle};

use pingora_core::apps::HttpServerOptions;
use pingora_core::server::configuration::ServerConf;
use pingora_core::services::Service as _;
use pingora_core::services::listening::Service;
use pingora_proxy::http_proxy;
use tokio::sync::watch;

use super::Shared;
use super::front::Front;
use super::idle::Idle;
use super::listen::{self, Listener, Port, Transport};
use crate::proxy::Proxy;

/// Pingora stops retrying at this number of attempts; below it, each upstream's own `retries` decides.
const MAX_ATTEMPTS: usize = 32;

/// The threads that serve clients.
pub(super) struct Workers {
    threads: Vec<JoinHandle<()>>,
    end: watch::Sender<()>,
}

impl Workers {
    /// Starts `count` threads that serve `ports` until `closed` says otherwise.
    pub(super) fn start(
        count: usize,
        shared: &Arc<Shared>,
        ports: &mut [Port],
        closed: &watch::Receiver<bool>,
    ) -> io::Result<Self> {
        let (end, ended) = watch::channel(());
        let conf = Arc::new(ServerConf { threads: 1, max_retries: MAX_ATTEMPTS, ..ServerConf::default() });
        let mut start = |number| {
            let mut proxy = http_proxy(&conf, Proxy::new(Arc::clone(shared)));
            let mut options = HttpServerOptions::default();
            // Refused, but by us and with a reason.
            options.allow_connect_method_proxying = true;
            proxy.server_options = Some(options);
            let proxy = Arc::new(proxy);
            let (idle, mut services) = (Arc::new(Idle::default()), Vec::new());
            for over in [Transport::Plain, Transport::H2c, Transport::Tls] {
                let of_these = ports.iter_mut().filter(|port| port.over() == over);
                let own: Vec<Listener> = of_these.filter_map(Port::take).collect();
                if own.is_empty() {
                    // Without a listener a service ends at once, and closes what the other one waits with.
                    continue;
                }
                let front = Front::new(Arc::clone(shared), Arc::clone(&proxy), over, Arc::clone(&idle));
                let mut service = Service::new("gateway".to_owned(), front);
                let fds = listen::add_to(&mut service, own);
                services.push((service, fds));
            }
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
            let (closed, mut ended) = (closed.clone(), ended.clone());
            let serve = move || {
                runtime.block_on(async {
                    for (mut service, fds) in services {
                        let closed = closed.clone();
                        tokio::spawn(async move { service.start_service(Some(fds), closed, 1).await });
                    }
                    tokio::spawn(async move { idle.keep_time().await });
                    // An error means that the sender is gone, which is an end too.
                    let _ = ended.changed().await;
                });
            };
            thread::Builder::new().name(format!("gateway-{number}")).spawn(serve)
        };
        Ok(Self { threads: (0..count).map(&mut start).collect::<io::Result<_>>()?, end })
    }

    /// Ends every thread, and with it whatever request is still under way.
    pub(super) fn end(self) {
        drop(self.end);
        for thread in self.threads {
            // One that has panicked has ended.
            let _ = thread.join();
        }
    }
}
