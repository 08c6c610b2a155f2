//! An upstream that answers each request with that request's own head, at once or when it is let.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;

use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio::task::JoinHandle;

/// Holds requests back until it is opened, and tells when one has come.
#[derive(Clone)]
pub(crate) struct Gate {
    arrived: Arc<Semaphore>,
    open: Arc<Semaphore>,
}

impl Gate {
    /// A gate that nothing passes yet.
    pub(crate) fn shut() -> Self {
        Self { arrived: Arc::new(Semaphore::new(0)), open: Arc::new(Semaphore::new(0)) }
    }

    /// Waits for a request to come to the gate.
    pub(crate) async fn arrival(&self) -> anyhow::Result<()> {
        self.arrived.acquire().await?.forget();
        Ok(())
    }

    /// Lets everything through from now on.
    pub(crate) fn open(&self) {
        self.open.close();
    }

    async fn pass(&self) {
        self.arrived.add_permits(1);
        // Closed means open: waiting then ends with an error at once.
        let _ = self.open.acquire().await;
    }
}

/// The running upstream; ends when dropped.
pub(crate) struct Echo {
    addr: SocketAddr,
    server: JoinHandle<()>,
}

impl Echo {
    /// An upstream that answers at once.
    pub(crate) async fn start() -> anyhow::Result<Self> {
        let gate = Gate::shut();
        gate.open();
        Self::behind(gate).await
    }

    /// An upstream that answers when `gate` lets it.
    pub(crate) async fn behind(gate: Gate) -> anyhow::Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        let addr = listener.local_addr()?;
        let server = tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                // A client that goes away early is that client's affair.
                tokio::spawn(answer(client, gate.clone()));
            }
        });
        Ok(Self { addr, server })
    }

    /// Its base URL.
    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.addr)
    }
}

impl Drop for Echo {
    fn drop(&mut self) {
        self.server.abort();
    }
}

async fn answer(client: TcpStream, gate: Gate) -> std::io::Result<()> {
    let mut client = BufReader::new(client);
    let mut head = String::new();
    while !head.ends_with("\r\n\r\n") {
        if client.read_line(&mut head).await? == 0 {
            return Ok(());
        }
    }
    gate.pass().await;
    let length = head.len();
    let answer = format!("HTTP/1.1 200 OK\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n{head}");
    client.write_all(answer.as_bytes()).await
}
