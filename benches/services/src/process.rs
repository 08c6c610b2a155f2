//! A process that is measured: pinned to cores, awaited until it listens, ended by its own handle.

use std::fs::{self, File};
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail, ensure};
use tokio::net::TcpStream;
use tokio::time::sleep;

/// A Python service needs a second for its imports.
const PATIENCE: Duration = Duration::from_secs(30);
const POLL: Duration = Duration::from_millis(20);

/// A clock tick of `/proc`: USER_HZ, which is 100 on every Linux that Rust runs on.
const TICK: f64 = 0.01;

/// A running server.
pub(crate) struct Process {
    child: Child,
    pub(crate) addr: SocketAddr,
    log: PathBuf,
}

impl Process {
    /// Starts `command` on `cores`, a list as `taskset` takes it, and waits until `addr` takes connections.
    pub(crate) async fn start(
        name: &str,
        command: &Command,
        cores: &str,
        addr: SocketAddr,
        logs: &Path,
    ) -> Result<Self> {
        let log = logs.join(format!("{name}-{}.log", addr.port()));
        let mut pinned = pinned(command, cores);
        pinned.stdin(Stdio::null()).stdout(File::create(&log)?).stderr(File::options().append(true).open(&log)?);
        let child = pinned.spawn().with_context(|| format!("cannot start {name}"))?;
        let mut process = Self { child, addr, log };
        let deadline = Instant::now() + PATIENCE;
        while TcpStream::connect(addr).await.is_err() {
            if let Some(status) = process.child.try_wait()? {
                bail!("{name} ended with {status}:\n{}", process.said());
            }
            if Instant::now() > deadline {
                bail!("{name} does not listen on {addr}:\n{}", process.said());
            }
            sleep(POLL).await;
        }
        Ok(process)
    }

    /// Seconds of CPU that it has used, with what its ended threads have.
    pub(crate) fn cpu_seconds(&self) -> Result<f64> {
        let stat = fs::read_to_string(format!("/proc/{}/stat", self.child.id()))?;
        Ok(ticks(&stat).context("/proc/PID/stat is not as expected")? as f64 * TICK)
    }

    /// MiB of memory that it has now (`VmRSS`), or had at most (`VmHWM`).
    pub(crate) fn memory_mib(&self, which: &str) -> Result<f64> {
        let status = fs::read_to_string(format!("/proc/{}/status", self.child.id()))?;
        let line = status.lines().find_map(|line| line.strip_prefix(which)?.strip_prefix(':'));
        let kib = line.and_then(|line| line.trim().strip_suffix("kB")).and_then(|kib| kib.trim().parse::<f64>().ok());
        Ok(kib.context("/proc/PID/status is not as expected")? / 1024.0)
    }

    fn said(&self) -> String {
        fs::read_to_string(&self.log).unwrap_or_default()
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // It has ended already, or ends now.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Keeps this process to `cores` from now on.
pub(crate) fn run_on(cores: &str) -> Result<()> {
    let mut taskset = Command::new("taskset");
    taskset.args(["--all-tasks", "--pid", "--cpu-list", cores, &std::process::id().to_string()]);
    let output = taskset.output().context("cannot start taskset")?;
    ensure!(output.status.success(), "taskset: {}", String::from_utf8_lossy(&output.stderr));
    Ok(())
}

/// An address of this machine where nobody listens.
pub(crate) fn free_addr() -> Result<SocketAddr> {
    Ok(TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?)
}

/// What `command` prints when it runs on `cores`.
pub(crate) fn output(command: &Command, cores: &str) -> Result<String> {
    let output = pinned(command, cores).output().with_context(|| format!("cannot start {command:?}"))?;
    if !output.status.success() {
        bail!("{command:?} failed:\n{}", String::from_utf8_lossy(&output.stderr));
    }
    Ok(String::from_utf8(output.stdout)?)
}

/// `command` behind `taskset`, which becomes the command and keeps its number.
fn pinned(command: &Command, cores: &str) -> Command {
    let mut pinned = Command::new("taskset");
    pinned.args(["--cpu-list", cores]).arg(command.get_program()).args(command.get_args());
    pinned.envs(command.get_envs().filter_map(|(name, value)| Some((name, value?))));
    if let Some(directory) = command.get_current_dir() {
        pinned.current_dir(directory);
    }
    pinned
}

/// Time in user mode and in the kernel: fields 14 and 15 of proc_pid_stat(5), counted after the name, which may be anything.
fn ticks(stat: &str) -> Option<u64> {
    let mut fields = stat.rsplit_once(')')?.1.split_ascii_whitespace().skip(11);
    Some(fields.next()?.parse::<u64>().ok()? + fields.next()?.parse::<u64>().ok()?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_with_brackets_does_not_shift_the_fields() {
        assert_eq!(ticks("77 (a (b) c) S 1 77 77 0 -1 4194560 1 2 3 4 150 250 0 0 20 0 3 0 12345"), Some(400));
        assert_eq!(ticks("77 (cut short) S 1"), None);
    }
}
