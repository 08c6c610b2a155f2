//! Exchanges the running configuration for a new one, or keeps it.

use std::net::SocketAddr;
use std::sync::Arc;

use common::config::Env;
use tokio::runtime::Handle;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::Mutex;

use super::files;
use super::{ConfigSource, Shared};
use crate::config::file::{GatewayFile, ServerFile};
use crate::config::problems::ConfigProblems;
use crate::snapshot::{CompileError, Snapshot, Workshop};

/// Why the configuration before goes on serving.
#[derive(Debug, thiserror::Error)]
pub enum ReloadError {
    /// The new one has problems; all of them are listed.
    #[error("{0}")]
    Config(ConfigProblems),
    /// The new one is well-formed but cannot be run.
    #[error("the configuration cannot be run")]
    Compile(#[from] CompileError),
    /// The gateway stopped while it was read.
    #[error("the gateway stopped before the configuration was read")]
    Interrupted(#[source] tokio::task::JoinError),
}

/// What a reload needs.
pub(crate) struct Reloader {
    source: ConfigSource,
    env: Env,
    workshop: Workshop,
    shared: Arc<Shared>,
    /// What the gateway was started with; some of it cannot change without a restart.
    started_with: GatewayFile,
    /// One reload at a time.
    turn: Mutex<()>,
}

impl Reloader {
    pub(super) fn new(
        source: ConfigSource,
        env: Env,
        workshop: Workshop,
        shared: Arc<Shared>,
        started_with: GatewayFile,
    ) -> Self {
        Self { source, env, workshop, shared, started_with, turn: Mutex::new(()) }
    }

    /// Compiles the configuration anew and swaps it in at once, or keeps the one before. Gives what somebody should know of the
    /// new one: what is hardly meant, and what takes effect only after a restart.
    pub(crate) async fn reload(self: &Arc<Self>) -> Result<Vec<String>, ReloadError> {
        // Whatever the file says: who has put the log aside need not have changed anything else.
        self.shared.access_log.reopen();
        let _turn = self.turn.lock().await;
        let result = self.try_reload().await;
        self.shared.metrics.config_last_reload_success.set(i64::from(result.is_ok()));
        match &result {
            Ok(_) => {
                self.shared.metrics.config_reloads.inc();
                tracing::info!("configuration reloaded");
            }
            Err(error) => {
                let cause = std::error::Error::source(error).map(ToString::to_string);
                tracing::error!(%error, cause, "configuration not reloaded; the one before goes on serving");
            }
        }
        result
    }

    async fn try_reload(self: &Arc<Self>) -> Result<Vec<String>, ReloadError> {
        // A disk may be slow, and the probes and the link to Redis live on this runtime.
        let reloader = Arc::clone(self);
        let read = tokio::task::spawn_blocking(move || reloader.source.load(&reloader.env));
        let loaded = read.await.map_err(ReloadError::Interrupted)?.map_err(ReloadError::Config)?;
        let before = self.shared.snapshot.load_full();
        // Nor may a thousand regular expressions hold up this runtime. What waits for an answer still does so here.
        let (workshop, kept) = (self.workshop.clone(), Arc::clone(&before));
        let compiling = tokio::task::spawn_blocking(move || {
            let compiled = Handle::current().block_on(Snapshot::compile(&loaded, &workshop, Some(&kept)));
            compiled.map(|after| (after, loaded))
        });
        let (after, loaded) = compiling.await.map_err(ReloadError::Interrupted)??;
        let after = Arc::new(after);
        self.shared.snapshot.store(Arc::clone(&after));
        before.retire(&after);
        files::make_room(loaded.file.server.max_connections);
        let mut warnings = loaded.warnings;
        for key in needs_restart(&self.started_with, &loaded.file) {
            let warning = format!("{key} takes effect only after a restart");
            tracing::warn!("{warning}");
            warnings.push(warning);
        }
        Ok(warnings)
    }
}

/// The keys of which the running gateway keeps the old value.
fn needs_restart(running: &GatewayFile, file: &GatewayFile) -> Vec<&'static str> {
    let (old, new) = (&running.server, &file.server);
    let changed = [
        ("server.listen", old.listen != new.listen),
        ("server.h2c_listen", old.h2c_listen != new.h2c_listen),
        ("server.tls.listen", tls_addrs(old) != tls_addrs(new)),
        ("server.admin", old.admin != new.admin),
        ("server.threads", old.threads != new.threads),
        ("server.shutdown_grace", old.shutdown_grace != new.shutdown_grace),
        ("server.shutdown_timeout", old.shutdown_timeout != new.shutdown_timeout),
        ("access_log", running.access_log != file.access_log),
    ];
    changed.into_iter().filter_map(|(key, changed)| changed.then_some(key)).collect()
}

fn tls_addrs(server: &ServerFile) -> &[SocketAddr] {
    server.tls.as_ref().map_or(&[], |tls| &tls.listen)
}

/// Reloads whenever the process gets a `SIGHUP`.
pub(super) fn on_hangup(control: &Handle, reloader: &Arc<Reloader>) {
    let reloader = Arc::clone(reloader);
    // The handler has to be there before this returns: the signal's default is to end the process.
    let _inside = control.enter();
    match signal(SignalKind::hangup()) {
        Ok(mut hangups) => {
            control.spawn(async move {
                while hangups.recv().await.is_some() {
                    // Logged and counted where it is done.
                    let _ = reloader.reload().await;
                }
            });
        }
        Err(error) => tracing::warn!(%error, "SIGHUP cannot be awaited; reloads need a restart"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_reload_cannot_change_is_named() {
        let file = |yaml| serde_json::from_value::<GatewayFile>(yaml).expect("a file");
        let running = file(serde_json::json!({}));
        assert!(needs_restart(&running, &file(serde_json::json!({"server": {"read_timeout": "1s"}}))).is_empty());
        let other =
            serde_json::json!({"server": {"threads": 3, "shutdown_grace": "1s"}, "access_log": {"enabled": false}});
        assert_eq!(needs_restart(&running, &file(other)), ["server.threads", "server.shutdown_grace", "access_log"]);
    }
}
