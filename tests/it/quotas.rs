//! How much one client may ask: in one gateway, in several that share a Redis, and while that Redis is away.

use reqwest::StatusCode;
use testkit::RedisServer;

use crate::support::{Api, Echo, Gateway, PATIENCE};

/// Longer than any test takes, so that no quota comes back meanwhile.
const WINDOW: &str = "1h";
const LIMIT: usize = 10;

#[tokio::test]
async fn beyond_its_local_quota_a_client_gets_429_and_every_answer_tells_the_quota() -> anyhow::Result<()> {
    let echo = Echo::start().await?;
    let gateway = Gateway::with_config(&format!(
        r#"
rate_limits:
  per-client: {{ scope: local, limit: {LIMIT}, window: {WINDOW}, key: client_address }}
upstreams:
  echo: {{ targets: ["{}"] }}
routes:
  - name: all
    match: {{ path: /* }}
    upstream: echo
    public: true
    middleware: [ {{ rate_limit: {{ policies: [per-client] }} }} ]
"#,
        echo.url()
    ))
    .await?;

    for used in 1..=LIMIT {
        let answer = gateway.api.get("/").await?;
        assert_eq!(answer.status(), StatusCode::OK);
        assert_eq!(header(&answer, "x-ratelimit-limit"), LIMIT.to_string());
        assert_eq!(header(&answer, "x-ratelimit-remaining"), (LIMIT - used).to_string());
        assert!(header(&answer, "ratelimit").starts_with("\"per-client\";r="), "{:?}", answer.headers());
        assert!(header(&answer, "ratelimit-policy").starts_with(&format!("\"per-client\";q={LIMIT};w=3600")));
    }
    let refused = gateway.api.get("/").await?;
    assert_eq!(refused.status(), StatusCode::TOO_MANY_REQUESTS);
    assert!(header(&refused, "retry-after").parse::<u32>()? >= 1);
    assert_eq!(header(&refused, "x-ratelimit-remaining"), "0");
    let problem: serde_json::Value = refused.json().await?;
    assert_eq!(problem["type"], "https://iana.org/assignments/http-problem-types#quota-exceeded");
    assert_eq!(problem["violated-policies"][0], "per-client", "{problem}");
    Ok(())
}

#[tokio::test]
async fn two_gateways_on_one_redis_let_through_exactly_one_quota() -> anyhow::Result<()> {
    let (echo, redis) = (Echo::start().await?, RedisServer::start().await?);
    let config = sharing(&redis, &echo);
    let (first, second) = (Gateway::with_config(&config).await?, Gateway::with_config(&config).await?);

    // Both at once, so that they race for the same key.
    let attempts = (0..3 * LIMIT).map(|n| if n % 2 == 0 { &first.api } else { &second.api });
    let statuses = futures::future::join_all(attempts.map(|api| status(api, "/local_share"))).await;
    let statuses = statuses.into_iter().collect::<anyhow::Result<Vec<_>>>()?;
    assert_eq!(statuses.iter().filter(|status| **status == StatusCode::OK).count(), LIMIT, "{statuses:?}");
    assert_eq!(statuses.iter().filter(|status| **status == StatusCode::TOO_MANY_REQUESTS).count(), 2 * LIMIT);
    Ok(())
}

#[tokio::test]
async fn while_redis_is_away_each_policy_does_what_it_says_and_then_counts_again() -> anyhow::Result<()> {
    let (echo, mut redis) = (Echo::start().await?, RedisServer::start().await?);
    let gateway = Gateway::with_config(&sharing(&redis, &echo)).await?;
    for path in ["/open", "/closed", "/local_share"] {
        assert_eq!(status(&gateway.api, path).await?, StatusCode::OK, "{path}");
    }

    redis.kill()?;
    for _ in 0..2 * LIMIT {
        assert_eq!(status(&gateway.api, "/open").await?, StatusCode::OK);
        assert_eq!(status(&gateway.api, "/closed").await?, StatusCode::SERVICE_UNAVAILABLE);
    }
    let mut passed = 0;
    while status(&gateway.api, "/local_share").await? == StatusCode::OK {
        passed += 1;
        assert!(passed <= LIMIT, "the gateway does not count for itself");
    }
    assert_eq!(status(&gateway.api, "/local_share").await?, StatusCode::TOO_MANY_REQUESTS);

    redis.restart().await?;
    testkit::eventually(PATIENCE, "closed lets through again", async || {
        status(&gateway.api, "/closed").await.is_ok_and(|status| status == StatusCode::OK)
    })
    .await?;
    assert_eq!(status(&gateway.api, "/local_share").await?, StatusCode::OK, "the quota is Redis' again");
    let keys: usize = redis::cmd("DBSIZE").query_async(&mut redis.connect().await?).await?;
    assert!(keys >= 2, "only {keys} keys are counted");
    Ok(())
}

#[tokio::test]
async fn a_redis_that_hangs_costs_a_request_no_more_than_its_deadline() -> anyhow::Result<()> {
    let (echo, redis) = (Echo::start().await?, RedisServer::start().await?);
    let gateway = Gateway::with_config(&sharing(&redis, &echo)).await?;
    assert_eq!(status(&gateway.api, "/open").await?, StatusCode::OK);
    redis.stall()?;
    // Would otherwise wait for as long as the server is stopped, which is until this test ends it.
    for _ in 0..LIMIT {
        let answer = tokio::time::timeout(PATIENCE, status(&gateway.api, "/open")).await??;
        assert_eq!(answer, StatusCode::OK);
    }
    redis.resume()
}

/// One route for each failure mode, each with a quota of its own in Redis.
fn sharing(redis: &RedisServer, echo: &Echo) -> String {
    let mut config = format!(
        "redis: {{ host: 127.0.0.1, port: {}, timeout: 500ms }}\nupstreams:\n  echo: {{ targets: [\"{}\"] }}\n",
        redis.port(),
        echo.url()
    );
    let modes = ["open", "closed", "local_share"];
    config += "rate_limits:\n";
    for mode in modes {
        config += &format!(
            "  {mode}: {{ scope: redis, limit: {LIMIT}, window: {WINDOW}, key: client_address, on_redis_failure: {mode} }}\n"
        );
    }
    config += "routes:\n";
    for mode in modes {
        config += &format!(
            "  - {{ name: {mode}, match: {{ path: /{mode} }}, upstream: echo, public: true, middleware: [ {{ rate_limit: {{ policies: [{mode}] }} }} ] }}\n"
        );
    }
    config
}

async fn status(api: &Api, path: &str) -> anyhow::Result<StatusCode> {
    Ok(api.get(path).await?.status())
}

fn header<'a>(answer: &'a reqwest::Response, name: &str) -> &'a str {
    answer.headers().get(name).and_then(|value| value.to_str().ok()).unwrap_or_default()
}
