//! Exchanges the running configuration for a new one, or keeps it.

use std::collections::BTreeSet;
use std::sync::Arc;

use common::config::Env;
use tokio::runtime::Handle;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::Mutex;

use super::{ConfigSource, Shared};
use crate::config::file::ServerFile;
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
}

/// What a reload needs.
pub(super) struct Reloader {
    source: ConfigSource,
    env: Env,
    workshop: Workshop,
    shared: Arc<Shared>,
    /// What the listeners and threads were started with; they cannot change without a restart.
    server: ServerFile,
    /// One reload at a time.
    turn: Mutex<()>,
}

impl Reloader {
    pub(super) fn new(
        source: ConfigSource,
        env: Env,
        workshop: Workshop,
        shared: Arc<Shared>,
        server: ServerFile,
    ) -> Self {
        Self { source, env, workshop, shared, server, turn: Mutex::new(()) }
    }

    pub(super) fn server(&self) -> &ServerFile {
        &self.server
    }

    /// Compiles the configuration anew and swaps it in at once, or keeps the one before.
    pub(super) async fn reload(&self) -> Result<(), ReloadError> {
        let _turn = self.turn.lock().await;
        let result = self.try_reload().await;
        self.shared.metrics.config_last_reload_success.set(i64::from(result.is_ok()));
        match &result {
            Ok(()) => {
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

    async fn try_reload(&self) -> Result<(), ReloadError> {
        let loaded = self.source.load(&self.env).map_err(ReloadError::Config)?;
        let before = self.shared.snapshot.load_full();
        let after = Arc::new(Snapshot::compile(&loaded, &self.workshop, Some(&before)).await?);
        self.shared.snapshot.store(Arc::clone(&after));
        self.forget_targets(&before, &after);
        if needs_restart(&self.server, &loaded.file.server) {
            tracing::warn!("server.listen, server.admin and server.threads take effect only after a restart");
        }
        Ok(())
    }

    /// Drops the health series of targets that are gone, so that nobody is alarmed by a server that was taken away.
    fn forget_targets(&self, before: &Snapshot, after: &Snapshot) {
        let targets = |snapshot: &Snapshot| -> BTreeSet<(Box<str>, Box<str>)> {
            let of_pool = |pool: &Arc<crate::upstream::Pool>| {
                let name: Box<str> = pool.name().into();
                pool.targets().into_iter().map(move |target| (name.clone(), target.label))
            };
            snapshot.pools.values().flat_map(of_pool).collect()
        };
        for (pool, target) in targets(before).difference(&targets(after)) {
            self.shared.metrics.forget_target(pool, target);
        }
    }
}

fn needs_restart(running: &ServerFile, file: &ServerFile) -> bool {
    running.listen != file.listen || running.admin != file.admin || running.threads != file.threads
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
