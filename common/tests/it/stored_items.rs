//! Items that the repositories find in their tables, but did not write as they are.

use aws_sdk_dynamodb::Client;
use aws_sdk_dynamodb::config::{BehaviorVersion, Credentials, Region};
use aws_sdk_dynamodb::types::AttributeValue;
use common::dynamo::Store;
use common::dynamo::embedded::{EmbeddedStore, Place};
use common::entities::{IdempotencyKey, NewOrder, Order};
use common::ids::UserId;
use common::repository::{AssetRepository, OrderRepository, Placed, RepositoryError};

use crate::samples;

/// A store with its tables, and a way around its repositories.
async fn store() -> (Store, Client, EmbeddedStore) {
    let embedded = EmbeddedStore::start(Place::Memory).await.expect("embedded store");
    let store = samples::connect(&embedded.endpoint()).await;
    store.ensure_tables().await.expect("tables");
    let config = aws_sdk_dynamodb::Config::builder()
        .behavior_version(BehaviorVersion::latest())
        .region(Region::new("us-east-1"))
        .endpoint_url(embedded.endpoint())
        .credentials_provider(Credentials::new("any", "any", None, None, "test"))
        .build();
    (store, Client::from_conf(config), embedded)
}

fn text(value: impl ToString) -> AttributeValue {
    AttributeValue::S(value.to_string())
}

#[tokio::test]
async fn item_of_another_shape_is_damaged_and_its_values_stay_out_of_the_error() {
    let (store, client, _embedded) = store().await;
    let id = samples::asset("1").id;
    let request = client.put_item().table_name("test-assets").item("id", text(&id));
    request.item("symbol", text("a secret value")).send().await.expect("put");
    let error = store.assets().by_id(&id).await.expect_err("no symbol");
    let shown = format!("{error:?}");
    assert!(matches!(error, RepositoryError::Damaged { entity: "asset", .. }), "{shown}");
    assert!(shown.contains("symbol") && !shown.contains("secret"), "{shown}");
    assert!(matches!(store.assets().all().await, Err(RepositoryError::Damaged { .. })));
}

#[tokio::test]
async fn idempotency_key_past_its_time_is_new_again_though_its_record_is_still_there() {
    let (store, client, _embedded) = store().await;
    let asset = samples::asset("10");
    store.assets().create_if_absent(&asset).await.expect("create");
    let user = UserId::new();
    let under_key = |order: Order| NewOrder { order, idempotency_key: Some(IdempotencyKey::parse("k").expect("key")) };
    store.orders().place(&under_key(samples::order(&asset, user, "1"))).await.expect("place");

    client
        .update_item()
        .table_name("test-orders")
        .key("pk", text(format!("user#{user}")))
        .key("sk", text("idem#k"))
        .condition_expression("expires_at > :past")
        .update_expression("SET expires_at = :past")
        .expression_attribute_values(":past", AttributeValue::N("1700000000".to_owned()))
        .send()
        .await
        .expect("the record is there");

    let too_much = store.orders().place(&under_key(samples::order(&asset, user, "99"))).await;
    assert!(too_much.is_err(), "no order of the past is handed out: {too_much:?}");
    let other = samples::order(&asset, user, "2");
    assert_eq!(store.orders().place(&under_key(other.clone())).await.expect("place"), Placed::Now(other));
}
