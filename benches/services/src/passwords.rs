//! What one password hash costs beside the C reference implementation, with the same parameters.

use std::num::NonZeroUsize;
use std::process::Command;
use std::sync::Arc;

use anyhow::{Result, ensure};
use common::auth::{HashingLimits, PasswordHasher};
use common::entities::Password;
use prometheus::Registry;
use tokio::runtime::Runtime;

use crate::process::{output, own_cpu_seconds};
use crate::report::progress;
use crate::stats::median;
use crate::system::Programs;

/// Hashes of one measurement.
const TIMES: u32 = 40;
/// The core that services are measured on.
const CORE: &str = "1";

/// Milliseconds of CPU that one verification takes in the services' hasher.
pub(crate) fn cost_here(runtime: &Runtime, times: u32) -> Result<f64> {
    let limits = HashingLimits { workers: NonZeroUsize::MIN, queue: 1 };
    let hasher = Arc::new(PasswordHasher::new(limits, &Registry::new())?);
    let password = || Password::typed("correct horse battery staple");
    let stored = runtime.block_on(hasher.hash(password()))?;
    let began = own_cpu_seconds()?;
    for _ in 0..times {
        ensure!(runtime.block_on(hasher.verify(password(), Some(stored.clone())))?, "the password is the right one");
    }
    Ok((own_cpu_seconds()? - began) / f64::from(times) * 1000.0)
}

/// Both, turn by turn.
pub(crate) fn compare(programs: &Programs, rounds: usize) -> Result<String> {
    let mut ours = Command::new(std::env::current_exe()?);
    ours.arg("hash-cost").arg(TIMES.to_string());
    let mut reference = Command::new(&programs.python);
    reference.arg(programs.fastapi.join("hash_cost.py")).arg(TIMES.to_string());
    let mut costs = Vec::new();
    for round in 1..=rounds {
        let (ours, reference): (f64, f64) =
            (output(&ours, CORE)?.trim().parse()?, output(&reference, CORE)?.trim().parse()?);
        progress(&format!("hash, round {round}/{rounds}: {ours:.1} ms, argon2-cffi {reference:.1} ms"));
        costs.push((ours, reference));
    }
    Ok(format!(
        "### A password hash\n\nArgon2id, 19 MiB, 2 passes, 1 lane; CPU time of one verification on one core.\n\n\
         | ours | argon2-cffi (C reference) | ratio |\n|---|---|---|\n| {:.1} ms | {:.1} ms | {:.2} |\n\n",
        median(costs.iter().map(|cost| cost.0)),
        median(costs.iter().map(|cost| cost.1)),
        median(costs.iter().map(|cost| cost.0 / cost.1)),
    ))
}
