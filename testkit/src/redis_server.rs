//! A real `redis-server` that a test can kill, restart and stall.

use std::io::ErrorKind;
use std::net::Ipv4Addr;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail, ensure};
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
    password: Option<String>,
    directory: TempDir,
}

impl RedisServer {
    /// Starts a server that asks for no password, and waits until it answers.
    ///
    /// # Errors
    /// Says what is missing, or why it does not start.
    pub async fn start() -> anyhow::Result<Self> {
        Self::start_on_free_port(None).await
    }

    /// Starts a server whose default user has this password, and waits until it answers.
    ///
    /// # Errors
    /// Says what is missing, or why it does not start.
    pub async fn start_with_password(password: &str) -> anyhow::Result<Self> {
        Self::start_on_free_port(Some(password)).await
    }

    async fn start_on_free_port(password: Option<&str>) -> anyhow::Result<Self> {
        let mut last_error = None;
        for _ in 0..START_ATTEMPTS {
            let directory = tempfile::tempdir().context("no temporary directory for redis-server")?;
            let port = free_port()?;
            let child = spawn(port, password, &directory)?;
            let mut server = Self { child, port, password: password.map(str::to_owned), directory };
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

    /// Opens a connection of the test's own.
    ///
    /// # Errors
    /// When the server does not answer.
    pub async fn connect(&self) -> anyhow::Result<redis::aio::MultiplexedConnection> {
        let mut login = RedisConnectionInfo::default();
        if let Some(password) = &self.password {
            login = login.set_password(password);
        }
        let addr = ConnectionAddr::Tcp(Ipv4Addr::LOCALHOST.to_string(), self.port);
        let client = redis::Client::open(addr.into_connection_info()?.set_redis_settings(login))?;
        Ok(client.get_multiplexed_async_connection().await?)
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
        self.child = spawn(self.port, self.password.as_deref(), &self.directory)?;
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

fn spawn(port: u16, password: Option<&str>, directory: &TempDir) -> anyhow::Result<Child> {
    let mut command = Command::new("redis-server");
    command
        .args(["--port", &port.to_string(), "--bind", "127.0.0.1", "--save", "", "--appendonly", "no"])
        .arg("--dir")
        .arg(directory.path())
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null());
    if let Some(password) = password {
        command.args(["--requirepass", password]);
    }
    command.spawn().map_err(|error| match error.kind() {
        ErrorKind::NotFound => anyhow::anyhow!("redis-server is not installed; `./dev.sh test` installs it"),
        _ => anyhow::Error::new(error).context("redis-server cannot be started"),
    })
}
