//! The inventory service as a process of its own; its configuration is in the environment.

use std::process::ExitCode;

use clap::Parser;
use inventory_service::{Config, VARIABLES, start};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// The catalogue of assets, their prices, and the orders of those who buy them.
#[derive(Parser)]
#[command(name = "inventory-service", version, after_help = VARIABLES)]
struct Args {}

fn main() -> ExitCode {
    let Args {} = Args::parse();
    common::service::run("inventory-service", |env| async move { start(Config::from_env(&env)?).await })
}
