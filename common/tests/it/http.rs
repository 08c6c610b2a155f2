//! A small HTTP/1.1 server that stands where DynamoDB or STS should, and does as the test says.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;

/// What the server does with one request.
pub(crate) enum Answer {
    /// Answers with this status, content type and body.
    Reply(u16, &'static str, String),
    /// Asks the server behind it, and hands its answer on.
    Forward,
    /// Asks the server behind it, and loses its answer.
    ForwardAndHangUp,
    /// Sends these bytes, HTTP or not, and hangs up.
    Raw(&'static [u8]),
    /// Never answers.
    Silence,
}

impl Answer {
    pub(crate) fn dynamo(status: u16, body: &str) -> Self {
        Self::Reply(status, "application/x-amz-json-1.0", body.to_owned())
    }
}

/// A request as it came.
pub(crate) struct Request {
    /// Request line and headers.
    pub(crate) head: String,
    /// What follows them.
    pub(crate) body: String,
}

impl Request {
    pub(crate) fn calls(&self, operation: &str) -> bool {
        self.header("x-amz-target").is_some_and(|target| target.ends_with(&format!(".{operation}")))
    }

    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        header(&self.head, name)
    }
}

type Decide = dyn Fn(&Request) -> Answer + Send + Sync;

/// The running server; it ends when dropped.
pub(crate) struct Server {
    addr: SocketAddr,
    requests: Arc<Mutex<Vec<Request>>>,
    accepting: JoinHandle<()>,
}

impl Server {
    /// Listens on a free port. `behind` is whom [`Answer::Forward`] asks.
    pub(crate) async fn start(
        behind: Option<String>,
        decide: impl Fn(&Request) -> Answer + Send + Sync + 'static,
    ) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("port");
        let addr = listener.local_addr().expect("address");
        let requests = Arc::new(Mutex::new(Vec::new()));
        let (decide, seen): (Arc<Decide>, _) = (Arc::new(decide), Arc::clone(&requests));
        let accepting = tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                tokio::spawn(serve(client, behind.clone(), Arc::clone(&decide), Arc::clone(&seen)));
            }
        });
        Self { addr, requests, accepting }
    }

    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.addr)
    }

    /// The requests so far, taken out.
    pub(crate) fn take_requests(&self) -> Vec<Request> {
        std::mem::take(&mut self.requests.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

async fn serve(
    mut client: TcpStream,
    behind: Option<String>,
    decide: Arc<Decide>,
    seen: Arc<Mutex<Vec<Request>>>,
) -> Option<()> {
    loop {
        let message = read_message(&mut client).await?;
        let (head, body) = message.split_at(head_length(&message)?);
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        let request = Request { head: text(head), body: text(body) };
        let answer = decide(&request);
        seen.lock().unwrap_or_else(PoisonError::into_inner).push(request);
        match answer {
            Answer::Reply(status, content_type, body) => {
                let length = body.len();
                let reply = format!(
                    "HTTP/1.1 {status} Status\r\ncontent-type: {content_type}\r\ncontent-length: {length}\r\n\r\n{body}"
                );
                client.write_all(reply.as_bytes()).await.ok()?;
            }
            Answer::Forward => client.write_all(&ask(behind.as_ref()?, &message).await?).await.ok()?,
            Answer::ForwardAndHangUp => {
                ask(behind.as_ref()?, &message).await?;
                return None;
            }
            Answer::Raw(bytes) => {
                client.write_all(bytes).await.ok()?;
                return None;
            }
            Answer::Silence => std::future::pending().await,
        }
    }
}

async fn ask(url: &str, message: &[u8]) -> Option<Vec<u8>> {
    let mut server = TcpStream::connect(url.strip_prefix("http://")?).await.ok()?;
    server.write_all(message).await.ok()?;
    read_message(&mut server).await
}

/// One message, head and body; `None` when the peer hangs up before its end.
async fn read_message(stream: &mut TcpStream) -> Option<Vec<u8>> {
    let mut message = Vec::new();
    loop {
        if let Some(length) = head_length(&message) {
            let body: usize = header(&String::from_utf8_lossy(&message[..length]), "content-length")
                .map_or(Some(0), |value| value.parse().ok())?;
            if message.len() >= length + body {
                return Some(message);
            }
        }
        if stream.read_buf(&mut message).await.ok()? == 0 {
            return None;
        }
    }
}

fn head_length(message: &[u8]) -> Option<usize> {
    message.windows(4).position(|window| window == b"\r\n\r\n").map(|start| start + 4)
}

fn header<'a>(head: &'a str, name: &str) -> Option<&'a str> {
    head.lines().find_map(|line| {
        let (field, value) = line.split_once(':')?;
        field.eq_ignore_ascii_case(name).then(|| value.trim())
    })
}
