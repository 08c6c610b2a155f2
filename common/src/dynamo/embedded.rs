//! A DynamoDB inside this process: dynoxide on SQLite, in memory or on a file, served on a loopback port.
//!
//! It runs on a thread and a runtime of its own, for SQLite blocks. On a file it writes ahead (WAL) with SQLite's default
//! `synchronous = FULL`: what was acknowledged is on the disk, and survives `kill -9` and loss of power.

use std::fs::{DirBuilder, File, OpenOptions, TryLockError};
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::thread::JoinHandle;
use std::time::Duration;

use dynoxide::Database;
use dynoxide::errors::DynoxideError;
use tokio::net::TcpListener;
use tokio::runtime::{Builder, Runtime};
use tokio::sync::oneshot;
use tokio::task::spawn_blocking;
use tokio::time::{Instant, MissedTickBehavior, interval_at, sleep};
use tokio_util::sync::CancellationToken;

/// Expired items are first dropped when the start is over, and seldom after it: each time the tables are read whole.
const FIRST_SWEEP: Duration = Duration::from_secs(60);
const SWEEP_INTERVAL: Duration = Duration::from_secs(3600);
/// How long running requests may take to end when the store is stopped.
const DRAIN: Duration = Duration::from_secs(2);

/// Where an embedded store keeps its items.
#[derive(Clone, Debug)]
pub enum Place {
    /// In memory: gone when it stops.
    Memory,
    /// In files of this directory, which is made if need be. One process at a time can have it.
    Directory(PathBuf),
}

/// A running embedded store. Dropped without [`EmbeddedStore::stop`], it stops by itself a moment later.
#[derive(Debug)]
pub struct EmbeddedStore {
    addr: SocketAddr,
    stop: CancellationToken,
    server: Option<JoinHandle<()>>,
}

/// Why there is no embedded store.
#[derive(Debug, thiserror::Error)]
pub enum EmbeddedError {
    /// The directory is not there and cannot be made, or cannot be written.
    #[error("cannot write to the data directory {}", path.display())]
    NotWritable {
        /// The directory.
        path: PathBuf,
        /// What the system says.
        #[source]
        source: io::Error,
    },
    /// Two processes on the same items would not see each other's tables.
    #[error("the data directory {} is used by another process; stop that one or choose another directory", path.display())]
    InUse {
        /// The directory.
        path: PathBuf,
    },
    /// The file in it is no database of ours.
    #[error("cannot open the database {}", path.display())]
    Open {
        /// The file.
        path: PathBuf,
        /// What SQLite says.
        #[source]
        source: DynoxideError,
    },
    /// There is no memory for a database.
    #[error("cannot open a database in memory")]
    Memory(#[source] DynoxideError),
    /// Somebody else has its port.
    #[error("{0} is in use by another process; stop that one or choose another address")]
    AddressInUse(SocketAddr),
    /// No port, or no thread.
    #[error("the embedded store cannot be served")]
    Serve(#[source] io::Error),
}

impl EmbeddedStore {
    /// Opens the store at `place` and serves it on a free port of the loopback interface.
    ///
    /// # Errors
    /// [`EmbeddedError`] when the directory cannot be written, is in use, or holds no database of ours.
    pub async fn start(place: Place) -> Result<Self, EmbeddedError> {
        Self::start_at(place, SocketAddr::from((Ipv4Addr::LOCALHOST, 0))).await
    }

    /// The same on `listen`. Nobody who connects there is asked for credentials.
    ///
    /// # Errors
    /// Those of [`Self::start`], and [`EmbeddedError::AddressInUse`] or [`EmbeddedError::Serve`] when the address cannot be had.
    pub async fn start_at(place: Place, listen: SocketAddr) -> Result<Self, EmbeddedError> {
        let stop = CancellationToken::new();
        let (ready, started) = oneshot::channel();
        let stopped = stop.clone();
        let server = std::thread::Builder::new()
            .name("embedded-store".to_owned())
            .spawn(move || match Opened::at(&place) {
                Ok(opened) => opened.serve(listen, ready, stopped),
                // The one who asked may be gone.
                Err(error) => drop(ready.send(Err(error))),
            })
            .map_err(EmbeddedError::Serve)?;
        let addr = started.await.unwrap_or_else(|_| Err(EmbeddedError::Serve(io::ErrorKind::BrokenPipe.into())))?;
        Ok(Self { addr, stop, server: Some(server) })
    }

    /// The base URL to reach it at.
    #[must_use]
    pub fn endpoint(&self) -> String {
        format!("http://{}", self.addr)
    }

    /// Lets running requests end, for at most two seconds, and closes the files. They can be opened again afterwards.
    pub async fn stop(mut self) {
        self.stop.cancel();
        if let Some(server) = self.server.take() {
            // Joining fails only when the thread panicked, and then it has ended too.
            let _ = spawn_blocking(move || server.join()).await;
        }
    }
}

impl Drop for EmbeddedStore {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

/// An open database, and the lock that keeps other processes from it.
struct Opened {
    database: Database,
    lock: Option<File>,
}

impl Opened {
    fn at(place: &Place) -> Result<Self, EmbeddedError> {
        match place {
            Place::Memory => Ok(Self { database: Database::memory().map_err(EmbeddedError::Memory)?, lock: None }),
            Place::Directory(path) => {
                let lock = lock(path)?;
                let file = path.join("dynamodb.sqlite");
                let not_writable = |source| EmbeddedError::NotWritable { path: path.clone(), source };
                // Ahead of SQLite, whose words for it would be less clear.
                private_file().open(&file).map_err(not_writable)?;
                let name = file.to_str().ok_or_else(|| not_writable(io::ErrorKind::InvalidFilename.into()))?;
                let database =
                    Database::new(name).map_err(|source| EmbeddedError::Open { path: file.clone(), source })?;
                Ok(Self { database, lock: Some(lock) })
            }
        }
    }

    fn serve(
        self,
        listen: SocketAddr,
        ready: oneshot::Sender<Result<SocketAddr, EmbeddedError>>,
        stop: CancellationToken,
    ) {
        let listening = || -> io::Result<(Runtime, TcpListener, SocketAddr)> {
            let runtime = Builder::new_current_thread().enable_all().build()?;
            let listener = runtime.block_on(TcpListener::bind(listen))?;
            let addr = listener.local_addr()?;
            Ok((runtime, listener, addr))
        };
        let (runtime, listener) = match listening() {
            Ok((runtime, listener, addr)) => {
                if ready.send(Ok(addr)).is_err() {
                    return;
                }
                (runtime, listener)
            }
            Err(error) => {
                let failed = match error.kind() {
                    io::ErrorKind::AddrInUse => EmbeddedError::AddressInUse(listen),
                    _ => EmbeddedError::Serve(error),
                };
                return drop(ready.send(Err(failed)));
            }
        };
        runtime.spawn(sweep(self.database.clone(), FIRST_SWEEP));
        runtime.block_on(async {
            let served = dynoxide::server::serve_with_shutdown(listener, self.database, stop.clone().cancelled_owned());
            tokio::select! {
                served = served => if let Err(error) = served { tracing::error!(error, "the embedded store failed") },
                () = async { stop.cancelled().await; sleep(DRAIN).await } => {}
            }
        });
        // First the connections with their handles to the database, then the lock.
        drop(runtime);
        drop(self.lock);
    }
}

/// Drops expired items, as DynamoDB does by itself.
async fn sweep(database: Database, first: Duration) {
    let mut ticks = interval_at(Instant::now() + first, SWEEP_INTERVAL);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        let database = database.clone();
        match spawn_blocking(move || database.sweep_ttl()).await {
            Ok(Ok(dropped)) => tracing::debug!(dropped, "swept expired items"),
            Ok(Err(error)) => tracing::warn!(%error, "cannot sweep expired items"),
            Err(error) => tracing::warn!(%error, "cannot sweep expired items"),
        }
    }
}

/// Takes the directory for this process. The lock goes with the process, however that ends.
fn lock(directory: &Path) -> Result<File, EmbeddedError> {
    let not_writable = |source| EmbeddedError::NotWritable { path: directory.to_owned(), source };
    DirBuilder::new().recursive(true).mode(0o700).create(directory).map_err(not_writable)?;
    let file = private_file().open(directory.join("lock")).map_err(not_writable)?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => Err(EmbeddedError::InUse { path: directory.to_owned() }),
        Err(TryLockError::Error(source)) => Err(not_writable(source)),
    }
}

/// Makes or opens a file that its owner alone may read: there are password hashes in the database. SQLite gives the
/// files that it puts beside it the same rights.
fn private_file() -> OpenOptions {
    let mut options = File::options();
    options.append(true).create(true).mode(0o600);
    options
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[tokio::test]
    async fn expired_items_are_swept_and_others_stay() -> anyhow::Result<()> {
        let database = Database::memory()?;
        database.create_table(serde_json::from_value(json!({
            "TableName": "things",
            "KeySchema": [{"AttributeName": "id", "KeyType": "HASH"}],
            "AttributeDefinitions": [{"AttributeName": "id", "AttributeType": "S"}],
            "BillingMode": "PAY_PER_REQUEST",
        }))?)?;
        database.update_time_to_live(serde_json::from_value(json!({
            "TableName": "things",
            "TimeToLiveSpecification": {"Enabled": true, "AttributeName": "expires_at"},
        }))?)?;
        for (id, expires_at) in [("old", "1700000000"), ("new", "9900000000")] {
            database.put_item(serde_json::from_value(json!({
                "TableName": "things", "Item": {"id": {"S": id}, "expires_at": {"N": expires_at}},
            }))?)?;
        }

        let sweeping = tokio::spawn(sweep(database.clone(), Duration::ZERO));
        let left =
            || database.scan(serde_json::from_value(json!({"TableName": "things"}))?).map_err(anyhow::Error::from);
        tokio::time::timeout(Duration::from_secs(10), async {
            while left()?.count > 1 {
                sleep(Duration::from_millis(5)).await;
            }
            anyhow::Ok(())
        })
        .await??;
        sweeping.abort();
        assert!(format!("{:?}", left()?.items).contains("new"));
        Ok(())
    }
}
