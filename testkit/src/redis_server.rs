//! A real `redis-server` that a test can kill, restart and stall.

use std::fs;
use std::io::ErrorKind;
use std::net::Ipv4Addr;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail, ensure};
use redis::aio::MultiplexedConnection;
use redis::{ConnectionAddr, IntoConnectionInfo as _, RedisConnectionInfo};
use tempfile::TempDir;

use crate::free_port;

/// How long a server may take until it answers; far longer than it needs on a busy machine.
const READY_WITHIN: Duration = Duration::from_secs(20);
const POLL_INTERVAL: Duration = Duration::from_millis(10);
const START_ATTEMPTS: usize = 5;

/// A Redis server without persistence on a loopback port of its own; killed when dropped.
pub struct RedisServer {
    child: Child,
    port: u16,
    tls_port: Option<u16>,
    password: Option<String>,
    directory: TempDir,
}

/// What a server has beyond the default.
#[derive(Clone, Default)]
pub struct RedisOptions {
    /// What its default user is asked for.
    pub password: Option<String>,
    /// The rest of the line `user` of its configuration, for each other user: `gateway on >secret ~* +@all`.
    pub users: Vec<String>,
    /// What it speaks TLS with, on a port beside the plain one.
    pub tls: Option<RedisTls>,
    /// More lines of its configuration.
    pub lines: Vec<String>,
}

/// What a server speaks TLS with, each as PEM.
#[derive(Clone)]
pub struct RedisTls {
    /// Its certificate.
    pub certificate: String,
    /// Its private key.
    pub key: String,
    /// Whose certificates its clients must show; nobody is asked when there is nothing.
    pub clients: Option<String>,
}

impl RedisServer {
    /// Starts a server that asks for no password, and waits until it answers.
    ///
    /// # Errors
    /// Says what is missing, or why it does not start.
    pub async fn start() -> anyhow::Result<Self> {
        Self::start_with(RedisOptions::default()).await
    }

    /// Starts a server whose default user has this password, and waits until it answers.
    ///
    /// # Errors
    /// Says what is missing, or why it does not start.
    pub async fn start_with_password(password: &str) -> anyhow::Result<Self> {
        Self::start_with(RedisOptions { password: Some(password.to_owned()), ..RedisOptions::default() }).await
    }

    /// Starts a server with these options, and waits until it answers.
    ///
    /// # Errors
    /// Says what is missing, or why it does not start.
    pub async fn start_with(options: RedisOptions) -> anyhow::Result<Self> {
        let mut last_error = None;
        for _ in 0..START_ATTEMPTS {
            let directory = tempfile::tempdir().context("no temporary directory for redis-server")?;
            let (port, tls_port) = (free_port()?, options.tls.as_ref().map(|_| free_port()).transpose()?);
            write_config(&options, port, tls_port, &directory)?;
            let child = spawn(&directory, &[])?;
            let password = options.password.clone();
            let mut server = Self { child, port, tls_port, password, directory };
            match server.wait_until_ready().await {
                Ok(()) => return Ok(server),
                // Most likely somebody else took the port in between.
                Err(error) => last_error = Some(error),
            }
        }
        Err(last_error.context("no attempt was made")?)
    }

    /// The port it listens on, at 127.0.0.1.
    #[must_use]
    pub const fn port(&self) -> u16 {
        self.port
    }

    /// The port on which it speaks TLS, at 127.0.0.1, if it does.
    #[must_use]
    pub const fn tls_port(&self) -> Option<u16> {
        self.tls_port
    }

    /// Opens a connection of the test's own.
    ///
    /// # Errors
    /// When the server does not answer.
    pub async fn connect(&self) -> anyhow::Result<MultiplexedConnection> {
        connect(self.port, self.password.as_deref()).await
    }

    /// Ends it at once, as a crash would (SIGKILL).
    ///
    /// # Errors
    /// When the process cannot be ended.
    pub fn kill(&mut self) -> anyhow::Result<()> {
        self.child.kill().context("redis-server cannot be killed")?;
        self.child.wait().context("redis-server cannot be awaited")?;
        Ok(())
    }

    /// Starts it anew, empty, on the same port, and waits until it answers.
    ///
    /// # Errors
    /// When it does not start, for example because the port was taken meanwhile.
    pub async fn restart(&mut self) -> anyhow::Result<()> {
        self.kill()?;
        self.child = spawn(&self.directory, &[])?;
        self.wait_until_ready().await
    }

    /// Freezes the process: connections stay open and new ones are accepted by the system, but nothing is answered.
    ///
    /// # Errors
    /// When the signal cannot be sent.
    pub fn stall(&self) -> anyhow::Result<()> {
        self.signal("STOP")
    }

    /// Lets a stalled process go on.
    ///
    /// # Errors
    /// When the signal cannot be sent.
    pub fn resume(&self) -> anyhow::Result<()> {
        self.signal("CONT")
    }

    /// The shell's own `kill`, because a minimal system has no such program.
    fn signal(&self, name: &str) -> anyhow::Result<()> {
        let pid = self.child.id().to_string();
        let status = Command::new("sh").args(["-c", r#"kill -"$0" "$1""#, name, &pid]).status()?;
        ensure!(status.success(), "SIG{name} cannot be sent to redis-server");
        Ok(())
    }

    async fn wait_until_ready(&mut self) -> anyhow::Result<()> {
        let deadline = Instant::now() + READY_WITHIN;
        loop {
            if let Some(status) = self.child.try_wait()? {
                bail!("redis-server ended at once on port {}: {status}", self.port);
            }
            if self.answers().await {
                return Ok(());
            }
            ensure!(Instant::now() < deadline, "redis-server does not answer on port {}", self.port);
            tokio::time::sleep(POLL_INTERVAL).await;
        }
    }

    /// Whether this very process answers, and not a stranger on the same port.
    async fn answers(&self) -> bool {
        let Ok(mut connection) = self.connect().await else { return false };
        let info: redis::RedisResult<String> = redis::cmd("INFO").arg("server").query_async(&mut connection).await;
        let own_line = format!("process_id:{}", self.child.id());
        info.is_ok_and(|info| info.lines().any(|line| line == own_line))
    }
}

impl Drop for RedisServer {
    fn drop(&mut self) {
        // Fails only when it has ended already, which is what is wanted.
        let _ = self.kill();
    }
}

/// Writes the file that a server is started with, and started with again.
fn write_config(options: &RedisOptions, port: u16, tls_port: Option<u16>, directory: &TempDir) -> anyhow::Result<()> {
    let path = |name: &str| directory.path().join(name);
    let mut lines = vec![
        format!("port {port}"),
        "bind 127.0.0.1".to_owned(),
        "save \"\"".to_owned(),
        "appendonly no".to_owned(),
        "repl-diskless-sync-delay 0".to_owned(),
        format!("dir {}", directory.path().display()),
    ];
    if let (Some(tls), Some(tls_port)) = (&options.tls, tls_port) {
        fs::write(path("tls.crt"), &tls.certificate)?;
        fs::write(path("tls.key"), &tls.key)?;
        fs::write(path("clients.crt"), tls.clients.as_ref().unwrap_or(&tls.certificate))?;
        lines.push(format!("tls-port {tls_port}"));
        lines.push(format!("tls-cert-file {}", path("tls.crt").display()));
        lines.push(format!("tls-key-file {}", path("tls.key").display()));
        lines.push(format!("tls-ca-cert-file {}", path("clients.crt").display()));
        lines.push(format!("tls-auth-clients {}", if tls.clients.is_some() { "yes" } else { "no" }));
    }
    if let Some(password) = &options.password {
        lines.push(format!("requirepass \"{password}\""));
        lines.push(format!("masterauth \"{password}\""));
    }
    lines.extend(options.users.iter().map(|user| format!("user {user}")));
    lines.extend(options.lines.iter().cloned());
    fs::write(path("redis.conf"), lines.join("\n") + "\n").context("redis.conf cannot be written")
}

/// Opens a connection to the server, or sentinel, at that port.
pub(crate) async fn connect(port: u16, password: Option<&str>) -> anyhow::Result<MultiplexedConnection> {
    let mut login = RedisConnectionInfo::default();
    if let Some(password) = password {
        login = login.set_password(password);
    }
    let addr = ConnectionAddr::Tcp(Ipv4Addr::LOCALHOST.to_string(), port);
    let client = redis::Client::open(addr.into_connection_info()?.set_redis_settings(login))?;
    Ok(client.get_multiplexed_async_connection().await?)
}

/// Starts `redis-server` with the file `redis.conf` in `directory`.
pub(crate) fn spawn(directory: &TempDir, more: &[&str]) -> anyhow::Result<Child> {
    let mut command = Command::new("redis-server");
    command.arg(directory.path().join("redis.conf")).args(more);
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    command.spawn().map_err(|error| match error.kind() {
        ErrorKind::NotFound => anyhow::anyhow!("redis-server is not installed; `./dev.sh test` installs it"),
        _ => anyhow::Error::new(error).context("redis-server cannot be started"),
    })
}
