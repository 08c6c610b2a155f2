//! The API's document, and what those who run the service see.

use anyhow::ensure;
use reqwest::StatusCode;

use crate::harness::Harness;

/// The document as it was last agreed on.
const GOLDEN: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/openapi.json");

#[tokio::test]
async fn the_api_document_is_the_agreed_one() -> anyhow::Result<()> {
    let harness = Harness::start().await?;
    let served = harness.get("/openapi.json").await?.text + "\n";
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        std::fs::write(GOLDEN, &served)?;
    }
    let agreed = std::fs::read_to_string(GOLDEN)?;
    ensure!(
        served == agreed,
        "the API has changed; if that is meant, run the tests with UPDATE_GOLDEN=1 and commit {GOLDEN}"
    );
    Ok(())
}

#[tokio::test]
async fn documents_for_people_are_served() -> anyhow::Result<()> {
    let harness = Harness::start().await?;
    for path in ["/docs", "/redoc"] {
        let page = harness.get(path).await?;
        assert_eq!(page.status, StatusCode::OK, "{path}");
        assert!(page.text.contains("/register"), "{path} shows the document");
    }
    Ok(())
}

#[tokio::test]
async fn metrics_are_labelled_by_route_and_never_by_what_callers_send() -> anyhow::Result<()> {
    let harness = Harness::start().await?;
    harness.get("/profile?token=hunter2").await?;
    for i in 0..50 {
        harness.get(&format!("/guess/{i}")).await?;
    }
    let metrics = harness.get("/metrics").await?;
    assert_eq!(metrics.header("content-type"), Some("text/plain; version=0.0.4"));
    let series = |route: &str, status: &str| {
        format!(r#"http_server_request_duration_seconds_count{{method="GET",route="{route}",status="{status}"}}"#)
    };
    assert_eq!(harness.metric(&series("/profile", "401")).await?, 1.0);
    assert_eq!(harness.metric(&series("unmatched", "404")).await?, 50.0);
    assert!(!metrics.text.contains("guess") && !metrics.text.contains("hunter2"));
    Ok(())
}
