//! What one password hash costs beside the C reference implementation, with the same parameters.

use std::num::NonZeroUsize;
use std::process::Command;
use std::sync::Arc;

use anyhow::{Result, ensure};
use common::auth::{HashingLimits, PasswordHasher};
use common::entities::Password;
use prometheus::Registry;
use rustix::time::{ClockId, clock_gettime};
use tokio::runtime::Runtime;

use crate::process::output;
use crate::report::{progress, spread};
use crate::stats::{Spread, ratios};
use crate::system::{Programs, SERVICE_CORE};
use crate::table::table;

/// Hashes of one measurement.
const TIMES: u32 = 40;

/// Milliseconds of CPU that one verification takes in the services' hasher.
pub(crate) fn cost_here(runtime: &Runtime, times: u32) -> Result<f64> {
    let limits = HashingLimits { workers: NonZeroUsize::MIN, queue: 1 };
    let hasher = Arc::new(PasswordHasher::new(limits, &Registry::new())?);
    let password = || Password::typed("correct horse battery staple");
    let stored = runtime.block_on(hasher.hash(password()))?;
    let began = own_cpu_seconds();
    for _ in 0..times {
        ensure!(runtime.block_on(hasher.verify(password(), Some(stored.clone())))?, "the password is the right one");
    }
    Ok((own_cpu_seconds() - began) / f64::from(times) * 1000.0)
}

/// By the clock that Python reads too. It goes on with threads that end, as each does that has hashed.
fn own_cpu_seconds() -> f64 {
    let used = clock_gettime(ClockId::ProcessCPUTime);
    used.tv_sec as f64 + used.tv_nsec as f64 / 1e9
}

/// Both, turn by turn.
pub(crate) fn compare(programs: &Programs, rounds: usize) -> Result<String> {
    let mut ours = Command::new(std::env::current_exe()?);
    ours.arg("hash-cost").arg(TIMES.to_string());
    let mut reference = Command::new(&programs.python);
    reference.arg(programs.fastapi.join("hash_cost.py")).arg(TIMES.to_string());
    let (mut our_costs, mut reference_costs) = (Vec::new(), Vec::new());
    for round in 1..=rounds {
        let cost = |command| -> Result<f64> { Ok(output(command, SERVICE_CORE)?.trim().parse()?) };
        let (ours, reference) = (cost(&ours)?, cost(&reference)?);
        progress(&format!("hash, round {round}/{rounds}: {ours:.1} ms, argon2-cffi {reference:.1} ms"));
        our_costs.push(ours);
        reference_costs.push(reference);
    }
    let row = vec![
        "one verification".to_owned(),
        spread(Spread::of(&our_costs), 1),
        spread(Spread::of(&reference_costs), 1),
        spread(ratios(&our_costs, &reference_costs), 2),
    ];
    Ok(format!(
        "### A password hash\n\nArgon2id, 19 MiB, 2 passes, 1 lane; milliseconds of CPU on one core.\n\n{}\n",
        table(&["CPU ms", "ours", "argon2-cffi (C reference)", "ours ÷ reference"], &[row])
    ))
}

#[cfg(test)]
mod tests {
    use std::thread;
    use std::time::{Duration, Instant};

    use super::own_cpu_seconds;

    #[test]
    fn what_an_ended_thread_has_used_is_counted() {
        let before = own_cpu_seconds();
        let busy = || {
            let began = Instant::now();
            while began.elapsed() < Duration::from_millis(50) {}
        };
        thread::spawn(busy).join().expect("ended well");
        assert!(own_cpu_seconds() - before > 0.005, "{before} and {}", own_cpu_seconds());
    }
}
