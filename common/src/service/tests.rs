//! The whole way of a request, over a real socket.

use std::collections::HashSet;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use chrono::Utc;
use poem_openapi::Object;
use poem_openapi::param::{Path, Query};
use poem_openapi::payload::PlainText;
use secrecy::SecretString;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_util::sync::CancellationToken;

use super::*;
use crate::auth::{Algorithm, SigningSecret, TokenSettings};
use crate::entities::{Email, Username};
use crate::ids::UserId;
use crate::repository::{RepositoryError, RevocationRepository};
use crate::revocations::{Revocation, Revoked, TokenMarks};

#[derive(Object)]
#[oai(deny_unknown_fields)]
struct Greeting {
    name: Field<Username>,
    email: Field<Email>,
}

struct Api {
    entered: Arc<tokio::sync::Notify>,
    proceed: Arc<tokio::sync::Notify>,
}

#[OpenApi]
impl Api {
    #[oai(path = "/greetings/:id", method = "get")]
    async fn greeting(&self, id: Path<String>, times: Query<Option<u8>>) -> PlainText<String> {
        PlainText(format!("{} {}", id.0, times.0.unwrap_or(1)))
    }

    #[oai(path = "/greetings", method = "post")]
    async fn greet(&self, body: Body<Greeting>) -> Result<PlainText<String>, Problem> {
        let name = body.read(|greeting, mut fields| {
            let name = fields.take("name", greeting.name);
            let email = fields.take("email", greeting.email);
            fields.finish(name.zip(email).map(|(name, _)| name))
        })?;
        Ok(PlainText(name.to_string()))
    }

    #[oai(path = "/me", method = "get")]
    async fn me(&self, caller: Authenticated) -> PlainText<String> {
        PlainText(caller.claims().username.clone())
    }

    #[oai(path = "/panic", method = "get")]
    async fn panic(&self) {
        std::panic::panic_any("secret /etc/passwd");
    }

    #[oai(path = "/slow", method = "get")]
    async fn slow(&self) -> PlainText<&'static str> {
        self.entered.notify_one();
        self.proceed.notified().await;
        PlainText("done")
    }
}

/// Revocations in memory; a poisoned one is a store that is down.
#[derive(Default)]
struct Revocations(Mutex<Option<HashSet<Revoked>>>);

#[async_trait]
impl RevocationRepository for Revocations {
    async fn revoke(&self, revocation: &Revocation) -> Result<(), RepositoryError> {
        self.0.lock().expect("unpoisoned").get_or_insert_default().insert(revocation.revoked.clone());
        Ok(())
    }

    async fn is_revoked(&self, token: TokenMarks<'_>) -> Result<bool, RepositoryError> {
        match &*self.0.lock().expect("unpoisoned") {
            Some(revoked) => Ok(revoked.contains(&Revoked::Token(token.token.to_string()))),
            None => Err(RepositoryError::Unavailable("10.0.0.7 refused the connection".into())),
        }
    }

    async fn void_before(&self, _subject: UserId) -> Result<i64, RepositoryError> {
        Ok(0)
    }
}

struct Harness {
    addr: SocketAddr,
    settings: TokenSettings,
    revocations: Arc<Revocations>,
    entered: Arc<tokio::sync::Notify>,
    proceed: Arc<tokio::sync::Notify>,
    stop: CancellationToken,
    served: tokio::task::JoinHandle<std::io::Result<()>>,
}

struct Answer {
    status: u16,
    head: String,
    body: String,
}

impl Answer {
    fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap_or_else(|error| panic!("{error}: {}", self.body))
    }

    fn header(&self, name: &str) -> Option<&str> {
        self.head.lines().filter_map(|line| line.split_once(": ")).find(|(key, _)| key == &name).map(|(_, value)| value)
    }

    /// Checks that it is a problem document with this status and code, and returns it.
    fn problem(&self, status: u16, code: &str) -> Value {
        assert_eq!(self.header("content-type"), Some("application/problem+json"), "{}{}", self.head, self.body);
        let problem = self.json();
        assert_eq!((self.status, &problem["code"]), (status, &json!(code)), "{problem}");
        assert_eq!(problem["status"], status);
        assert_eq!(problem["request_id"].as_str(), self.header("x-request-id"), "{problem}");
        problem
    }
}

async fn harness() -> Harness {
    let secret = SigningSecret::new(SecretString::from("6f1d0a94c2b85e7733e09a1bd4c65f28")).expect("strong");
    let settings = TokenSettings {
        secret,
        algorithm: Algorithm::Hs256,
        issuer: "us".into(),
        audience: "us".into(),
        lifetime: Duration::from_secs(60),
    };
    let revocations = Arc::new(Revocations(Mutex::new(Some(HashSet::new()))));
    let (entered, proceed) = (Arc::default(), Arc::default());
    let service = Service {
        name: "test-service",
        title: "Test",
        description: "A service of the tests",
        version: "1",
        api: Api { entered: Arc::clone(&entered), proceed: Arc::clone(&proceed) },
        authenticator: Authenticator::new(settings.verifier(), Arc::clone(&revocations) as Arc<_>),
        readiness: Readiness::default().with("store", || async { Err("gone") }),
        metrics: crate::telemetry::metrics::registry().expect("registry"),
        limits: Limits { body_bytes: 1024, ..Limits::default() },
        internal: Vec::new(),
    };
    let running = service.bind(([127, 0, 0, 1], 0).into()).await.expect("binds");
    let (addr, stop) = (running.addr(), CancellationToken::new());
    let served = tokio::spawn(running.run_until(stop.clone()));
    Harness { addr, settings, revocations, entered, proceed, stop, served }
}

impl Harness {
    async fn send(&self, head: &str, body: &str) -> Answer {
        let mut stream = TcpStream::connect(self.addr).await.expect("connects");
        let length = if body.is_empty() { String::new() } else { format!("content-length: {}\r\n", body.len()) };
        let request = format!("{head}\r\nhost: test\r\nconnection: close\r\n{length}\r\n{body}");
        stream.write_all(request.as_bytes()).await.expect("sent");
        let mut text = String::new();
        stream.read_to_string(&mut text).await.expect("answered");
        let (head, body) = text.split_once("\r\n\r\n").expect("a head and a body");
        let status = head.split(' ').nth(1).and_then(|status| status.parse().ok()).expect("a status");
        Answer { status, head: head.to_owned(), body: body.to_owned() }
    }

    async fn get(&self, path: &str) -> Answer {
        self.send(&format!("GET {path} HTTP/1.1"), "").await
    }

    async fn post(&self, body: &str) -> Answer {
        self.send("POST /greetings HTTP/1.1\r\ncontent-type: application/json", body).await
    }

    async fn me(&self, token: &str) -> Answer {
        self.send(&format!("GET /me HTTP/1.1\r\nauthorization: Bearer {token}"), "").await
    }
}

#[tokio::test]
async fn every_field_problem_is_reported_at_once() {
    let harness = harness().await;
    let problem = harness.post(r#"{"name": "x", "email": 7}"#).await.problem(422, "invalid_fields");
    let expected = json!([
        {"field": "name", "detail": "must have 3 to 32 characters"},
        {"field": "email", "detail": "must be a string"},
    ]);
    assert_eq!(problem["errors"], expected);
    let problem = harness.post("{}").await.problem(422, "invalid_fields");
    assert_eq!(problem["errors"][1], json!({"field": "email", "detail": "is missing"}));
    let unknown = r#"{"name": "ann", "email": "a@b.io", "admin": true, "role": 1}"#;
    let problem = harness.post(unknown).await.problem(422, "invalid_fields");
    let names: Vec<_> = problem["errors"].as_array().expect("errors").iter().map(|error| &error["field"]).collect();
    assert_eq!(names, ["admin", "role"]);
}

#[tokio::test]
async fn a_body_that_cannot_be_read_gets_a_problem_that_shows_no_type_of_ours() {
    let harness = harness().await;
    for (body, status, code) in [
        ("{\"name\": ", 400, "malformed_json"),
        ("[1, 2]", 400, "malformed_json"),
        ("\"\\u0000", 400, "malformed_json"),
        (&"[".repeat(1000), 400, "malformed_json"),
        (&format!("{{\"name\": \"{}\"}}", "x".repeat(2000)), 413, "payload_too_large"),
    ] {
        let answer = harness.post(body).await;
        answer.problem(status, code);
        assert!(!answer.body.contains("Greeting"), "{}", answer.body);
    }
    let chunked = "POST /greetings HTTP/1.1\r\ncontent-type: application/json\r\ntransfer-encoding: chunked";
    let chunk = "x".repeat(2000);
    let mut stream = TcpStream::connect(harness.addr).await.expect("connects");
    let request =
        format!("{chunked}\r\nhost: test\r\nconnection: close\r\n\r\n{:x}\r\n{chunk}\r\n0\r\n\r\n", chunk.len());
    stream.write_all(request.as_bytes()).await.expect("sent");
    let mut text = String::new();
    stream.read_to_string(&mut text).await.expect("answered");
    assert!(text.starts_with("HTTP/1.1 413 "), "{text}");
    let answer = harness.send("POST /greetings HTTP/1.1\r\ncontent-type: text/plain", "{}").await;
    answer.problem(415, "unsupported_media_type");
}

#[tokio::test]
async fn a_wrong_path_method_or_parameter_gets_a_problem() {
    let harness = harness().await;
    harness.get("/nowhere").await.problem(404, "no_route");
    let answer = harness.send("DELETE /greetings/1 HTTP/1.1", "").await;
    answer.problem(405, "method_not_allowed");
    assert_eq!(answer.header("allow"), Some("GET, HEAD"));
    let problem = harness.get("/greetings/1?times=many").await.problem(400, "invalid_parameter");
    assert_eq!(problem["errors"][0]["field"], "times");
}

#[tokio::test]
async fn a_panic_becomes_a_500_that_leaks_nothing_and_the_service_goes_on() {
    let harness = harness().await;
    let answer = harness.get("/panic").await;
    answer.problem(500, "internal_error");
    assert!(!answer.body.contains("passwd"), "{}", answer.body);
    assert_eq!(harness.get("/health").await.status, 200);
}

#[tokio::test]
async fn a_sound_request_id_is_kept_and_an_unsound_one_replaced() {
    let harness = harness().await;
    let answer = harness.send("GET /health HTTP/1.1\r\nx-request-id: from-the-client", "").await;
    assert_eq!(answer.header("x-request-id"), Some("from-the-client"));
    for unsound in ["", "with space", &"x".repeat(129)] {
        let answer = harness.send(&format!("GET /health HTTP/1.1\r\nx-request-id: {unsound}"), "").await;
        let id = answer.header("x-request-id").expect("an id");
        assert_eq!(uuid::Uuid::parse_str(id).expect("a UUID").get_version_num(), 7);
    }
}

#[tokio::test]
async fn only_a_live_token_of_ours_lets_in_and_a_store_that_is_down_lets_nobody_in() {
    let harness = harness().await;
    let issued = harness.settings.issuer().issue(UserId::new(), "ann", Utc::now()).expect("issued");
    assert_eq!(harness.me(&issued.token).await.body, "ann");

    let answer = harness.get("/me").await;
    answer.problem(401, "missing_token");
    assert_eq!(answer.header("www-authenticate"), Some(r#"Bearer realm="order-processor""#));
    let answer = harness.me(&format!("{}x", issued.token)).await;
    answer.problem(401, "invalid_token");
    assert_eq!(answer.header("www-authenticate"), Some(r#"Bearer realm="order-processor", error="invalid_token""#));

    harness.revocations.revoke(&issued.claims.revocation()).await.expect("revoked");
    harness.me(&issued.token).await.problem(401, "invalid_token");

    harness.revocations.0.lock().expect("unpoisoned").take();
    let answer = harness.me(&issued.token).await;
    answer.problem(503, "store_unavailable");
    assert_eq!(answer.header("retry-after"), Some("1"));
    assert!(!answer.body.contains("10.0.0.7"), "{}", answer.body);
}

#[tokio::test]
async fn operations_and_documents_are_served() {
    let harness = harness().await;
    assert_eq!(harness.get("/health").await.json(), json!({"status": "ok"}));
    let ready = harness.get("/ready").await;
    assert_eq!((ready.status, &ready.json()["checks"][0]["detail"]), (503, &json!("gone")));
    assert!(harness.get("/docs").await.body.contains("Swagger UI"));
    assert!(harness.get("/redoc").await.body.contains("redoc"));
    let document = harness.get("/openapi.json").await.json();
    assert!(document["paths"]["/greetings"]["post"]["responses"]["default"].is_object(), "{document:#}");

    harness.get("/greetings/42?secret=1").await;
    let answer = harness.get("/metrics").await;
    assert_eq!(answer.header("content-type"), Some("text/plain; version=0.0.4"));
    for label in [r#"route="/greetings/{id}""#, r#"route="/docs""#, r#"route="/openapi.json""#, r#"route="/health""#] {
        assert!(answer.body.contains(label), "no {label} in {}", answer.body);
    }
    assert!(!answer.body.contains("secret"), "{}", answer.body);
}

#[tokio::test]
async fn a_request_under_way_is_finished_when_the_service_stops_and_its_tasks_end() {
    let harness = harness().await;
    let addr = harness.addr;
    let slow = tokio::spawn(async move {
        let mut stream = TcpStream::connect(addr).await.expect("connects");
        stream.write_all(b"GET /slow HTTP/1.1\r\nhost: test\r\n\r\n").await.expect("sent");
        let mut text = String::new();
        stream.read_to_string(&mut text).await.expect("answered");
        text
    });
    harness.entered.notified().await;
    harness.stop.cancel();
    harness.proceed.notify_one();
    assert!(slow.await.expect("joined").ends_with("done"));
    harness.served.await.expect("joined").expect("stopped well");
    assert!(TcpStream::connect(addr).await.is_err(), "no new connections");
}

#[tokio::test]
async fn a_request_whose_client_hangs_up_is_seen_through() {
    let harness = harness().await;
    let mut stream = TcpStream::connect(harness.addr).await.expect("connects");
    stream.write_all(b"GET /slow HTTP/1.1\r\nhost: test\r\n\r\n").await.expect("sent");
    harness.entered.notified().await;
    drop(stream);
    harness.proceed.notify_one();
    let series = r#"http_server_request_duration_seconds_count{method="GET",route="/slow",status="200"} 1"#;
    let deadline = tokio::time::Instant::now() + Duration::from_secs(20);
    while !harness.get("/metrics").await.body.contains(series) {
        assert!(tokio::time::Instant::now() < deadline, "the request is never measured");
    }
}

#[tokio::test(start_paused = true)]
async fn a_request_head_that_never_ends_does_not_hold_its_connection_for_ever() {
    let harness = harness().await;
    let mut stream = TcpStream::connect(harness.addr).await.expect("connects");
    stream.write_all(b"GET /health HTTP/1.1\r\nhost: test\r\n").await.expect("sent");
    let mut answer = Vec::new();
    let closed = tokio::time::timeout(Duration::from_secs(600), stream.read_to_end(&mut answer)).await;
    assert!(closed.is_ok(), "still open after ten minutes");
}

#[tokio::test]
async fn a_port_in_use_is_one_clear_sentence() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").expect("binds");
    let addr = taken.local_addr().expect("bound");
    let endpoint = poem::endpoint::make_sync(|_| Response::default());
    let error = Running::bind("test", addr, Limits::default().connections, endpoint).await.err().expect("fails");
    assert_eq!(
        error.to_string(),
        format!("{addr} is in use by another process; stop that one or choose another address")
    );
}
