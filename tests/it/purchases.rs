//! What is for sale, and buying it.

use reqwest::{Method, StatusCode};
use serde_json::json;

use crate::support::{Shop, expect, expect_problem};

#[tokio::test]
async fn anyone_browses_and_who_is_known_buys_and_sees_only_own_orders() -> anyhow::Result<()> {
    let shop = Shop::open(1).await?;
    let api = &shop.api;

    let page = expect(api.get("/inventory/assets?limit=5").await?, StatusCode::OK).await?;
    assert_eq!(page["items"].as_array().map(Vec::len), Some(5), "{page}");
    assert!(page["next_page"].is_string(), "{page}");
    let bitcoin = expect(api.get("/inventory/assets/bitcoin").await?, StatusCode::OK).await?;
    assert_eq!(bitcoin["symbol"], "BTC");
    expect_problem(api.get("/inventory/assets/no-such-thing").await?, StatusCode::NOT_FOUND).await?;

    let order = json!({"asset_id": "bitcoin", "quantity": "0.5"});
    let nobody = api.request(Method::POST, "/inventory/orders").json(&order).send().await?;
    expect_problem(nobody, StatusCode::UNAUTHORIZED).await?;

    let [ada, grace] = [api.sign_up("ada").await?, api.sign_up("grace").await?];
    let placed = expect(api.try_buy(&ada, "0.5").await?, StatusCode::CREATED).await?;
    let path = format!("/inventory/orders/{}", placed["id"].as_str().unwrap_or_default());
    let shown = expect(api.get_as(&ada, &path).await?, StatusCode::OK).await?;
    assert_eq!((&shown["asset_id"], &shown["status"]), (&json!("bitcoin"), &json!("confirmed")), "{shown}");
    expect_problem(api.get_as(&grace, &path).await?, StatusCode::NOT_FOUND).await?;
    let list = expect(api.get_as(&grace, "/inventory/orders").await?, StatusCode::OK).await?;
    assert_eq!(list["items"], json!([]));
    Ok(())
}

#[tokio::test]
async fn a_repeated_purchase_with_the_same_key_buys_once() -> anyhow::Result<()> {
    let shop = Shop::open(2).await?;
    let api = &shop.api;
    let token = api.sign_up("ada").await?;

    let buy = async || {
        let order = json!({"asset_id": "bitcoin", "quantity": "0.25"});
        let request = api.request(Method::POST, "/inventory/orders").bearer_auth(&token).json(&order);
        let answer = request.header("Idempotency-Key", "the-one-purchase").send().await?;
        assert!(answer.status().is_success(), "{}", answer.status());
        anyhow::Ok(answer.json::<serde_json::Value>().await?["id"].clone())
    };
    // In turn on both instances, then both at once.
    let first = buy().await?;
    assert_eq!(buy().await?, first);
    let (third, fourth) = futures::try_join!(buy(), buy())?;
    assert_eq!((&third, &fourth), (&first, &first));
    let list = expect(api.get_as(&token, "/inventory/orders").await?, StatusCode::OK).await?;
    assert_eq!(list["items"].as_array().map(Vec::len), Some(1), "{list}");
    Ok(())
}
