//! The user service as a process of its own; its configuration is in the environment.

use std::process::ExitCode;

use clap::Parser;
use user_service::{Config, VARIABLES, start};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Accounts: register, log in, profile, log out.
#[derive(Parser)]
#[command(name = "user-service", version, after_help = VARIABLES)]
struct Args {}

fn main() -> ExitCode {
    let Args {} = Args::parse();
    common::service::run("user-service", |env| async move { start(Config::from_env(&env)?).await })
}
