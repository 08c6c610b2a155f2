//! What happens when something that the service leans on is gone, or the service itself is told to go.

use std::time::Duration;

use anyhow::Context as _;
use common::config::Env;
use futures::future::join_all;
use reqwest::StatusCode;
use serde_json::json;
use testkit::{RedisServer, eventually, free_port};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use user_service::{Config, start};

use crate::harness::{Harness, PASSWORD, SECRET, new_account};

#[tokio::test]
async fn without_its_store_the_service_lives_but_answers_503_and_believes_no_token() -> anyhow::Result<()> {
    let mut harness = Harness::start().await?;
    let token = harness.account("ann").await?;
    assert_eq!(harness.get("/ready").await?.status, StatusCode::OK);
    harness.store.take().context("it runs")?.stop().await;

    let answers = [
        harness.get_as(&token, "/profile").await?,
        harness.logout(&token).await?,
        harness.login("ann", PASSWORD).await?,
        harness.post("/register", &new_account("bob")).await?,
    ];
    for answer in answers {
        answer.problem(503, "store_unavailable");
        assert!(answer.header("retry-after").is_some(), "{answer:?}");
        assert!(!answer.text.contains("127.0.0.1"), "{answer:?}");
    }
    let ready = harness.get("/ready").await?;
    assert_eq!(ready.status, StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(ready.json()["checks"][0]["name"], "dynamodb");
    assert_eq!(harness.get("/health").await?.status, StatusCode::OK);
    Ok(())
}

#[tokio::test]
async fn readiness_follows_the_redis_that_is_configured() -> anyhow::Result<()> {
    let mut redis = RedisServer::start_with_password("hunter2 hunter2").await?;
    let port = redis.port().to_string();
    let harness = Harness::start_with(|env| {
        env.with("REDIS_HOST", "127.0.0.1").with("REDIS_PORT", port).with("REDIS_PASSWORD", "hunter2 hunter2")
    })
    .await?;
    let ready = harness.get("/ready").await?;
    assert_eq!(ready.status, StatusCode::OK, "{ready:?}");
    redis.kill()?;
    let ready = harness.get("/ready").await?;
    assert_eq!((ready.status, &ready.json()["status"]), (StatusCode::SERVICE_UNAVAILABLE, &json!("unready")));
    assert_eq!(
        ready.json()["checks"][1],
        json!({"name": "redis", "status": "unready", "detail": "Redis does not answer"})
    );
    redis.restart().await?;
    eventually(Duration::from_secs(20), "ready again", async || {
        harness.get("/ready").await.is_ok_and(|ready| ready.status == StatusCode::OK)
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn logins_under_way_are_answered_when_the_service_is_told_to_stop() -> anyhow::Result<()> {
    let harness = Harness::start_with(|env| env.with("PASSWORD_WORKERS", "1")).await?;
    harness.account("ann").await?;
    let (addr, stop) = (harness.addr, harness.stop.clone());
    let logins = join_all((0..4).map(|_| harness.login("ann", PASSWORD)));
    let stopping = async {
        // At least one of them is being hashed.
        eventually(Duration::from_secs(20), "a hash", async || {
            harness.metric("password_hashes_in_flight").await.is_ok_and(|hashes| hashes > 0.0)
        })
        .await?;
        stop.cancel();
        anyhow::Ok(())
    };
    let (logins, stopped) = futures::join!(logins, stopping);
    stopped?;
    for login in logins {
        assert_eq!(login?.status, StatusCode::OK);
    }
    harness.served.await??;
    assert!(TcpStream::connect(addr).await.is_err());
    Ok(())
}

#[tokio::test]
async fn a_connection_that_only_waits_does_not_keep_the_service_from_stopping() -> anyhow::Result<()> {
    let harness = Harness::start().await?;
    let mut idle = TcpStream::connect(harness.addr).await?;
    idle.write_all(b"GET /health HTTP/1.1\r\nhost: test\r\n\r\n").await?;
    let mut first = [0; 15];
    idle.read_exact(&mut first).await?;
    assert_eq!(&first, b"HTTP/1.1 200 OK");
    harness.stop.cancel();
    tokio::time::timeout(Duration::from_secs(20), harness.served).await.context("stops")???;
    Ok(())
}

#[tokio::test]
async fn what_stands_in_the_way_of_a_start_is_said_in_a_sentence() -> anyhow::Result<()> {
    let harness = Harness::start().await?;
    let env = Env::default()
        .with("JWT_SECRET_KEY", SECRET)
        .with("USER_SERVICE_ADDR", harness.addr.to_string())
        .with("AWS_ENDPOINT_URL_DYNAMODB", harness.endpoint);
    let error = start(Config::from_env(&env)?).await.err().context("the port is taken")?;
    assert_eq!(
        error.to_string(),
        format!("{} is in use by another process; stop that one or choose another address", harness.addr)
    );

    let nobody = format!("http://127.0.0.1:{}", free_port()?);
    let env = env.with("AWS_ENDPOINT_URL_DYNAMODB", &nobody);
    let error = start(Config::from_env(&env)?).await.err().context("there is no store")?;
    assert_eq!(error.to_string(), format!("the DynamoDB at {nobody} cannot be used"));
    Ok(())
}
