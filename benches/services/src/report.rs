//! What is said: progress while it runs, and of what machine and versions the figures are.

use std::fs;
use std::process::Command;

use anyhow::{Context as _, Result};
use chrono::Utc;

use crate::process::output;
use crate::stats::Spread;
use crate::system::{LOAD_CORE, Programs};

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
    let versions = output(&versions, LOAD_CORE)?.replacen("Python", "Python ", 1);
    Ok(format!(
        "## Services\n\nMeasured on {} at commit {}, profile `{}`. Machine: {model}, {cores} cores, Linux {}. {}.\n\n",
        Utc::now().format("%Y-%m-%d"),
        commit().as_deref().unwrap_or("unknown"),
        programs.binaries.file_name().unwrap_or_default().display(),
        kernel.trim(),
        versions.trim()
    ))
}

/// The commit, and whether anything but the results has been changed since.
fn commit() -> Result<String> {
    let git = |arguments: &[&str]| output(Command::new("git").args(arguments), LOAD_CORE);
    let commit = git(&["rev-parse", "--short=10", "HEAD"])?;
    let changed =
        git(&["status", "--porcelain", "--untracked-files=no", "--", ".", ":!benches/RESULTS.md", ":!benches/*.svg"])?;
    Ok(format!("{}{}", commit.trim(), if changed.is_empty() { "" } else { "-dirty" }))
}

/// The middle of several values, and between what they lie.
pub(crate) fn spread(spread: Option<Spread>, places: usize) -> String {
    spread.map_or_else(
        || "–".to_owned(),
        |Spread { median, least, greatest }| format!("{median:.places$} ({least:.places$}–{greatest:.places$})"),
    )
}

/// The middle of `values`; NaN of none.
pub(crate) fn median(values: &[f64]) -> f64 {
    Spread::of(values).map_or(f64::NAN, |spread| spread.median)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_several_values_the_middle_is_shown_and_their_spread() {
        assert_eq!(spread(Spread::of(&[1.0, 2.26, 9.0]), 1), "2.3 (1.0–9.0)");
        assert_eq!(spread(None, 1), "–");
        assert_eq!(median(&[9.0, 2.0, 1.0]), 2.0);
        assert!(median(&[]).is_nan());
    }
}
