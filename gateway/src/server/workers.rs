//! The threads that serve clients: each with an async runtime, a listening socket and upstream connections of its own.
//!
//! Nothing is stolen between them, so that a request stays on one core. Pingora's own runtimes are not used: it finds the
//! runtime of a thread in a table that outlives the thread, and a gateway started after another had ended in the same
//! process would run on the dead one's.

use std::io;
use std::sync::Arc;
use std::thread::{self, JoinHandle};

use pingora_core::server::configuration::ServerConf;
use pingora_core::services::Service as _;
use pingora_core::services::listening::Service;
use pingora_proxy::http_proxy;
use tokio::sync::watch;

use super::Shared;
use super::front::Front;
use super::listen::{self, Listener};
use crate::proxy::Proxy;

/// Pingora stops retrying at this number of attempts; below it, each upstream's own `retries` decides.
const MAX_ATTEMPTS: usize = 32;

/// The threads that serve clients.
pub(super) struct Workers {
    threads: Vec<JoinHandle<()>>,
    end: watch::Sender<()>,
}

impl Workers {
    /// Starts `count` threads that serve `listeners` until `closed` says otherwise.
    pub(super) fn start(
        count: usize,
        shared: &Arc<Shared>,
        listeners: &[Listener],
        closed: &watch::Receiver<bool>,
    ) -> io::Result<Self> {
        let (end, ended) = watch::channel(());
        let conf = Arc::new(ServerConf { threads: 1, max_retries: MAX_ATTEMPTS, ..ServerConf::default() });
        let start = |number| {
            let proxy = http_proxy(&conf, Proxy::new(Arc::clone(shared)));
            let mut service = Service::new("gateway".to_owned(), Front::new(Arc::clone(shared), proxy));
            let own = listeners.iter().map(Listener::try_clone).collect::<io::Result<Vec<_>>>()?;
            let fds = listen::add_to(&mut service, own);
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
            let (closed, mut ended) = (closed.clone(), ended.clone());
            let serve = move || {
                runtime.block_on(async {
                    tokio::spawn(async move { service.start_service(Some(fds), closed, 1).await });
                    // An error means that the sender is gone, which is an end too.
                    let _ = ended.changed().await;
                });
            };
            thread::Builder::new().name(format!("gateway-{number}")).spawn(serve)
        };
        Ok(Self { threads: (0..count).map(start).collect::<io::Result<_>>()?, end })
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
