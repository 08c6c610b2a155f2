//! What the operating system asks of the process.

use std::io;

use tokio::signal::unix::{Signal, SignalKind, signal};

/// Lets `SIGHUP` pass, which would end the process: with it operators ask for a file to be read again, and whoever has its
/// settings from the environment has none.
///
/// # Errors
/// When the operating system refuses.
pub fn disregard_hangups() -> io::Result<()> {
    let mut hangups = signal(SignalKind::hangup())?;
    tokio::spawn(async move {
        while hangups.recv().await.is_some() {
            tracing::info!("SIGHUP changes nothing here: the settings are in the environment, and read at the start");
        }
    });
    Ok(())
}

/// The wish that this process ends: `SIGTERM`, or `SIGINT` as Ctrl-C sends it. Heard from when this is made.
pub struct StopSignal {
    interrupt: Signal,
    terminate: Signal,
}

impl StopSignal {
    /// Begins to listen. From now on the signals do not end the process by themselves.
    ///
    /// # Errors
    /// When the operating system refuses.
    pub fn listen() -> io::Result<Self> {
        Ok(Self { interrupt: signal(SignalKind::interrupt())?, terminate: signal(SignalKind::terminate())? })
    }

    /// Waits for the wish, and answers it in the log: what is under way may take its time. Safe to drop and call again.
    pub async fn received(&mut self) {
        let signal = tokio::select! {
            _ = self.interrupt.recv() => "SIGINT",
            _ = self.terminate.recv() => "SIGTERM",
        };
        tracing::info!(signal, "stopping; what is under way comes to its end first");
    }
}
