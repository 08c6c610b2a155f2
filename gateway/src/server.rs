//! Starts the gateway, reloads it, and stops it with the requests under way finished.

mod chunks;
mod extent;
mod files;
mod front;
mod head;
mod http2;
mod idle;
mod listen;
mod preface;
mod quiet;
mod refusal;
mod reload;
mod renewal;
mod turn;
mod workers;

use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use arc_swap::ArcSwap;
use common::config::Env;
use common::telemetry;
use pingora_core::services::Service as _;
use prometheus::Registry;
use tokio::sync::watch;

use crate::access_log::AccessLog;
use crate::admin::Admin;
use crate::config::problems::ConfigProblems;
use crate::config::{self, Loaded};
use crate::metrics::Metrics;
use crate::middleware::Middleware;
use crate::snapshot::{CompileError, Snapshot, Workshop};
pub(crate) use chunks::{Chunks, bad_chunks};
pub(crate) use head::whole as read_head;
use listen::{Port, Transport};
pub(crate) use quiet::{TooQuiet, too_quiet};
pub use reload::ReloadError;
pub(crate) use reload::Reloader;
pub(crate) use turn::quiet;
use workers::Workers;

/// How often a stop looks whether the last request has ended.
const DRAIN_POLL: Duration = Duration::from_millis(10);

/// How long a stop waits for the last lines of the access log.
const LAST_LINES_TIMEOUT: Duration = Duration::from_secs(2);

/// What a gateway is started with.
pub struct Options {
    /// Where its configuration stands.
    pub config: ConfigSource,
    /// What `${…}` in the configuration stands for.
    pub env: Env,
    /// Steps of the embedder's own, run on every route before those of the file.
    pub middleware: Vec<Arc<dyn Middleware>>,
}

/// Where a configuration stands.
#[derive(Clone, Debug)]
pub enum ConfigSource {
    /// In a file, read again at each reload.
    File(PathBuf),
    /// In the program itself, under a name for messages.
    BuiltIn {
        /// What messages call it.
        name: &'static str,
        /// The YAML text.
        text: &'static str,
    },
}

impl ConfigSource {
    /// Reads the configuration only to say whether a gateway would take it.
    ///
    /// # Errors
    /// Everything that is wrong with it, at once.
    pub fn check(&self, env: &Env) -> Result<(), ConfigProblems> {
        self.read(env).map(drop)
    }

    /// Reads and checks the configuration, and logs what is hardly meant.
    fn load(&self, env: &Env) -> Result<Loaded, ConfigProblems> {
        let loaded = self.read(env)?;
        for warning in &loaded.warnings {
            tracing::warn!("{warning}");
        }
        Ok(loaded)
    }

    fn read(&self, env: &Env) -> Result<Loaded, ConfigProblems> {
        match self {
            Self::File(path) => config::load(path, env),
            Self::BuiltIn { name, text } => config::parse(text, Path::new(name), env),
        }
    }
}

/// Why a gateway does not start. Each is one sentence that says what to do.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The configuration has problems; all of them are listed.
    #[error("{0}")]
    Config(ConfigProblems),
    /// The configuration is well-formed but cannot be run.
    #[error("the configuration cannot be run")]
    Compile(#[from] CompileError),
    /// A listener's address is taken.
    #[error("{0} is in use by another process; stop that one or choose another address")]
    AddressInUse(SocketAddr),
    /// A listener cannot be opened.
    #[error("cannot listen on {addr}")]
    Listen {
        /// Where.
        addr: SocketAddr,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// The access log cannot be opened.
    #[error("the access log cannot be opened")]
    AccessLog(#[source] io::Error),
    /// A thread or runtime cannot be started.
    #[error("a thread cannot be started")]
    Runtime(#[source] io::Error),
    /// Two series of one name.
    #[error("the metrics cannot be registered")]
    Metrics(#[from] prometheus::Error),
}

/// What all threads of a gateway share.
pub(crate) struct Shared {
    /// The configuration of new requests.
    pub snapshot: ArcSwap<Snapshot>,
    /// The gateway's series.
    pub metrics: Arc<Metrics>,
    /// Everything that is shown on `/metrics`.
    pub registry: Registry,
    /// Where each request's line goes.
    pub access_log: AccessLog,
    /// Requests under way.
    pub in_flight: Arc<AtomicUsize>,
    /// Whether a stop has begun.
    pub draining: AtomicBool,
}

/// A gateway that serves. Dropping it without [`Running::stop`] ends requests under way.
pub struct Running {
    shared: Arc<Shared>,
    reloader: Arc<Reloader>,
    listen_addrs: Vec<SocketAddr>,
    h2c_addrs: Vec<SocketAddr>,
    tls_addrs: Vec<SocketAddr>,
    admin_addr: SocketAddr,
    grace: Duration,
    timeout: Duration,
    close_listeners: watch::Sender<bool>,
    control: tokio::runtime::Runtime,
    workers: Workers,
}

/// Starts a gateway: when this returns, its ports are open and its routes are served.
///
/// It has threads of its own; call it from outside of an async runtime.
///
/// # Errors
/// See [`StartError`].
pub fn start(options: Options) -> Result<Running, StartError> {
    let control = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .thread_name("gateway-control")
        .enable_all()
        .build()
        .map_err(StartError::Runtime)?;
    let loaded = options.config.load(&options.env).map_err(StartError::Config)?;
    let file = &loaded.file;
    let threads = file.server.threads.unwrap_or_else(available_cores);
    let plain = file.server.listen.iter().map(|addr| (addr, Transport::Plain));
    let h2c = file.server.h2c_listen.iter().map(|addr| (addr, Transport::H2c));
    let tls = file.server.tls.iter().flat_map(|tls| &tls.listen).map(|addr| (addr, Transport::Tls));
    let mut ports: Vec<Port> =
        plain.chain(h2c).chain(tls).map(|(addr, over)| Port::open(*addr, over, threads)).collect::<Result<_, _>>()?;
    let admin_port = Port::open(file.server.admin, Transport::Plain, 1)?;

    let registry = telemetry::metrics::registry()?;
    let metrics = Arc::new(Metrics::register(&registry)?);
    let workshop = Workshop { control: control.handle().clone(), middleware: options.middleware };
    let snapshot = control.block_on(Snapshot::compile(&loaded, &workshop, None))?;
    let access_log = AccessLog::start(&file.access_log, threads, metrics.access_log_dropped.clone());
    let shared = Arc::new(Shared {
        snapshot: ArcSwap::from_pointee(snapshot),
        metrics,
        registry,
        access_log: access_log.map_err(StartError::AccessLog)?,
        in_flight: Arc::default(),
        draining: AtomicBool::new(false),
    });

    let addrs_over = |over| ports.iter().filter(move |port| port.over() == over).map(Port::addr);
    let (listen_addrs, tls_addrs) = (addrs_over(Transport::Plain).collect(), addrs_over(Transport::Tls).collect());
    let h2c_addrs = addrs_over(Transport::H2c).collect();
    let admin_addr = admin_port.addr();
    files::make_room(file.server.max_connections);
    let (close_listeners, closed) = watch::channel(false);
    let workers = Workers::start(threads, &shared, &mut ports, &closed).map_err(StartError::Runtime)?;
    let (grace, timeout) = (file.server.shutdown_grace.get(), file.server.shutdown_timeout.get());
    let reloader = Arc::new(Reloader::new(options.config, options.env, workshop, Arc::clone(&shared), loaded.file));
    reload::on_hangup(control.handle(), &reloader);
    renewal::watch(control.handle(), Arc::clone(&shared));
    serve_admin(control.handle(), Admin::new(Arc::clone(&shared), Arc::clone(&reloader)), admin_port, closed);
    Ok(Running {
        shared,
        listen_addrs,
        h2c_addrs,
        tls_addrs,
        admin_addr,
        grace,
        timeout,
        reloader,
        close_listeners,
        control,
        workers,
    })
}

impl Running {
    /// Where clients connect, in the order of the file.
    #[must_use]
    pub fn listen_addrs(&self) -> &[SocketAddr] {
        &self.listen_addrs
    }

    /// Where clients may also begin with HTTP/2 without TLS, in the order of the file.
    #[must_use]
    pub fn h2c_addrs(&self) -> &[SocketAddr] {
        &self.h2c_addrs
    }

    /// Where clients connect over TLS, in the order of the file.
    #[must_use]
    pub fn tls_addrs(&self) -> &[SocketAddr] {
        &self.tls_addrs
    }

    /// Where metrics and readiness are shown.
    #[must_use]
    pub const fn admin_addr(&self) -> SocketAddr {
        self.admin_addr
    }

    /// Says in the log where clients connect, what is spoken there, and where operators look.
    pub fn tell_listeners(&self) {
        for (addrs, protocol) in [
            (self.listen_addrs(), "HTTP/1"),
            (self.h2c_addrs(), "HTTP/1 and HTTP/2 without TLS"),
            (self.tls_addrs(), "HTTP/1 and HTTP/2 over TLS"),
        ] {
            for addr in addrs {
                tracing::info!(server = "gateway", %addr, protocol, admin = %self.admin_addr, "listening");
            }
        }
    }

    /// Reads the configuration again and serves new requests by it. Also done on `SIGHUP`. Gives what is hardly meant in it, and
    /// what takes effect only after a restart.
    ///
    /// # Errors
    /// Says what is wrong with the new configuration; the one before goes on serving.
    pub fn reload(&self) -> Result<Vec<String>, ReloadError> {
        self.control.block_on(self.reloader.reload())
    }

    /// Stops and lets requests under way finish: says so on `/ready` for the configured grace, then closes the listeners, lets
    /// requests under way end within the configured time-out, and ends its threads. Blocks until then.
    pub fn stop(self) {
        self.shared.draining.store(true, Ordering::Relaxed);
        thread::sleep(self.grace);
        self.close_listeners.send_replace(true);
        let deadline = Instant::now() + self.timeout;
        while self.shared.in_flight.load(Ordering::Acquire) > 0 && Instant::now() < deadline {
            thread::sleep(DRAIN_POLL);
        }
        let cut_off = self.shared.in_flight.load(Ordering::Acquire);
        if cut_off > 0 {
            tracing::warn!(requests = cut_off, "requests were cut off at the end of shutdown_timeout");
        }
        self.workers.end();
        self.control.block_on(self.shared.snapshot.load_full().policies.leave());
        self.control.shutdown_timeout(Duration::from_millis(100));
        self.shared.access_log.flush(LAST_LINES_TIMEOUT);
    }
}

fn serve_admin(control: &tokio::runtime::Handle, admin: Admin, mut port: Port, closed: watch::Receiver<bool>) {
    let mut service = pingora_core::services::listening::Service::new("admin".to_owned(), admin);
    let fds = listen::add_to(&mut service, port.take().into_iter().collect());
    control.spawn(async move { service.start_service(Some(fds), closed, 1).await });
}

fn available_cores() -> usize {
    thread::available_parallelism().map_or(1, usize::from)
}
