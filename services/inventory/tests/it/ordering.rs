//! Purchases: exact, never more than there is, and once however often they are repeated.

use std::collections::BTreeSet;

use common::repository::RevocationRepository;
use futures::future::join_all;
use reqwest::{Method, StatusCode};
use rust_decimal::Decimal;
use serde_json::{Value, json};

use crate::harness::{Harness, answer, asset, purchase, text};

async fn available(harness: &Harness, id: &str) -> String {
    text(&harness.get(&format!("/inventory/assets/{id}")).await.json(StatusCode::OK)["available"])
}

#[tokio::test]
async fn a_purchase_takes_the_units_out_of_the_stock_and_can_be_looked_up() {
    let harness = Harness::start().await;
    harness.list(&asset("unit", "10")).await;
    harness.set_price("unit", "65000.12345678").await;
    let caller = harness.caller();
    let placed = caller.buy("unit", "0.5").await;
    let order = placed.json(StatusCode::CREATED);
    assert_eq!(order["unit_price_usd"], "65000.12345678");
    assert_eq!(order["total_usd"], "32500.06172839", "exactly, not as a float");
    assert_eq!(
        (&order["quantity"], &order["symbol"], &order["status"]),
        (&json!("0.5"), &json!("TST"), &json!("confirmed"))
    );
    assert_eq!(available(&harness, "unit").await, "9.5");

    let location = placed.header("location").expect("where it is");
    let found = caller.get(location).await;
    assert_eq!(found.json(StatusCode::OK), order);
    assert_eq!(found.header("cache-control"), Some("no-store"));
}

#[tokio::test]
async fn quantities_are_numbers_or_strings_and_always_exact() {
    let harness = Harness::start().await;
    harness.list(&asset("unit", "1000000000000")).await;
    let caller = harness.caller();
    for (sent, bought) in [
        (json!(0.1), "0.1"),
        (json!(3), "3"),
        (json!(1e-8), "0.00000001"),
        (json!("1.50"), "1.5"),
        (json!("100000000000.12345678"), "100000000000.12345678"),
        (json!("2.5e3"), "2500"),
    ] {
        let order = answer(caller.order(json!({"asset_id": "unit", "quantity": sent}).to_string())).await;
        assert_eq!(order.json(StatusCode::CREATED)["quantity"], bought, "{sent}");
    }
    let too_long_for_a_float = r#"{"asset_id": "unit", "quantity": 100000000000.12345678}"#;
    assert_eq!(answer(caller.order(too_long_for_a_float)).await.wrong_fields(422, "invalid_fields"), ["quantity"]);
}

#[tokio::test]
async fn nobody_buys_or_sees_orders_without_a_token_that_counts() {
    let harness = Harness::start().await;
    let caller = harness.caller();
    for (method, path) in [
        (Method::POST, "/inventory/orders"),
        (Method::GET, "/inventory/orders"),
        (Method::GET, "/inventory/orders/0192d0f0-0000-7000-8000-000000000000"),
    ] {
        let request = || {
            let request = harness.request(method.clone(), path).header("content-type", "application/json");
            request.header("x-user-id", caller.claims.sub.to_string()).body(purchase("bitcoin", "1"))
        };
        let refused = answer(request()).await;
        refused.problem(401, "missing_token");
        assert!(refused.header("www-authenticate").is_some_and(|challenge| challenge.starts_with("Bearer ")));
        answer(request().bearer_auth(format!("{}x", caller.token))).await.problem(401, "invalid_token");
    }
    harness.store.revocations().revoke(&caller.claims.revocation()).await.expect("revoked");
    caller.buy("bitcoin", "1").await.problem(401, "invalid_token");
    assert_eq!(available(&harness, "bitcoin").await, "850");
}

#[tokio::test]
async fn everything_that_is_wrong_with_a_purchase_is_named_at_once() {
    let harness = Harness::start().await;
    let caller = harness.caller();
    let wrong = async |body: Value| answer(caller.order(body.to_string())).await.wrong_fields(422, "invalid_fields");
    for quantity in [
        json!(0),
        json!(-1),
        json!(-0.5),
        json!("-1"),
        json!("0.000000001"),
        json!(1e300),
        json!("1e300"),
        json!("1e-300"),
        json!("10000000000000"),
        json!("one"),
        json!(""),
        json!("NaN"),
        json!("١"),
        json!(true),
        json!([1]),
        json!({}),
        json!(null),
    ] {
        assert_eq!(wrong(json!({"asset_id": "bitcoin", "quantity": quantity})).await, ["quantity"], "{quantity}");
    }
    for id in [json!("Bitcoin"), json!(""), json!(7), json!("../x"), json!("x".repeat(65)), json!(null)] {
        assert_eq!(wrong(json!({"asset_id": id, "quantity": 1})).await, ["asset_id"], "{id}");
    }
    assert_eq!(wrong(json!({})).await, ["asset_id", "quantity"]);
    assert_eq!(
        wrong(json!({"asset_id": "bitcoin", "quantity": 1, "price": 1, "user_id": 1})).await,
        ["price", "user_id"]
    );
    assert_eq!(wrong(json!({"asset_id": "pepe", "quantity": "0.00000001"})).await, ["quantity"], "costs nothing");

    let key =
        |key: &str| caller.order(json!({"asset_id": 1, "quantity": 0}).to_string()).header("Idempotency-Key", key);
    let all = ["asset_id", "quantity", "Idempotency-Key"];
    for bad in ["", "two words", "sch\u{f6}n", &"x".repeat(129)] {
        assert_eq!(answer(key(bad)).await.wrong_fields(422, "invalid_fields"), all, "{bad}");
    }
    assert_eq!(answer(key("one").header("Idempotency-Key", "two")).await.wrong_fields(422, "invalid_fields"), all);
}

#[tokio::test]
async fn a_body_that_is_no_purchase_is_refused() {
    let harness = Harness::start().await;
    let caller = harness.caller();
    for malformed in ["", "{", "[]", "null", "\"bitcoin\"", "{\"asset_id\": \"bitcoin\", \"quantity\": 1", "\u{0}"] {
        answer(caller.order(malformed)).await.problem(400, "malformed_json");
    }
    answer(caller.order(vec![0xff, 0xfe, b'{'])).await.problem(400, "malformed_json");
    answer(caller.order("x".repeat(100_000))).await.problem(413, "payload_too_large");
    let form = harness.request(Method::POST, "/inventory/orders").bearer_auth(&caller.token).body("asset_id=bitcoin");
    answer(form).await.problem(415, "unsupported_media_type");
    assert_eq!(available(&harness, "bitcoin").await, "850");
}

#[tokio::test]
async fn what_cannot_be_bought_is_refused_with_the_reason() {
    let harness = Harness::start().await;
    harness.list(&asset("scarce", "1.5")).await;
    harness.list(&common::entities::Asset { active: false, ..asset("retired", "10") }).await;
    let caller = harness.caller();
    let problem = caller.buy("scarce", "2").await.problem(409, "out_of_stock");
    assert!(problem["detail"].as_str().is_some_and(|detail| detail.contains("1.5")), "{problem}");
    caller.buy("retired", "1").await.problem(409, "not_for_sale");
    caller.buy("no-such-asset", "1").await.problem(404, "asset_not_found");
    assert_eq!(caller.get("/inventory/orders").await.json(StatusCode::OK)["items"], json!([]));
}

#[tokio::test]
async fn fifty_buyers_at_once_never_get_more_than_there_is() {
    let harness = Harness::start().await;
    harness.list(&asset("scarce", "20")).await;
    let callers: Vec<_> = (0..50).map(|_| harness.caller()).collect();
    let answers = join_all(callers.iter().map(async |caller| {
        // Somebody turned away for too much traffic tries again, as a client would.
        loop {
            let answer = caller.buy("scarce", "1").await;
            if answer.status != StatusCode::SERVICE_UNAVAILABLE {
                return answer;
            }
        }
    }))
    .await;
    let bought = answers.iter().filter(|answer| answer.status == StatusCode::CREATED).count();
    for answer in answers.iter().filter(|answer| answer.status != StatusCode::CREATED) {
        answer.problem(409, "out_of_stock");
    }
    assert_eq!(bought, 20);
    assert_eq!(available(&harness, "scarce").await, "0");
}

#[tokio::test]
async fn twenty_repeats_at_once_buy_once() {
    let harness = Harness::start().await;
    harness.list(&asset("unit", "100")).await;
    let caller = harness.caller();
    let answers = join_all((0..20).map(async |_| {
        loop {
            let answer = caller.buy_once("monday", "unit", "3").await;
            if answer.status != StatusCode::SERVICE_UNAVAILABLE {
                return answer;
            }
        }
    }))
    .await;
    let created = answers.iter().filter(|answer| answer.status == StatusCode::CREATED).count();
    assert_eq!(created, 1);
    for answer in &answers {
        let replayed = answer.header("idempotency-replayed") == Some("true");
        assert_eq!(replayed, answer.status == StatusCode::OK, "{}", answer.text);
    }
    let orders: BTreeSet<_> = answers.iter().map(|answer| answer.text.clone()).collect();
    assert_eq!(orders.len(), 1, "all show the same order");
    assert_eq!(available(&harness, "unit").await, "97");
}

#[tokio::test]
async fn a_repeat_shows_the_first_order_though_price_and_stock_have_moved_on() {
    let harness = Harness::start().await;
    harness.list(&asset("unit", "3")).await;
    let caller = harness.caller();
    let first = caller.buy_once("monday", "unit", "3").await.json(StatusCode::CREATED);
    harness.set_price("unit", "99").await;
    let repeat = caller.buy_once("monday", "unit", "3").await;
    assert_eq!(repeat.json(StatusCode::OK), first);
    assert_eq!(repeat.header("idempotency-replayed"), Some("true"));

    harness.set_price("unit", "1000000000000").await;
    caller.buy("unit", "3").await.problem(422, "invalid_fields");
    let repeat = caller.buy_once("monday", "unit", "3").await;
    assert_eq!(repeat.json(StatusCode::OK), first, "though so much could not be bought now");
    caller.buy_once("monday", "unit", "2").await.problem(422, "idempotency_key_reused");
    caller.buy_once("tuesday", "unit", "3").await.problem(422, "invalid_fields");
}

#[tokio::test]
async fn a_key_stands_for_one_purchase_of_one_user() {
    let harness = Harness::start().await;
    harness.list(&asset("unit", "10")).await;
    let (ann, bob) = (harness.caller(), harness.caller());
    assert_eq!(ann.buy_once("monday", "unit", "1").await.status, StatusCode::CREATED);
    ann.buy_once("monday", "unit", "2").await.problem(422, "idempotency_key_reused");
    ann.buy_once("monday", "bitcoin", "1").await.problem(422, "idempotency_key_reused");
    assert_eq!(bob.buy_once("monday", "unit", "1").await.status, StatusCode::CREATED);
    assert_eq!(ann.buy("unit", "1").await.status, StatusCode::CREATED, "without a key each request buys");
    assert_eq!(available(&harness, "unit").await, "7");
}

#[tokio::test]
async fn orders_are_their_owners_alone() {
    let harness = Harness::start().await;
    let (ann, bob) = (harness.caller(), harness.caller());
    let order = ann.buy("tether", "1").await.json(StatusCode::CREATED);
    let path = format!("/inventory/orders/{}", text(&order["id"]));
    assert_eq!(ann.get(&path).await.status, StatusCode::OK);
    bob.get(&path).await.problem(404, "order_not_found");
    assert_eq!(bob.get("/inventory/orders").await.json(StatusCode::OK)["items"], json!([]));
    for absent in ["0192d0f0-0000-7000-8000-000000000000", "1", "%00", "order%23x"] {
        ann.get(&format!("/inventory/orders/{absent}")).await.problem(404, "order_not_found");
    }
}

#[tokio::test]
async fn orders_are_listed_in_pages_the_newest_first() {
    let harness = Harness::start().await;
    let (ann, bob) = (harness.caller(), harness.caller());
    let mut bought = Vec::new();
    for _ in 0..7 {
        bought.push(text(&ann.buy("tether", "1").await.json(StatusCode::CREATED)["id"]));
        bob.buy("tether", "1").await;
    }
    bought.reverse();
    let mut listed = Vec::new();
    let mut path = "/inventory/orders?limit=3".to_owned();
    loop {
        let answer = ann.get(&path).await;
        let page = answer.json(StatusCode::OK);
        listed.extend(page["items"].as_array().expect("items").iter().map(|order| text(&order["id"])));
        match answer.header("link") {
            Some(link) => path = link.trim_start_matches('<').trim_end_matches(">; rel=\"next\"").to_owned(),
            None => break assert_eq!(page["next_page"], Value::Null),
        }
    }
    assert_eq!(listed, bought);

    let cursor = text(&ann.get("/inventory/orders?limit=3").await.json(StatusCode::OK)["next_page"]);
    bob.get(&format!("/inventory/orders?cursor={cursor}")).await.problem(400, "invalid_cursor");
    let assets = text(&harness.get("/inventory/assets?limit=3").await.json(StatusCode::OK)["next_page"]);
    ann.get(&format!("/inventory/orders?cursor={assets}")).await.problem(400, "invalid_cursor");
    assert_eq!(
        ann.get("/inventory/orders?limit=0&page=2").await.wrong_fields(400, "invalid_parameter"),
        ["page", "limit"]
    );
}

#[tokio::test]
async fn orders_placed_while_the_price_moves_are_each_charged_at_a_price_that_was_true() {
    let harness = Harness::start().await;
    harness.list(&asset("moving", "1000")).await;
    let caller = harness.caller();
    let moving = async {
        for price in 1..=30 {
            harness.set_price("moving", &format!("{price}.5")).await;
        }
    };
    let buying = join_all((0..10).map(|_| caller.buy("moving", "2")));
    let ((), answers) = tokio::join!(moving, buying);
    for answer in answers.iter().filter(|answer| answer.status == StatusCode::CREATED) {
        let order = answer.json(StatusCode::CREATED);
        let decimal = |name: &str| -> Decimal { text(&order[name]).parse().expect("a decimal") };
        assert_eq!(decimal("total_usd"), decimal("unit_price_usd") * Decimal::TWO);
        assert!(decimal("unit_price_usd").to_string().ends_with(".5"));
    }
    let bought = answers.iter().filter(|answer| answer.status == StatusCode::CREATED).count();
    let others: BTreeSet<_> = answers.iter().map(|answer| answer.status).filter(|status| *status != 201).collect();
    assert!(others.iter().all(|status| [409, 503].contains(&status.as_u16())), "{others:?}");
    assert_eq!(available(&harness, "moving").await, (1000 - 2 * bought).to_string());
}
