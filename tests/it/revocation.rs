//! A logout at the user service is known at every gateway, whichever way it hears of it.

use reqwest::{Method, StatusCode};
use serde_json::Value;
use testkit::{RedisServer, eventually};

use crate::support::{AllInOne, Api, Echo, Gateway, PATIENCE, SECRET, Services, expect, expect_problem};

const REVOCATION_SECRET: &str = "0d4f1a94c2b85e7733e09a1bd4c65f28";
const FOLLOWED: (&str, &str) = ("REVOCATION_SECRET", REVOCATION_SECRET);

/// A gateway that lets whoever has a token through to `echo`, which asks nobody; so a token that is refused was refused here.
async fn gateway(echo: &Echo, revocation: &str) -> anyhow::Result<Gateway> {
    Gateway::with_config(&format!(
        r#"
revocation: {{ {revocation} }}
jwt_providers:
  accounts: {{ algorithm: HS256, secret: {SECRET}, issuer: order-processor, audience: order-processor }}
upstreams:
  echo: {{ targets: ["{}"] }}
routes:
  - {{ name: all, match: {{ path: /* }}, upstream: echo, middleware: [ {{ jwt: {{ provider: accounts }} }} ] }}
"#,
        echo.url()
    ))
    .await
}

fn told_by(urls: &str) -> String {
    format!("source: url, url: \"{urls}\", secret: {REVOCATION_SECRET}, max_staleness: 2s")
}

async fn status(gateway: &Gateway, token: &str) -> anyhow::Result<StatusCode> {
    Ok(gateway.api.get_as(token, "/").await?.status())
}

async fn until_refused(gateway: &Gateway, token: &str) -> anyhow::Result<()> {
    eventually(PATIENCE, "the token is refused", async || {
        status(gateway, token).await.is_ok_and(|status| status == StatusCode::UNAUTHORIZED)
    })
    .await?;
    let problem: Value = gateway.api.get_as(token, "/").await?.json().await?;
    anyhow::ensure!(problem["code"] == "invalid_token", "{problem}");
    anyhow::ensure!(problem["detail"].as_str().is_some_and(|detail| detail.contains("revoked")), "{problem}");
    Ok(())
}

async fn log_out(api: &Api, token: &str, path: &str) -> anyhow::Result<()> {
    let answer = api.request(Method::POST, path).bearer_auth(token).send().await?;
    expect(answer, StatusCode::NO_CONTENT).await.map(drop)
}

#[tokio::test]
async fn two_gateways_hear_from_the_user_service_and_remember_when_it_is_gone() -> anyhow::Result<()> {
    let (echo, mut services) = (Echo::start().await?, Services::start_with(0, &[FOLLOWED]).await?);
    let accounts = Api::at(services.user.url.clone());
    let told = told_by(&services.user.url);
    let gateways = [gateway(&echo, &told).await?, gateway(&echo, &told).await?];
    let (first, second) = (accounts.sign_up("ada").await?, accounts.log_in("ada").await?);
    for gateway in &gateways {
        for token in [&first, &second] {
            assert_eq!(status(gateway, token).await?, StatusCode::OK);
        }
    }
    log_out(&accounts, &first, "/logout").await?;
    for gateway in &gateways {
        until_refused(gateway, &first).await?;
        assert_eq!(status(gateway, &second).await?, StatusCode::OK);
    }
    log_out(&accounts, &second, "/logout/everywhere").await?;
    let third = accounts.log_in("ada").await?;
    for gateway in &gateways {
        until_refused(gateway, &second).await?;
        assert_eq!(status(gateway, &third).await?, StatusCode::OK, "issued after");
    }
    services.user.process.kill()?;
    for gateway in &gateways {
        let is_lost = async || {
            let ready = gateway.admin.get("/ready").await.ok()?;
            let is_ok = ready.status() == StatusCode::OK;
            Some(is_ok && ready.text().await.ok()?.contains("revocation source lost"))
        };
        eventually(PATIENCE, "it is told", async || is_lost().await == Some(true)).await?;
        assert_eq!(gateway.admin.metric("gateway_revocations_connected").await?, 0.0);
        assert_eq!(status(gateway, &second).await?, StatusCode::UNAUTHORIZED);
        assert_eq!(status(gateway, &third).await?, StatusCode::OK);
    }
    // Whoever starts now knows nothing, and lets nobody in.
    let newcomer = gateway(&echo, &told).await?;
    expect_problem(newcomer.api.get_as(&third, "/").await?, StatusCode::SERVICE_UNAVAILABLE).await?;
    assert_eq!(newcomer.admin.get("/ready").await?.status(), StatusCode::SERVICE_UNAVAILABLE);
    Ok(())
}

#[tokio::test]
async fn a_gateway_hears_from_one_replica_what_another_has_written_and_goes_on_with_the_other() -> anyhow::Result<()> {
    let (echo, mut services) = (Echo::start().await?, Services::start_with(0, &[FOLLOWED]).await?);
    let other = services.another_user_service().await?;
    let gateway = gateway(&echo, &told_by(&format!("{},{}", services.user.url, other.url))).await?;
    let accounts = Api::at(other.url.clone());
    let (first, second) = (accounts.sign_up("grace").await?, accounts.log_in("grace").await?);
    log_out(&accounts, &first, "/logout").await?;
    until_refused(&gateway, &first).await?;
    services.user.process.kill()?;
    log_out(&accounts, &second, "/logout").await?;
    until_refused(&gateway, &second).await?;
    until_refused(&gateway, &first).await
}

#[tokio::test]
async fn gateways_hear_in_redis_also_after_it_has_lost_everything() -> anyhow::Result<()> {
    let mut redis = RedisServer::start().await?;
    let port = redis.port().to_string();
    let at = [("REDIS_HOST", "127.0.0.1"), ("REDIS_PORT", &*port)];
    let (echo, services) = (Echo::start().await?, Services::start_with(0, &at).await?);
    let accounts = Api::at(services.user.url.clone());
    let (first, second) = (accounts.sign_up("alan").await?, accounts.log_in("alan").await?);
    let many = [("USER_SERVICE_URL", &*services.user.url), at[0], at[1], ("GATEWAY_SHUTDOWN_GRACE", "0s")];
    let shipped = Gateway::shipped_for_many(&many).await?;
    let own = gateway_on_redis(&echo, &port).await?;
    eventually(PATIENCE, "Redis is filled", async || {
        status(&own, &first).await.is_ok_and(|status| status == StatusCode::OK)
    })
    .await?;
    log_out(&accounts, &first, "/logout").await?;
    until_refused(&own, &first).await?;
    eventually(PATIENCE, "the other hears of it too", async || {
        shipped.admin.metric("gateway_revocations_entries").await.is_ok_and(|entries| entries == 1.0)
    })
    .await?;
    redis.restart().await?;
    assert_eq!(status(&own, &first).await?, StatusCode::UNAUTHORIZED, "the last known set");
    log_out(&accounts, &second, "/logout").await?;
    until_refused(&own, &second).await?;
    assert_eq!(status(&own, &first).await?, StatusCode::UNAUTHORIZED, "it was filled again");
    Ok(())
}

async fn gateway_on_redis(echo: &Echo, port: &str) -> anyhow::Result<Gateway> {
    let on_redis = format!("source: redis }}\nredis: {{ host: 127.0.0.1, port: {port}");
    gateway(echo, &on_redis).await
}

#[tokio::test]
async fn the_all_in_one_follows_its_own_user_service() -> anyhow::Result<()> {
    let data_dir = tempfile::tempdir()?;
    let all = AllInOne::start(data_dir.path()).await?;
    let token = all.api.sign_up("edsger").await?;
    expect(all.api.get_as(&token, "/inventory/orders").await?, StatusCode::OK).await?;
    log_out(&all.api, &token, "/logout").await?;
    eventually(PATIENCE, "the gateway refuses it", async || {
        let Ok(answer) = all.api.get_as(&token, "/inventory/orders").await else { return false };
        // The services call themselves otherwise.
        let challenge = answer.headers().get("www-authenticate").and_then(|value| value.to_str().ok());
        challenge.is_some_and(|challenge| challenge.contains("realm=\"gateway\""))
    })
    .await
}
