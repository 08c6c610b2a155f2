//! What an upstream gets of a request, and a client of a response.

use std::time::Duration;

use reqwest::Method;
use testkit::{Behaviour, Upstream};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use crate::support::{Gateway, token};

fn routes(upstream: &Upstream) -> String {
    format!(
        r#"
rate_limits:
  all: {{ scope: local, limit: 100, window: 1m, key: client_address }}
  few: {{ scope: local, limit: 2, window: 1m, key: claim.sub }}
upstreams: {{ u: {{ targets: ["{}"] }} }}
middleware: [{{ rate_limit: {{ policies: [all] }} }}]
routes:
  - {{ name: open, match: {{ path: "/*" }}, upstream: u, public: true }}
  - name: mine
    match: {{ path: /mine }}
    upstream: u
    middleware: [{{ jwt: {{ provider: us }} }}, {{ rate_limit: {{ policies: [few] }} }}]
"#,
        upstream.url()
    )
}

#[tokio::test]
async fn spoofed_identity_headers_are_removed_on_every_route() {
    let upstream = Upstream::start().await.expect("starts");
    let gateway = Gateway::start(&routes(&upstream));
    let spoofed = "X-User-Id: root\r\nx-user-ID: root\r\nX_User_Id: root\r\nX-User_Id: root\r\n\
                   X-Forwarded-For: 6.6.6.6\r\nForwarded: for=6.6.6.6\r\nX_Forwarded_For: 6.6.6.6\r\n\
                   X-Forwarded-User: root\r\nx_forwarded_groups: root\r\nX-Forwarded-Client-Cert: By=root\r\n\
                   X-Real-IP: 6.6.6.6\r\nX-Request-Id: mine\r\nConnection: close\r\n";
    gateway.raw(format!("GET /x HTTP/1.1\r\nHost: a\r\n{spoofed}\r\n").as_bytes()).await;
    let bearer = token(|_| {});
    gateway
        .raw(format!("GET /mine HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer {bearer}\r\n{spoofed}\r\n").as_bytes())
        .await;
    let arrived = upstream.arrived();
    assert_eq!(arrived.len(), 2);
    assert!(arrived.iter().all(|request| !request.head.contains("root") && !request.head.contains("6.6.6.6")));
    assert!(arrived[0].header("x-user-id").is_empty());
    assert_eq!(arrived[1].header("x-user-id"), ["ann"]);
    for request in &arrived {
        assert_eq!(request.header("x-forwarded-for"), ["127.0.0.1"]);
        assert_eq!(request.header("x-forwarded-host"), ["a"]);
        assert_eq!(request.header("x-forwarded-proto"), ["http"]);
        assert_ne!(request.header("x-request-id"), ["mine"]);
    }
}

#[tokio::test]
async fn claims_go_on_in_any_script_but_never_break_the_line() {
    let upstream = Upstream::start().await.expect("starts");
    let gateway = Gateway::start(&routes(&upstream));
    let status = async |subject: &str| {
        let bearer = token(|claims| claims["sub"] = subject.into());
        let answer = gateway.request(Method::GET, "/mine").bearer_auth(bearer).send().await.expect("an answer");
        answer.status().as_u16()
    };
    assert_eq!(status("Zo\u{eb} \u{5c71}").await, 200);
    assert_eq!(upstream.arrived()[0].header("x-user-id"), ["Zo\u{eb} \u{5c71}"]);
    assert_eq!(status("ann\r\nX-Admin: 1").await, 401);
}

#[tokio::test]
async fn a_connection_header_cannot_take_away_who_is_asking() {
    let upstream = Upstream::start().await.expect("starts");
    let gateway = Gateway::start(&routes(&upstream));
    let bearer = token(|_| {});
    let request = format!(
        "GET /mine HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer {bearer}\r\nX-Hop: 1\r\n\
         Connection: close, X-User-Id, X-Request-Id, X-Hop\r\n\r\n"
    );
    gateway.raw(request.as_bytes()).await;
    for request in upstream.arrived() {
        assert_eq!(request.header("x-user-id"), ["ann"]);
        assert_eq!(request.header("x-request-id").len(), 1);
        assert!(request.header("x-hop").is_empty(), "a hop-by-hop header goes no further");
    }
}

#[tokio::test]
async fn the_path_goes_on_in_its_normal_form_and_the_query_as_it_came() {
    let upstream = Upstream::start().await.expect("starts");
    let gateway = Gateway::start(&routes(&upstream));
    for (sent, forwarded) in
        [("/a/b?x=1", "/a/b?x=1"), ("//a/./b/../c/%7euser?q=/../%2F", "/a/c/~user?q=/../%2F"), ("/a%c3%a4", "/a%C3%A4")]
    {
        gateway.raw(format!("GET {sent} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n").as_bytes()).await;
        let arrived = upstream.arrived().pop().expect("a request");
        assert_eq!(arrived.line(), format!("GET {forwarded}"));
    }
}

#[tokio::test]
async fn bodies_arrive_whole_however_they_are_framed() {
    let upstream = Upstream::start().await.expect("starts");
    let gateway = Gateway::start(&routes(&upstream));
    let request = "POST /x HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nConnection: close\r\n\r\n\
                   3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n";
    gateway.raw(request.as_bytes()).await;
    gateway.request(Method::POST, "/x").body("abcde").send().await.expect("an answer");
    assert!(upstream.arrived().iter().all(|request| request.body == b"abcde"));
    assert_eq!(upstream.arrived().len(), 2);
}

#[tokio::test]
async fn an_http_1_0_client_gets_no_chunks_and_its_upstream_a_host() {
    let upstream = Upstream::start().await.expect("starts");
    upstream.behave(Behaviour::Say("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n"));
    let gateway = Gateway::start(&routes(&upstream));
    let answer = gateway.raw(b"GET /x HTTP/1.0\r\nConnection: keep-alive\r\n\r\n").await;
    let (head, body) = answer.split_once("\r\n\r\n").expect("a response");
    assert!(!head.to_ascii_lowercase().contains("transfer-encoding"), "{head}");
    assert_eq!(body, "ok");
    assert_eq!(upstream.arrived()[0].header("host"), [upstream.addr().to_string()]);
}

#[tokio::test]
async fn an_upstream_of_http_1_0_costs_no_client_its_connection() {
    let upstream = Upstream::start().await.expect("starts");
    let gateway = Gateway::start(&routes(&upstream));
    let request = "GET /x HTTP/1.1\r\nHost: a\r\n\r\nGET /x HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n";
    for answer in ["HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\nok", "HTTP/1.0 200 OK\r\n\r\nok"] {
        upstream.behave(Behaviour::Say(answer));
        let answers = gateway.raw(request.as_bytes()).await;
        assert_eq!(answers.matches("HTTP/1.1 200 OK").count(), 2, "{answers}");
        assert!(!answers.contains("HTTP/1.0"), "{answers}");
    }
}

#[tokio::test]
async fn an_upgraded_connection_may_be_silent_and_carry_more_than_a_body() {
    let upstream = Upstream::start().await.expect("starts");
    upstream.behave(Behaviour::Echo);
    let gateway = Gateway::start_with("read_timeout: 200ms", &routes(&upstream));
    let mut client = TcpStream::connect(gateway.addr()).await.expect("connects");
    let upgrade = "GET /x HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
                   Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";
    client.write_all(upgrade.as_bytes()).await.expect("writes");
    let mut answer = Vec::new();
    while !answer.ends_with(b"\r\n\r\n") {
        assert_ne!(client.read_buf(&mut answer).await.expect("reads"), 0, "{}", String::from_utf8_lossy(&answer));
    }
    assert!(answer.starts_with(b"HTTP/1.1 101 "));
    // What a request's client must not do.
    tokio::time::sleep(Duration::from_millis(400)).await;
    for _ in 0..3 {
        client.write_all(&[b'x'; 1000]).await.expect("writes");
        let mut echoed = [0; 1000];
        client.read_exact(&mut echoed).await.expect("the gateway allows bodies of 1 KiB, and this is none");
    }
}

#[tokio::test]
async fn responses_carry_the_request_id_and_the_quota_of_all_steps() {
    let upstream = Upstream::start().await.expect("starts");
    let gateway = Gateway::start(&routes(&upstream));
    let get = || gateway.request(Method::GET, "/mine").bearer_auth(token(|_| {})).send();
    let answer = get().await.expect("an answer");
    let header = |name: &str| answer.headers()[name].to_str().expect("ascii").to_owned();
    assert_eq!(header("x-request-id"), upstream.arrived()[0].header("x-request-id")[0]);
    assert_eq!(header("ratelimit-policy"), r#""all";q=100;w=60, "few";q=2;w=60"#);
    assert_eq!(header("x-ratelimit-limit"), "2");
    assert_eq!(header("x-ratelimit-remaining"), "1");
    assert!(header("ratelimit").starts_with(r#""few";r=1;t="#), "{}", header("ratelimit"));
    get().await.expect("an answer");
    let refused = get().await.expect("an answer");
    assert_eq!(refused.status(), 429);
    assert!(refused.headers().contains_key("retry-after"));
    assert_eq!(refused.headers()["x-ratelimit-remaining"], "0");
    let problem: serde_json::Value = serde_json::from_str(&refused.text().await.expect("a body")).expect("json");
    assert_eq!(problem["violated-policies"], serde_json::json!(["few"]));
    assert_eq!(upstream.arrived().len(), 2);
}
