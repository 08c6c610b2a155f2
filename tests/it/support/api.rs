//! The API as a client uses it.

use anyhow::{Context as _, ensure};
use reqwest::{Method, RequestBuilder, Response, StatusCode};
use serde_json::{Value, json};

/// Everybody's password.
const PASSWORD: &str = "correct horse battery";

/// A client of one base URL.
#[derive(Clone)]
pub(crate) struct Api {
    base: String,
    http: reqwest::Client,
}

impl Api {
    /// A client of what serves at `base`, with connections of its own.
    pub(crate) fn at(base: impl Into<String>) -> Self {
        Self { base: base.into(), http: reqwest::Client::new() }
    }

    /// The same client, but with a new connection for each request.
    pub(crate) fn without_kept_connections(&self) -> anyhow::Result<Self> {
        let http = reqwest::Client::builder().pool_max_idle_per_host(0).build()?;
        Ok(Self { base: self.base.clone(), http })
    }

    /// A request to be completed and sent.
    pub(crate) fn request(&self, method: Method, path: &str) -> RequestBuilder {
        self.http.request(method, format!("{}{path}", self.base))
    }

    /// Asks without a token.
    pub(crate) async fn get(&self, path: &str) -> reqwest::Result<Response> {
        self.request(Method::GET, path).send().await
    }

    /// Asks as the bearer of `token`.
    pub(crate) async fn get_as(&self, token: &str, path: &str) -> reqwest::Result<Response> {
        self.request(Method::GET, path).bearer_auth(token).send().await
    }

    /// Asks to register an account of that name.
    pub(crate) async fn try_register(&self, username: &str) -> reqwest::Result<Response> {
        let account = json!({
            "username": username,
            "email": format!("{username}@example.com"),
            "password": PASSWORD,
            "first_name": "Ada",
            "last_name": "Lovelace",
        });
        self.request(Method::POST, "/register").json(&account).send().await
    }

    /// Logs in, and gives the access token.
    pub(crate) async fn log_in(&self, username: &str) -> anyhow::Result<String> {
        let credentials = json!({"username": username, "password": PASSWORD});
        let answer = self.request(Method::POST, "/login").json(&credentials).send().await?;
        let body = expect(answer, StatusCode::OK).await?;
        Ok(body["access_token"].as_str().context("no access_token")?.to_owned())
    }

    /// Registers an account, logs in, and gives the access token.
    pub(crate) async fn sign_up(&self, username: &str) -> anyhow::Result<String> {
        expect(self.try_register(username).await?, StatusCode::CREATED).await?;
        self.log_in(username).await
    }

    /// Asks to buy that many bitcoins.
    pub(crate) async fn try_buy(&self, token: &str, quantity: &str) -> reqwest::Result<Response> {
        let order = json!({"asset_id": "bitcoin", "quantity": quantity});
        self.request(Method::POST, "/inventory/orders").bearer_auth(token).json(&order).send().await
    }

    /// The value of a metric that has no labels.
    pub(crate) async fn metric(&self, name: &str) -> anyhow::Result<f64> {
        let text = self.get("/metrics").await?.text().await?;
        let value = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
        Ok(value.with_context(|| format!("no metric {name}"))?.parse()?)
    }
}

/// The body of an answer that must have this status.
pub(crate) async fn expect(answer: Response, status: StatusCode) -> anyhow::Result<Value> {
    let got = answer.status();
    let body = answer.text().await?;
    ensure!(got == status, "{got} instead of {status}: {body}");
    if body.is_empty() { Ok(Value::Null) } else { Ok(serde_json::from_str(&body)?) }
}

/// Checks that an answer is a problem document (RFC 9457) with this status, and gives its code.
pub(crate) async fn expect_problem(answer: Response, status: StatusCode) -> anyhow::Result<String> {
    let content_type = answer.headers().get("content-type").and_then(|value| value.to_str().ok()).map(str::to_owned);
    let body = expect(answer, status).await?;
    ensure!(content_type.is_some_and(|it| it.starts_with("application/problem+json")), "no problem document: {body}");
    ensure!(body["status"] == status.as_u16() && body["request_id"].is_string(), "incomplete: {body}");
    Ok(body["code"].as_str().context("no code")?.to_owned())
}
