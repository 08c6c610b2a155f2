//! A running service with a store of its own, and the callers of a test.

use std::time::Duration;

use chrono::{DateTime, Utc};
use common::auth::{TokenIssuer, TokenSettings};
use common::config::{Env, Reader};
use common::dynamo::Store;
use common::dynamo::embedded::{EmbeddedStore, Place};
use common::entities::{Asset, AssetId, Category, Price, Quantity, Symbol};
use common::ids::UserId;
use common::repository::AssetRepository;
use inventory_service::Config;
use reqwest::{Client, Method, RequestBuilder, StatusCode};
use serde_json::Value;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

/// Longer than anything here takes on a busy machine.
pub(crate) const DEADLINE: Duration = Duration::from_secs(30);

pub(crate) struct Harness {
    pub(crate) store: Store,
    embedded: Option<EmbeddedStore>,
    pub(crate) env: Env,
    base: String,
    http: Client,
    tokens: TokenIssuer,
    stop: CancellationToken,
    served: Option<JoinHandle<()>>,
}

pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) headers: reqwest::header::HeaderMap,
    pub(crate) text: String,
}

impl Harness {
    /// A service whose lists are always up to date, and whose prices stay as they are.
    pub(crate) async fn start() -> Self {
        Self::start_with(|_| {}).await
    }

    pub(crate) async fn start_with(change: impl FnOnce(&mut Config)) -> Self {
        let embedded = EmbeddedStore::start(Place::Memory).await.expect("embedded store");
        let env = Env::default()
            .with("JWT_SECRET_KEY", "6f1d0a94c2b85e7733e09a1bd4c65f28")
            .with("AWS_ENDPOINT_URL_DYNAMODB", embedded.endpoint())
            .with("INVENTORY_SERVICE_ADDR", "127.0.0.1:0")
            .with("CATALOGUE_FRESH_SECONDS", "0")
            .with("PRICE_REFRESH_SECONDS", "0");
        let mut config = Config::from_env(&env).expect("configuration");
        change(&mut config);
        let store = Store::connect(&config.store).await.expect("store");
        let tokens = TokenSettings::read(&mut Reader::new(&env)).expect("token settings").issuer();
        let stop = CancellationToken::new();
        let (base, served) = serve(config, stop.clone()).await;
        Self { store, embedded: Some(embedded), env, base, http: Client::new(), tokens, stop, served: Some(served) }
    }

    /// Ends this service, and starts another one on the same store.
    pub(crate) async fn restart(mut self) -> Self {
        self.stop.cancel();
        self.served.take().expect("serving").await.expect("served");
        self.stop = CancellationToken::new();
        let (base, served) = serve(Config::from_env(&self.env).expect("configuration"), self.stop.clone()).await;
        (self.base, self.served) = (base, Some(served));
        self
    }

    /// Takes the store away from under the service.
    pub(crate) async fn without_store(mut self) -> Self {
        self.embedded.take().expect("a store").stop().await;
        self
    }

    pub(crate) fn request(&self, method: Method, path: &str) -> RequestBuilder {
        self.http.request(method, format!("{}{path}", self.base)).timeout(DEADLINE)
    }

    pub(crate) async fn get(&self, path: &str) -> Answer {
        answer(self.request(Method::GET, path)).await
    }

    /// The ids of all pages behind `path`; `between` runs after each page.
    pub(crate) async fn walk<F: Future<Output = ()>>(&self, path: &str, mut between: impl FnMut() -> F) -> Vec<String> {
        let mut ids = Vec::new();
        let mut next = String::new();
        loop {
            let page = self.get(&format!("{path}{next}")).await.json(StatusCode::OK);
            ids.extend(page["items"].as_array().expect("items").iter().map(|item| text(&item["id"])));
            match page["next_page"].as_str() {
                Some(cursor) => next = format!("&cursor={cursor}"),
                None => return ids,
            }
            between().await;
        }
    }

    pub(crate) fn caller(&self) -> Caller<'_> {
        let issued = self.tokens.issue(UserId::new(), "ann", Utc::now()).expect("issued");
        Caller { harness: self, token: issued.token, claims: issued.claims }
    }

    /// Lists one more asset.
    pub(crate) async fn list(&self, asset: &Asset) {
        assert!(self.store.assets().create_if_absent(asset).await.expect("written"), "{} is new", asset.id);
    }

    pub(crate) async fn set_price(&self, id: &str, price: &str) {
        let (id, price) = (AssetId::parse(id).expect("id"), Price::new(price.parse().expect("number")).expect("price"));
        assert!(self.store.assets().set_price(&id, price, Utc::now()).await.expect("written"), "{id} is there");
    }
}

async fn serve(config: Config, stop: CancellationToken) -> (String, JoinHandle<()>) {
    let running = inventory_service::start(config).await.expect("starts");
    let base = format!("http://{}", running.addr());
    (base, tokio::spawn(async move { running.run_until(stop).await.expect("serves") }))
}

impl Drop for Harness {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

/// Somebody who is logged in.
pub(crate) struct Caller<'a> {
    harness: &'a Harness,
    pub(crate) token: String,
    pub(crate) claims: common::auth::Claims,
}

impl Caller<'_> {
    pub(crate) async fn get(&self, path: &str) -> Answer {
        answer(self.harness.request(Method::GET, path).bearer_auth(&self.token)).await
    }

    pub(crate) fn order(&self, body: impl Into<reqwest::Body>) -> RequestBuilder {
        let request = self.harness.request(Method::POST, "/inventory/orders").bearer_auth(&self.token);
        request.header("content-type", "application/json").body(body)
    }

    pub(crate) async fn buy(&self, asset: &str, quantity: &str) -> Answer {
        answer(self.order(purchase(asset, quantity))).await
    }

    pub(crate) async fn buy_once(&self, key: &str, asset: &str, quantity: &str) -> Answer {
        answer(self.order(purchase(asset, quantity)).header("Idempotency-Key", key)).await
    }
}

pub(crate) async fn answer(request: RequestBuilder) -> Answer {
    let response = request.send().await.expect("answered");
    let (status, headers) = (response.status(), response.headers().clone());
    Answer { status, headers, text: response.text().await.expect("a body") }
}

impl Answer {
    #[track_caller]
    pub(crate) fn json(&self, status: StatusCode) -> Value {
        assert_eq!(self.status, status, "{}", self.text);
        serde_json::from_str(&self.text).expect("JSON")
    }

    /// Checks that it is a problem document with this status and code, and returns it.
    #[track_caller]
    pub(crate) fn problem(&self, status: u16, code: &str) -> Value {
        let problem = self.json(StatusCode::from_u16(status).expect("a status"));
        assert_eq!(self.header("content-type"), Some("application/problem+json"));
        assert_eq!(problem["code"], code, "{problem}");
        problem
    }

    /// The fields that a problem document complains of.
    #[track_caller]
    pub(crate) fn wrong_fields(&self, status: u16, code: &str) -> Vec<String> {
        let problem = self.problem(status, code);
        let errors = problem["errors"].as_array().cloned().unwrap_or_default();
        errors.iter().map(|error| text(&error["field"])).collect()
    }

    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name)?.to_str().ok()
    }
}

pub(crate) fn purchase(asset: &str, quantity: &str) -> String {
    serde_json::json!({"asset_id": asset, "quantity": quantity}).to_string()
}

pub(crate) fn text(value: &Value) -> String {
    value.as_str().expect("a string").to_owned()
}

/// An asset that is not in the bundled catalogue.
pub(crate) fn asset(id: &str, available: &str) -> Asset {
    Asset {
        id: AssetId::parse(id).expect("id"),
        symbol: Symbol::parse("tst").expect("symbol"),
        name: format!("Test {id}"),
        description: "Made for a test.".to_owned(),
        category: Category::parse("test").expect("category"),
        price: Price::new("2.5".parse().expect("number")).expect("price"),
        price_updated_at: DateTime::UNIX_EPOCH,
        available: Quantity::new(available.parse().expect("number")).expect("quantity"),
        active: true,
        created_at: Utc::now(),
        updated_at: Utc::now(),
    }
}
