//! The gateway on its own, as it runs in production.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Parser, Subcommand};
use common::config::Env;
use common::signals::StopSignal;
use common::telemetry::{self, Chain};
use gateway::{ConfigSource, Options};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// A programmable edge gateway: routes by a YAML file, checks tokens, limits rates, balances over healthy upstreams.
///
/// SIGHUP reads the configuration again; SIGTERM and Ctrl-C let requests under way finish and stop.
#[derive(Parser)]
#[command(version)]
struct Flags {
    /// The configuration file.
    #[arg(long, env = "GATEWAY_CONFIG", default_value = "conf/gateway.yaml")]
    config: PathBuf,
    /// Only checks the configuration and says everything that is wrong with it.
    #[arg(long)]
    check: bool,
    #[command(subcommand)]
    task: Option<Task>,
}

/// What it does instead of serving.
#[derive(Subcommand)]
enum Task {
    /// Reads a key of `api_keys` from standard input, and prints the hash that stands in the configuration.
    HashKey,
    /// Asks for a password of `basic_auth`, or reads it from standard input, and prints the hash that stands in the configuration.
    HashPassword,
}

fn main() -> ExitCode {
    let flags = Flags::parse();
    match run(flags) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("gateway: {}", Chain(error.as_ref()));
            ExitCode::FAILURE
        }
    }
}

fn run(flags: Flags) -> anyhow::Result<()> {
    let env = Env::of_process();
    if let Some(task) = flags.task {
        println!(
            "{}",
            match task {
                Task::HashKey => gateway::config::hash_key(std::io::stdin().lock())?,
                Task::HashPassword => gateway::config::hash_typed_password()?,
            }
        );
        return Ok(());
    }
    if flags.check {
        println!("{}", gateway::config::check_file(&flags.config, &env)?);
        return Ok(());
    }
    telemetry::init("gateway", &env)?;
    let signals = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let mut stop = signals.block_on(async { StopSignal::listen() })?;
    let running = gateway::start(Options { config: ConfigSource::File(flags.config), env, middleware: Vec::new() })?;
    running.tell_listeners();
    signals.block_on(stop.received());
    running.stop();
    Ok(())
}
