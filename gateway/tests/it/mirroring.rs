//! Copies of requests for a second upstream: what is in them, and that nobody waits for them.

use std::time::Duration;

use reqwest::{Method, RequestBuilder};
use testkit::{Arrived, Behaviour, Upstream};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use crate::support::{Gateway, PATIENCE, token};

/// A file with a route `/x` to `first`, mirrored to `second` as `mirror` says.
fn file(first: &Upstream, second: &str, mirror: &str, steps: &str) -> String {
    format!(
        "upstreams: {{ first: {{ targets: [\"{}\"] }}, second: {{ targets: [\"{second}\"] }} }}\n\
         routes:\n- {{ name: x, match: {{ path: /x/* }}, upstream: first, {steps}, \
         mirror: {{ upstream: second, {mirror} }} }}\n",
        first.url()
    )
}

async fn status(request: RequestBuilder) -> u16 {
    request.send().await.expect("an answer").status().as_u16()
}

/// Waits until as many copies have come to this.
async fn outcome(gateway: &Gateway, outcome: &str, count: usize) {
    let series = format!("gateway_mirrored_requests_total{{outcome=\"{outcome}\",route=\"x\"}}");
    let reached = async {
        while gateway.metric(&series).await != Some(count as f64) {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    if tokio::time::timeout(PATIENCE, reached).await.is_err() {
        panic!("{series} is {:?} and not {count}", gateway.metric(&series).await);
    }
}

#[tokio::test]
async fn a_copy_has_what_the_first_upstream_gets_and_says_that_it_is_one() {
    let (first, second) = (Upstream::start().await.expect("starts"), Upstream::start().await.expect("starts"));
    let steps = "middleware: [{ jwt: { provider: us } }, { identity_token: { signer: s } }]";
    let signer = "identity_tokens: { s: { algorithm: HS256, secret: 6f1d0a94c2b85e7733e09a1bd4c65f28 } }\n";
    let gateway = Gateway::start(&format!("{signer}{}", file(&first, &second.url(), "", steps)));
    let request = gateway.request(Method::POST, "/x/a%20b?c=d").bearer_auth(token(|_| {}));
    let request = request.header("X-User-Id", "root").header("X_Mirrored", "false").header("X-Mirrored", "yes");
    assert_eq!(status(request.body("what it says")).await, 200);
    assert_eq!(status(gateway.request(Method::GET, "/x/none").bearer_auth(token(|_| {}))).await, 200);
    outcome(&gateway, "sent", 2).await;
    let (own, mut copies) = (first.arrived(), second.arrived());
    copies.sort_by_key(|copy| !copy.head.starts_with("POST"));
    for (own, copy) in own.iter().zip(&copies) {
        assert_eq!((own.line(), &own.body), (copy.line(), &copy.body));
        for name in ["host", "authorization", "x-user-id", "x-request-id", "x-forwarded-for", "x-forwarded-host"] {
            assert_eq!(own.header(name), copy.header(name), "{name}");
        }
        let words = |arrived: &Arrived| arrived.header("x-identity-token").len();
        assert_eq!((words(own), words(copy)), (1, 0), "what lets one speak to the first is not for the second");
        assert_eq!((own.header("x-mirrored").len(), copy.header("x-mirrored")), (0, vec!["true"]));
        assert_eq!((own.header("x_mirrored").len(), copy.header("x_mirrored").len()), (0, 0));
    }
    assert_eq!(copies[0].line(), "POST /x/a%20b?c=d");
    assert_eq!(copies[0].body, b"what it says");
    assert_eq!(copies[0].header("x-user-id"), ["ann"]);
}

#[tokio::test]
async fn a_mirror_that_hangs_holds_up_nobody() {
    let (first, second) = (Upstream::start().await.expect("starts"), Upstream::start().await.expect("starts"));
    second.behave(Behaviour::Hang);
    let gateway = Gateway::start(&file(&first, &second.url(), "max_in_flight: 4, timeout: 1h", "public: true"));
    for number in 0..60 {
        let request = gateway.request(Method::POST, &format!("/x/{number}")).body("x".repeat(100));
        assert_eq!(status(request).await, 200, "{number}");
    }
    assert_eq!(first.arrived().len(), 60);
    outcome(&gateway, "no_room", 56).await;
}

#[tokio::test]
async fn a_mirror_that_fails_is_asked_once_and_counted() {
    let (first, second) = (Upstream::start().await.expect("starts"), Upstream::start().await.expect("starts"));
    second.behave(Behaviour::HangUp);
    let gateway = Gateway::start(&file(&first, &second.url(), "", "public: true"));
    assert_eq!(status(gateway.request(Method::GET, "/x/broken")).await, 200);
    outcome(&gateway, "failed", 1).await;
    assert_eq!(second.arrived().len(), 1, "never again");
    second.behave(Behaviour::Hang);
    gateway.reload(&file(&first, &second.url(), "timeout: 50ms", "public: true")).expect("taken");
    assert_eq!(status(gateway.request(Method::GET, "/x/slow")).await, 200);
    outcome(&gateway, "timed_out", 1).await;
    gateway.reload(&file(&first, "http://127.0.0.1:1", "", "public: true")).expect("taken");
    assert_eq!(status(gateway.request(Method::GET, "/x/away")).await, 200);
    outcome(&gateway, "failed", 2).await;
    assert_eq!(first.arrived().len(), 3);
}

#[tokio::test]
async fn only_bodies_that_are_not_too_large_are_copied() {
    let (first, second) = (Upstream::start().await.expect("starts"), Upstream::start().await.expect("starts"));
    let gateway = Gateway::start(&file(&first, &second.url(), "max_body: 100B", "public: true"));
    for size in [100, 101, 1000, 0] {
        let request = gateway.request(Method::POST, &format!("/x/{size}")).body("x".repeat(size));
        assert_eq!(status(request).await, 200, "{size}");
    }
    outcome(&gateway, "sent", 2).await;
    outcome(&gateway, "too_large", 2).await;
    let mut lines: Vec<String> = second.arrived().iter().map(|copy| copy.line().to_owned()).collect();
    lines.sort_unstable();
    assert_eq!(lines, ["POST /x/0", "POST /x/100"]);
    let raw = "POST /x/chunks HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nConnection: close\r\n\r\n\
               3\r\nabc\r\n4\r\ndefg\r\n0\r\n\r\n";
    assert!(gateway.raw(raw.as_bytes()).await.starts_with("HTTP/1.1 200"));
    outcome(&gateway, "sent", 3).await;
    assert_eq!(second.arrived().pop().expect("a copy").body, b"abcdefg");
}

#[tokio::test]
async fn only_the_sample_is_copied_and_nothing_that_was_refused() {
    let (first, second) = (Upstream::start().await.expect("starts"), Upstream::start().await.expect("starts"));
    let gateway = Gateway::start(&file(&first, &second.url(), "sample: 0.001%", "public: true"));
    for _ in 0..20 {
        status(gateway.request(Method::GET, "/x/y")).await;
    }
    assert!(second.arrived().len() < 20, "one in a hundred thousand");
    gateway
        .reload(&file(&first, &second.url(), "sample: 100%", "middleware: [{ jwt: { provider: us } }]"))
        .expect("taken");
    assert_eq!(status(gateway.request(Method::GET, "/x/refused")).await, 401);
    assert_eq!(status(gateway.request(Method::GET, "/x/taken").bearer_auth(token(|_| {}))).await, 200);
    outcome(&gateway, "sent", second.arrived().len().max(1)).await;
    assert!(!second.arrived().iter().any(|copy| copy.line().contains("refused")));
}

#[tokio::test]
async fn what_is_copied_no_more_is_shown_no_more() {
    let (first, second) = (Upstream::start().await.expect("starts"), Upstream::start().await.expect("starts"));
    let text = file(&first, &second.url(), "", "public: true");
    let gateway = Gateway::start(&text);
    let sent = "gateway_mirrored_requests_total{outcome=\"sent\",route=\"x\"}";
    gateway.shows(sent, 0.0).await;
    gateway.reload(&text.replace("mirror: { upstream: second,  }", "")).expect("taken");
    assert_eq!(gateway.metric(sent).await, None);
}

#[tokio::test]
async fn a_body_that_takes_too_long_is_not_waited_for_with_a_place() {
    let (first, second) = (Upstream::start().await.expect("starts"), Upstream::start().await.expect("starts"));
    let gateway = Gateway::start(&file(&first, &second.url(), "timeout: 50ms", "public: true"));
    let mut client = TcpStream::connect(gateway.addr()).await.expect("connects");
    let head = b"POST /x/slow HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\nConnection: close\r\n\r\na";
    client.write_all(head).await.expect("writes");
    tokio::time::sleep(Duration::from_millis(300)).await;
    client.write_all(b"b").await.expect("writes");
    let mut answer = String::new();
    client.read_to_string(&mut answer).await.expect("an answer");
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    outcome(&gateway, "timed_out", 1).await;
    assert_eq!((first.arrived().len(), second.arrived().len()), (1, 0));
}
