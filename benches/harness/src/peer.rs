//! The proxies that are compared, and how each is configured and started for a scenario.

use std::fs;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::PathBuf;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, anyhow, bail};
use rustls::ClientConfig;

use crate::bench::Bench;
use crate::client::{Connection, send_all};
use crate::process::Process;
use crate::request::Requests;
use crate::scenario::{Limits, Scenario, Tokens, Transport, Work};
use crate::template::fill;
use crate::tls::{self, Sessions};
use crate::tokens::Algorithm;

/// How long a proxy may take until it answers, under valgrind too.
const READY_WITHIN: Duration = Duration::from_secs(60);
const POLL: Duration = Duration::from_millis(50);

/// One of the proxies.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, clap::ValueEnum)]
pub(crate) enum Peer {
    /// This project's gateway.
    Gateway,
    /// A Pingora proxy that only proxies, with the gateway's buffers.
    EmptyPingora,
    /// The same with Pingora's own buffers of 64 KiB for each connection.
    EmptyPingoraLargeBuffers,
    /// HAProxy, from the system's packages.
    Haproxy,
    /// nginx, from the system's packages.
    Nginx,
}

impl Peer {
    /// In the order of the tables.
    pub(crate) const ALL: [Self; 5] =
        [Self::Gateway, Self::EmptyPingora, Self::EmptyPingoraLargeBuffers, Self::Haproxy, Self::Nginx];

    /// Those that are measured when nobody chooses: buffers show in memory only.
    pub(crate) const USUAL: [Self; 4] = [Self::Gateway, Self::EmptyPingora, Self::Haproxy, Self::Nginx];

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Gateway => "gateway",
            Self::EmptyPingora => "empty-pingora",
            Self::EmptyPingoraLargeBuffers => "empty-pingora-large-buffers",
            Self::Haproxy => "haproxy",
            Self::Nginx => "nginx",
        }
    }

    /// As the tables call it.
    pub(crate) fn title(self) -> &'static str {
        match self {
            Self::Gateway => "gateway",
            Self::EmptyPingora => "empty Pingora",
            Self::EmptyPingoraLargeBuffers => "empty Pingora, 64 KiB buffers",
            Self::Haproxy => "HAProxy",
            Self::Nginx => "nginx",
        }
    }

    /// Why this proxy cannot do what `scenario` asks for; none when it can.
    fn lacks(self, scenario: &Scenario) -> Option<&'static str> {
        match (self, scenario.work) {
            (Self::Haproxy, Work::Full { algorithm: Algorithm::EdDsa, .. }) => Some("HAProxy 2.6 cannot verify EdDSA"),
            (Self::Haproxy | Self::Nginx, Work::Full { limits: Limits::Redis, .. }) => Some("has no limits in Redis"),
            _ => None,
        }
    }
}

/// A proxy that answers.
pub(crate) struct Running {
    pub(crate) addr: SocketAddr,
    pub(crate) process: Process,
    tls: Option<Arc<ClientConfig>>,
}

impl Running {
    /// `process`, which answers HTTP/1.1 at `addr`.
    pub(crate) const fn plain(addr: SocketAddr, process: Process) -> Self {
        Self { addr, process, tls: None }
    }

    /// A connection of the harness' own.
    pub(crate) fn connect(&self) -> Result<Connection> {
        Connection::open(self.addr, self.tls.as_ref())
    }

    /// Sends `count` of `requests`, over so many `connections` or each on its own, as `scenario` says.
    pub(crate) fn send(
        &self,
        scenario: &Scenario,
        requests: &Requests,
        count: usize,
        connections: usize,
    ) -> Result<()> {
        if matches!(scenario.transport, Transport::Http2 { .. }) {
            bail!("the harness speaks HTTP/1.1 only");
        }
        if !scenario.new_connections {
            return send_all(|| self.connect(), connections, count, |number| requests.numbered(number));
        }
        for number in 0..count {
            let mut connection = self.connect()?;
            connection.ask(&requests.numbered(number))?;
            connection.until_closed()?;
        }
        Ok(())
    }
}

/// Starts `peer` for `scenario`, behind `tracer` when there is one, and waits until it has answered once.
pub(crate) fn start(bench: &Bench, peer: Peer, scenario: &Scenario, tracer: &[String]) -> Result<Running> {
    if let Some(why) = peer.lacks(scenario) {
        bail!(why);
    }
    let port = free_port()?;
    let addr = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
    let command = behind(tracer, &command(bench, peer, scenario, port)?);
    let name = format!("{}-{port}", peer.name());
    let process = Process::start(&command, Some(bench.cores.proxy), &bench.directory, &name)?;
    let tls = match scenario.transport {
        Transport::Http1 => None,
        Transport::Tls | Transport::Http2 { .. } => Some(tls::client(Sessions::Forgotten)?),
        Transport::TlsResumed => Some(tls::client(Sessions::Resumed)?),
    };
    let mut running = Running { addr, process, tls };
    let request = Requests::new(bench, scenario, 1)?.numbered(0);
    let deadline = Instant::now() + READY_WITHIN;
    loop {
        if running.process.ended()?.is_some() {
            return Err(anyhow!(complaint(bench, &running.process.errors()))).context("it does not start");
        }
        match running.connect() {
            Ok(mut connection) => {
                connection.ask(&request).context("its first answer")?;
                return Ok(running);
            }
            Err(_) if Instant::now() < deadline => thread::sleep(POLL),
            Err(error) => return Err(error.context("it does not listen")),
        }
    }
}

fn behind(tracer: &[String], command: &Command) -> Command {
    let [program, arguments @ ..] = tracer else {
        let mut same = Command::new(command.get_program());
        same.args(command.get_args());
        return same;
    };
    let mut traced = Command::new(program);
    traced.args(arguments).arg(command.get_program()).args(command.get_args());
    traced
}

/// What a proxy complains of first, without what it and valgrind say of themselves and without this run's paths.
pub(crate) fn complaint(bench: &Bench, errors: &str) -> String {
    const SHOWN: usize = 200;
    let said = errors.lines().map(str::trim);
    let complaints = said.filter(|line| !line.is_empty() && !line.starts_with("==") && !line.starts_with("[NOTICE]"));
    let text = complaints.take(2).collect::<Vec<_>>().join(" ");
    text.replace(&format!("{}/", bench.directory.display()), "").chars().take(SHOWN).collect()
}

fn command(bench: &Bench, peer: Peer, scenario: &Scenario, port: u16) -> Result<Command> {
    let config = || configuration(bench, peer, scenario, port);
    Ok(match peer {
        Peer::Gateway => with(bench.binary("gateway")?, &["--config", &config()?]),
        Peer::EmptyPingora => empty(bench, scenario, port, &["--read-buffer", "4096"])?,
        Peer::EmptyPingoraLargeBuffers => empty(bench, scenario, port, &[])?,
        Peer::Haproxy => with("haproxy".into(), &["-db", "-f", &config()?]),
        Peer::Nginx => with("nginx".into(), &["-p", &bench.directory.to_string_lossy(), "-c", &config()?]),
    })
}

fn empty(bench: &Bench, scenario: &Scenario, port: u16, flags: &[&str]) -> Result<Command> {
    let (listen, upstream) = (format!("127.0.0.1:{port}"), bench.upstream.to_string());
    let mut command = with(bench.binary("empty-pingora")?, &["--listen", &listen, "--upstream", &upstream]);
    command.args(flags);
    if scenario.transport != Transport::Http1 {
        command.arg("--certificate").arg(&bench.certificate.chain).arg("--key").arg(&bench.certificate.key);
    }
    Ok(command)
}

fn with(program: PathBuf, arguments: &[&str]) -> Command {
    let mut command = Command::new(program);
    command.args(arguments);
    command
}

/// Writes the configuration for `scenario` and returns where.
fn configuration(bench: &Bench, peer: Peer, scenario: &Scenario, port: u16) -> Result<String> {
    let kind = match scenario.work {
        Work::Plain if scenario.transport != Transport::Http1 => "tls",
        Work::Plain => "plain",
        Work::Full { limits: Limits::Local, .. } => "full",
        Work::Full { limits: Limits::Redis, .. } => "redis",
    };
    let extension = match peer {
        Peer::Gateway => "yaml",
        Peer::Haproxy => "cfg",
        Peer::Nginx => "conf",
        Peer::EmptyPingora | Peer::EmptyPingoraLargeBuffers => bail!("an empty proxy has no configuration"),
    };
    let template = bench.peers().join(format!("{}.{kind}.{extension}", peer.name()));
    let text = fs::read_to_string(&template).with_context(|| format!("{} cannot be read", template.display()))?;
    let log = bench.directory.join(format!("{}-{port}.log", peer.name()));
    let mut values = vec![
        ("PORT", port.to_string()),
        ("ADMIN_PORT", free_port()?.to_string()),
        ("PLAIN_PORT", free_port()?.to_string()),
        ("UPSTREAM_PORT", bench.upstream.port().to_string()),
        ("DIRECTORY", bench.directory.display().to_string()),
        ("LOG", log.display().to_string()),
        ("CERTIFICATE", bench.certificate.chain.display().to_string()),
        ("CERTIFICATE_KEY", bench.certificate.key.display().to_string()),
        ("CERTIFICATE_AND_KEY", bench.certificate.both.display().to_string()),
    ];
    if let Work::Full { algorithm, limits } = scenario.work {
        let file = bench.tokens.verifying_key(algorithm);
        let shared = algorithm == Algorithm::Hs256;
        // HAProxy takes a shared secret itself, and a public key by its file.
        let key = if shared { fs::read_to_string(file)? } else { file.display().to_string() };
        let cache = if scenario.tokens == Tokens::NeverRemembered { "0B" } else { "16MiB" };
        values.extend([
            ("CACHE", cache.to_owned()),
            ("ALGORITHM", algorithm.name().to_owned()),
            ("KEY", key),
            ("KEY_FILE", file.display().to_string()),
            ("KEY_FIELD", if shared { "secret_file" } else { "public_key_file" }.to_owned()),
        ]);
        if limits == Limits::Redis {
            values.push(("REDIS_PORT", bench.redis_port()?.to_string()));
        }
    }
    let path = bench.directory.join(format!("{}-{port}.{extension}", peer.name()));
    fs::write(&path, fill(&text, &values)?)?;
    Ok(path.display().to_string())
}

/// A port below those that outgoing connections get, where nobody listens.
pub(crate) fn free_port() -> Result<u16> {
    const FIRST: u32 = 12_000;
    const COUNT: u32 = 20_000;
    static TRIED: AtomicU32 = AtomicU32::new(0);
    loop {
        let tried = TRIED.fetch_add(1, Ordering::Relaxed);
        if tried >= COUNT {
            bail!("no port is free");
        }
        // Runs at the same time begin far from each other.
        let port = u16::try_from(FIRST + ((std::process::id() % COUNT) * 97 + tried) % COUNT)?;
        if TcpListener::bind((Ipv4Addr::LOCALHOST, port)).is_ok() {
            return Ok(port);
        }
    }
}
