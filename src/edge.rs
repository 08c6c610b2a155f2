//! The gateway as this program runs it: on the file that was asked for, or on the copy inside the program.

use std::path::PathBuf;

use anyhow::Context as _;
use common::config::Env;
use common::signals::StopSignal;
use common::telemetry;
use gateway::{ConfigSource, Options, Running};

/// Where the gateway's configuration is looked for when nobody says where it is.
const USUAL_CONFIG: &str = "conf/gateway.yaml";

/// Runs the gateway alone until the process is told to stop.
pub(crate) async fn run(env: Env) -> anyhow::Result<()> {
    telemetry::init("gateway", &env)?;
    let mut told = StopSignal::listen()?;
    let running = start(config(&env), env).await?;
    running.tell_listeners();
    told.received().await;
    stop(running).await
}

/// Says whether a gateway would take its configuration.
pub(crate) fn check(env: &Env) -> anyhow::Result<()> {
    match config(env) {
        ConfigSource::File(file) => println!("{}", gateway::config::check_file(&file, env)?),
        built_in @ ConfigSource::BuiltIn { .. } => {
            built_in.check(env)?;
            println!("{USUAL_CONFIG}, as built in: no problems");
        }
    }
    Ok(())
}

/// Prints the hash of the key on standard input, as `api_keys` has it.
pub(crate) fn hash_key() -> anyhow::Result<()> {
    println!("{}", gateway::config::hash_key(std::io::stdin().lock())?);
    Ok(())
}

/// Prints the hash of the password that is typed or on standard input, as `basic_auth` has it.
pub(crate) fn hash_password() -> anyhow::Result<()> {
    println!("{}", gateway::config::hash_typed_password()?);
    Ok(())
}

/// Starts a gateway, which has threads of its own and must not be started on an asynchronous one.
pub(crate) async fn start(config: ConfigSource, env: Env) -> anyhow::Result<Running> {
    let options = Options { config, env, middleware: Vec::new() };
    let started = tokio::task::spawn_blocking(move || gateway::start(options)).await;
    Ok(started.context("the gateway's start failed")??)
}

/// Lets a gateway finish what is under way.
pub(crate) async fn stop(running: Running) -> anyhow::Result<()> {
    tokio::task::spawn_blocking(move || running.stop()).await.context("the gateway's stop failed")
}

/// The file that was asked for; else the usual one; else, so that the program runs anywhere, the copy inside it.
pub(crate) fn config(env: &Env) -> ConfigSource {
    let usual = PathBuf::from(USUAL_CONFIG);
    match env.get("GATEWAY_CONFIG") {
        Some(file) => ConfigSource::File(file.into()),
        None if usual.exists() => ConfigSource::File(usual),
        None => ConfigSource::BuiltIn { name: USUAL_CONFIG, text: include_str!("../conf/gateway.yaml") },
    }
}
