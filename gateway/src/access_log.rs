//! Writes one JSON line per request, off the path of the request.
//!
//! A line is made where the request ends and put behind those that wait in a buffer of its worker's own; a thread collects
//! the buffers now and then and writes them out. So a request makes no system call and waits for nobody. When the disk
//! cannot keep up, the buffers are full: lines are dropped and counted. The thread opens the file again when it is told to, for
//! whoever has put it aside (log rotation).

mod line;
mod timestamp;

use std::cell::Cell;
use std::fs::OpenOptions;
use std::io::{self, Write};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, TrySendError, sync_channel};
use std::thread;
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use prometheus::IntCounter;

pub(crate) use line::Line;
pub(crate) use timestamp::Timestamp;

use crate::config::file::AccessLogFile;

/// How long lines gather before they are written together.
const GATHER: Duration = Duration::from_millis(50);

/// How often a flush looks whether the writer can be told.
const TELL_POLL: Duration = Duration::from_millis(10);

/// Where lines go.
pub(crate) struct AccessLog {
    queue: Option<Arc<Queue>>,
    writer: Option<SyncSender<Message>>,
    dropped: IntCounter,
}

/// Lines that wait to be written.
struct Queue {
    /// One for each worker, so that none waits for another.
    buffers: Box<[Mutex<Buffer>]>,
    /// Lines that one buffer takes.
    most: usize,
    /// Whether the writer waits to be told of the next line.
    asleep: AtomicBool,
    /// Whether the file is to be opened again.
    reopen: AtomicBool,
}

#[derive(Default)]
struct Buffer {
    text: Vec<u8>,
    lines: usize,
}

enum Message {
    /// There is a line.
    Wake,
    /// Answered when everything before it is written.
    Flush(SyncSender<()>),
}

impl AccessLog {
    /// The log that `file` describes for `workers` threads, with its own thread started.
    ///
    /// # Errors
    /// When the file cannot be opened for appending.
    pub(crate) fn start(file: &AccessLogFile, workers: usize, dropped: IntCounter) -> io::Result<Self> {
        if !file.enabled {
            return Ok(Self { queue: None, writer: None, dropped });
        }
        let out: Box<dyn Write + Send> = match &file.path {
            Some(path) => Box::new(append_to(path)?),
            None => Box::new(io::stdout()),
        };
        let queue = Arc::new(Queue::new(workers, file.queue));
        // The writer is told once of a line, and at times to flush.
        let (writer, messages) = sync_channel(1);
        let (lines, path) = (Arc::clone(&queue), file.path.clone());
        let write = move || lines.write_to(out, path.as_deref(), &messages);
        thread::Builder::new().name("access-log".to_owned()).spawn(write)?;
        Ok(Self { queue: Some(queue), writer: Some(writer), dropped })
    }

    /// Writes `line` soon, or counts it as dropped.
    pub(crate) fn write(&self, line: &Line<'_>) {
        let (Some(queue), Some(writer)) = (&self.queue, &self.writer) else { return };
        if !queue.push(line) {
            self.dropped.inc();
        }
        if queue.asleep.load(Ordering::Relaxed) && queue.asleep.swap(false, Ordering::Relaxed) {
            // A full channel has a flush in it, which writes this line too.
            let _ = writer.try_send(Message::Wake);
        }
    }

    /// Has the file opened anew by its path soon: whatever is written from then on is in the file that is there now.
    pub(crate) fn reopen(&self) {
        let (Some(queue), Some(writer)) = (&self.queue, &self.writer) else { return };
        queue.reopen.store(true, Ordering::Release);
        // Where there is no room, the writer is about to look anyway.
        let _ = writer.try_send(Message::Wake);
    }

    /// Waits until every line so far is written, but not longer than `within`: a disk that takes longer, or a pipe that
    /// nobody reads, has lost its lines.
    pub(crate) fn flush(&self, within: Duration) {
        let Some(writer) = &self.writer else { return };
        let deadline = Instant::now() + within;
        let (done, written) = sync_channel(1);
        let mut message = Message::Flush(done);
        while let Err(refused) = writer.try_send(message) {
            if Instant::now() >= deadline {
                return;
            }
            message = match refused {
                TrySendError::Full(message) => message,
                TrySendError::Disconnected(_) => return,
            };
            thread::sleep(TELL_POLL);
        }
        let _ = written.recv_timeout(deadline.saturating_duration_since(Instant::now()));
    }

    /// Whether lines are wanted at all.
    #[must_use]
    pub(crate) const fn is_enabled(&self) -> bool {
        self.queue.is_some()
    }
}

impl Queue {
    fn new(workers: usize, lines: usize) -> Self {
        let buffers = workers.max(1);
        Self {
            buffers: (0..buffers).map(|_| Mutex::default()).collect(),
            most: lines.div_ceil(buffers),
            asleep: AtomicBool::new(false),
            reopen: AtomicBool::new(false),
        }
    }

    /// Takes `line`, if there is room for it.
    fn push(&self, line: &Line<'_>) -> bool {
        let mut buffer = self.buffers[thread_number() % self.buffers.len()].lock();
        if buffer.lines >= self.most {
            return false;
        }
        line.write_to(&mut buffer.text);
        buffer.text.push(b'\n');
        buffer.lines += 1;
        true
    }

    fn is_empty(&self) -> bool {
        self.buffers.iter().all(|buffer| buffer.lock().lines == 0)
    }

    /// Writes what there is, each time after it has gathered for a while, until nobody can send any more. The file at `path` is
    /// opened anew between two writes of whole lines.
    fn write_to(&self, mut out: Box<dyn Write + Send>, path: Option<&Path>, messages: &Receiver<Message>) {
        let mut spare = Vec::new();
        loop {
            let mut flushed = None;
            // Said before the look: whoever fills a buffer after it has been looked at finds this said.
            self.asleep.store(true, Ordering::Relaxed);
            if self.is_empty() {
                match messages.recv() {
                    Ok(Message::Wake) => {}
                    Ok(Message::Flush(done)) => flushed = Some(done),
                    Err(_) => return,
                }
            }
            self.asleep.store(false, Ordering::Relaxed);
            if flushed.is_none() {
                match messages.recv_timeout(GATHER) {
                    Ok(Message::Flush(done)) => flushed = Some(done),
                    Ok(Message::Wake) | Err(RecvTimeoutError::Timeout | RecvTimeoutError::Disconnected) => {}
                }
            }
            if let Some(path) = path.filter(|_| self.reopen.swap(false, Ordering::Acquire)) {
                match append_to(path) {
                    Ok(file) => out = Box::new(file),
                    Err(error) => {
                        let path = path.display();
                        tracing::error!(%path, %error, "the access log cannot be opened again and goes on where it was");
                    }
                }
            }
            for buffer in &self.buffers {
                let mut buffer = buffer.lock();
                buffer.lines = 0;
                std::mem::swap(&mut buffer.text, &mut spare);
                drop(buffer);
                // What fails (disk full, pipe closed) loses its lines; the next may succeed.
                let _ = out.write_all(&spare);
                spare.clear();
            }
            let _ = out.flush();
            if let Some(done) = flushed {
                let _ = done.send(());
            }
        }
    }
}

/// The number of this thread among those that have written a line.
fn thread_number() -> usize {
    static THREADS: AtomicUsize = AtomicUsize::new(0);
    thread_local! {
        static NUMBER: Cell<usize> = Cell::new(THREADS.fetch_add(1, Ordering::Relaxed));
    }
    NUMBER.get()
}

fn append_to(path: &Path) -> io::Result<std::fs::File> {
    OpenOptions::new().create(true).append(true).open(path)
}

#[cfg(test)]
mod tests {
    use super::line::tests::line;
    use super::*;

    fn dropped() -> IntCounter {
        IntCounter::new("dropped", "dropped").expect("a counter")
    }

    #[test]
    fn lines_are_appended_as_json() {
        let dir = tempfile::tempdir().expect("a directory");
        let path = dir.path().join("access.log");
        std::fs::write(&path, "before\n").expect("writes");
        let file = AccessLogFile { enabled: true, path: Some(path.clone()), queue: 16 };
        let log = AccessLog::start(&file, 2, dropped()).expect("opens");
        log.write(&line());
        log.flush(Duration::from_secs(20));
        let text = std::fs::read_to_string(&path).expect("reads");
        assert_eq!(text.lines().count(), 2);
        let last: serde_json::Value = serde_json::from_str(text.lines().last().expect("a line")).expect("json");
        assert_eq!(last["path"], "/\"x");
        assert_eq!(last["status"], 200);
    }

    #[test]
    fn a_full_queue_drops_and_counts_and_nobody_waits() {
        let (writer, _nobody_reads) = sync_channel(1);
        let log = AccessLog { queue: Some(Arc::new(Queue::new(1, 1))), writer: Some(writer), dropped: dropped() };
        log.write(&line());
        log.write(&line());
        log.write(&line());
        assert_eq!(log.dropped.get(), 2);
        log.flush(Duration::from_millis(1));
    }

    #[test]
    fn a_file_that_was_put_aside_is_left_when_the_log_is_opened_again() {
        let dir = tempfile::tempdir().expect("a directory");
        let (path, aside) = (dir.path().join("access.log"), dir.path().join("access.log.1"));
        let file = AccessLogFile { enabled: true, path: Some(path.clone()), queue: 16 };
        let log = AccessLog::start(&file, 2, dropped()).expect("opens");
        let lines = |path: &Path| std::fs::read_to_string(path).map_or(0, |text| text.lines().count());
        let write = || {
            log.write(&line());
            log.flush(Duration::from_secs(20));
            (lines(&path), lines(&aside))
        };
        assert_eq!(write(), (1, 0));
        std::fs::rename(&path, &aside).expect("renames");
        assert_eq!(write(), (0, 2), "nobody has said anything yet");
        log.reopen();
        assert_eq!(write(), (1, 2));
        // Where nothing can be opened, no line is lost.
        std::fs::rename(&path, &aside).expect("renames");
        std::fs::create_dir(&path).expect("a directory");
        log.reopen();
        assert_eq!(write(), (0, 2));
    }

    #[test]
    fn no_line_is_lost_or_torn_while_the_file_is_put_aside() {
        let dir = tempfile::tempdir().expect("a directory");
        let path = dir.path().join("access.log");
        let file = AccessLogFile { enabled: true, path: Some(path.clone()), queue: 1_000_000 };
        let log = AccessLog::start(&file, 2, dropped()).expect("opens");
        thread::scope(|scope| {
            for _ in 0..2 {
                scope.spawn(|| (0..5_000).for_each(|_| log.write(&line())));
            }
            for number in 0..20 {
                log.flush(Duration::from_secs(20));
                std::fs::rename(&path, dir.path().join(number.to_string())).expect("renames");
                log.reopen();
                log.flush(Duration::from_secs(20));
            }
        });
        log.flush(Duration::from_secs(20));
        let files = std::fs::read_dir(dir.path()).expect("a directory");
        let text: String =
            files.map(|file| std::fs::read_to_string(file.expect("a file").path()).expect("reads")).collect();
        assert_eq!(text.lines().count(), 10_000);
        assert!(text.lines().all(|line| serde_json::from_str::<serde_json::Value>(line).is_ok()));
    }

    #[test]
    fn no_line_of_many_threads_is_lost_or_torn() {
        let dir = tempfile::tempdir().expect("a directory");
        let file = AccessLogFile { enabled: true, path: Some(dir.path().join("access.log")), queue: 1_000_000 };
        let log = AccessLog::start(&file, 2, dropped()).expect("opens");
        thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| (0..5_000).for_each(|_| log.write(&line())));
            }
        });
        log.flush(Duration::from_secs(20));
        let text = std::fs::read_to_string(dir.path().join("access.log")).expect("reads");
        assert_eq!(text.lines().count(), 20_000);
        let whole = |line: &str| serde_json::from_str::<serde_json::Value>(line).is_ok();
        assert!(text.lines().all(whole));
    }
}
