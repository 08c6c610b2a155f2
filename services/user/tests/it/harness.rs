//! Starts a service for one test, and speaks to it.

use std::net::SocketAddr;

use anyhow::Context as _;
use common::config::Env;
use common::dynamo::embedded::{EmbeddedStore, Place};
use reqwest::{Method, Response, StatusCode};
use serde_json::{Value, json};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use user_service::{Config, start};

pub(crate) const SECRET: &str = "6f1d0a94c2b85e7733e09a1bd4c65f28";
pub(crate) const PASSWORD: &str = "correct horse battery staple";

/// A running service on a store of its own.
pub(crate) struct Harness {
    pub(crate) addr: SocketAddr,
    /// Where the store is, or was.
    pub(crate) endpoint: String,
    /// Taken by a test that goes on without it.
    pub(crate) store: Option<EmbeddedStore>,
    pub(crate) stop: CancellationToken,
    pub(crate) served: JoinHandle<std::io::Result<()>>,
    client: reqwest::Client,
}

/// What came back.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) headers: reqwest::header::HeaderMap,
    pub(crate) text: String,
}

impl Answer {
    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.text).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }

    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).and_then(|value| value.to_str().ok())
    }

    /// Checks that this is a whole problem document with that status and code, and returns it.
    #[track_caller]
    pub(crate) fn problem(&self, status: u16, code: &str) -> Value {
        assert_eq!(self.header("content-type"), Some("application/problem+json"), "{self:?}");
        let problem = self.json();
        assert_eq!((self.status.as_u16(), problem["code"].as_str()), (status, Some(code)), "{self:?}");
        assert_eq!((&problem["type"], &problem["status"]), (&json!("about:blank"), &json!(status)), "{self:?}");
        assert_eq!(problem["request_id"].as_str(), self.header("x-request-id"), "{self:?}");
        assert!(problem["title"].is_string() && problem["detail"].is_string(), "{self:?}");
        problem
    }
}

impl Harness {
    pub(crate) async fn start() -> anyhow::Result<Self> {
        Self::start_with(|env| env).await
    }

    /// Starts with an environment that `adapt` has made of the usual one.
    pub(crate) async fn start_with(adapt: impl FnOnce(Env) -> Env) -> anyhow::Result<Self> {
        let store = EmbeddedStore::start(Place::Memory).await?;
        let env = Env::default()
            .with("USER_SERVICE_ADDR", "127.0.0.1:0")
            .with("JWT_SECRET_KEY", SECRET)
            .with("AWS_ENDPOINT_URL_DYNAMODB", store.endpoint());
        let endpoint = store.endpoint();
        let running = start(Config::from_env(&adapt(env))?).await?;
        let (addr, stop) = (running.addr(), CancellationToken::new());
        let served = tokio::spawn(running.run_until(stop.clone()));
        Ok(Self { addr, endpoint, store: Some(store), stop, served, client: reqwest::Client::new() })
    }

    pub(crate) fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.addr)
    }

    pub(crate) fn request(&self, method: Method, path: &str) -> reqwest::RequestBuilder {
        self.client.request(method, self.url(path))
    }

    pub(crate) async fn get(&self, path: &str) -> anyhow::Result<Answer> {
        answer(self.request(Method::GET, path)).await
    }

    pub(crate) async fn get_as(&self, token: &str, path: &str) -> anyhow::Result<Answer> {
        answer(self.request(Method::GET, path).bearer_auth(token)).await
    }

    pub(crate) async fn post(&self, path: &str, body: &Value) -> anyhow::Result<Answer> {
        answer(self.request(Method::POST, path).json(body)).await
    }

    /// Sends `body` as it is and calls it JSON.
    pub(crate) async fn post_raw(&self, path: &str, body: impl Into<reqwest::Body>) -> anyhow::Result<Answer> {
        answer(self.request(Method::POST, path).header("content-type", "application/json").body(body)).await
    }

    pub(crate) async fn put_profile(&self, token: &str, body: &Value) -> anyhow::Result<Answer> {
        answer(self.request(Method::PUT, "/profile").bearer_auth(token).json(body)).await
    }

    pub(crate) async fn logout(&self, token: &str) -> anyhow::Result<Answer> {
        answer(self.request(Method::POST, "/logout").bearer_auth(token)).await
    }

    pub(crate) async fn login(&self, username: &str, password: &str) -> anyhow::Result<Answer> {
        self.post("/login", &json!({"username": username, "password": password})).await
    }

    /// Registers `username` and logs in; returns the token.
    pub(crate) async fn account(&self, username: &str) -> anyhow::Result<String> {
        let registered = self.post("/register", &new_account(username)).await?;
        anyhow::ensure!(registered.status == StatusCode::CREATED, "{registered:?}");
        let token = self.login(username, PASSWORD).await?.json()["access_token"].take();
        token.as_str().map(str::to_owned).context("no token")
    }

    /// The present value of a metric's series, 0 if there is none.
    pub(crate) async fn metric(&self, series: &str) -> anyhow::Result<f64> {
        let metrics = self.get("/metrics").await?.text;
        let value = metrics.lines().find_map(|line| line.strip_prefix(series)?.strip_prefix(' '));
        Ok(value.map(str::parse).transpose()?.unwrap_or_default())
    }
}

pub(crate) async fn answer(request: reqwest::RequestBuilder) -> anyhow::Result<Answer> {
    let response: Response = request.send().await?;
    Ok(Answer { status: response.status(), headers: response.headers().clone(), text: response.text().await? })
}

/// A sound registration.
pub(crate) fn new_account(username: &str) -> Value {
    json!({
        "username": username,
        "email": format!("{}@example.com", username.to_lowercase()),
        "password": PASSWORD,
        "first_name": "Ann",
        "last_name": "Example",
    })
}
