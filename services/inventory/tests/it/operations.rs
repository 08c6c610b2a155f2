//! What those who run the service see.

use common::health::RedisSettings;
use common::repository::AssetRepository;
use reqwest::StatusCode;
use serde_json::json;

use crate::harness::{Harness, text};

/// The document as it was last agreed on.
const GOLDEN: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/openapi.json");

#[tokio::test]
async fn the_api_document_is_the_agreed_one() {
    let harness = Harness::start().await;
    let served = harness.get("/openapi.json").await.text + "\n";
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        std::fs::write(GOLDEN, &served).expect("written");
    }
    let agreed = std::fs::read_to_string(GOLDEN).expect("readable");
    assert!(
        served == agreed,
        "the API has changed; if that is meant, run the tests with UPDATE_GOLDEN=1 and commit {GOLDEN}"
    );
}

#[tokio::test]
async fn documents_and_metrics_are_served() {
    let harness = Harness::start().await;
    assert!(harness.get("/docs").await.text.contains("Swagger UI"));
    assert!(harness.get("/redoc").await.text.contains("redoc"));
    harness.get("/inventory/assets/bitcoin").await.json(StatusCode::OK);
    let metrics = harness.get("/metrics").await.text;
    assert!(metrics.contains(r#"route="/inventory/assets/{id}""#), "{metrics}");
}

#[tokio::test]
async fn without_the_store_the_service_lives_and_lists_but_is_not_ready() {
    let harness = Harness::start().await;
    assert_eq!(harness.get("/ready").await.json(StatusCode::OK)["status"], "ready");
    let harness = harness.without_store().await;

    assert_eq!(harness.get("/health").await.status, StatusCode::OK);
    assert_eq!(harness.get("/ready").await.status, StatusCode::SERVICE_UNAVAILABLE);
    let page = harness.get("/inventory/assets?limit=100").await.json(StatusCode::OK);
    assert_eq!(page["items"].as_array().map(Vec::len), Some(100), "the last known catalogue");
    let refused = harness.get("/inventory/assets/bitcoin").await;
    refused.problem(503, "store_unavailable");
    assert_eq!(refused.header("retry-after"), Some("1"));
}

#[tokio::test]
async fn without_the_redis_that_is_configured_the_service_works_but_is_not_ready() {
    let free = std::net::TcpListener::bind("127.0.0.1:0").expect("binds").local_addr().expect("bound").port();
    let redis = RedisSettings { host: "127.0.0.1".to_owned(), port: free, password: None, db: 0 };
    let harness = Harness::start_with(|config| config.redis = Some(redis)).await;
    let report = harness.get("/ready").await.json(StatusCode::SERVICE_UNAVAILABLE);
    let states: Vec<_> = report["checks"].as_array().expect("checks").iter().map(|check| &check["status"]).collect();
    assert_eq!(states, ["ready", "unready"], "{report}");
    assert_eq!(harness.get("/inventory/assets").await.status, StatusCode::OK);
}

#[tokio::test]
async fn a_restart_keeps_what_was_sold_and_what_was_changed() {
    let harness = Harness::start().await;
    harness.caller().buy("bitcoin", "50").await.json(StatusCode::CREATED);
    harness.set_price("bitcoin", "7").await;
    let harness = harness.restart().await;
    let bitcoin = harness.get("/inventory/assets/bitcoin").await.json(StatusCode::OK);
    assert_eq!((&bitcoin["available"], &bitcoin["price_usd"]), (&json!("800"), &json!("7")));
}

#[tokio::test]
async fn replicas_that_start_at_once_fill_the_catalogue_once() {
    let harness = Harness::start().await;
    let count = harness.store.assets().all().await.expect("read").len();
    let config = || inventory_service::Config::from_env(&harness.env.clone().with("DYNAMODB_TABLE_PREFIX", "empty-"));
    let replicas = (0..3).map(|_| inventory_service::start(config().expect("configuration")));
    let started = futures::future::join_all(replicas).await;
    assert!(started.iter().all(Result::is_ok));
    let store = common::dynamo::Store::connect(&config().expect("configuration").store).await.expect("store");
    assert_eq!(store.assets().all().await.expect("read").len(), count);
}

#[tokio::test]
async fn every_answer_bears_a_request_id_and_problems_repeat_it() {
    let harness = Harness::start().await;
    let answer = harness.get("/inventory/assets/nothing").await;
    let problem = answer.problem(404, "asset_not_found");
    assert_eq!(Some(text(&problem["request_id"]).as_str()), answer.header("x-request-id"));
}
