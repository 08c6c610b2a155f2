//! The embedded store's own promises: it keeps its files, keeps others out of them, and says what is wrong.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;

use common::dynamo::embedded::{EmbeddedError, EmbeddedStore, Place};
use common::entities::IdempotencyKey;
use common::entities::NewOrder;
use common::ids::{TokenId, UserId};
use common::repository::{
    AssetRepository, OrderRepository, Placed, RepositoryError, RevocationRepository, UserRepository,
};
use common::revocations::Revocation;

use crate::samples;

#[tokio::test]
async fn everything_is_there_after_a_stop_and_a_start() {
    let directory = tempfile::tempdir().expect("directory");
    let place = Place::Directory(directory.path().join("made/on/the/way"));
    let (user, asset, token) = (samples::user(), samples::asset("10"), TokenId::new());
    let order = samples::order(&asset, user.id, "4");
    let new = NewOrder { order: order.clone(), idempotency_key: Some(IdempotencyKey::parse("k").expect("key")) };

    let embedded = EmbeddedStore::start(place.clone()).await.expect("embedded store");
    let store = samples::connect(&embedded.endpoint()).await;
    store.ensure_tables().await.expect("tables");
    store.users().create(&user).await.expect("create");
    store.assets().create_if_absent(&asset).await.expect("create");
    store.orders().place(&new).await.expect("place");
    store.revocations().revoke(&Revocation::of_token(token, samples::moment(0, 0))).await.expect("revoke");
    embedded.stop().await;
    let gone = store.check().await;
    assert!(matches!(gone, Err(RepositoryError::Unavailable(_))), "{gone:?}");

    let embedded = EmbeddedStore::start(place).await.expect("the files are free again");
    let store = samples::connect(&embedded.endpoint()).await;
    store.ensure_tables().await.expect("tables are there");
    assert_eq!(store.users().by_username(&user.username).await.expect("read").expect("account").id, user.id);
    let left = store.assets().by_id(&asset.id).await.expect("read").expect("asset").available;
    assert_eq!(left, samples::quantity("6"));
    assert_eq!(store.orders().place(&new).await.expect("place"), Placed::Before(order));
    assert!(store.revocations().is_revoked(samples::marks(token)).await.expect("read"));
}

#[tokio::test]
async fn tables_can_be_made_by_many_at_once() {
    let embedded = EmbeddedStore::start(Place::Memory).await.expect("embedded store");
    let store = samples::connect(&embedded.endpoint()).await;
    let results = futures::future::join_all((0..8).map(|_| store.ensure_tables())).await;
    assert!(results.iter().all(Result::is_ok), "{results:?}");
    store.check().await.expect("tables");
}

#[tokio::test]
async fn check_fails_without_tables() {
    let embedded = EmbeddedStore::start(Place::Memory).await.expect("embedded store");
    let checked = samples::connect(&embedded.endpoint()).await.check().await;
    assert!(matches!(checked, Err(RepositoryError::Refused(_))), "{checked:?}");
}

#[tokio::test]
async fn two_prefixes_are_two_systems() {
    let embedded = EmbeddedStore::start(Place::Memory).await.expect("embedded store");
    let user = samples::user();
    for prefix in ["one-", "two-"] {
        let prefix = common::dynamo::TablePrefix::parse(prefix).expect("prefix");
        let config = common::dynamo::DynamoConfig { table_prefix: prefix, ..samples::config(&embedded.endpoint()) };
        let store = common::dynamo::Store::connect(&config).await.expect("connection");
        store.ensure_tables().await.expect("tables");
        assert!(store.users().by_id(UserId::new()).await.expect("read").is_none());
        store.users().create(&user).await.expect("the name is free here");
    }
}

#[tokio::test]
async fn directory_in_use_is_refused_until_it_is_free() {
    let directory = tempfile::tempdir().expect("directory");
    let place = Place::Directory(directory.path().to_owned());
    let first = EmbeddedStore::start(place.clone()).await.expect("embedded store");
    let second = EmbeddedStore::start(place.clone()).await.expect_err("in use");
    assert!(matches!(second, EmbeddedError::InUse { .. }), "{second:?}");
    assert!(second.to_string().contains("used by another process"), "{second}");
    first.stop().await;
    EmbeddedStore::start(place).await.expect("free");
}

#[tokio::test]
async fn place_that_cannot_be_written_is_named() {
    let directory = tempfile::tempdir().expect("directory");
    let file = directory.path().join("file");
    fs::write(&file, "in the way").expect("write");
    let error = EmbeddedStore::start(Place::Directory(file.clone())).await.expect_err("no directory");
    assert!(matches!(error, EmbeddedError::NotWritable { .. }), "{error:?}");
    assert!(error.to_string().contains(&file.display().to_string()), "{error}");
}

#[tokio::test]
async fn nobody_but_their_owner_may_read_the_files() {
    let directory = tempfile::tempdir().expect("directory");
    let data = directory.path().join("data");
    let embedded = EmbeddedStore::start(Place::Directory(data.clone())).await.expect("embedded store");
    samples::connect(&embedded.endpoint()).await.ensure_tables().await.expect("tables");
    let files = fs::read_dir(&data).expect("read").map(|entry| entry.expect("entry").path());
    for path in files.chain([data.clone()]) {
        let mode = fs::metadata(&path).expect("there").permissions().mode();
        assert_eq!(mode & 0o077, 0, "{} has {mode:o}", path.display());
    }
}

#[tokio::test]
async fn file_that_is_no_database_is_refused_and_left_alone() {
    let directory = tempfile::tempdir().expect("directory");
    let file = directory.path().join("dynamodb.sqlite");
    let bytes = "no database at all ".repeat(1000);
    fs::write(&file, &bytes).expect("write");
    let error = EmbeddedStore::start(Place::Directory(directory.path().to_owned())).await.expect_err("no database");
    assert!(matches!(error, EmbeddedError::Open { .. }), "{error:?}");
    assert!(error.to_string().contains(&file.display().to_string()), "{error}");
    assert_eq!(fs::read_to_string(&file).expect("read"), bytes);
}
