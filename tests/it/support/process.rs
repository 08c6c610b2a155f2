//! One process of the system under test: started, listened to, told to stop, killed.

use std::io::{BufRead as _, BufReader, Read};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail, ensure};
use serde_json::Value;

/// Far longer than anything here takes, for a machine that is busy with other things.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

/// What a child takes over from the test: how to find programs, where to write, and where coverage is counted.
const INHERITED: [&str; 5] = ["PATH", "HOME", "TMPDIR", "LLVM_PROFILE_FILE", "CARGO_LLVM_COV"];

/// A running `order-processor`; killed when dropped.
pub(crate) struct Process {
    child: Child,
    stdout: Output,
    stderr: Output,
}

/// The lines of one pipe so far, and the thread that reads them.
struct Output {
    lines: Arc<Mutex<Vec<String>>>,
    reader: Option<JoinHandle<()>>,
}

impl Process {
    /// Starts `order-processor` with these arguments and variables, and none of the test's own variables.
    pub(crate) fn start(args: &[&str], variables: &[(&str, &str)]) -> anyhow::Result<Self> {
        let inherited = INHERITED.iter().filter_map(|name| Some((*name, std::env::var_os(name)?)));
        let mut child = Command::new(env!("CARGO_BIN_EXE_order-processor"))
            .args(args)
            .env_clear()
            .envs(inherited)
            .env("PRICE_REFRESH_SECONDS", "0")
            .envs(variables.iter().copied())
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .context("order-processor cannot be started")?;
        let stdout = Output::of(child.stdout.take().context("no standard output")?);
        let stderr = Output::of(child.stderr.take().context("no standard error")?);
        Ok(Self { child, stdout, stderr })
    }

    /// What it wrote to standard output so far.
    pub(crate) fn stdout(&self) -> Vec<String> {
        self.stdout.so_far()
    }

    /// All that it wrote to standard output and to standard error, once it has ended.
    pub(crate) fn last_words(&mut self) -> anyhow::Result<(String, String)> {
        ensure!(self.child.try_wait()?.is_some(), "it has not ended");
        Ok((self.stdout.whole(), self.stderr.whole()))
    }

    /// Waits for the first line of standard output in which `find` finds something.
    pub(crate) async fn output<T>(&mut self, what: &str, find: impl Fn(&str) -> Option<T>) -> anyhow::Result<T> {
        until(what, || {
            let ended = self.child.try_wait()?;
            if ended.is_some() {
                self.stdout.whole();
            }
            let found = self.stdout().iter().find_map(|line| find(line));
            match ended {
                Some(status) if found.is_none() => bail!("ended with {status}: {}", self.stderr.whole()),
                _ => Ok(found),
            }
        })
        .await
    }

    /// Sends a signal, by the shell's own `kill` because a minimal system has no such program.
    pub(crate) fn signal(&self, name: &str) -> anyhow::Result<()> {
        let pid = self.child.id().to_string();
        let status = Command::new("sh").args(["-c", r#"kill -s "$0" "$1""#, name, &pid]).status()?;
        ensure!(status.success(), "SIG{name} cannot be sent");
        Ok(())
    }

    /// Ends it at once, as a crash would (SIGKILL).
    pub(crate) fn kill(&mut self) -> anyhow::Result<()> {
        self.child.kill()?;
        self.child.wait()?;
        Ok(())
    }

    /// Waits for the line of the log that says where the process listens.
    pub(crate) async fn listening(&mut self) -> anyhow::Result<Value> {
        let parsed = |line: &str| serde_json::from_str::<Value>(line).ok();
        self.output("where it listens", |line| parsed(line).filter(|line| line["message"] == "listening")).await
    }

    /// Waits until it has ended by itself.
    pub(crate) async fn ended(&mut self) -> anyhow::Result<ExitStatus> {
        until("the end of the process", || Ok(self.child.try_wait()?)).await
    }

    /// Tells it to stop, and waits until it has.
    pub(crate) async fn stop(mut self) -> anyhow::Result<ExitStatus> {
        self.signal("TERM")?;
        self.ended().await
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // Fails only when it has ended already, which is what is wanted.
        let _ = self.kill();
        // The test harness shows this only when the test fails.
        for line in self.stdout.so_far().iter().chain(&self.stderr.so_far()) {
            println!("[{}] {line}", self.child.id());
        }
    }
}

/// Looks again and again until there is something to see.
async fn until<T>(what: &str, mut look: impl FnMut() -> anyhow::Result<Option<T>>) -> anyhow::Result<T> {
    let deadline = Instant::now() + PATIENCE;
    loop {
        if let Some(seen) = look()? {
            return Ok(seen);
        }
        ensure!(Instant::now() < deadline, "waited in vain for {what}");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

impl Output {
    /// Collects lines on a thread of its own, so that the child never waits for us to read.
    fn of(pipe: impl Read + Send + 'static) -> Self {
        let lines = Arc::new(Mutex::new(Vec::new()));
        let collected = Arc::clone(&lines);
        let reader = std::thread::spawn(move || {
            for line in BufReader::new(pipe).lines().map_while(Result::ok) {
                collected.lock().unwrap_or_else(PoisonError::into_inner).push(line);
            }
        });
        Self { lines, reader: Some(reader) }
    }

    fn so_far(&self) -> Vec<String> {
        self.lines.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Everything until the pipe is closed.
    fn whole(&mut self) -> String {
        if let Some(reader) = self.reader.take() {
            // Nothing in it can panic.
            let _ = reader.join();
        }
        self.so_far().join("\n")
    }
}
