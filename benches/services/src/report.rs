//! What is said: progress while it runs, and of what machine and versions the figures are.

use std::fs;
use std::process::Command;

use anyhow::{Context as _, Result};
use chrono::Utc;

use crate::process::output;
use crate::system::Programs;

/// Says how far it is.
pub(crate) fn progress(line: &str) {
    eprintln!("{line}");
}

/// The section's beginning.
pub(crate) fn heading(programs: &Programs) -> Result<String> {
    let cpu = fs::read_to_string("/proc/cpuinfo").context("this needs Linux")?;
    let model = cpu.lines().find_map(|line| line.strip_prefix("model name")?.split_once(": ")).map_or("?", |(_, m)| m);
    let cores = std::thread::available_parallelism()?;
    let kernel = fs::read_to_string("/proc/sys/kernel/osrelease")?;
    let mut versions = Command::new(&programs.python);
    let script = "import sys, importlib.metadata as m; print('Python', sys.version.split()[0], *(f', {p} {m.version(p)}' for p in \
                  ('fastapi', 'uvicorn', 'boto3', 'argon2-cffi')), sep='')";
    versions.args(["-c", script]);
    let versions = output(&versions, "0")?.replacen("Python", "Python ", 1);
    let date = Utc::now().format("%Y-%m-%d");
    Ok(format!(
        "## Services\n\n{date}; {model}, {cores} cores, Linux {}; ours from {}; {}.\n\n",
        kernel.trim(),
        programs.binaries.display(),
        versions.trim()
    ))
}
