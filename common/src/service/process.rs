//! A service as a process of its own: from the environment to the exit code.

use std::error::Error;
use std::future::Future;
use std::process::ExitCode;

use tokio_util::sync::CancellationToken;

use super::Running;
use crate::config::Env;
use crate::signals::{self, StopSignal};
use crate::telemetry::{self, Chain};

/// Starts the service called `name` with the process' environment and serves until SIGTERM or Ctrl-C.
///
/// What stands in the way of the start is said on standard error, a line for each thing, and the exit code is 1 then.
pub fn run<F, E>(name: &'static str, start: impl FnOnce(Env) -> F) -> ExitCode
where
    F: Future<Output = Result<Running, E>>,
    E: Error + 'static,
{
    match tokio::runtime::Runtime::new().map_err(Into::into).and_then(|runtime| runtime.block_on(serve(name, start))) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            for line in Chain(error.as_ref()).to_string().lines() {
                eprintln!("{name}: {line}");
            }
            ExitCode::FAILURE
        }
    }
}

async fn serve<F, E>(name: &'static str, start: impl FnOnce(Env) -> F) -> Result<(), Box<dyn Error>>
where
    F: Future<Output = Result<Running, E>>,
    E: Error + 'static,
{
    let env = Env::of_process();
    telemetry::init(name, &env)?;
    let mut told = StopSignal::listen()?;
    signals::disregard_hangups()?;
    let stop = CancellationToken::new();
    let stopped = stop.clone();
    tokio::spawn(async move {
        told.received().await;
        stopped.cancel();
    });
    let running = tokio::select! {
        running = start(env) => running?,
        // Told to stop while it still waits for the store.
        () = stop.cancelled() => return Ok(()),
    };
    Ok(running.run_until(stop).await?)
}
