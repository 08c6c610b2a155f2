//! WebSockets through the gateway, by a client and a server that know them.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex};

use futures::{SinkExt as _, StreamExt as _};
use http::{HeaderMap, StatusCode};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::timeout;
use tokio_tungstenite::tungstenite::client::IntoClientRequest as _;
use tokio_tungstenite::tungstenite::handshake::server::{Request, Response};
use tokio_tungstenite::tungstenite::protocol::CloseFrame;
use tokio_tungstenite::tungstenite::protocol::frame::coding::CloseCode;
use tokio_tungstenite::tungstenite::{Error, Message};
use tokio_tungstenite::{WebSocketStream, accept_hdr_async, client_async};

use crate::support::{Gateway, PATIENCE, code, token};

type Handshakes = Arc<Mutex<Vec<HeaderMap>>>;

/// A server that says every message again. Gives its address, and the heads of the handshakes as they come.
async fn start() -> (SocketAddr, Handshakes) {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.expect("a free port");
    let addr = listener.local_addr().expect("an address");
    let handshakes = Handshakes::default();
    let seen = Arc::clone(&handshakes);
    tokio::spawn(async move {
        while let Ok((client, _)) = listener.accept().await {
            tokio::spawn(echo(client, Arc::clone(&seen)));
        }
    });
    (addr, handshakes)
}

#[expect(clippy::result_large_err, reason = "the library's own type for a handshake that is refused")]
async fn echo(client: TcpStream, seen: Handshakes) {
    let note = |request: &Request, response: Response| {
        seen.lock().expect("nobody panics").push(request.headers().clone());
        Ok(response)
    };
    let Ok(mut socket) = accept_hdr_async(client, note).await else { return };
    while let Some(Ok(message)) = socket.next().await {
        // What is answered by the library itself is not for us to say again.
        if (message.is_text() || message.is_binary()) && socket.send(message).await.is_err() {
            return;
        }
    }
}

fn routes(server: SocketAddr) -> String {
    format!(
        "rate_limits: {{ few: {{ scope: local, limit: 2, window: 1m, key: claim.sub }} }}\n\
         upstreams: {{ u: {{ targets: [\"http://{server}\"] }} }}\n\
         routes:\n\
         - {{ name: open, match: {{ path: /open }}, upstream: u, public: true }}\n\
         - name: mine\n  match: {{ path: /mine }}\n  upstream: u\n  \
         middleware: [{{ jwt: {{ provider: us }} }}, {{ rate_limit: {{ policies: [few] }} }}]\n"
    )
}

async fn open(
    gateway: &Gateway,
    path: &str,
    headers: &[(&'static str, &str)],
) -> Result<WebSocketStream<TcpStream>, Box<Error>> {
    let mut request = format!("ws://{}{path}", gateway.addr()).into_client_request().expect("a request");
    for (name, value) in headers {
        request.headers_mut().append(*name, value.parse().expect("a value"));
    }
    let stream = TcpStream::connect(gateway.addr()).await.expect("connects");
    client_async(request, stream).await.map(|(socket, _)| socket).map_err(Box::new)
}

/// Why no socket was opened.
fn refused(answer: Result<WebSocketStream<TcpStream>, Box<Error>>) -> (StatusCode, String) {
    match answer.map_err(|error| *error) {
        Err(Error::Http(response)) => {
            let body = response.body().as_deref().unwrap_or_default();
            (response.status(), code(std::str::from_utf8(body).expect("text")))
        }
        other => panic!("refused: {other:?}"),
    }
}

async fn next(socket: &mut WebSocketStream<TcpStream>) -> Message {
    timeout(PATIENCE, socket.next()).await.expect("in time").expect("not the end").expect("a message")
}

#[tokio::test]
async fn messages_of_every_kind_go_both_ways() {
    let (server, _) = start().await;
    let gateway = Gateway::start(&routes(server));
    let mut socket = open(&gateway, "/open", &[]).await.expect("opens");
    // More than a request's body may have here, and than goes into one read.
    let long = "wheel ".repeat(50_000);
    for message in [Message::text("word"), Message::binary(vec![0, 255, 10, 13]), Message::text(long)] {
        socket.send(message.clone()).await.expect("sends");
        assert_eq!(next(&mut socket).await, message);
    }
    socket.send(Message::Ping("p".into())).await.expect("sends");
    assert_eq!(next(&mut socket).await, Message::Pong("p".into()));
    let goodbye = CloseFrame { code: CloseCode::Away, reason: "bye".into() };
    socket.close(Some(goodbye.clone())).await.expect("closes");
    assert_eq!(next(&mut socket).await, Message::Close(Some(goodbye)));
    assert!(timeout(PATIENCE, socket.next()).await.expect("in time").is_none(), "the connection has ended");
}

#[tokio::test]
async fn what_stands_before_a_route_stands_before_its_sockets_too() {
    let (server, handshakes) = start().await;
    let gateway = Gateway::start(&routes(server));
    let bearer = format!("Bearer {}", token(|_| {}));
    let unauthorized = (StatusCode::UNAUTHORIZED, "missing_token".to_owned());
    assert_eq!(refused(open(&gateway, "/mine", &[("x-user-id", "root")]).await), unauthorized);
    assert!(handshakes.lock().expect("nobody panics").is_empty());
    let spoofed = [("authorization", &*bearer), ("x-user-id", "root"), ("x_user_id", "root"), ("x-real-ip", "6.6.6.6")];
    for _ in 0..2 {
        let mut socket = open(&gateway, "/mine", &spoofed).await.expect("opens");
        socket.send(Message::text("mine")).await.expect("sends");
        assert_eq!(next(&mut socket).await, Message::text("mine"));
    }
    let too_many = (StatusCode::TOO_MANY_REQUESTS, "quota_exceeded".to_owned());
    assert_eq!(refused(open(&gateway, "/mine", &spoofed).await), too_many);
    let handshakes = handshakes.lock().expect("nobody panics");
    assert_eq!(handshakes.len(), 2);
    for headers in handshakes.iter() {
        assert_eq!(headers.get_all("x-user-id").iter().collect::<Vec<_>>(), ["ann"]);
        assert_eq!(headers["x-forwarded-for"], "127.0.0.1");
        assert!(!headers.contains_key("x_user_id") && !headers.contains_key("x-real-ip"), "{headers:?}");
    }
}

#[tokio::test]
async fn a_socket_outlives_a_reload_that_takes_its_route_away() {
    let (server, _) = start().await;
    let gateway = Gateway::start(&routes(server));
    let mut socket = open(&gateway, "/open", &[]).await.expect("opens");
    gateway.reload(&routes(server).replace("path: /open", "path: /elsewhere")).expect("taken");
    let gone = (StatusCode::NOT_FOUND, "no_route".to_owned());
    assert_eq!(refused(open(&gateway, "/open", &[]).await), gone);
    for word in ["still", "here"] {
        socket.send(Message::text(word)).await.expect("sends");
        assert_eq!(next(&mut socket).await, Message::text(word));
    }
}
