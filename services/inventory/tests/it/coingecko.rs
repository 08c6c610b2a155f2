//! A server that answers in CoinGecko's shape, or misbehaves, as a test says.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;
use tokio::time::timeout;

use crate::harness::DEADLINE;

/// What the server does with a request.
#[derive(Clone)]
pub(crate) enum Reply {
    /// Answers with this status, these header lines and this body.
    Answer { status: u16, headers: &'static str, body: String },
    /// Promises a body and sends half of it.
    HalfABody,
    /// Says nothing, but holds the connection until the client has enough.
    Hang,
    /// Sends a body without end.
    Endless,
    /// Closes the connection.
    Close,
}

impl Reply {
    pub(crate) fn ok(body: impl Into<String>) -> Self {
        Self::Answer { status: 200, headers: "", body: body.into() }
    }

    pub(crate) fn status(status: u16, headers: &'static str) -> Self {
        Self::Answer { status, headers, body: r#"{"status":{"error_code":0}}"#.to_owned() }
    }
}

pub(crate) struct CoinGecko {
    pub(crate) url: String,
    requests: mpsc::UnboundedReceiver<String>,
    script: Arc<Mutex<VecDeque<Reply>>>,
}

impl CoinGecko {
    /// Gives these replies in turn; the last one again and again.
    pub(crate) async fn start(script: impl IntoIterator<Item = Reply>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("binds");
        let url = format!("http://{}", listener.local_addr().expect("bound"));
        let script = Arc::new(Mutex::new(script.into_iter().collect::<VecDeque<_>>()));
        let (seen, requests) = mpsc::unbounded_channel();
        let replies = Arc::clone(&script);
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let (seen, replies) = (seen.clone(), Arc::clone(&replies));
                // A client that gives up in the middle is what some tests are about.
                tokio::spawn(async move { drop(serve(stream, &seen, &replies).await) });
            }
        });
        Self { url, requests, script }
    }

    /// The head of the next request.
    pub(crate) async fn request(&mut self) -> String {
        timeout(DEADLINE, self.requests.recv()).await.expect("asked in time").expect("the server lives")
    }

    /// Gives `reply` from now on.
    pub(crate) fn becomes(&self, reply: Reply) {
        *self.script.lock().expect("unpoisoned") = VecDeque::from([reply]);
    }
}

async fn serve(
    mut stream: TcpStream,
    seen: &mpsc::UnboundedSender<String>,
    script: &Mutex<VecDeque<Reply>>,
) -> std::io::Result<()> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(stream.read_u8().await?);
    }
    let reply = {
        let mut script = script.lock().expect("unpoisoned");
        if script.len() > 1 { script.pop_front() } else { script.front().cloned() }.expect("a reply")
    };
    // The test may have ended.
    let _ = seen.send(String::from_utf8_lossy(&head).into_owned());
    match reply {
        Reply::Answer { status, headers, body } => {
            let length = body.len();
            let answer =
                format!("HTTP/1.1 {status} x\r\ncontent-length: {length}\r\nconnection: close\r\n{headers}\r\n{body}");
            stream.write_all(answer.as_bytes()).await
        }
        Reply::HalfABody => stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 1000\r\n\r\n[{\"id\":").await,
        Reply::Hang => stream.read_to_end(&mut head).await.map(drop),
        Reply::Endless => {
            stream.write_all(b"HTTP/1.1 200 OK\r\nconnection: close\r\n\r\n[").await?;
            loop {
                stream.write_all(&[b' '; 64 * 1024]).await?;
            }
        }
        Reply::Close => Ok(()),
    }
}
