//! A process the harness starts: pinned to a core, its output in files, and ended by its own handle whatever happens.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::thread::{self, ScopedJoinHandle};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, anyhow, bail};
use rustix::process::{Pid, Signal, kill_process};
use rustix::thread::{CpuSet, sched_setaffinity};

/// How long a process may take to end once it is asked to, under valgrind too.
const PATIENCE: Duration = Duration::from_secs(20);
const POLL: Duration = Duration::from_millis(20);

/// A running process.
pub(crate) struct Process {
    child: Child,
    errors: PathBuf,
}

impl Process {
    /// Starts `command` on `core` (any, when none is given); what it writes goes to `name.out` and `name.err` in
    /// `directory`.
    pub(crate) fn start(command: &Command, core: Option<usize>, directory: &Path, name: &str) -> Result<Self> {
        let errors = directory.join(format!("{name}.err"));
        let mut command = pinned(command, core);
        command
            .stdin(Stdio::null())
            .stdout(File::create(directory.join(format!("{name}.out")))?)
            .stderr(File::create(&errors)?);
        let child = command.spawn().with_context(|| format!("{name} cannot be started"))?;
        Ok(Self { child, errors })
    }

    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }

    /// What it has said on standard error.
    pub(crate) fn errors(&self) -> String {
        fs::read_to_string(&self.errors).unwrap_or_default()
    }

    /// How it has ended, if it has.
    pub(crate) fn ended(&mut self) -> Result<Option<ExitStatus>> {
        Ok(self.child.try_wait()?)
    }

    /// Asks it, or what it runs when it is a tracer, to end, and waits until it has.
    pub(crate) fn stop(mut self) -> Result<()> {
        let asked = traced(self.id()).unwrap_or(self.id());
        signal(asked, Signal::TERM)?;
        let deadline = Instant::now() + PATIENCE;
        while self.ended()?.is_none() {
            if Instant::now() >= deadline {
                bail!("process {} does not end", self.id());
            }
            thread::sleep(POLL);
        }
        Ok(())
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // It has ended already, or is ended now.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// `command` behind `taskset`, which becomes the command itself and so keeps the process's number.
fn pinned(command: &Command, core: Option<usize>) -> Command {
    let mut pinned = match core {
        Some(core) => {
            let mut taskset = Command::new("taskset");
            taskset.args(["--cpu-list", &core.to_string()]).arg(command.get_program());
            taskset
        }
        None => Command::new(command.get_program()),
    };
    pinned.args(command.get_args());
    for (name, value) in command.get_envs() {
        match value {
            Some(value) => pinned.env(name, value),
            None => pinned.env_remove(name),
        };
    }
    if let Some(directory) = command.get_current_dir() {
        pinned.current_dir(directory);
    }
    pinned
}

/// Runs `command` on `core` to its end and returns what it has printed.
pub(crate) fn output(command: &Command, core: Option<usize>) -> Result<String> {
    let program = command.get_program().to_string_lossy().into_owned();
    let output = pinned(command, core).output().with_context(|| format!("{program} cannot be started"))?;
    if !output.status.success() {
        bail!("{program} failed: {}", String::from_utf8_lossy(&output.stderr).trim());
    }
    Ok(String::from_utf8(output.stdout)?)
}

/// Does `work` on a thread that stays on `core`.
pub(crate) fn on_core<T: Send>(core: usize, work: impl FnOnce() -> Result<T> + Send) -> Result<T> {
    let stay = || {
        let mut cores = CpuSet::new();
        cores.set(core);
        sched_setaffinity(None, &cores).context("the load cannot be kept to its core")
    };
    thread::scope(|scope| joined(scope.spawn(|| stay().and_then(|()| work()))))
}

/// What a thread's work has come to.
pub(crate) fn joined<T>(thread: ScopedJoinHandle<'_, Result<T>>) -> Result<T> {
    thread.join().map_err(|_| anyhow!("a thread of the harness has panicked"))?
}

/// The process that `strace`, here `pid`, runs and watches.
fn traced(pid: u32) -> Option<u32> {
    let name = fs::read_to_string(format!("/proc/{pid}/comm")).ok()?;
    if name.trim() != "strace" {
        return None;
    }
    let children = fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")).ok()?;
    children.split_ascii_whitespace().next()?.parse().ok()
}

fn signal(pid: u32, signal: Signal) -> Result<()> {
    let pid = i32::try_from(pid).ok().and_then(Pid::from_raw).context("not a process's number")?;
    Ok(kill_process(pid, signal)?)
}

/// The cores this process may use, in order.
pub(crate) fn allowed_cores() -> Result<Vec<usize>> {
    let status = fs::read_to_string("/proc/self/status").context("the harness needs Linux")?;
    let list = status.lines().find_map(|line| line.strip_prefix("Cpus_allowed_list:"));
    list.and_then(cores).context("/proc/self/status does not say which cores may be used")
}

/// A list like `0-2,5`.
fn cores(list: &str) -> Option<Vec<usize>> {
    let mut cores = Vec::new();
    for range in list.trim().split(',') {
        let (first, last) = range.split_once('-').unwrap_or((range, range));
        cores.extend(first.parse::<usize>().ok()?..=last.parse().ok()?);
    }
    Some(cores)
}

#[cfg(test)]
mod tests {
    use super::cores;

    #[test]
    fn cores_are_listed_as_numbers_and_ranges() {
        assert_eq!(cores("\t0-2,5\n"), Some(vec![0, 1, 2, 5]));
        assert_eq!(cores("none"), None);
    }
}
