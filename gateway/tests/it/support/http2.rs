//! Peers that speak HTTP/2 without TLS: a server behind the gateway, and clients before it that say exactly what they are told.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use bytes::Bytes;
use h2::client::SendRequest;
use h2::server::SendResponse;
use h2::{RecvStream, SendStream};
use http::response::Parts;
use http::{HeaderMap, Request, Response};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;
use tokio::time::timeout;

use super::PATIENCE;

/// A server that does with each request what it was started with, ended when it is dropped.
pub(crate) struct Server {
    addr: SocketAddr,
    connections: Arc<AtomicUsize>,
    task: JoinHandle<()>,
}

impl Server {
    pub(crate) async fn start<S, F>(serve: S) -> Self
    where
        S: Fn(Request<RecvStream>, SendResponse<Bytes>) -> F + Clone + Send + 'static,
        F: Future<Output = ()> + Send + 'static,
    {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let addr = listener.local_addr().expect("an address");
        let connections = Arc::new(AtomicUsize::new(0));
        let counted = Arc::clone(&connections);
        let task = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                counted.fetch_add(1, Ordering::Relaxed);
                let serve = serve.clone();
                tokio::spawn(async move {
                    let Ok(mut connection) = h2::server::handshake(stream).await else { return };
                    while let Some(Ok((request, respond))) = connection.accept().await {
                        tokio::spawn(serve(request, respond));
                    }
                });
            }
        });
        Self { addr, connections, task }
    }

    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.addr)
    }

    /// How many connections there have been.
    pub(crate) fn connections(&self) -> usize {
        self.connections.load(Ordering::Relaxed)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// Answers 200 with `body`.
pub(crate) fn answer(mut respond: SendResponse<Bytes>, body: &'static str) {
    // A client that is gone needs no answer.
    let Ok(mut stream) = respond.send_response(Response::new(()), false) else { return };
    let _ = stream.send_data(Bytes::from_static(body.as_bytes()), true);
}

/// A connection of a client that keeps to the rules.
pub(crate) struct Connection {
    pub(crate) client: SendRequest<Bytes>,
    /// How it ended.
    pub(crate) ended: JoinHandle<Result<(), h2::Error>>,
}

/// An answer, whole.
pub(crate) struct Answer {
    pub(crate) head: Parts,
    pub(crate) body: Vec<u8>,
    pub(crate) trailers: Option<HeaderMap>,
}

impl Answer {
    pub(crate) fn text(&self) -> &str {
        std::str::from_utf8(&self.body).expect("text")
    }

    pub(crate) fn header(&self, name: &str) -> &str {
        self.head.headers.get(name).map_or("", |value| value.to_str().expect("ascii"))
    }
}

impl Connection {
    pub(crate) async fn open(addr: SocketAddr) -> Self {
        let stream = TcpStream::connect(addr).await.expect("connects");
        let (client, connection) = h2::client::handshake(stream).await.expect("a connection");
        Self { client, ended: tokio::spawn(connection) }
    }

    /// Sends `request` with `body`, and waits for the whole answer.
    pub(crate) async fn ask(&mut self, request: Request<()>, body: &[u8]) -> Result<Answer, h2::Error> {
        let whole = async {
            self.client.clone().ready().await?;
            let (response, mut stream) = self.client.send_request(request, body.is_empty())?;
            if !body.is_empty() {
                stream.send_data(Bytes::copy_from_slice(body), true)?;
            }
            whole(response.await?).await
        };
        timeout(PATIENCE, whole).await.expect("an answer or an error in time")
    }
}

/// Waits for the rest of `response`.
pub(crate) async fn whole(response: Response<RecvStream>) -> Result<Answer, h2::Error> {
    let (head, mut stream) = response.into_parts();
    let body = read(&mut stream).await?;
    Ok(Answer { head, body, trailers: stream.trailers().await? })
}

/// The body in `stream`.
pub(crate) async fn read(stream: &mut RecvStream) -> Result<Vec<u8>, h2::Error> {
    let mut body = Vec::new();
    while let Some(part) = stream.data().await {
        let part = part?;
        stream.flow_control().release_capacity(part.len())?;
        body.extend_from_slice(&part);
    }
    Ok(body)
}

/// The next part of the body in `stream`.
pub(crate) async fn next(stream: &mut RecvStream) -> Bytes {
    let part = timeout(PATIENCE, stream.data()).await.expect("comes").expect("a part").expect("reads");
    stream.flow_control().release_capacity(part.len()).expect("a window");
    part
}

pub(crate) fn say(stream: &mut SendStream<Bytes>, part: &'static str, last: bool) {
    stream.send_data(Bytes::from_static(part.as_bytes()), last).expect("sends");
}

/// A request for `path` at `a.example`.
pub(crate) fn request(method: &str, path: &str) -> Request<()> {
    let request = Request::builder().method(method).uri(format!("http://a.example{path}"));
    request.body(()).expect("a request")
}

/// `request` with a header more.
pub(crate) fn with(mut request: Request<()>, name: &'static str, value: &str) -> Request<()> {
    request.headers_mut().append(name, value.parse().expect("a value"));
    request
}

/// What every client says first: that it speaks HTTP/2, and that it has no wishes.
pub(crate) const GREETING: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0";

/// The headers of a `GET` of `/` at `a`, as HPACK has them.
pub(crate) const GET: &[u8] = b"\x82\x86\x84\x41\x01a";

/// Types of frames (RFC 9113, section 6), and a flag.
pub(crate) const DATA: u8 = 0;
pub(crate) const HEADERS: u8 = 1;
pub(crate) const RST_STREAM: u8 = 3;
pub(crate) const PING: u8 = 6;
pub(crate) const GOAWAY: u8 = 7;
pub(crate) const CONTINUATION: u8 = 9;
pub(crate) const END_STREAM: u8 = 1;
pub(crate) const END_HEADERS: u8 = 4;

/// A frame as it goes over the wire.
pub(crate) fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).expect("a length").to_be_bytes();
    [&length[1..], &[kind, flags], &stream.to_be_bytes(), payload].concat()
}

/// The next frame's type, stream and payload; none at the end.
pub(crate) async fn next_frame(stream: &mut (impl AsyncRead + Unpin)) -> Option<(u8, u32, Vec<u8>)> {
    let mut head = [0; 9];
    stream.read_exact(&mut head).await.ok()?;
    let mut payload = vec![0; usize::from(head[0]) << 16 | usize::from(head[1]) << 8 | usize::from(head[2])];
    stream.read_exact(&mut payload).await.ok()?;
    Some((head[3], u32::from_be_bytes([head[5], head[6], head[7], head[8]]), payload))
}

/// Says `bytes` on a connection of its own, and gives back the reason with which the gateway ends it.
pub(crate) async fn goaway_after(addr: SocketAddr, bytes: Vec<u8>) -> u32 {
    let stream = TcpStream::connect(addr).await.expect("connects");
    let (mut reading, mut writing) = stream.into_split();
    // The gateway may stop reading before the end.
    let write = tokio::spawn(async move { drop(writing.write_all(&bytes).await) });
    let reason = async {
        loop {
            match next_frame(&mut reading).await {
                Some((GOAWAY, _, payload)) => {
                    return u32::from_be_bytes(payload[4..8].try_into().expect("four bytes"));
                }
                Some(_) => {}
                None => panic!("the connection ended without a word"),
            }
        }
    };
    let reason = timeout(PATIENCE, reason).await.expect("the connection is ended");
    write.abort();
    reason
}
