//! An upstream that keeps every byte it gets, as requests and as what is no whole one.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use testkit::eventually;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;

use crate::support::PATIENCE;

/// Answers 200 to every request.
pub(super) struct Recorder {
    addr: SocketAddr,
    seen: Arc<Mutex<Seen>>,
    task: JoinHandle<()>,
}

#[derive(Default)]
struct Seen {
    /// The bytes of each whole request.
    whole: Vec<Vec<u8>>,
    /// How many connections have a part of a request now.
    unfinished: usize,
}

/// When it does.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Answers {
    /// When all of the request is there.
    Whole,
    /// As soon as the head is there. The rest is still read.
    Heads,
}

impl Recorder {
    pub(super) async fn start(answers: Answers) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.expect("a free port");
        let addr = listener.local_addr().expect("an address");
        let seen = Arc::new(Mutex::new(Seen::default()));
        let shared = Arc::clone(&seen);
        let task = tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                tokio::spawn(record(client, Arc::clone(&shared), answers));
            }
        });
        Self { addr, seen, task }
    }

    pub(super) const fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// Waits until a request is half here.
    pub(super) async fn begin(&self) {
        let begun = async || lock(&self.seen).unfinished > 0;
        eventually(PATIENCE, "the beginning of a request", begun).await.expect("the upstream is asked");
    }

    /// Waits until no request is half here: each has come wholly, or its connection was closed.
    pub(super) async fn settle(&self) {
        let settled = async || lock(&self.seen).unfinished == 0;
        eventually(PATIENCE, "whole requests", settled).await.expect("nothing is left half sent");
    }

    /// The whole requests since the last time.
    pub(super) fn take(&self) -> Vec<Vec<u8>> {
        std::mem::take(&mut lock(&self.seen).whole)
    }
}

impl Drop for Recorder {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn record(mut client: TcpStream, seen: Arc<Mutex<Seen>>, when: Answers) {
    let mut buffer = Vec::new();
    let (mut was_within, mut is_answered) = (false, false);
    loop {
        let read = client.read_buf(&mut buffer).await;
        let mut answers = 0;
        {
            let mut seen = lock(&seen);
            while let Some(end) = end_of_request(&buffer) {
                seen.whole.push(buffer.drain(..end).collect());
                answers += usize::from(!std::mem::take(&mut is_answered));
            }
            if when == Answers::Heads && !is_answered && find(&buffer, b"\r\n\r\n").is_some() {
                is_answered = true;
                answers += 1;
            }
            let ended = !matches!(read, Ok(1..));
            let is_within = !ended && !buffer.is_empty();
            seen.unfinished = seen.unfinished + usize::from(is_within) - usize::from(was_within);
            was_within = is_within;
            if ended {
                return;
            }
        }
        for _ in 0..answers {
            if client.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok").await.is_err() {
                return;
            }
        }
    }
}

/// Where the first request of `bytes` ends, if all of it is there. As strict as the upstream of a gateway can be who is to get
/// nothing that could be read otherwise.
fn end_of_request(bytes: &[u8]) -> Option<usize> {
    let head_end = find(bytes, b"\r\n\r\n")? + 4;
    let head = String::from_utf8_lossy(&bytes[..head_end]).to_ascii_lowercase();
    let value =
        |name: &str| head.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(": ").map(str::to_owned));
    if value("transfer-encoding").is_none() {
        let length = value("content-length").map_or(0, |length| length.parse().expect("a length"));
        return (bytes.len() >= head_end + length).then_some(head_end + length);
    }
    let mut at = head_end;
    loop {
        let line = find(&bytes[at..], b"\r\n")?;
        let size = std::str::from_utf8(&bytes[at..at + line]).expect("a size");
        let size = usize::from_str_radix(size, 16).expect("a size");
        at += line + 2 + size + 2;
        if at > bytes.len() {
            return None;
        }
        assert_eq!(&bytes[at - 2..at], b"\r\n", "the end of a chunk");
        if size == 0 {
            return Some(at);
        }
    }
}

fn find(bytes: &[u8], wanted: &[u8]) -> Option<usize> {
    bytes.windows(wanted.len()).position(|window| window == wanted)
}

fn lock(seen: &Mutex<Seen>) -> MutexGuard<'_, Seen> {
    seen.lock().unwrap_or_else(PoisonError::into_inner)
}
