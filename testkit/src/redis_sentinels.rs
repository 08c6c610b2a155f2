//! A real master with two replicas, watched over by three real sentinels.

use std::fs;
use std::process::Child;
use std::time::Duration;

use anyhow::Context as _;
use redis::aio::MultiplexedConnection;
use tempfile::TempDir;

use crate::redis_server::{connect, spawn};
use crate::{RedisOptions, RedisServer, eventually, free_port};

/// Sentinels find each other by what they publish every two seconds.
const READY_WITHIN: Duration = Duration::from_secs(60);
const SENTINELS: usize = 3;
const REPLICAS: usize = 2;

/// A master, its replicas and their sentinels; all are killed when it is dropped.
pub struct RedisSentinels {
    /// The servers; the first is the first master.
    pub servers: Vec<RedisServer>,
    sentinels: Vec<Sentinel>,
}

struct Sentinel {
    child: Child,
    port: u16,
    password: Option<String>,
    _directory: TempDir,
}

impl RedisSentinels {
    /// What sentinels call the master.
    pub const MASTER: &str = "orders";

    /// Starts them all, and waits until the replicas follow the master, and every sentinel knows every server and every other one.
    ///
    /// # Errors
    /// Says what does not start.
    pub async fn start() -> anyhow::Result<Self> {
        Self::start_with(RedisOptions::default(), None).await
    }

    /// The same with servers that have these options, and sentinels that ask for a password.
    ///
    /// # Errors
    /// Says what does not start.
    pub async fn start_with(options: RedisOptions, sentinel_password: Option<&str>) -> anyhow::Result<Self> {
        let master = RedisServer::start_with(options.clone()).await?;
        let mut replica = options.clone();
        replica.lines.push(format!("replicaof 127.0.0.1 {}", master.port()));
        let mut servers = vec![master];
        for _ in 0..REPLICAS {
            servers.push(RedisServer::start_with(replica.clone()).await?);
        }
        let mut sentinels = Vec::new();
        for _ in 0..SENTINELS {
            let master = servers.first().context("there is a master")?.port();
            sentinels.push(Sentinel::start(master, options.password.as_deref(), sentinel_password)?);
        }
        let set = Self { servers, sentinels };
        // One that is not sent what is written yet, as in the first second, could be made the master.
        eventually(READY_WITHIN, "the replicas follow", async || set.replicas_follow().await.unwrap_or_default())
            .await?;
        for sentinel in &set.sentinels {
            eventually(READY_WITHIN, "a sentinel answers", async || sentinel.hasten().await.is_ok()).await?;
        }
        eventually(READY_WITHIN, "the sentinels know each other", async || {
            let mut all = true;
            for sentinel in &set.sentinels {
                all &= sentinel.knows_all().await.unwrap_or_default();
            }
            all
        })
        .await?;
        Ok(set)
    }

    /// Whether every replica has something that the master is told to write now.
    async fn replicas_follow(&self) -> anyhow::Result<bool> {
        let mut master = self.servers.first().context("there is a master")?.connect().await?;
        redis::pipe().set("written", 1).del("written").exec_async(&mut master).await?;
        let have_it: usize = redis::cmd("WAIT").arg(REPLICAS).arg(100).query_async(&mut master).await?;
        Ok(have_it == REPLICAS)
    }

    /// Where the sentinels are, each as `host:port`.
    #[must_use]
    pub fn sentinel_addrs(&self) -> Vec<String> {
        self.sentinels.iter().map(|sentinel| format!("127.0.0.1:{}", sentinel.port)).collect()
    }

    /// The server that all sentinels call the master, once they agree and it is one.
    ///
    /// # Errors
    /// When they do not agree in time.
    pub async fn master(&mut self) -> anyhow::Result<&mut RedisServer> {
        let port = self.agreed_port(None).await?;
        self.servers.iter_mut().find(|server| server.port() == port).context("the master is one of the servers")
    }

    /// Waits until the sentinels have made another server the master than that at `port`.
    ///
    /// # Errors
    /// When they do not in time.
    pub async fn failed_over_from(&self, port: u16) -> anyhow::Result<()> {
        self.agreed_port(Some(port)).await.map(drop)
    }

    /// Has the sentinels call the server at `port` the master from now on, whatever the one before does.
    ///
    /// # Errors
    /// When a sentinel refuses.
    pub async fn rename(&self, port: u16) -> anyhow::Result<()> {
        for sentinel in &self.sentinels {
            let mut connection = sentinel.connect().await?;
            let sentinel = || redis::cmd("SENTINEL");
            sentinel().arg("REMOVE").arg(Self::MASTER).exec_async(&mut connection).await?;
            let mut monitor = sentinel();
            monitor.arg("MONITOR").arg(Self::MASTER).arg("127.0.0.1").arg(port).arg(2);
            monitor.exec_async(&mut connection).await?;
        }
        Ok(())
    }

    async fn agreed_port(&self, not: Option<u16>) -> anyhow::Result<u16> {
        let agreed = async || {
            let mut ports = Vec::new();
            for sentinel in &self.sentinels {
                ports.push(sentinel.master_port().await.ok()?);
            }
            let first = *ports.first()?;
            let server = self.servers.iter().find(|server| server.port() == first)?;
            let is_agreed = ports.iter().all(|port| *port == first) && Some(first) != not;
            (is_agreed && is_master(server).await).then_some(first)
        };
        eventually(READY_WITHIN, "the sentinels agree on a master", async || agreed().await.is_some()).await?;
        agreed().await.context("the sentinels do not agree any more")
    }
}

async fn is_master(server: &RedisServer) -> bool {
    let Ok(mut connection) = server.connect().await else { return false };
    let info: redis::RedisResult<String> = redis::cmd("INFO").arg("replication").query_async(&mut connection).await;
    info.is_ok_and(|info| info.contains("role:master"))
}

impl Sentinel {
    fn start(master: u16, master_password: Option<&str>, password: Option<&str>) -> anyhow::Result<Self> {
        let directory = tempfile::tempdir().context("no temporary directory for a sentinel")?;
        let (port, name) = (free_port()?, RedisSentinels::MASTER);
        let mut lines = vec![
            format!("port {port}"),
            "bind 127.0.0.1".to_owned(),
            format!("dir {}", directory.path().display()),
            format!("sentinel monitor {name} 127.0.0.1 {master} 2"),
            // What a busy machine does not reach by being slow.
            format!("sentinel down-after-milliseconds {name} 2000"),
            format!("sentinel failover-timeout {name} 5000"),
        ];
        if let Some(password) = master_password {
            lines.push(format!("sentinel auth-pass {name} \"{password}\""));
        }
        if let Some(password) = password {
            lines.push(format!("requirepass \"{password}\""));
        }
        fs::write(directory.path().join("redis.conf"), lines.join("\n") + "\n")?;
        let child = spawn(&directory, &["--sentinel"])?;
        Ok(Self { child, port, password: password.map(str::to_owned), _directory: directory })
    }

    async fn connect(&self) -> anyhow::Result<MultiplexedConnection> {
        connect(self.port, self.password.as_deref()).await
    }

    /// Has it speak to the others five times a second, and look at servers twice, so that it knows them all the sooner.
    async fn hasten(&self) -> anyhow::Result<()> {
        let mut connection = self.connect().await?;
        let mut haste = redis::cmd("SENTINEL");
        haste.arg("DEBUG").arg(&["publish-period", "200", "info-period", "500"]);
        // One of before Redis 7 does not know how, and takes its time.
        let _: redis::RedisResult<()> = haste.exec_async(&mut connection).await;
        Ok(())
    }

    async fn knows_all(&self) -> anyhow::Result<bool> {
        let info: String = redis::cmd("INFO").arg("sentinel").query_async(&mut self.connect().await?).await?;
        Ok(info.contains(&format!("slaves={REPLICAS},sentinels={SENTINELS}")) && info.contains("status=ok"))
    }

    async fn master_port(&self) -> anyhow::Result<u16> {
        let mut ask = redis::cmd("SENTINEL");
        ask.arg("GET-MASTER-ADDR-BY-NAME").arg(RedisSentinels::MASTER);
        let (_, port): (String, u16) = ask.query_async(&mut self.connect().await?).await?;
        Ok(port)
    }
}

impl Drop for Sentinel {
    fn drop(&mut self) {
        // Fails only when it has ended already, which is what is wanted.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
