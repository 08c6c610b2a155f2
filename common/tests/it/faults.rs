//! A DynamoDB that fails, lies or goes away: an error of the right kind, within the deadline, and nothing done twice.

use std::fmt::Debug;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use chrono::Utc;
use common::dynamo::Store;
use common::dynamo::embedded::{EmbeddedStore, Place};
use common::ids::{TokenId, UserId};
use common::repository::{
    AssetRepository, CreateUserError, OrderRepository, PlaceOrderError, Placed, RepositoryError, RevocationRepository,
    UserRepository,
};

use crate::http::{Answer, Request, Server};
use crate::samples::{self, without_key};

const CONFLICT: &str = r#"{"__type":"com.amazonaws.dynamodb.v20120810#TransactionCanceledException",
    "message":"Transaction cancelled, please refer cancellation reasons for specific reasons [TransactionConflict, None]",
    "CancellationReasons":[{"Code":"TransactionConflict","Message":"Transaction is ongoing for the item"},{"Code":"None"}]}"#;

/// Far over the store's own deadline of 5 seconds: reached only by a call that never ends.
const FOREVER: Duration = Duration::from_secs(60);

async fn in_time<T>(call: impl Future<Output = T>) -> T {
    tokio::time::timeout(FOREVER, call).await.expect("the call ends by itself")
}

fn assert_unavailable<T: Debug>(result: Result<T, RepositoryError>) {
    assert!(matches!(result, Err(RepositoryError::Unavailable(_))), "{result:?}");
}

/// One call of each kind to a DynamoDB that always does the same.
async fn every_call_is_unavailable(answer: impl Fn() -> Answer + Send + Sync + 'static) {
    let server = Server::start(None, move |_| answer()).await;
    let store = samples::connect(&server.url()).await;
    let (users, assets, orders) = (store.users(), store.assets(), store.orders());
    let (user, asset) = (samples::user(), samples::asset("1"));
    let order = without_key(samples::order(&asset, user.id, "1"));
    let calls = async {
        tokio::join!(
            users.create(&user),
            users.by_id(user.id),
            assets.all(),
            assets.set_price(&asset.id, asset.price, Utc::now()),
            orders.place(&order),
            orders.of_user(user.id, None, 10),
            store.ensure_tables(),
            store.check(),
        )
    };
    let (created, user, all, set, placed, page, tables, checked) = in_time(calls).await;
    assert!(matches!(created, Err(CreateUserError::Repository(RepositoryError::Unavailable(_)))), "{created:?}");
    assert!(matches!(placed, Err(PlaceOrderError::Repository(RepositoryError::Unavailable(_)))), "{placed:?}");
    assert_unavailable(user);
    assert_unavailable(all);
    assert_unavailable(set);
    assert_unavailable(page);
    assert_unavailable(tables);
    assert_unavailable(checked);
}

#[tokio::test]
async fn silent_store_is_unavailable_within_the_deadline() {
    every_call_is_unavailable(|| Answer::Silence).await;
}

#[tokio::test]
async fn server_error_is_unavailable() {
    every_call_is_unavailable(|| Answer::dynamo(500, r#"{"__type":"InternalServerError","message":"no"}"#)).await;
}

#[tokio::test]
async fn error_page_of_a_proxy_is_unavailable() {
    every_call_is_unavailable(|| Answer::Reply(502, "text/html", "<h1>Bad Gateway</h1>".to_owned())).await;
    every_call_is_unavailable(|| Answer::Reply(403, "text/html", "<h1>Forbidden</h1>".to_owned())).await;
}

#[tokio::test]
async fn success_with_a_garbled_body_is_unavailable() {
    every_call_is_unavailable(|| Answer::dynamo(200, "{\"Item\": [[[ \u{1}")).await;
}

#[tokio::test]
async fn answer_that_is_no_http_is_unavailable() {
    every_call_is_unavailable(|| Answer::Raw(b"\x00\x01SSH-2.0-nope\r\n\r\n")).await;
}

#[tokio::test]
async fn connection_closed_in_mid_answer_is_unavailable() {
    every_call_is_unavailable(|| Answer::Raw(b"HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\n{\"Item\"")).await;
}

#[tokio::test]
async fn throttling_is_unavailable() {
    let throttled = r#"{"__type":"com.amazonaws.dynamodb.v20120810#ThrottlingException","message":"slow down"}"#;
    every_call_is_unavailable(move || Answer::dynamo(400, throttled)).await;
}

#[tokio::test]
async fn nobody_listening_is_unavailable() {
    let server = Server::start(None, |_| Answer::Silence).await;
    let url = server.url();
    drop(server);
    assert_unavailable(in_time(samples::connect(&url).await.check()).await);
}

#[tokio::test]
async fn missing_permission_is_refused_and_not_tried_again() {
    let denied = r#"{"__type":"com.amazon.coral.service#AccessDeniedException","Message":"not yours"}"#;
    let server = Server::start(None, move |_| Answer::dynamo(400, denied)).await;
    let checked = samples::connect(&server.url()).await.check().await;
    assert!(matches!(checked, Err(RepositoryError::Refused(_))), "{checked:?}");
    assert_eq!(server.take_requests().len(), 1);
}

/// A store whose calls of `operation` get `answer` for the first `times`, and pass after that.
async fn flawed(operation: &'static str, times: usize, answer: fn() -> Answer) -> (Store, Server, EmbeddedStore) {
    let embedded = EmbeddedStore::start(Place::Memory).await.expect("embedded store");
    let left = AtomicUsize::new(times);
    let decide = move |request: &Request| {
        let flaw = request.calls(operation)
            && left.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |left| left.checked_sub(1)).is_ok();
        if flaw { answer() } else { Answer::Forward }
    };
    let server = Server::start(Some(embedded.endpoint()), decide).await;
    let store = samples::connect(&server.url()).await;
    store.ensure_tables().await.expect("tables");
    (store, server, embedded)
}

#[tokio::test]
async fn order_that_loses_a_race_is_tried_again() {
    let (store, server, _embedded) = flawed("TransactWriteItems", 3, || Answer::dynamo(400, CONFLICT)).await;
    let asset = samples::asset("1");
    store.assets().create_if_absent(&asset).await.expect("create");
    let order = samples::order(&asset, UserId::new(), "1");
    server.take_requests();
    let placed = in_time(store.orders().place(&without_key(order.clone()))).await.expect("place");
    assert_eq!(placed, Placed::Now(order));
    let token = |request: &Request| {
        let body: serde_json::Value = serde_json::from_str(&request.body).expect("JSON");
        body["ClientRequestToken"].as_str().map(str::to_owned)
    };
    let tokens: Vec<_> = server.take_requests().iter().map(token).collect();
    assert_eq!(tokens.len(), 4);
    assert!(tokens[0].is_some() && tokens.iter().all(|token| *token == tokens[0]), "one attempt to the store");
}

#[tokio::test]
async fn order_that_loses_every_race_is_unavailable() {
    let (store, _server, _embedded) = flawed("TransactWriteItems", usize::MAX, || Answer::dynamo(400, CONFLICT)).await;
    let asset = samples::asset("1");
    store.assets().create_if_absent(&asset).await.expect("create");
    let result = in_time(store.orders().place(&without_key(samples::order(&asset, UserId::new(), "1")))).await;
    assert!(matches!(result, Err(PlaceOrderError::Repository(RepositoryError::Unavailable(_)))), "{result:?}");
    assert_eq!(store.assets().by_id(&asset.id).await.expect("read"), Some(asset));
}

#[tokio::test]
async fn price_that_meets_a_transaction_is_tried_again() {
    let conflict = || Answer::dynamo(400, r#"{"__type":"TransactionConflictException","message":"ongoing"}"#);
    let (store, _server, _embedded) = flawed("UpdateItem", 1, conflict).await;
    let asset = samples::asset("1");
    store.assets().create_if_absent(&asset).await.expect("create");
    assert!(store.assets().set_price(&asset.id, samples::price("11"), samples::moment(9, 0)).await.expect("set"));
}

#[tokio::test]
async fn order_whose_answer_is_lost_is_placed_once() {
    let (store, _server, _embedded) = flawed("TransactWriteItems", 1, || Answer::ForwardAndHangUp).await;
    let asset = samples::asset("10");
    store.assets().create_if_absent(&asset).await.expect("create");
    let order = samples::order(&asset, UserId::new(), "1");
    let placed = store.orders().place(&without_key(order.clone())).await.expect("place");
    assert_eq!(placed, Placed::Now(order.clone()));
    assert_eq!(store.assets().by_id(&asset.id).await.expect("read").expect("asset").available, samples::quantity("9"));
    assert_eq!(store.orders().of_user(order.user_id, None, 10).await.expect("read").orders, [order]);
}

#[tokio::test]
async fn account_whose_answer_is_lost_is_created() {
    let (store, _server, _embedded) = flawed("TransactWriteItems", 1, || Answer::ForwardAndHangUp).await;
    let user = samples::user();
    store.users().create(&user).await.expect("create");
    assert!(store.users().by_id(user.id).await.expect("read").is_some());
}

#[tokio::test]
async fn failed_read_is_tried_again() {
    let broken = || Answer::dynamo(500, r#"{"__type":"InternalServerError"}"#);
    let (store, _server, _embedded) = flawed("BatchGetItem", 2, broken).await;
    assert!(!store.revocations().is_revoked(samples::marks(TokenId::new())).await.expect("read"));
}
