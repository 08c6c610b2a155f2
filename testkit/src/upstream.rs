//! A server behind the gateway that remembers what it was sent, byte for byte, and misbehaves when it is told to.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use anyhow::Context as _;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Notify;
use tokio::task::JoinHandle;

/// A request to this path is a health check: counted, not remembered.
const HEALTH_PATH: &str = "/health";

/// What the server does with the next requests.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Behaviour {
    /// Answers 200 and the name of the server; health checks too.
    Answer,
    /// Answers like that, but only after [`Upstream::let_go`].
    Hold,
    /// Answers 500 to health checks, and 200 to everything else.
    Sick,
    /// Reads the request and closes the connection.
    HangUp,
    /// Reads the request and never answers.
    Hang,
    /// Reads the request, answers these very bytes and closes the connection.
    Say(&'static str),
    /// Answers 200 and the request's body.
    Mirror,
    /// Switches protocols, and then sends back whatever comes.
    Echo,
}

/// A request as it arrived.
#[derive(Clone, Debug)]
pub struct Arrived {
    /// Everything before the empty line.
    pub head: String,
    /// The body, without its framing.
    pub body: Vec<u8>,
}

impl Arrived {
    /// Method and target.
    #[must_use]
    pub fn line(&self) -> &str {
        self.head.lines().next().and_then(|line| line.strip_suffix(" HTTP/1.1")).unwrap_or_default()
    }

    /// Every value of the header `name`, whatever its case.
    #[must_use]
    pub fn header(&self, name: &str) -> Vec<&str> {
        let fields = self.head.lines().skip(1).filter_map(|line| line.split_once(':'));
        fields.filter(|(field, _)| field.eq_ignore_ascii_case(name)).map(|(_, value)| value.trim()).collect()
    }
}

#[derive(Default)]
struct State {
    behaviour: Mutex<Option<Behaviour>>,
    arrived: Mutex<Vec<Arrived>>,
    probes: AtomicUsize,
    released: Notify,
}

/// A server on a free loopback port, ended when this is dropped.
pub struct Upstream {
    addr: SocketAddr,
    state: Arc<State>,
    task: JoinHandle<()>,
}

impl Upstream {
    /// Starts one that answers.
    ///
    /// # Errors
    /// When no port can be opened.
    pub async fn start() -> anyhow::Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.context("no free loopback port")?;
        let addr = listener.local_addr()?;
        let state = Arc::new(State::default());
        let shared = Arc::clone(&state);
        let task = tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                // A client that breaks off ends only its own connection.
                let state = Arc::clone(&shared);
                tokio::spawn(async move { serve(client, addr, &state).await });
            }
        });
        Ok(Self { addr, state, task })
    }

    /// Where it listens.
    #[must_use]
    pub const fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// Its base URL.
    #[must_use]
    pub fn url(&self) -> String {
        format!("http://{}", self.addr)
    }

    /// Makes it behave so from the next request on.
    pub fn behave(&self, behaviour: Behaviour) {
        *lock(&self.state.behaviour) = Some(behaviour);
    }

    /// Lets one request that is held be answered; remembered if none is yet.
    pub fn let_go(&self) {
        self.state.released.notify_one();
    }

    /// Everything that has arrived, but for health checks.
    #[must_use]
    pub fn arrived(&self) -> Vec<Arrived> {
        lock(&self.state.arrived).clone()
    }

    /// How many health checks have arrived.
    #[must_use]
    pub fn probes(&self) -> usize {
        self.state.probes.load(Ordering::Relaxed)
    }
}

impl Drop for Upstream {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn serve(mut client: TcpStream, addr: SocketAddr, state: &State) -> Option<()> {
    let mut buffer = Vec::new();
    loop {
        let arrived = read_request(&mut client, &mut buffer).await?;
        let behaviour = lock(&state.behaviour).unwrap_or(Behaviour::Answer);
        let is_probe = arrived.line().ends_with(HEALTH_PATH);
        let head_only = arrived.line().starts_with("HEAD ");
        let mirrored = (behaviour == Behaviour::Mirror).then(|| arrived.body.clone());
        if is_probe {
            state.probes.fetch_add(1, Ordering::Relaxed);
        } else {
            lock(&state.arrived).push(arrived);
        }
        let status = match (behaviour, is_probe) {
            (Behaviour::Answer | Behaviour::Mirror, _) | (Behaviour::Sick, false) => "200 OK",
            (Behaviour::Sick, true) => "500 Internal Server Error",
            (Behaviour::Hold, true) => "200 OK",
            (Behaviour::Hold, false) => {
                state.released.notified().await;
                "200 OK"
            }
            (Behaviour::HangUp, _) => return None,
            (Behaviour::Hang, _) => return std::future::pending().await,
            (Behaviour::Say(answer), _) => {
                client.write_all(answer.as_bytes()).await.ok()?;
                return None;
            }
            (Behaviour::Echo, _) => return echo(client, buffer).await,
        };
        let body = mirrored.unwrap_or_else(|| addr.to_string().into_bytes());
        let mut answer = format!("HTTP/1.1 {status}\r\nContent-Length: {}\r\n\r\n", body.len()).into_bytes();
        if !head_only {
            answer.extend(body);
        }
        client.write_all(&answer).await.ok()?;
    }
}

/// Agrees to whatever protocol was asked for; `early` is what came of it already.
async fn echo(mut client: TcpStream, early: Vec<u8>) -> Option<()> {
    let agreed = "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n";
    client.write_all(agreed.as_bytes()).await.ok()?;
    client.write_all(&early).await.ok()?;
    let (mut from, mut to) = client.split();
    tokio::io::copy(&mut from, &mut to).await.ok().map(drop)
}

/// The next request on the connection; none when it ends.
async fn read_request(client: &mut TcpStream, buffer: &mut Vec<u8>) -> Option<Arrived> {
    let head_end = read_until(client, buffer, |seen| find(seen, b"\r\n\r\n")).await?;
    let head = String::from_utf8_lossy(&buffer[..head_end]).into_owned();
    buffer.drain(..head_end + 4);
    let mut arrived = Arrived { head, body: Vec::new() };
    if arrived.header("transfer-encoding").is_empty() {
        let length = arrived.header("content-length").first().and_then(|text| text.parse().ok()).unwrap_or(0);
        read_until(client, buffer, |seen| (seen.len() >= length).then_some(())).await?;
        arrived.body = buffer.drain(..length).collect();
        return Some(arrived);
    }
    loop {
        let line_end = read_until(client, buffer, |seen| find(seen, b"\r\n")).await?;
        let size = usize::from_str_radix(std::str::from_utf8(&buffer[..line_end]).ok()?, 16).ok()?;
        let chunk = line_end + 2..line_end + 2 + size;
        read_until(client, buffer, |seen| (seen.len() >= chunk.end + 2).then_some(())).await?;
        arrived.body.extend_from_slice(&buffer[chunk.clone()]);
        buffer.drain(..chunk.end + 2);
        if size == 0 {
            return Some(arrived);
        }
    }
}

async fn read_until<T>(client: &mut TcpStream, buffer: &mut Vec<u8>, found: impl Fn(&[u8]) -> Option<T>) -> Option<T> {
    loop {
        if let Some(found) = found(buffer) {
            return Some(found);
        }
        if client.read_buf(buffer).await.ok()? == 0 {
            return None;
        }
    }
}

fn find(bytes: &[u8], wanted: &[u8]) -> Option<usize> {
    bytes.windows(wanted.len()).position(|window| window == wanted)
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
