//! Writes one JSON line per request, off the path of the request.
//!
//! A line is made where the request ends and handed to a thread that writes. The queue between them is bounded: when the
//! disk cannot keep up, lines are dropped and counted, and no request waits.

use std::fs::OpenOptions;
use std::io::{self, BufWriter, Write};
use std::net::IpAddr;
use std::path::Path;
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};
use std::thread;
use std::time::{Duration, Instant};

use prometheus::IntCounter;
use serde::Serialize;

use crate::config::file::AccessLogFile;

/// How often a flush looks whether the queue has room for it.
const QUEUE_POLL: Duration = Duration::from_millis(10);

/// What is written of one request. Never queries, headers or bodies: they hold secrets.
#[derive(Debug, Serialize)]
pub(crate) struct Line<'a> {
    /// When its head was read, RFC 3339.
    pub timestamp: &'a str,
    /// By which it is found again in the services' logs.
    pub request_id: &'a str,
    /// Whose connection it came on.
    pub client: IpAddr,
    /// Its method.
    pub method: &'a str,
    /// The host it named.
    pub host: &'a str,
    /// Its path in normal form, or as it came when it has none.
    pub path: &'a str,
    /// The route that took it.
    pub route: &'a str,
    /// What was answered; none when the client was gone first.
    pub status: Option<u16>,
    /// Why the gateway answered itself.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rejected: Option<&'static str>,
    /// Which rate-limit mode stood in for the usual one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub limited_by: Option<&'static str>,
    /// The subject of its token.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub user: Option<&'a str>,
    /// The target that was asked last.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub target: Option<&'a str>,
    /// How often another target was tried.
    pub retries: usize,
    /// Body bytes that came.
    pub bytes_in: u64,
    /// Body bytes that went.
    pub bytes_out: u64,
    /// From its head to its last byte out.
    pub duration_ms: f64,
    /// What went wrong between the gateway and either side.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
}

/// Where lines go.
pub(crate) struct AccessLog {
    queue: Option<SyncSender<Message>>,
    dropped: IntCounter,
}

enum Message {
    Line(Vec<u8>),
    /// Answered when everything before it is written.
    Flush(SyncSender<()>),
}

impl AccessLog {
    /// The log that `file` describes, with its thread started.
    ///
    /// # Errors
    /// When the file cannot be opened for appending.
    pub(crate) fn start(file: &AccessLogFile, dropped: IntCounter) -> io::Result<Self> {
        if !file.enabled {
            return Ok(Self { queue: None, dropped });
        }
        let out: Box<dyn Write + Send> = match &file.path {
            Some(path) => Box::new(append_to(path)?),
            None => Box::new(io::stdout()),
        };
        let (queue, messages) = sync_channel(file.queue);
        thread::Builder::new().name("access-log".to_owned()).spawn(move || write_messages(&messages, out))?;
        Ok(Self { queue: Some(queue), dropped })
    }

    /// Writes `line` soon, or counts it as dropped.
    pub(crate) fn write(&self, line: &Line<'_>) {
        let Some(queue) = &self.queue else { return };
        let mut text = Vec::with_capacity(512);
        if serde_json::to_writer(&mut text, line).is_err() {
            return self.dropped.inc();
        }
        text.push(b'\n');
        if let Err(TrySendError::Full(_) | TrySendError::Disconnected(_)) = queue.try_send(Message::Line(text)) {
            self.dropped.inc();
        }
    }

    /// Waits until every line so far is written, but not longer than `within`: a disk that takes longer, or a pipe that
    /// nobody reads, has lost its lines.
    pub(crate) fn flush(&self, within: Duration) {
        let Some(queue) = &self.queue else { return };
        let deadline = Instant::now() + within;
        let (done, written) = sync_channel(1);
        let mut message = Message::Flush(done);
        while let Err(TrySendError::Full(refused)) = queue.try_send(message) {
            if Instant::now() >= deadline {
                return;
            }
            message = refused;
            thread::sleep(QUEUE_POLL);
        }
        let _ = written.recv_timeout(deadline.saturating_duration_since(Instant::now()));
    }

    /// Whether lines are wanted at all.
    #[must_use]
    pub(crate) const fn is_enabled(&self) -> bool {
        self.queue.is_some()
    }
}

/// When something began that has taken `elapsed`, RFC 3339 with milliseconds.
pub(crate) fn timestamp(elapsed: Duration) -> String {
    (chrono::Utc::now() - elapsed).to_rfc3339_opts(chrono::SecondsFormat::Millis, true)
}

fn append_to(path: &Path) -> io::Result<std::fs::File> {
    OpenOptions::new().create(true).append(true).open(path)
}

/// Writes what is there, and flushes when nothing more is.
fn write_messages(messages: &Receiver<Message>, out: Box<dyn Write + Send>) {
    let mut out = BufWriter::with_capacity(64 * 1024, out);
    while let Ok(first) = messages.recv() {
        let mut flushed = Vec::new();
        for message in std::iter::once(first).chain(messages.try_iter()) {
            match message {
                // A write that fails (disk full, pipe closed) loses its line; the next may succeed.
                Message::Line(line) => drop(out.write_all(&line)),
                Message::Flush(done) => flushed.push(done),
            }
        }
        let _ = out.flush();
        for done in flushed {
            let _ = done.send(());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line() -> Line<'static> {
        Line {
            timestamp: "2026-01-01T00:00:00Z",
            request_id: "id",
            client: IpAddr::from([127, 0, 0, 1]),
            method: "GET",
            host: "h",
            path: "/\"x",
            route: "r",
            status: Some(200),
            rejected: None,
            limited_by: None,
            user: None,
            target: None,
            retries: 0,
            bytes_in: 0,
            bytes_out: 2,
            duration_ms: 1.5,
            error: None,
        }
    }

    fn dropped() -> IntCounter {
        IntCounter::new("dropped", "dropped").expect("a counter")
    }

    #[test]
    fn lines_are_appended_as_json() {
        let dir = tempfile::tempdir().expect("a directory");
        let path = dir.path().join("access.log");
        std::fs::write(&path, "before\n").expect("writes");
        let file = AccessLogFile { enabled: true, path: Some(path.clone()), queue: 16 };
        let log = AccessLog::start(&file, dropped()).expect("opens");
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
        let (queue, _kept_full) = sync_channel(1);
        let log = AccessLog { queue: Some(queue), dropped: dropped() };
        log.write(&line());
        log.write(&line());
        log.write(&line());
        assert_eq!(log.dropped.get(), 2);
        log.flush(Duration::from_millis(1));
    }
}
