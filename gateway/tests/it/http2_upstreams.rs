//! Upstreams that speak HTTP/2.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use futures::future::join_all;
use h2::Reason;
use http::{Response, StatusCode};
use reqwest::Method;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;
use tokio::sync::{Barrier, Mutex};

use crate::support::http2::{DATA, GOAWAY, GREETING, HEADERS, Server, answer, frame, next_frame, read};
use crate::support::{Gateway, PATIENCE, code};

fn routes(upstream: &str, settings: &str) -> String {
    format!(
        "upstreams: {{ u: {{ targets: [\"{upstream}\"], protocol: http2, {settings} }} }}\n\
         routes: [{{ name: all, match: {{ path: \"/*\" }}, upstream: u, public: true }}]\n"
    )
}

#[tokio::test]
async fn requests_share_a_connection_up_to_its_number_of_streams() {
    for (settings, expected) in [("", 1), ("max_concurrent_streams: 1,", 3), ("max_concurrent_streams: 2,", 2)] {
        // Each is answered when all of them are there.
        let together = Arc::new(Barrier::new(3));
        let upstream = Server::start(move |request, respond| {
            let together = Arc::clone(&together);
            async move {
                if request.uri().path() == "/x" {
                    together.wait().await;
                }
                answer(respond, "ok");
            }
        })
        .await;
        let gateway = Gateway::start(&routes(&upstream.url(), settings));
        assert_eq!(gateway.get("/first").await, (200, "ok".to_owned()));
        let answers = join_all((0..3).map(|_| gateway.get("/x"))).await;
        assert!(answers.iter().all(|(status, body)| (*status, &**body) == (200, "ok")), "{answers:?}");
        assert_eq!(upstream.connections(), expected, "{settings}");
    }
}

#[tokio::test]
async fn a_request_arrives_whole_and_so_does_its_answer() {
    let arrived = Arc::new(Mutex::new(None));
    let kept = Arc::clone(&arrived);
    let upstream = Server::start(move |request, mut respond| {
        let kept = Arc::clone(&kept);
        async move {
            let (head, mut body) = request.into_parts();
            let body = read(&mut body).await.expect("a body");
            *kept.lock().await = Some((head, body));
            let response = Response::builder().status(201).header("X-Own", "1").body(()).expect("a response");
            let mut stream = respond.send_response(response, false).expect("sends");
            stream.send_data("made".into(), true).expect("sends");
        }
    })
    .await;
    let gateway = Gateway::start(&routes(&upstream.url(), ""));
    let request = gateway.request(Method::POST, "/a/../x?y").header("Host", "a.example").header("X-Mine", "m");
    let made = request.header("X-Forwarded-For", "6.6.6.6").body("a body").send().await.expect("an answer");
    assert_eq!((made.status().as_u16(), &made.headers()["x-own"].as_bytes()), (201, &&b"1"[..]));
    assert!(made.headers().contains_key("x-request-id"));
    assert_eq!(made.text().await.expect("a body"), "made");
    let (head, body) = arrived.lock().await.take().expect("a request");
    assert_eq!((head.method.as_str(), head.uri.to_string()), ("POST", "http://a.example/x?y".to_owned()));
    assert_eq!(body, b"a body");
    assert_eq!(head.headers["x-mine"], "m");
    assert_eq!(head.headers["x-forwarded-for"], "127.0.0.1");
    assert_eq!(head.headers["x-forwarded-host"], "a.example");
    assert!(!head.headers.contains_key("host"), "HTTP/2 names it elsewhere");
}

/// A server that says `last` when it has a request and closes, and how many requests it has had.
async fn broken(last: Vec<u8>) -> (String, Arc<AtomicUsize>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let url = format!("http://{}", listener.local_addr().expect("an address"));
    let requests = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&requests);
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let (counted, last) = (Arc::clone(&counted), last.clone());
            tokio::spawn(async move {
                let mut preface = [0; 24];
                stream.read_exact(&mut preface).await.expect("a preface");
                stream.write_all(&GREETING[24..]).await.expect("writes");
                while next_frame(&mut stream).await.expect("a request").0 != HEADERS {}
                counted.fetch_add(1, Ordering::Relaxed);
                stream.write_all(&last).await.expect("writes");
                stream.shutdown().await.expect("closes");
                while next_frame(&mut stream).await.is_some() {}
            });
        }
    });
    (url, requests)
}

/// Says that the connection ends, and that the requests up to `last` may have been begun.
fn goaway(last: u32) -> Vec<u8> {
    frame(GOAWAY, 0, 0, &[last.to_be_bytes(), [0; 4]].concat())
}

#[tokio::test]
async fn what_broke_off_in_http_2_is_sent_again_only_if_that_is_harmless() {
    for (what, last, posts) in [
        ("data of no request", frame(DATA, 0, 0, b"?"), 1),
        ("an end", Vec::new(), 1),
        ("the request may have been begun", goaway(1), 1),
        ("the request was not begun", goaway(0), 3),
    ] {
        let (url, requests) = broken(last).await;
        let gateway = Gateway::start(&routes(&url, "retries: 2"));
        let post = gateway.request(Method::POST, "/x").body("order").send().await.expect("an answer");
        assert_eq!(
            (post.status().as_u16(), &*code(&post.text().await.expect("a body"))),
            (502, "upstream_broken"),
            "{what}"
        );
        assert_eq!(requests.swap(0, Ordering::Relaxed), posts, "{what}");
        assert_eq!(gateway.get("/x").await.0, 502);
        assert_eq!(requests.load(Ordering::Relaxed), 3, "{what}");
    }
}

#[tokio::test]
async fn what_an_upstream_has_refused_unread_is_sent_again_whatever_it_is() {
    let refused = Arc::new(AtomicBool::new(false));
    let upstream = Server::start(move |request, mut respond| {
        let refuses = !refused.swap(true, Ordering::Relaxed);
        async move {
            if refuses {
                respond.send_reset(Reason::REFUSED_STREAM);
            } else {
                let body = read(&mut request.into_body()).await.expect("a body");
                assert_eq!(body, b"order");
                answer(respond, "ok");
            }
        }
    })
    .await;
    let gateway = Gateway::start(&routes(&upstream.url(), ""));
    let post = gateway.request(Method::POST, "/x").body("order").send().await.expect("an answer");
    assert_eq!(post.status(), 200);
    gateway.shows(r#"gateway_upstream_retries_total{upstream="u"}"#, 1.0).await;
}

#[tokio::test]
async fn health_is_asked_for_in_http_2_on_connections_of_its_own() {
    let (probes, sick) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicBool::new(false)));
    let (counted, state) = (Arc::clone(&probes), Arc::clone(&sick));
    let upstream = Server::start(move |request, mut respond| {
        let is_sick = request.uri().path() == "/health" && state.load(Ordering::Relaxed);
        if request.uri().path() == "/health" {
            counted.fetch_add(1, Ordering::Relaxed);
        }
        async move {
            if is_sick {
                let response = Response::builder().status(StatusCode::INTERNAL_SERVER_ERROR).body(());
                drop(respond.send_response(response.expect("a response"), true));
            } else {
                answer(respond, "ok");
            }
        }
    })
    .await;
    let gateway = Gateway::start(&routes(
        &upstream.url(),
        "health_check: { path: /health, interval: 200ms, timeout: 200ms, unhealthy_after: 2 }",
    ));
    let asked = async || probes.load(Ordering::Relaxed) >= 3;
    testkit::eventually(PATIENCE, "three probes", asked).await.expect("asked");
    assert!(upstream.connections() >= 3, "{}", upstream.connections());
    let status = async |status| gateway.get("/x").await.0 == status;
    // A busy machine may have missed a probe.
    testkit::eventually(PATIENCE, "the target is well", async || status(200).await).await.expect("served");
    sick.store(true, Ordering::Relaxed);
    testkit::eventually(PATIENCE, "no target is well", async || status(503).await).await.expect("noticed");
    sick.store(false, Ordering::Relaxed);
    testkit::eventually(PATIENCE, "it is well again", async || status(200).await).await.expect("noticed");
}

/// A server whose first connection answers one request and is then never looked at again, as by a program that hangs; the
/// kernel goes on taking what is sent to it.
async fn hanging() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let url = format!("http://{}", listener.local_addr().expect("an address"));
    tokio::spawn(async move {
        let mut is_first = true;
        while let Ok((stream, _)) = listener.accept().await {
            let hangs = std::mem::replace(&mut is_first, false);
            tokio::spawn(async move {
                let mut connection = h2::server::handshake(stream).await.expect("a connection");
                while let Some(Ok((request, respond))) = connection.accept().await {
                    if hangs && request.uri().path() == "/hang" {
                        return std::future::pending().await;
                    }
                    answer(respond, "ok");
                }
            });
        }
    });
    url
}

#[tokio::test]
async fn a_program_that_hangs_is_noticed_and_what_waits_for_it_goes_elsewhere() {
    let timeouts = "timeouts: { read: 1h }, retries: 1";
    let asked = Gateway::start(&routes(&hanging().await, &format!("ping_interval: 1s, {timeouts}")));
    let unasked = Gateway::start(&routes(&hanging().await, &format!("ping_interval: 0s, {timeouts}")));
    for gateway in [&asked, &unasked] {
        assert_eq!(gateway.get("/x").await.0, 200, "while it lives");
    }
    tokio::select! {
        answer = asked.get("/hang") => assert_eq!(answer, (200, "ok".to_owned())),
        answer = unasked.get("/hang") => panic!("nobody has asked whether it lives: {answer:?}"),
    }
    asked.shows(r#"gateway_upstream_retries_total{upstream="u"}"#, 1.0).await;
    assert_eq!(asked.get("/x").await.0, 200, "on the other connection");
}
