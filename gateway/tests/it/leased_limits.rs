//! Limits that are leased, through whole gateways that share a real Redis.

use std::time::{Duration, Instant};

use futures::future::join_all;
use reqwest::Method;
use testkit::{Behaviour, RedisServer, Upstream, eventually};

use crate::support::Gateway;

/// Generous, because a loaded machine is no reason to fail.
const SOON: Duration = Duration::from_secs(20);

/// A gateway with one public route that counts by the policy `api`, of which `limit` says more.
fn gateway(upstream: &Upstream, redis: &RedisServer, limit: &str) -> Gateway {
    Gateway::start(&format!(
        "rate_limits: {{ api: {{ scope: leased, {limit}, key: client_address }} }}\n\
         redis: {{ host: 127.0.0.1, port: {}, timeout: 10s }}\n\
         upstreams: {{ u: {{ targets: [\"{}\"] }} }}\nroutes: [{{ name: a, match: {{ path: \"/a/*\" }}, upstream: u, \
         public: true, middleware: [{{ rate_limit: {{ policies: [api] }} }}] }}]\n",
        redis.port(),
        upstream.url()
    ))
}

/// How many scripts Redis has run.
async fn calls(redis: &RedisServer) -> u64 {
    let mut connection = redis.connect().await.expect("a connection");
    let stats: String = redis::cmd("INFO").arg("commandstats").query_async(&mut connection).await.expect("an answer");
    let evalsha = stats.lines().find_map(|line| line.strip_prefix("cmdstat_evalsha:calls="));
    evalsha.and_then(|line| line.split(',').next()).map_or(0, |calls| calls.parse().expect("a number"))
}

/// How many of `requests`, some at once, pass.
async fn passes(gateway: &Gateway, requests: usize) -> usize {
    let one_after_the_other = || async {
        let mut passed = 0;
        for _ in 0..requests / 8 {
            match gateway.get("/a/").await.0 {
                200 => passed += 1,
                status => assert_eq!(status, 429),
            }
        }
        passed
    };
    join_all((0..8).map(|_| one_after_the_other())).await.into_iter().sum()
}

#[tokio::test]
async fn gateways_never_pass_more_than_the_limit_together_and_ask_redis_for_one_request_in_a_hundred() {
    const EACH: usize = 4_000;
    let (upstream, redis) = (Upstream::start().await.expect("starts"), RedisServer::start().await.expect("Redis"));
    // Ten a second, six hundred at once.
    let gateways = [(); 2].map(|()| gateway(&upstream, &redis, "limit: 600, window: 1m"));
    let began = Instant::now();
    let (first, second) = tokio::join!(passes(&gateways[0], EACH), passes(&gateways[1], EACH));
    let most = 600 + began.elapsed().as_millis() / 100;
    let passed = first + second;
    assert!(passed as u128 <= most, "{passed} of {most}");
    assert!(passed >= 588, "{passed}");
    // They grow with time, too: each gateway asks twice a second for a key that is used up, and says once that it lives.
    let (calls, seconds) = (calls(&redis).await, began.elapsed().as_secs() + 1);
    let asked = 2 * EACH as u64;
    assert!(calls <= asked / 100 + 2 * 8 * seconds, "{calls} calls in {seconds} s");
    for (gateway, passed) in gateways.iter().zip([first, second]) {
        let allowed = r#"gateway_rate_limit_requests_total{outcome="allowed",policy="api"}"#;
        gateway.shows(allowed, passed as f64).await;
        let spent = r#"gateway_rate_limit_lease_tokens_total{event="spent",policy="api"}"#;
        let is_told = async || gateway.metric(spent).await == Some(passed as f64);
        let told = eventually(SOON, "all that was spent is told", is_told).await;
        assert!(told.is_ok(), "{passed} passed, {:?} were spent", gateway.metric(spent).await);
        let degraded = r#"gateway_rate_limit_degraded_total{mode="local_share",policy="api"}"#;
        gateway.shows(degraded, 0.0).await;
    }
}

#[tokio::test]
async fn clients_are_told_of_a_leased_quota() {
    let (upstream, redis) = (Upstream::start().await.expect("starts"), RedisServer::start().await.expect("Redis"));
    let gateway = gateway(&upstream, &redis, "limit: 60, window: 1h");
    let answer = gateway.request(Method::GET, "/a/").send().await.expect("an answer");
    let header = |name: &str| answer.headers()[name].to_str().expect("text").to_owned();
    assert_eq!(header("ratelimit-policy"), r#""api";q=60;w=3600"#);
    assert_eq!((header("x-ratelimit-limit"), header("x-ratelimit-remaining")), ("59".to_owned(), "58".to_owned()));
    let mut more = 0;
    while gateway.get("/a/").await.0 == 200 {
        more += 1;
        assert!(more < 60, "without end");
    }
    let answer = gateway.request(Method::GET, "/a/").send().await.expect("an answer");
    assert_eq!(answer.status(), 429);
    let wait: u64 = answer.headers()["retry-after"].to_str().expect("text").parse().expect("a number");
    assert!((1..=60).contains(&wait), "{wait}");
}

#[tokio::test]
async fn answers_that_do_not_count_are_given_back_to_the_lease() {
    let (upstream, redis) = (Upstream::start().await.expect("starts"), RedisServer::start().await.expect("Redis"));
    let gateway = gateway(&upstream, &redis, "limit: 60, window: 1h, only_statuses: [401]");
    // Sixty would be used up.
    for _ in 0..100 {
        assert_eq!(gateway.get("/a/").await.0, 200);
    }
    upstream.behave(Behaviour::Say("HTTP/1.1 401 Unauthorized\r\nContent-Length: 0\r\n\r\n"));
    let mut failures = 0;
    while gateway.get("/a/").await.0 == 401 {
        failures += 1;
        assert!(failures < 100, "without end");
    }
    assert!((1..=59).contains(&failures), "{failures}");
}

#[tokio::test]
async fn when_redis_dies_nobody_has_more_than_was_left_of_the_limit() {
    let upstream = Upstream::start().await.expect("starts");
    let mut redis = RedisServer::start().await.expect("Redis");
    let gateway = gateway(&upstream, &redis, "limit: 100, window: 24h");
    assert_eq!(passes(&gateway, 40).await, 40);
    let tokens = async |event: &str| {
        let series = format!("gateway_rate_limit_lease_tokens_total{{event=\"{event}\",policy=\"api\"}}");
        gateway.metric(&series).await.expect("there")
    };
    redis.kill().expect("killed");
    let nothing_is_out = async || {
        let spent = tokens("spent").await;
        spent == 40.0 && spent + tokens("returned").await + tokens("lost").await == tokens("leased").await
    };
    eventually(SOON, "what is leased is over", nothing_is_out).await.expect("in time");
    assert_eq!(passes(&gateway, 160).await, 60, "by this gateway's share, which is the whole limit");
}

#[tokio::test]
async fn while_redis_is_away_the_failure_mode_answers_and_nobody_gets_a_server_error() {
    let upstream = Upstream::start().await.expect("starts");
    let mut redis = RedisServer::start().await.expect("Redis");
    let gateway = gateway(&upstream, &redis, "limit: 100, window: 1h, on_redis_failure: open");
    assert_eq!(passes(&gateway, 16).await, 16);
    redis.kill().expect("killed");
    assert_eq!(passes(&gateway, 160).await, 160, "open");
    let degraded = r#"gateway_rate_limit_degraded_total{mode="open",policy="api"}"#;
    assert!(gateway.metric(degraded).await.is_some_and(|requests| requests > 0.0));
    redis.restart().await.expect("restarted");
    let counts_again = async || {
        passes(&gateway, 40).await;
        gateway.get("/a/").await.0 == 429
    };
    eventually(SOON, "Redis counts again", counts_again).await.expect("in time");
}
