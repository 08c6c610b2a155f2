//! An issuer of tokens that publishes its keys, changes them, or says what each token is worth, and fails in all the ways that issuers do.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use anyhow::Context as _;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio::task::JoinHandle;

/// What it does with the next requests.
#[derive(Clone, Debug)]
enum Mood {
    /// Answers these very bytes and closes the connection.
    Say(Vec<u8>),
    /// Closes the connection.
    HangUp,
    /// Never answers.
    Hang,
}

struct State {
    mood: Mutex<Mood>,
    fetches: AtomicUsize,
    /// What came with each request, as it came.
    heard: Mutex<Vec<String>>,
    /// One permit for each request that may be answered.
    turn: Semaphore,
}

/// A server on a free loopback port, ended when this is dropped.
pub struct Issuer {
    addr: SocketAddr,
    state: Arc<State>,
    task: JoinHandle<()>,
}

impl Issuer {
    /// Starts one that publishes `document`.
    ///
    /// # Errors
    /// When no port can be opened.
    pub async fn start(document: &str) -> anyhow::Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.context("no free loopback port")?;
        let addr = listener.local_addr()?;
        let state = Arc::new(State {
            mood: Mutex::new(Mood::HangUp),
            fetches: AtomicUsize::new(0),
            heard: Mutex::default(),
            turn: Semaphore::new(Semaphore::MAX_PERMITS),
        });
        let shared = Arc::clone(&state);
        let task = tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                let state = Arc::clone(&shared);
                tokio::spawn(async move { serve(client, &state).await });
            }
        });
        let issuer = Self { addr, state, task };
        issuer.publish(document);
        Ok(issuer)
    }

    /// Where its keys are.
    #[must_use]
    pub fn url(&self) -> String {
        format!("http://{}/keys", self.addr)
    }

    /// Its base URL.
    #[must_use]
    pub fn base(&self) -> String {
        format!("http://{}", self.addr)
    }

    /// Publishes `document` from now on.
    pub fn publish(&self, document: &str) {
        self.answer("200 OK", "", document);
    }

    /// Answers with `status`, `headers` (each with its line end) and `body` from now on.
    pub fn answer(&self, status: &str, headers: &str, body: &str) {
        let length = body.len();
        let answer =
            format!("HTTP/1.1 {status}\r\nContent-Length: {length}\r\nConnection: close\r\n{headers}\r\n{body}");
        *lock(&self.state.mood) = Mood::Say(answer.into_bytes());
    }

    /// Closes each connection from now on.
    pub fn hang_up(&self) {
        *lock(&self.state.mood) = Mood::HangUp;
    }

    /// Answers nobody from now on.
    pub fn hang(&self) {
        *lock(&self.state.mood) = Mood::Hang;
    }

    /// Lets all requests wait until [`Issuer::let_go`].
    pub fn hold(&self) {
        self.state.turn.forget_permits(Semaphore::MAX_PERMITS);
    }

    /// Answers the requests that wait, and all later ones.
    pub fn let_go(&self) {
        self.state.turn.add_permits(Semaphore::MAX_PERMITS / 2);
    }

    /// Every request, as it came.
    #[must_use]
    pub fn heard(&self) -> Vec<String> {
        lock(&self.state.heard).clone()
    }

    /// How often it was asked.
    #[must_use]
    pub fn fetches(&self) -> usize {
        self.state.fetches.load(Ordering::Acquire)
    }
}

impl Drop for Issuer {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn serve(mut client: TcpStream, state: &State) -> Option<()> {
    let mut request = Vec::new();
    while !is_whole(&request) {
        if client.read_buf(&mut request).await.ok()? == 0 {
            return None;
        }
    }
    lock(&state.heard).push(String::from_utf8_lossy(&request).into_owned());
    state.fetches.fetch_add(1, Ordering::AcqRel);
    let _turn = state.turn.acquire().await.ok()?;
    let mood = lock(&state.mood).clone();
    match mood {
        Mood::Say(answer) => client.write_all(&answer).await.ok(),
        Mood::HangUp => None,
        Mood::Hang => std::future::pending().await,
    }
}

/// Whether `request` has its body too.
fn is_whole(request: &[u8]) -> bool {
    let text = String::from_utf8_lossy(request).to_ascii_lowercase();
    let Some((head, body)) = text.split_once("\r\n\r\n") else { return false };
    let length = head.lines().find_map(|line| line.strip_prefix("content-length:"));
    length.and_then(|length| length.trim().parse().ok()).is_none_or(|length: usize| body.len() >= length)
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
