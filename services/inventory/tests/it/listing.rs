//! The catalogue as anybody sees it.

use std::collections::BTreeSet;

use reqwest::{Method, StatusCode};
use rust_decimal::Decimal;
use serde_json::Value;

use crate::harness::{Answer, Harness, answer, asset, text};

fn items(page: &Value) -> &[Value] {
    page["items"].as_array().map(Vec::as_slice).unwrap_or_default()
}

fn price(item: &Value) -> Decimal {
    text(&item["price_usd"]).parse().expect("a decimal")
}

async fn nothing() {}

#[tokio::test]
async fn the_first_page_needs_no_token_and_has_20_assets_in_the_order_of_their_names() {
    let harness = Harness::start().await;
    let answer = harness.get("/inventory/assets").await;
    let page = answer.json(StatusCode::OK);
    let names: Vec<_> = items(&page).iter().map(|item| text(&item["name"]).to_lowercase()).collect();
    assert_eq!(names.len(), 20);
    assert!(names.is_sorted(), "{names:?}");
    let first = &items(&page)[0];
    assert_eq!((&first["id"], &first["symbol"], &first["active"]), (&"1inch".into(), &"1INCH".into(), &true.into()));
    assert!(first["price_age_seconds"].as_u64().is_some_and(|age| age > 0), "{first}");
    assert!(first.get("description").is_none(), "only a single asset is described");

    let link = answer.header("link").expect("a link to the next page").to_owned();
    let next = link.strip_prefix('<').and_then(|link| link.strip_suffix(">; rel=\"next\"")).expect("RFC 8288");
    let second = harness.get(next).await.json(StatusCode::OK);
    assert!(items(&second)[0]["name"].as_str() > items(&page)[19]["name"].as_str());
}

#[tokio::test]
async fn filters_narrow_the_list_and_work_together() {
    let harness = Harness::start().await;
    harness.list(&common::entities::Asset { active: false, ..asset("retired", "1") }).await;
    let list = async |query: &str| harness.get(&format!("/inventory/assets?limit=100&{query}")).await;

    let page = list("category=stablecoin").await.json(StatusCode::OK);
    assert!(items(&page).len() > 3 && items(&page).iter().all(|item| item["category"] == "stablecoin"));

    let page = list("min_price=100&max_price=5000").await.json(StatusCode::OK);
    let range = Decimal::from(100)..=Decimal::from(5000);
    assert!(items(&page).len() > 3 && items(&page).iter().all(|item| range.contains(&price(item))));

    let ids = |answer: &Answer| -> BTreeSet<String> {
        items(&answer.json(StatusCode::OK)).iter().map(|item| text(&item["id"])).collect()
    };
    assert_eq!(ids(&list("q=BITcoin").await), ["bitcoin", "bitcoin-cash", "bitcoin-cash-sv"].map(str::to_owned).into());
    assert_eq!(ids(&list("q=usdt").await), ["tether".to_owned()].into(), "symbols are searched too");
    assert_eq!(ids(&list("q=gold&category=stablecoin&max_price=3995").await), ["tether-gold".to_owned()].into());
    assert_eq!(ids(&list("q=nothing%20has%20this").await), BTreeSet::new());

    assert_eq!(ids(&list("category=test").await), BTreeSet::new(), "what cannot be bought is not listed");
    assert_eq!(ids(&list("category=test&active=true").await), BTreeSet::new());
    for active in ["false", "all"] {
        assert_eq!(ids(&list(&format!("category=test&active={active}")).await), ["retired".to_owned()].into());
    }
}

#[tokio::test]
async fn every_order_is_sorted_and_its_opposite_is_its_reverse() {
    let harness = Harness::start().await;
    for by in ["name", "price", "symbol"] {
        let ascending = harness.walk(&format!("/inventory/assets?limit=50&sort={by}"), nothing).await;
        let mut descending = harness.walk(&format!("/inventory/assets?limit=7&sort=-{by}"), nothing).await;
        descending.reverse();
        assert_eq!(ascending, descending, "{by}");
    }
    let page = harness.get("/inventory/assets?limit=100&sort=-price").await.json(StatusCode::OK);
    assert!(items(&page).iter().map(price).is_sorted_by(|a, b| a >= b));
    assert_eq!(items(&page)[0]["id"], "bitcoin");
}

#[tokio::test]
async fn walking_all_pages_meets_every_asset_once_while_prices_change_and_assets_are_listed() {
    let harness = Harness::start().await;
    let before: BTreeSet<_> = harness.walk("/inventory/assets?limit=100", nothing).await.into_iter().collect();
    for (round, sort) in ["name", "-name", "symbol", "-symbol"].iter().enumerate() {
        let mut turn = 0;
        let met = harness
            .walk(&format!("/inventory/assets?limit=9&sort={sort}"), || {
                turn += 1;
                let (harness, listed) = (&harness, asset(&format!("listed-{round}-{turn}"), "1"));
                async move {
                    harness.set_price("bitcoin", &format!("{turn}.{round}")).await;
                    harness.set_price("pepe", &format!("{turn}000.{round}")).await;
                    harness.list(&listed).await;
                }
            })
            .await;
        let once: BTreeSet<_> = met.iter().cloned().collect();
        assert_eq!(once.len(), met.len(), "{sort}: none is met twice");
        assert!(before.is_subset(&once), "{sort}: none is missed");
    }
}

#[tokio::test]
async fn walking_by_price_meets_every_asset_once_whose_price_stays() {
    let harness = Harness::start().await;
    let moving = ["bitcoin", "pepe", "aave"];
    let all: BTreeSet<_> = harness.walk("/inventory/assets?limit=100", nothing).await.into_iter().collect();
    for sort in ["price", "-price"] {
        let mut turn = 0;
        let met = harness
            .walk(&format!("/inventory/assets?limit=9&sort={sort}"), || {
                turn += 1;
                let harness = &harness;
                async move {
                    for (index, id) in moving.iter().enumerate() {
                        harness.set_price(id, &format!("{}", (turn * 7 + index) % 3 * 1000 + 1)).await;
                    }
                }
            })
            .await;
        let staying: Vec<_> = met.iter().filter(|id| !moving.contains(&id.as_str())).cloned().collect();
        let once: BTreeSet<_> = staying.iter().cloned().collect();
        assert_eq!(once.len(), staying.len(), "{sort}: none is met twice");
        assert_eq!(once.len(), all.len() - moving.len(), "{sort}: none is missed");
    }
}

#[tokio::test]
async fn a_cursor_that_is_not_of_this_list_is_refused() {
    let harness = Harness::start().await;
    let page = harness.get("/inventory/assets?limit=5&category=defi").await.json(StatusCode::OK);
    let cursor = text(&page["next_page"]);
    let with =
        async |query: &str, cursor: &str| harness.get(&format!("/inventory/assets?{query}&cursor={cursor}")).await;

    assert_eq!(with("category=defi&limit=50", &cursor).await.status, StatusCode::OK, "another length is no matter");
    for query in
        ["category=meme", "category=defi&sort=-name", "category=defi&q=a", "category=defi&active=all", "limit=5"]
    {
        with(query, &cursor).await.problem(400, "invalid_cursor");
    }
    let (head, tail) = cursor.split_at(cursor.len() / 2);
    for bad in ["", "x", "0", "%00", "..%2F..", "e30", head, tail, &format!("{cursor}A"), &"A".repeat(5000)] {
        with("category=defi", bad).await.problem(400, "invalid_cursor");
    }
}

#[tokio::test]
async fn every_wrong_parameter_is_named_at_once() {
    let harness = Harness::start().await;
    let wrong = async |query: &str| {
        harness.get(&format!("/inventory/assets?{query}")).await.wrong_fields(400, "invalid_parameter")
    };
    let all = "category=No%20Such&min_price=cheap&max_price=-1&q=&active=maybe&sort=colour&limit=0&categry=defi";
    let expected = ["categry", "category", "min_price", "max_price", "q", "active", "sort", "limit"];
    assert_eq!(wrong(all).await, expected);
    let problem = harness.get("/inventory/assets?categry=defi").await.problem(400, "invalid_parameter");
    assert_eq!(problem["detail"], "categry is an unknown parameter; did you mean `category`?");
    assert_eq!(wrong("min_price=2&max_price=1").await, ["max_price"]);
    assert_eq!(wrong("sort=name&sort=price").await, ["sort"], "which one is meant?");
    assert_eq!(wrong(&format!("q={}", "x".repeat(65))).await, ["q"]);
    assert_eq!(wrong("limit=101").await, ["limit"]);
    assert_eq!(wrong(&"a&q=&".repeat(10_000)).await.len(), 16, "an answer is no longer than helps");
    for min in ["NaN", "1e400", "0x10", "1%2C5", "%F0%9F%A6%80", ""] {
        assert_eq!(wrong(&format!("min_price={min}")).await, ["min_price"], "{min}");
    }
}

#[tokio::test]
async fn a_category_that_no_asset_has_is_answered_with_those_that_there_are() {
    let harness = Harness::start().await;
    let refused = async |query: &str| {
        let problem = harness.get(&format!("/inventory/assets?{query}")).await.problem(400, "invalid_parameter");
        let errors = problem["errors"].as_array().cloned().unwrap_or_default();
        text(&errors.iter().find(|error| error["field"] == "category").expect("refused")["detail"])
    };
    assert_eq!(refused("category=stablecoins").await, "is one that no asset has; did you mean `stablecoin`?");
    let all =
        "there are ai, defi, exchange, gaming, infrastructure, layer-1, layer-2, meme, payments, privacy, stablecoin";
    assert_eq!(refused("category=cheese&sort=colour").await, format!("is one that no asset has; {all}"));

    let document = harness.get("/openapi.json").await.json(StatusCode::OK);
    let parameters = document["paths"]["/inventory/assets"]["get"]["parameters"].as_array().expect("a list");
    let parameter = parameters.iter().find(|parameter| parameter["name"] == "category").expect("documented");
    let told = text(&parameter["description"]);
    for category in all.trim_start_matches("there are ").split(", ") {
        assert!(told.contains(&format!("`{category}`")), "{category}: {told}");
    }
}

#[tokio::test]
async fn an_unchanged_list_is_not_sent_again() {
    let harness = Harness::start().await;
    let tag = harness.get("/inventory/assets").await.header("etag").expect("a tag").to_owned();
    let again = async || answer(harness.request(Method::GET, "/inventory/assets").header("If-None-Match", &tag)).await;
    let unchanged = again().await;
    assert_eq!((unchanged.status, unchanged.text.as_str()), (StatusCode::NOT_MODIFIED, ""));
    assert!(unchanged.header("cache-control").is_some_and(|header| header.starts_with("public, max-age=1")));
    harness.set_price("bitcoin", "1").await;
    assert_eq!(again().await.status, StatusCode::OK);
}

#[tokio::test]
async fn one_asset_is_shown_with_its_description() {
    let harness = Harness::start().await;
    let shown = harness.get("/inventory/assets/usd-coin").await.json(StatusCode::OK);
    assert_eq!((&shown["symbol"], &shown["price_usd"]), (&"USDC".into(), &"0.9999".into()));
    assert!(shown["description"].as_str().is_some_and(|text| text.contains("digital dollar")), "{shown}");
    for absent in ["no-such-asset", "Bitcoin", "%00", "%F0%9F%A6%80", "..%2F..%2Fetc", &"x".repeat(500)] {
        harness.get(&format!("/inventory/assets/{absent}")).await.problem(404, "asset_not_found");
    }
}
