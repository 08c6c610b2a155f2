//! Whoever follows hears of every revocation, by whichever process it was written.

use std::collections::HashSet;

use anyhow::{Context as _, ensure};
use common::config::Env;
use common::revocations::{Revocation, Revoked, Told};
use reqwest::{Method, Response, StatusCode};
use serde_json::json;
use tokio::time::{Duration, timeout};
use tokio_util::sync::CancellationToken;
use user_service::{Config, start};

use crate::harness::{Harness, PASSWORD, SECRET, answer};

const REVOCATION_SECRET: &str = "0d4f1a94c2b85e7733e09a1bd4c65f28";
/// Longer than anything here takes on a busy machine; only ever waited for in vain.
const PATIENCE: Duration = Duration::from_secs(30);

/// The answer that does not end, line by line.
struct Followed {
    response: Response,
    begun: Vec<u8>,
}

impl Followed {
    async fn begin(url: &str, since: Option<&str>) -> anyhow::Result<Self> {
        let query = since.map(|since| format!("?since={since}")).unwrap_or_default();
        let request = reqwest::Client::new().get(format!("{url}/internal/revocations{query}"));
        let response = request.bearer_auth(REVOCATION_SECRET).send().await?;
        ensure!(response.status() == StatusCode::OK, "{response:?}");
        Ok(Self { response, begun: Vec::new() })
    }

    async fn next(&mut self) -> anyhow::Result<Told> {
        loop {
            if let Some(end) = self.begun.iter().position(|byte| *byte == b'\n') {
                let line: Vec<u8> = self.begun.drain(..=end).collect();
                return Ok(serde_json::from_slice(&line)?);
            }
            let part = timeout(PATIENCE, self.response.chunk()).await.context("nothing is told")??;
            self.begun.extend_from_slice(&part.context("the answer has ended")?);
        }
    }

    /// What is void, up to the next end, and where that is.
    async fn whole(&mut self) -> anyhow::Result<(HashSet<Revoked>, String)> {
        let mut all = HashSet::new();
        loop {
            match self.next().await? {
                Told::Revoked(Revocation { revoked, .. }) => drop(all.insert(revoked)),
                Told::Complete { position } => return Ok((all, position.to_string())),
                Told::Reset {} | Told::Alive {} => {}
            }
        }
    }
}

async fn harness() -> anyhow::Result<Harness> {
    Harness::start_with(|env| env.with("REVOCATION_SECRET", REVOCATION_SECRET)).await
}

/// Waits until the service has read its store: before that it tells nothing.
async fn follow(url: &str) -> anyhow::Result<Followed> {
    timeout(PATIENCE, async {
        loop {
            match Followed::begin(url, None).await {
                Ok(followed) => return followed,
                Err(_) => tokio::time::sleep(Duration::from_millis(20)).await,
            }
        }
    })
    .await
    .context("nothing can be followed")
}

#[tokio::test]
async fn only_who_knows_the_secret_may_follow_and_nobody_where_there_is_none() -> anyhow::Result<()> {
    let harness = harness().await?;
    follow(&harness.url("")).await?;
    for wrong in ["", "Bearer", "Bearer wrong", "Bearer 0d4f1a94c2b85e7733e09a1bd4c65f29"] {
        let request = harness.request(Method::GET, "/internal/revocations").header("authorization", wrong);
        answer(request).await?.problem(401, "unauthorized");
    }
    harness.get("/internal/revocations").await?.problem(401, "unauthorized");
    let document = harness.get("/openapi.json").await?.text;
    assert!(!document.contains("internal"), "it is no part of the API");
    let without = Harness::start().await?;
    without.get("/internal/revocations").await?.problem(404, "no_route");
    Ok(())
}

#[tokio::test]
async fn a_logout_is_told_at_once_and_to_whoever_comes_later_and_nothing_is_told_twice() -> anyhow::Result<()> {
    let harness = harness().await?;
    let mut early = follow(&harness.url("")).await?;
    assert_eq!(early.next().await?, Told::Reset {});
    let (none, beginning) = early.whole().await?;
    assert_eq!(none, HashSet::new());
    assert_eq!(early.next().await?, Told::Alive {}, "also when nothing happens");
    let token = harness.account("ann").await?;
    harness.logout(&token).await?;
    let (told, after) = early.whole().await?;
    assert!(matches!(told.iter().collect::<Vec<_>>()[..], [Revoked::Token(_)]), "{told:?}");

    let mut late = Followed::begin(&harness.url(""), None).await?;
    assert_eq!(late.next().await?, Told::Reset {});
    assert_eq!(late.whole().await?.0, told);
    let mut back = Followed::begin(&harness.url(""), Some(&beginning)).await?;
    assert_eq!(back.whole().await?, (told, after.clone()));
    let mut up_to_date = Followed::begin(&harness.url(""), Some(&after)).await?;
    assert_eq!(up_to_date.next().await?, Told::Alive {});
    let mut stranger = Followed::begin(&harness.url(""), Some("another:1")).await?;
    assert_eq!(stranger.next().await?, Told::Reset {});
    Ok(())
}

#[tokio::test]
async fn who_logs_out_everywhere_needs_a_new_token_and_gets_one_at_once() -> anyhow::Result<()> {
    let harness = harness().await?;
    let first = harness.account("ann").await?;
    let second = harness.login("ann", PASSWORD).await?.json()["access_token"].take();
    let second = second.as_str().context("a token")?;
    let bob = harness.account("bob").await?;
    let everywhere = harness.request(Method::POST, "/logout/everywhere").bearer_auth(&first);
    assert_eq!(answer(everywhere).await?.status, StatusCode::NO_CONTENT);
    for void in [&*first, second] {
        harness.get_as(void, "/profile").await?.problem(401, "invalid_token");
    }
    assert_eq!(harness.get_as(&bob, "/profile").await?.status, StatusCode::OK);
    // In the same second, as like as not.
    let third = harness.login("ann", PASSWORD).await?.json()["access_token"].take();
    let third = third.as_str().context("a token")?;
    assert_eq!(harness.get_as(third, "/profile").await?.status, StatusCode::OK);
    let mut followed = follow(&harness.url("")).await?;
    let (told, _) = followed.whole().await?;
    assert!(told.iter().any(|revoked| matches!(revoked, Revoked::Subject { .. })), "{told:?}");
    Ok(())
}

#[tokio::test]
async fn what_another_replica_wrote_before_and_after_is_told_too() -> anyhow::Result<()> {
    let first = harness().await?;
    let token = first.account("ann").await?;
    first.logout(&token).await?;
    let env = Env::default()
        .with("USER_SERVICE_ADDR", "127.0.0.1:0")
        .with("JWT_SECRET_KEY", SECRET)
        .with("REVOCATION_SECRET", REVOCATION_SECRET)
        .with("AWS_ENDPOINT_URL_DYNAMODB", &first.endpoint);
    let running = start(Config::from_env(&env)?).await?;
    let (addr, stop) = (running.addr(), CancellationToken::new());
    let served = tokio::spawn(running.run_until(stop.clone()));
    let mut of_second = follow(&format!("http://{addr}")).await?;
    assert_eq!(of_second.whole().await?.0.len(), 1, "from the store");
    let token = first.login("ann", PASSWORD).await?.json()["access_token"].take();
    first.logout(token.as_str().context("a token")?).await?;
    assert_eq!(of_second.whole().await?.0.len(), 1, "written by the other one");
    // Whoever follows hears the end, and does not hold it up.
    stop.cancel();
    timeout(PATIENCE, served).await.context("it stops")???;
    assert!(of_second.whole().await.is_err());
    Ok(())
}

#[tokio::test]
async fn while_the_store_is_away_nobody_is_told_that_nothing_has_happened() -> anyhow::Result<()> {
    let mut harness = harness().await?;
    let mut followed = follow(&harness.url("")).await?;
    followed.whole().await?;
    if let Some(store) = harness.store.take() {
        store.stop().await;
    }
    let silent = async {
        loop {
            // What was under way may still be told.
            if timeout(Duration::from_secs(3), followed.next()).await.is_err() {
                return;
            }
        }
    };
    timeout(PATIENCE, silent).await.context("it goes on to say so")?;
    // Nor is a stranger told what was all a while ago, as if it still were.
    for since in ["", "?since=another:1"] {
        let path = format!("/internal/revocations{since}");
        let answered = answer(harness.request(Method::GET, &path).bearer_auth(REVOCATION_SECRET)).await?;
        answered.problem(503, "revocations_unavailable");
    }
    assert_eq!(harness.get("/health").await?.json(), json!({"status": "ok"}));
    Ok(())
}
