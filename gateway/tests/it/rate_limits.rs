//! What limits count, and whom they hold back, through the whole gateway.

use std::cell::Cell;
use std::time::Duration;

use reqwest::Method;
use serde_json::json;
use testkit::{Behaviour, RedisServer, Upstream};

use crate::support::{Gateway, code, token};

/// A gateway with one public route `/a/*` that all these policies count, and what else the file has.
fn gateway(upstream: &Upstream, limits: &str, policies: &str) -> Gateway {
    gateway_with(
        upstream,
        limits,
        &format!("public: true, middleware: [{{ rate_limit: {{ policies: [{policies}] }} }}]"),
    )
}

fn gateway_with(upstream: &Upstream, limits: &str, route: &str) -> Gateway {
    Gateway::start(&format!(
        "rate_limits:\n{limits}\nupstreams: {{ u: {{ targets: [\"{}\"] }} }}\n\
         routes: [{{ name: a, match: {{ path: \"/a/*\" }}, upstream: u, {route} }}]\n",
        upstream.url()
    ))
}

/// Generous, because a loaded machine is no reason to fail.
const SOON: Duration = Duration::from_secs(20);
const IN_AN_HOUR: &str = "window: 1h, key: client_address";

async fn statuses(gateway: &Gateway, paths: &[&str]) -> Vec<u16> {
    let mut statuses = Vec::new();
    for path in paths {
        statuses.push(gateway.get(path).await.0);
    }
    statuses
}

/// What is left of the policy `name`, as clients are told.
async fn left(gateway: &Gateway, name: &str) -> String {
    let answer = gateway.request(Method::GET, "/a/").send().await.expect("an answer");
    let told =
        answer.headers().get("ratelimit").map(|value| value.to_str().expect("text").to_owned()).unwrap_or_default();
    let member = told.split(", ").find(|member| member.starts_with(&format!("\"{name}\"")));
    member.unwrap_or_default().split(';').nth(1).unwrap_or_default().to_owned()
}

#[tokio::test]
async fn a_request_that_one_policy_refuses_takes_nothing_from_the_others_here_and_in_redis() {
    let upstream = Upstream::start().await.expect("starts");
    let redis = RedisServer::start().await.expect("Redis");
    for scope in ["local", "redis"] {
        let limits = format!(
            "  wide: {{ scope: {scope}, limit: 10, {IN_AN_HOUR} }}\n  \
             narrow: {{ scope: {scope}, limit: 2, {IN_AN_HOUR} }}\n\
             redis: {{ host: 127.0.0.1, port: {}, timeout: 10s }}",
            redis.port()
        );
        let gateway = gateway(&upstream, &limits, "wide, narrow");
        assert_eq!(statuses(&gateway, &["/a/"; 5]).await, [200, 200, 429, 429, 429], "{scope}");
        assert_eq!(left(&gateway, "wide").await, "r=8", "{scope}");
    }
}

#[tokio::test]
async fn a_quota_here_is_whole_again_when_redis_refuses() {
    let upstream = Upstream::start().await.expect("starts");
    let redis = RedisServer::start().await.expect("Redis");
    let limits = format!(
        "  here: {{ scope: local, limit: 10, {IN_AN_HOUR} }}\n  there: {{ scope: redis, limit: 2, {IN_AN_HOUR} }}\n\
         redis: {{ host: 127.0.0.1, port: {}, timeout: 10s }}",
        redis.port()
    );
    let gateway = gateway(&upstream, &limits, "here, there");
    assert_eq!(statuses(&gateway, &["/a/"; 4]).await, [200, 200, 429, 429]);
    assert_eq!(left(&gateway, "here").await, "r=8");
    let allowed = r#"gateway_rate_limit_requests_total{outcome="allowed",policy="here"}"#;
    gateway.shows(allowed, 2.0).await;
}

#[tokio::test]
async fn a_request_counts_as_many_as_the_file_or_an_expression_says() {
    let upstream = Upstream::start().await.expect("starts");
    let limits = format!(
        "  c: {{ scope: local, limit: 10, cost: 3, {IN_AN_HOUR} }}\n  e: {{ scope: local, limit: 100, {IN_AN_HOUR}, \
         cost_by: {{ value: \"= has(query.n) ? int(query.n) : 0\", max: 50 }} }}"
    );
    let gateway = gateway(&upstream, &limits, "e, c");
    assert_eq!(
        statuses(&gateway, &["/a/?n=40", "/a/?n=900", "/a/?n=0"]).await,
        [200; 3],
        "40, the most, and the usual"
    );
    assert_eq!(left(&gateway, "e").await, "r=9", "of nine the first policy does not let it take one");
    assert_eq!(left(&gateway, "c").await, "r=1");
}

#[tokio::test]
async fn a_request_whose_cost_is_in_doubt_costs_the_most() {
    let upstream = Upstream::start().await.expect("starts");
    let limits = format!(
        "  e: {{ scope: local, limit: 100, {IN_AN_HOUR}, cost_by: {{ value: \"= has(query.n) ? int(query.n) : 1\", \
         max: 20 }} }}"
    );
    let gateway = gateway(&upstream, &limits, "e");
    let doubtful = ["/a/?n=-4", "/a/?n=2&n=2", "/a/?n=99999999999999999999999", "/a/?n=two"];
    assert_eq!(statuses(&gateway, &doubtful).await, [200; 4]);
    assert_eq!(left(&gateway, "e").await, "r=19", "four times the most, and one");
    assert_eq!(statuses(&gateway, &["/a/?n=", "/a/?n=19"]).await, [429, 200], "an empty one too");
    gateway.shows("gateway_expression_errors_total{route=\"a\"}", 5.0).await;
}

#[tokio::test]
async fn a_claim_that_is_no_number_is_doubt_for_costs_and_the_usual_limit() {
    let upstream = Upstream::start().await.expect("starts");
    let limits = "  c: { scope: local, limit: 10, cost_by: { value: claim.cost, max: 6 }, window: 1h, key: claim.sub }\n  \
                  l: { scope: local, limit: 4, limit_by: { value: claim.rpm, max: 3 }, window: 1h, key: claim.sub }";
    let steps = "middleware: [{ jwt: { provider: us } }, { rate_limit: { policies: [c, l] } }]";
    let gateway = gateway_with(&upstream, limits, steps);
    for (user, claim, value, told) in [
        ("a", "cost", json!("5"), "\"c\";r=5"),
        ("b", "cost", json!(5.0), "\"c\";r=5"),
        ("c", "cost", json!(0), "\"c\";r=9"),
        ("d", "cost", json!(null), "\"c\";r=9"),
        ("e", "cost", json!(-1), "\"c\";r=4"),
        ("f", "cost", json!("many"), "\"c\";r=4"),
        ("g", "rpm", json!(0), "\"l\";r=0"),
        ("h", "rpm", json!("2"), "\"l\";r=1"),
        ("i", "rpm", json!(["2"]), "\"l\";r=2"),
    ] {
        let token = token(|claims| {
            claims["sub"] = json!(user);
            claims[claim] = value.clone();
        });
        let request = gateway.request(Method::GET, "/a/").header("Authorization", format!("Bearer {token}"));
        let answer = request.send().await.expect("an answer");
        let quota = answer.headers().get("ratelimit").expect("a quota").to_str().expect("text");
        assert!(quota.split(", ").any(|member| member.starts_with(&format!("{told};"))), "{claim} {value}: {quota}");
    }
    gateway.shows("gateway_expression_errors_total{route=\"a\"}", 3.0).await;
}

#[tokio::test]
async fn each_plan_has_its_limit_and_none_more_than_the_most() {
    let upstream = Upstream::start().await.expect("starts");
    let limits =
        "  plans: { scope: local, limit: 1, limit_by: { value: claim.rpm, max: 3 }, window: 1h, key: claim.sub }";
    let steps = "middleware: [{ jwt: { provider: us } }, { rate_limit: { policies: [plans] } }]";
    let gateway = gateway_with(&upstream, limits, steps);
    for (user, rpm, passes) in [("a", json!(2), 2), ("b", json!(9), 3), ("c", json!(null), 1), ("d", json!("2"), 2)] {
        let token = token(|claims| {
            claims["sub"] = json!(user);
            claims["rpm"] = rpm.clone();
        });
        for number in 0..4 {
            let request = gateway.request(Method::GET, "/a/").header("Authorization", format!("Bearer {token}"));
            let status = request.send().await.expect("an answer").status();
            assert_eq!(status.is_success(), number < passes, "{user} {number}");
        }
    }
}

#[tokio::test]
async fn only_some_answers_count_and_those_under_way_count_until_they_are_there() {
    let upstream = Upstream::start().await.expect("starts");
    let redis = RedisServer::start().await.expect("Redis");
    for scope in ["local", "redis"] {
        upstream.behave(Behaviour::Answer);
        let limits = format!(
            "  failures: {{ scope: {scope}, limit: 2, {IN_AN_HOUR}, only_statuses: [401, 403] }}\n\
             redis: {{ host: 127.0.0.1, port: {}, timeout: 10s }}",
            redis.port()
        );
        let gateway = gateway(&upstream, &limits, "failures");
        let answered = async |expected: u16| assert_eq!(gateway.get("/a/").await.0, expected, "{scope}");
        let given_back = async || {
            let mut connection = redis.connect().await.expect("a connection");
            let keys: Vec<String> =
                redis::cmd("KEYS").arg("*:limit:*").query_async(&mut connection).await.expect("keys");
            keys.is_empty()
        };
        for _ in 0..4 {
            answered(200).await;
            // Redis is told a little later.
            testkit::eventually(SOON, "it is given back", given_back).await.expect("in time");
        }
        upstream.behave(Behaviour::Say("HTTP/1.1 401 Unauthorized\r\nContent-Length: 0\r\n\r\n"));
        answered(401).await;
        answered(401).await;
        answered(429).await;
        upstream.behave(Behaviour::Answer);
        answered(429).await;
    }
    upstream.behave(Behaviour::Hold);
    let limits = format!("  failures: {{ scope: local, limit: 2, {IN_AN_HOUR}, only_statuses: [401] }}");
    let gateway = gateway(&upstream, &limits, "failures");
    let first = gateway.request(Method::GET, "/a/").send();
    let second = gateway.request(Method::GET, "/a/").send();
    let is_refused = Cell::new(false);
    let third = async {
        let allowed = r#"gateway_rate_limit_requests_total{outcome="allowed",policy="failures"}"#;
        let are_under_way = async || gateway.metric(allowed).await == Some(2.0);
        testkit::eventually(SOON, "two are under way", are_under_way).await.expect("in time");
        let status = gateway.get("/a/").await.0;
        upstream.behave(Behaviour::Answer);
        is_refused.set(true);
        status
    };
    let let_go = async {
        loop {
            tokio::time::sleep(Duration::from_millis(10)).await;
            if is_refused.get() {
                upstream.let_go();
            }
        }
    };
    let (first, second, third) = tokio::select! {
        answers = async { tokio::join!(first, second, third) } => answers,
        () = let_go => unreachable!("it goes on for ever"),
    };
    assert!([first, second].into_iter().all(|answer| answer.expect("an answer").status() == 200));
    assert_eq!(third, 429, "both may yet turn out to count");
    assert_eq!(statuses(&gateway, &["/a/"; 3]).await, [200; 3], "neither has");
}

#[tokio::test]
async fn a_refusal_counts_in_whatever_form_it_is_told() {
    let upstream = Upstream::start().await.expect("starts");
    let limits = format!(
        "  guesses: {{ scope: local, limit: 2, {IN_AN_HOUR}, only_statuses: [401] }}\n\
         api_keys: {{ ours: {{ keys: [{{ client: one, \
         sha256: ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad }}] }} }}"
    );
    let steps = "middleware: [{ rate_limit: { policies: [guesses] } }, { api_key: { provider: ours } }]";
    let gateway = gateway_with(&upstream, &limits, steps);
    for kind in ["application/grpc-web", "application/grpc-web+proto", "text/plain", "application/grpc-web"] {
        let guess = gateway.request(Method::POST, "/a/").header("X-Api-Key", "wrong").header("Content-Type", kind);
        guess.send().await.expect("an answer");
    }
    let outcomes = async |outcome| {
        gateway.metric(&format!(r#"gateway_rate_limit_requests_total{{outcome="{outcome}",policy="guesses"}}"#)).await
    };
    assert_eq!((outcomes("allowed").await, outcomes("refused").await), (Some(2.0), Some(2.0)));
    assert!(upstream.arrived().is_empty());
}

#[tokio::test]
async fn an_upstream_says_what_a_request_has_cost() {
    let upstream = Upstream::start().await.expect("starts");
    let limits = format!(
        "  tokens: {{ scope: local, limit: 100, cost: 10, {IN_AN_HOUR}, cost_from_response: {{ header: X-Cost, max: 150 }} }}"
    );
    let gateway = gateway(&upstream, &limits, "tokens");
    let costs = |told| upstream.behave(Behaviour::Say(told));
    costs("HTTP/1.1 200 OK\r\nX-Cost: 1\r\nContent-Length: 0\r\n\r\n");
    assert_eq!(left(&gateway, "tokens").await, "r=90", "what it is charged beforehand");
    assert_eq!(left(&gateway, "tokens").await, "r=89");
    costs("HTTP/1.1 200 OK\r\nX-Cost: much\r\nContent-Length: 0\r\n\r\n");
    assert_eq!(left(&gateway, "tokens").await, "r=88", "of which nothing is said, costs ten");
    costs("HTTP/1.1 200 OK\r\nX-Cost: 99999999999\r\nContent-Length: 0\r\n\r\n");
    assert_eq!(left(&gateway, "tokens").await, "r=78", "costs the most");
    let answer = gateway.request(Method::GET, "/a/").send().await.expect("an answer");
    assert_eq!(answer.status(), 429);
    let wait: u64 = answer.headers()["retry-after"].to_str().expect("text").parse().expect("a number");
    // 62 are owed, and 10 more are wanted.
    assert!((70 * 36..=72 * 36).contains(&wait), "{wait}");
}

#[tokio::test]
async fn a_policy_that_only_watches_holds_nobody_back_and_says_whom_it_would_have() {
    let upstream = Upstream::start().await.expect("starts");
    let directory = tempfile::tempdir().expect("a directory");
    let log = directory.path().join("access.log");
    let gateway = Gateway::start_logging(
        &log,
        &format!(
            "rate_limits:\n  new: {{ scope: local, limit: 1, {IN_AN_HOUR}, shadow: true }}\n\
             upstreams: {{ u: {{ targets: [\"{}\"] }} }}\nroutes: [{{ name: a, match: {{ path: \"/a/*\" }}, upstream: u, \
             public: true, middleware: [{{ rate_limit: {{ policies: [new] }} }}] }}]\n",
            upstream.url()
        ),
    );
    for _ in 0..3 {
        let answer = gateway.request(Method::GET, "/a/").send().await.expect("an answer");
        assert_eq!(answer.status(), 200);
        assert!(!answer.headers().keys().any(|name| name.as_str().contains("ratelimit")), "{:?}", answer.headers());
    }
    let refused = r#"gateway_rate_limit_requests_total{outcome="shadow_refused",policy="new"}"#;
    gateway.shows(refused, 2.0).await;
    testkit::eventually(SOON, "three lines", async || {
        std::fs::read_to_string(&log).unwrap_or_default().lines().count() == 3
    })
    .await
    .expect("in time");
    let text = std::fs::read_to_string(&log).expect("a log");
    assert_eq!(text.matches(r#""would_be_limited_by":"new""#).count(), 2, "{text}");
}

#[tokio::test]
async fn a_refusal_names_the_policy_that_refused() {
    let upstream = Upstream::start().await.expect("starts");
    let limits = format!(
        "  wide: {{ scope: local, limit: 9, {IN_AN_HOUR} }}\n  narrow: {{ scope: local, limit: 1, {IN_AN_HOUR} }}"
    );
    let gateway = gateway(&upstream, &limits, "wide, narrow");
    assert_eq!(gateway.get("/a/").await.0, 200);
    let (status, body) = gateway.get("/a/").await;
    assert_eq!((status, &*code(&body)), (429, "quota_exceeded"));
    assert!(body.contains(r#"["narrow"]"#), "{body}");
}
