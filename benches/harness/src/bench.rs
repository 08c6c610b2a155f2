//! What a whole run shares: its directory, its cores, its upstream, its keys and its certificate.

use std::env;
use std::fs;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::thread;
use std::time::Duration;

use anyhow::{Context, Result, bail};

use crate::certificate::Certificate;
use crate::client::Connection;
use crate::peer::free_port;
use crate::process::{Process, allowed_cores};
use crate::tokens::Tokens;

/// Where the proxy runs, and where everything else does.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Cores {
    pub(crate) proxy: usize,
    pub(crate) load: usize,
}

/// A run of the harness.
pub(crate) struct Bench {
    /// The working tree.
    root: PathBuf,
    /// Where the binaries are.
    binaries: PathBuf,
    /// What the run writes besides its results.
    pub(crate) directory: PathBuf,
    pub(crate) cores: Cores,
    pub(crate) upstream: SocketAddr,
    pub(crate) tokens: Tokens,
    pub(crate) certificate: Certificate,
    /// Ended with the run.
    _upstream: Process,
    redis: std::cell::OnceCell<(u16, Process)>,
}

impl Bench {
    /// Starts what every measurement needs. `binaries` are the gateway and the empty proxy.
    pub(crate) fn new(root: &Path, binaries: &Path) -> Result<Self> {
        let directory = own_directory(&root.join("target/harness"))?;
        eprintln!("Configurations, logs and profiles of this run: {}", directory.display());
        let cores = match allowed_cores()?.as_slice() {
            [proxy, .., load] => Cores { proxy: *proxy, load: *load },
            _ => bail!("two cores are needed: one for the proxy, one for the load and the upstream"),
        };
        let upstream = SocketAddr::from((Ipv4Addr::LOCALHOST, free_port()?));
        let mut command = Command::new(env::current_exe()?);
        command.args(["upstream", &upstream.to_string()]);
        let process = Process::start(&command, Some(cores.load), &directory, "upstream")?;
        until_it_listens(upstream).context("the upstream does not start")?;
        Ok(Self {
            root: root.to_owned(),
            binaries: binaries.to_owned(),
            tokens: Tokens::new(&directory)?,
            certificate: Certificate::new(&directory)?,
            directory,
            cores,
            upstream,
            _upstream: process,
            redis: std::cell::OnceCell::new(),
        })
    }

    /// Where the peers' configurations are.
    pub(crate) fn peers(&self) -> PathBuf {
        self.root.join("benches/peers")
    }

    /// Where results are written.
    pub(crate) fn results(&self) -> PathBuf {
        self.root.join("benches")
    }

    /// One of this project's binaries.
    pub(crate) fn binary(&self, name: &str) -> Result<PathBuf> {
        let path = self.binaries.join(name);
        if !path.exists() {
            bail!("{} is not built", path.display());
        }
        Ok(path)
    }

    /// The port of a Redis of this run's own, started when it is first asked for.
    pub(crate) fn redis_port(&self) -> Result<u16> {
        if let Some((port, _)) = self.redis.get() {
            return Ok(*port);
        }
        let port = free_port()?;
        let process = self.start_redis(port)?;
        Ok(self.redis.get_or_init(|| (port, process)).0)
    }

    /// Starts an empty Redis that keeps nothing, on the load's core, and waits until it listens.
    pub(crate) fn start_redis(&self, port: u16) -> Result<Process> {
        let mut command = Command::new("redis-server");
        command.args(["--bind", "127.0.0.1", "--port", &port.to_string(), "--save", "", "--appendonly", "no"]);
        let process = Process::start(&command, Some(self.cores.load), &self.directory, &format!("redis-{port}"))?;
        until_it_listens(SocketAddr::from((Ipv4Addr::LOCALHOST, port))).context("Redis does not start")?;
        Ok(process)
    }
}

/// A directory for this run, beside those of runs that are still under way; what ended ones have left is removed.
fn own_directory(of_all: &Path) -> Result<PathBuf> {
    fs::create_dir_all(of_all)?;
    for entry in fs::read_dir(of_all)? {
        let entry = entry?;
        if entry.file_type()?.is_dir() && !Path::new("/proc").join(entry.file_name()).exists() {
            fs::remove_dir_all(entry.path())?;
        }
    }
    let own = of_all.join(std::process::id().to_string());
    fs::create_dir_all(&own)?;
    Ok(own)
}

/// Waits until somebody takes connections at `addr`.
pub(crate) fn until_it_listens(addr: SocketAddr) -> Result<()> {
    let mut tries_left = 100;
    loop {
        match Connection::open(addr, None) {
            Ok(_) => return Ok(()),
            Err(error) if tries_left == 0 => return Err(error),
            Err(_) => tries_left -= 1,
        }
        thread::sleep(Duration::from_millis(50));
    }
}
