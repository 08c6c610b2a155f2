//! Prices from CoinGecko, whatever it does.

use std::time::Duration;

use chrono::{TimeDelta, Utc};
use inventory_service::config::{CoinGeckoSettings, PriceSettings};
use reqwest::StatusCode;
use serde_json::{Value, json};
use tokio::time::{sleep, timeout};

use crate::coingecko::{CoinGecko, Reply};
use crate::harness::{DEADLINE, Harness, text};

/// A service that asks `source` every 20 ms, and gives up on an answer after 200 ms.
async fn harness(source: &CoinGecko) -> Harness {
    let source = CoinGeckoSettings {
        base_url: source.url.parse().expect("url"),
        api_key: Some("CG-demo".to_owned().into()),
        connect_timeout: Duration::from_secs(1),
        timeout: Duration::from_millis(200),
    };
    let interval = Duration::from_millis(20);
    Harness::start_with(|config| config.prices = Some(PriceSettings { source, interval, first_retry: interval })).await
}

fn market(id: &str, price: Value) -> Value {
    json!({
        "id": id, "symbol": "x", "name": "x", "image": "https://x", "current_price": price, "market_cap": 1e12,
        "price_change_percentage_24h": -0.5, "roi": null, "last_updated": Utc::now().to_rfc3339(),
    })
}

fn bitcoin_costs(price: f64) -> Reply {
    Reply::ok(json!([market("bitcoin", json!(price))]).to_string())
}

async fn price(harness: &Harness, id: &str) -> String {
    text(&harness.get(&format!("/inventory/assets/{id}")).await.json(StatusCode::OK)["price_usd"])
}

async fn until_price(harness: &Harness, id: &str, expected: &str) {
    let poll = async {
        while price(harness, id).await != expected {
            sleep(Duration::from_millis(5)).await;
        }
    };
    timeout(DEADLINE, poll).await.expect("the price arrives");
}

async fn refreshes(harness: &Harness, outcome: &str) -> f64 {
    metric(harness, &format!("inventory_price_refreshes_total{{outcome=\"{outcome}\"}}")).await
}

async fn until_refreshes(harness: &Harness, outcome: &str, count: f64) {
    let poll = async {
        while refreshes(harness, outcome).await < count {
            sleep(Duration::from_millis(5)).await;
        }
    };
    timeout(DEADLINE, poll).await.expect("the refresh ends so");
}

async fn metric(harness: &Harness, line: &str) -> f64 {
    let metrics = harness.get("/metrics").await.text;
    let value = metrics.lines().find_map(|other| other.strip_prefix(line)).and_then(|rest| rest.trim().parse().ok());
    value.unwrap_or(0.0)
}

#[tokio::test]
async fn every_asset_is_asked_for_and_the_answer_is_served() {
    let body = json!([market("bitcoin", json!(65000.25)), market("shiba-inu", json!(1.2e-7))]).to_string();
    let mut source = CoinGecko::start([Reply::ok(body)]).await;
    let harness = harness(&source).await;
    let head = source.request().await;
    assert!(head.starts_with("GET /api/v3/coins/markets?vs_currency=usd&ids="), "{head}");
    assert!(
        head.contains("bitcoin") && head.contains("shiba-inu") && head.contains("&per_page=250 HTTP/1.1"),
        "{head}"
    );
    assert!(head.contains("x-cg-demo-api-key: CG-demo"), "{head}");

    until_price(&harness, "bitcoin", "65000.25").await;
    until_price(&harness, "shiba-inu", "0.00000012").await;
    let page = harness.get("/inventory/assets?q=bitcoin").await.json(StatusCode::OK);
    assert_eq!(page["items"][0]["price_usd"], "65000.25", "in lists too");
    let newest = metric(&harness, "inventory_newest_price_timestamp_seconds").await;
    assert!(newest > (Utc::now() - TimeDelta::hours(1)).timestamp() as f64, "{newest}");
}

#[tokio::test]
async fn whatever_coingecko_does_the_last_prices_are_served_and_the_next_good_answer_is_used() {
    let truncated = format!("[{}", "{},".repeat(1000));
    let source = CoinGecko::start([bitcoin_costs(1.0)]).await;
    let harness = harness(&source).await;
    until_price(&harness, "bitcoin", "1").await;
    let misbehaviours = [
        (Reply::status(429, "retry-after: 0\r\n"), "rate_limited"),
        (Reply::status(500, ""), "refused"),
        (Reply::status(302, "location: http://127.0.0.1:1/\r\n"), "refused"),
        (Reply::status(204, ""), "refused"),
        (Reply::Close, "unreachable"),
        (Reply::Hang, "unreachable"),
        (Reply::HalfABody, "unreachable"),
        (Reply::Endless, "unreadable"),
        (Reply::ok(""), "unreadable"),
        (Reply::ok("<html>maintenance</html>"), "unreadable"),
        (Reply::ok(r#"{"status": {"error_code": 1020}}"#), "unreadable"),
        (Reply::ok(truncated), "unreadable"),
        (Reply::ok("[]"), "unreadable"),
        (Reply::ok("[null, 7, \"bitcoin\", {}, {\"id\": \"bitcoin\"}]"), "unreadable"),
    ];
    for (turn, (misbehaviour, outcome)) in misbehaviours.into_iter().enumerate() {
        let before = price(&harness, "bitcoin").await;
        let failures = refreshes(&harness, outcome).await;
        source.becomes(misbehaviour);
        until_refreshes(&harness, outcome, failures + 1.0).await;
        assert_eq!(price(&harness, "bitcoin").await, before, "{outcome}");
        assert_eq!(harness.get("/ready").await.status, StatusCode::OK, "no reason to take the service out");

        source.becomes(bitcoin_costs(turn as f64 + 42.5));
        until_price(&harness, "bitcoin", &format!("{}.5", turn + 42)).await;
    }
}

#[tokio::test]
async fn a_bad_entry_costs_no_other_its_price() {
    let mut from_the_future = market("tether", json!(5));
    from_the_future["last_updated"] = json!((Utc::now() + TimeDelta::days(1)).to_rfc3339());
    let mut long_ago = market("dogecoin", json!(5));
    long_ago["last_updated"] = json!("2020-01-01T00:00:00Z");
    let body = json!([
        market("ethereum", json!(null)), market("solana", json!(-1)), market("cardano", json!(0)),
        market("ripple", json!("2.5")), market("litecoin", json!(1e30)), market("no-such-coin", json!(1)),
        from_the_future, long_ago, {"id": ["bitcoin"]}, market("bitcoin", json!(42.5)),
    ]);
    let source = CoinGecko::start([Reply::ok(body.to_string())]).await;
    let harness = harness(&source).await;
    let before = [("ethereum", "3890.15"), ("solana", "196.38"), ("cardano", "0.6124"), ("ripple", "2.4853")];
    until_price(&harness, "bitcoin", "42.5").await;
    for (id, expected) in
        before.into_iter().chain([("litecoin", "95.27"), ("tether", "1.0002"), ("dogecoin", "0.1863")])
    {
        assert_eq!(price(&harness, id).await, expected, "{id}");
    }
}

#[tokio::test]
async fn a_wish_to_be_left_alone_is_honoured() {
    let mut source = CoinGecko::start([Reply::status(429, "retry-after: 3600\r\n")]).await;
    let harness = harness(&source).await;
    source.request().await;
    // The pause begins when the answer has been read.
    until_refreshes(&harness, "rate_limited", 1.0).await;
    // Ten times the pause that it would have made of its own accord.
    assert!(timeout(Duration::from_millis(200), source.request()).await.is_err(), "asked again");
}

#[tokio::test]
async fn a_service_stops_in_the_middle_of_a_refresh() {
    let mut source = CoinGecko::start([Reply::Hang]).await;
    let harness = harness(&source).await;
    source.request().await;
    timeout(DEADLINE, harness.restart()).await.expect("stops and starts");
}
