//! What clients notice of targets that fail.

use std::collections::BTreeSet;

use reqwest::Method;
use serde_json::{Value, json};
use testkit::{Behaviour, Upstream, eventually, free_port};

use crate::support::{Gateway, PATIENCE, code};

fn pool(targets: &[String], settings: &str) -> String {
    let targets = targets.join("\", \"");
    format!(
        r#"
upstreams:
  u: {{ targets: ["{targets}"], {settings} }}
routes:
  - {{ name: all, match: {{ path: "/*" }}, upstream: u, public: true }}
"#
    )
}

async fn post(gateway: &Gateway, key: Option<&str>) -> (u16, String) {
    let request = gateway.request(Method::POST, "/x").body("order");
    let request = match key {
        Some(key) => request.header("Idempotency-Key", key),
        None => request,
    };
    let answer = request.send().await.expect("an answer");
    (answer.status().as_u16(), answer.text().await.expect("a body"))
}

#[tokio::test]
async fn targets_take_turns() {
    let (one, two) = (Upstream::start().await.expect("starts"), Upstream::start().await.expect("starts"));
    let gateway = Gateway::start(&pool(&[one.url(), two.url()], ""));
    for _ in 0..10 {
        assert_eq!(gateway.get("/x").await.0, 200);
    }
    assert_eq!((one.arrived().len(), two.arrived().len()), (5, 5));
}

#[tokio::test]
async fn a_target_that_cannot_be_reached_costs_no_request() {
    let one = Upstream::start().await.expect("starts");
    let dead = format!("http://127.0.0.1:{}", free_port().expect("a port"));
    let gateway = Gateway::start(&pool(&[one.url(), dead], ""));
    for _ in 0..6 {
        assert_eq!(gateway.get("/x").await.0, 200);
        assert_eq!(post(&gateway, None).await.0, 200, "nothing was sent, so even a POST may go elsewhere");
    }
    assert_eq!(one.arrived().len(), 12);
    assert!(gateway.metric(r#"gateway_upstream_retries_total{upstream="u"}"#).await >= Some(1.0));
}

#[tokio::test]
async fn a_request_is_sent_twice_only_if_that_is_harmless() {
    let (one, two) = (Upstream::start().await.expect("starts"), Upstream::start().await.expect("starts"));
    one.behave(Behaviour::HangUp);
    two.behave(Behaviour::HangUp);
    let gateway = Gateway::start(&pool(&[one.url(), two.url()], "retries: 1"));
    let sent = || one.arrived().len() + two.arrived().len();
    let (status, body) = gateway.get("/x").await;
    assert_eq!((status, &*code(&body), sent()), (502, "upstream_broken", 2));
    assert_eq!((post(&gateway, None).await.0, sent()), (502, 3));
    assert_eq!((post(&gateway, Some("k")).await.0, sent()), (502, 5));
    two.behave(Behaviour::Answer);
    for _ in 0..4 {
        assert_eq!(post(&gateway, Some("k")).await.0, 200);
    }
    let repeated = two.arrived().pop().expect("a request");
    assert_eq!(repeated.body, b"order", "the body goes with the repetition");
}

#[tokio::test]
async fn a_body_that_is_sent_twice_counts_once() {
    let upstream = Upstream::start().await.expect("starts");
    upstream.behave(Behaviour::HangUp);
    let gateway = Gateway::start(&pool(&[upstream.url()], "retries: 2"));
    let answer = gateway.request(Method::PUT, "/x").body(vec![b'x'; 1000]).send().await.expect("an answer");
    assert_eq!((answer.status().as_u16(), upstream.arrived().len()), (502, 3), "1 KiB is allowed");
}

#[tokio::test]
async fn a_failure_after_an_interim_response_is_answered_too() {
    let upstream = Upstream::start().await.expect("starts");
    upstream.behave(Behaviour::Say("HTTP/1.1 100 Continue\r\n\r\n"));
    let gateway = Gateway::start(&pool(&[upstream.url()], "retries: 0"));
    let request = "POST /x HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 1\r\n\r\nx";
    let answer = gateway.raw(request.as_bytes()).await;
    assert!(answer.starts_with("HTTP/1.1 100 ") && answer.contains("\r\n\r\nHTTP/1.1 502 "), "{answer}");
    gateway.shows(r#"gateway_requests_total{route="all",status="502"}"#, 1.0).await;
}

#[tokio::test]
async fn each_failure_has_its_own_answer() {
    let upstream = Upstream::start().await.expect("starts");
    let gateway = Gateway::start(&pool(&[upstream.url()], "retries: 0, timeouts: { read: 50ms }"));
    upstream.behave(Behaviour::Hang);
    let (status, body) = gateway.get("/x").await;
    assert_eq!((status, &*code(&body)), (504, "upstream_timed_out"));
    upstream.behave(Behaviour::Say("what do you mean?\r\n\r\n"));
    let (status, body) = gateway.get("/x").await;
    assert_eq!((status, &*code(&body)), (502, "upstream_broken"));
    let dead = format!("http://127.0.0.1:{}", free_port().expect("a port"));
    let gateway = Gateway::start(&pool(&[dead], "retries: 0"));
    let (status, body) = gateway.get("/x").await;
    assert_eq!((status, &*code(&body)), (502, "upstream_unreachable"));
}

#[tokio::test]
async fn what_is_out_of_order_says_why() {
    let (sick, silent) = (Upstream::start().await.expect("starts"), Upstream::start().await.expect("starts"));
    sick.behave(Behaviour::Sick);
    silent.behave(Behaviour::Hang);
    let nobody = format!("127.0.0.1:{}", free_port().expect("a port"));
    let health = "health_check: { path: /health, interval: 100ms, timeout: 100ms, unhealthy_after: 1 }";
    let targets = [sick.url(), silent.url(), format!("http://{nobody}")];
    let redis = format!("redis: {{ host: 127.0.0.1, port: {} }}", free_port().expect("a port"));
    let gateway = Gateway::start(&format!("{redis}{}", pool(&targets, health)));
    let reasons = [
        (sick.addr().to_string(), "answered 500"),
        (silent.addr().to_string(), "timed out"),
        (nobody, "connection refused"),
    ];
    let all_told = async || {
        let shown: Value = serde_json::from_str(&gateway.admin("/upstreams").await.1).expect("JSON");
        let has = |(target, reason): &(String, &str)| {
            let wanted = json!({"target": target, "healthy": false, "reason": reason});
            shown["u"].as_array().is_some_and(|targets| targets.contains(&wanted))
        };
        reasons.iter().all(has)
    };
    eventually(PATIENCE, "every reason is shown", all_told).await.expect("shown");
    let ready = async || -> Value { serde_json::from_str(&gateway.admin("/ready").await.1).expect("JSON") };
    let detail = ready().await["checks"][0]["detail"].as_str().expect("a detail").to_owned();
    for (target, reason) in &reasons {
        assert!(detail.contains(&format!("{target}: {reason}")), "{detail}");
    }
    let refused = async || ready().await["checks"][1]["detail"].as_str().is_some_and(|d| d.contains("refused"));
    eventually(PATIENCE, "Redis is noticed to be down", refused).await.expect("shown");

    sick.behave(Behaviour::Answer);
    let well = json!({"target": sick.addr().to_string(), "healthy": true});
    let is_well = async || gateway.admin("/upstreams").await.1.contains(&well.to_string());
    eventually(PATIENCE, "it is well again", is_well).await.expect("well");
    assert_eq!(ready().await["checks"][0], json!({"name": "upstream u", "status": "up"}));
}

#[tokio::test]
async fn a_sick_target_gets_no_requests_until_it_is_well() {
    let (one, two) = (Upstream::start().await.expect("starts"), Upstream::start().await.expect("starts"));
    one.behave(Behaviour::Sick);
    let health = "health_check: { path: /health, interval: 1s, timeout: 1s, unhealthy_after: 1 }";
    let gateway = Gateway::start(&pool(&[one.url(), two.url()], health));
    let healthy = async |addr: std::net::SocketAddr| {
        gateway.metric(&format!(r#"gateway_upstream_healthy{{target="{addr}",upstream="u"}}"#)).await
    };
    eventually(PATIENCE, "the sick target is noticed", async || healthy(one.addr()).await == Some(0.0))
        .await
        .expect("noticed");
    assert!(gateway.admin("/ready").await.1.contains("\"ready\""));
    for _ in 0..4 {
        assert_eq!(gateway.get("/x").await, (200, two.addr().to_string()));
    }
    two.behave(Behaviour::Sick);
    eventually(PATIENCE, "none is well", async || gateway.get("/x").await.0 == 503).await.expect("noticed");
    let (_, body) = gateway.get("/x").await;
    assert_eq!(code(&body), "no_healthy_upstream");
    assert!(gateway.admin("/ready").await.1.contains("\"degraded\""));
    one.behave(Behaviour::Answer);
    two.behave(Behaviour::Answer);
    let both = BTreeSet::from([one.addr().to_string(), two.addr().to_string()]);
    eventually(PATIENCE, "both are well again", async || {
        BTreeSet::from([gateway.get("/x").await.1, gateway.get("/x").await.1]) == both
    })
    .await
    .expect("noticed");
}

#[tokio::test]
async fn a_host_that_cannot_be_looked_up_is_shown_with_the_reason() {
    let upstream = Upstream::start().await.expect("starts");
    let file = format!(
        "upstreams: {{ lost: {{ targets: [\"http://nowhere.invalid:80\"] }}, one: {{ targets: [\"{}\"] }} }}\n\
         routes:\n- {{ name: lost, match: {{ path: /lost }}, upstream: lost, public: true }}\n\
         - {{ name: one, match: {{ path: /one }}, upstream: one, public: true }}\n",
        upstream.url()
    );
    let gateway = Gateway::start(&file);
    let (_, shown) = gateway.admin("/upstreams").await;
    let shown: Value = serde_json::from_str(&shown).expect("json");
    let target = &shown["lost"][0];
    assert_eq!((&target["target"], &target["healthy"]), (&json!("nowhere.invalid:80"), &json!(false)), "{shown}");
    assert!(target["reason"].as_str().expect("a reason").starts_with("cannot be looked up: "), "{shown}");
    assert_eq!(shown["one"].as_array().map(Vec::len), Some(1));
    let (status, ready) = gateway.admin("/ready").await;
    assert!(status == 200 && ready.contains("nowhere.invalid:80: cannot be looked up: "), "{ready}");
    let unhealthy = r#"gateway_upstream_healthy{target="nowhere.invalid:80",upstream="lost"}"#;
    gateway.shows(unhealthy, 0.0).await;
    assert_eq!(gateway.get("/lost").await.0, 503);
}
