//! The whole order processor in one process, or one of its parts: one program, and so one image, for all of them.

mod args;
mod edge;
mod everything;
mod signing_secret;
mod store;
mod summary;

use std::future::Future;
use std::process::ExitCode;

use clap::Parser as _;
use common::config::Env;
use common::service;

use crate::args::{Args, GatewayTask, Part};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    let args = Args::parse();
    let env = args.over(Env::of_process());
    match args.part {
        None => finish("order-processor", everything::run(env)),
        Some(Part::HashKey | Part::Gateway { task: Some(GatewayTask::HashKey), .. }) => {
            finish("hash-key", async { edge::hash_key() })
        }
        Some(Part::HashPassword | Part::Gateway { task: Some(GatewayTask::HashPassword), .. }) => {
            finish("hash-password", async { edge::hash_password() })
        }
        Some(Part::Gateway { check: true, .. }) => finish("gateway", async { edge::check(&env) }),
        Some(Part::Gateway { .. }) => finish("gateway", edge::run(env)),
        Some(Part::Store { listen, .. }) => finish("store", store::run(env, listen)),
        Some(Part::UserService) => service::run("user-service", |env| async move {
            user_service::start(user_service::Config::from_env(&env)?).await
        }),
        Some(Part::InventoryService) => service::run("inventory-service", |env| async move {
            inventory_service::start(inventory_service::Config::from_env(&env)?).await
        }),
    }
}

/// Runs to the end; what stands in the way is said on standard error, and the exit code is 1 then.
fn finish(name: &str, work: impl Future<Output = anyhow::Result<()>>) -> ExitCode {
    match tokio::runtime::Runtime::new().map_err(Into::into).and_then(|runtime| runtime.block_on(work)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{name}: {error:#}");
            ExitCode::FAILURE
        }
    }
}
