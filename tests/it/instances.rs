//! Processes that go away while clients ask.

use std::sync::atomic::{AtomicUsize, Ordering};

use futures::future::try_join_all;
use reqwest::StatusCode;

use crate::support::{Api, Echo, Gate, Gateway, PATIENCE, Shop};

const CLIENTS: usize = 4;
const REQUESTS_EACH: usize = 60;
/// How many requests are answered before an instance is killed, with the others still to come.
const BEFORE: usize = CLIENTS * REQUESTS_EACH / 4;

#[tokio::test]
async fn no_read_fails_when_one_of_two_instances_is_killed_under_load() -> anyhow::Result<()> {
    let mut shop = Shop::open(2).await?;
    let answered = AtomicUsize::new(0);
    let enough = tokio::sync::Notify::new();

    let clients = try_join_all((0..CLIENTS).map(|_| browse(&shop.api, &answered, &enough)));
    let victim = &mut shop.services.inventory[0].process;
    let crash = async {
        enough.notified().await;
        victim.kill()
    };
    futures::try_join!(clients, crash)?;
    assert_eq!(answered.into_inner(), CLIENTS * REQUESTS_EACH);
    Ok(())
}

async fn browse(api: &Api, answered: &AtomicUsize, enough: &tokio::sync::Notify) -> anyhow::Result<()> {
    for _ in 0..REQUESTS_EACH {
        let answer = api.get("/inventory/assets/bitcoin").await?;
        anyhow::ensure!(answer.status() == StatusCode::OK, "{}", answer.status());
        answer.bytes().await?;
        if answered.fetch_add(1, Ordering::Relaxed) + 1 == BEFORE {
            enough.notify_one();
        }
    }
    Ok(())
}

#[tokio::test]
async fn a_request_under_way_is_answered_after_sigterm_and_new_connections_are_refused() -> anyhow::Result<()> {
    let gate = Gate::shut();
    let echo = Echo::behind(gate.clone()).await?;
    let mut gateway = Gateway::with_config(&format!(
        "upstreams:\n  slow: {{ targets: [\"{}\"] }}\nroutes:\n  - {{ name: slow, match: {{ path: /slow }}, upstream: slow, public: true }}\n",
        echo.url()
    ))
    .await?;
    let api = gateway.api.clone();
    let under_way = tokio::spawn(async move { api.get("/slow").await });
    gate.arrival().await?;

    let newcomer = gateway.api.without_kept_connections()?;
    gateway.process.signal("TERM")?;
    testkit::eventually(PATIENCE, "the listener is closed", async || {
        newcomer.get("/").await.is_err_and(|error| error.is_connect())
    })
    .await?;
    gate.open();
    assert_eq!(under_way.await??.status(), StatusCode::OK);
    assert!(gateway.process.ended().await?.success());
    Ok(())
}
