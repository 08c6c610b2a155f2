//! The catalogue: exact numbers, one listing of each asset, and prices that never go back in time.

use std::collections::HashSet;

use common::entities::{Asset, AssetId};
use futures::future::join_all;

use super::Subject;
use crate::samples;

async fn list(subject: &Subject, asset: &Asset) {
    assert!(subject.assets.create_if_absent(asset).await.expect("create"), "already there");
}

async fn stored(subject: &Subject, id: &AssetId) -> Asset {
    subject.assets.by_id(id).await.expect("read").expect("asset")
}

pub(super) async fn created_asset_is_read_back_exactly(subject: &Subject) {
    let asset = Asset { active: false, description: "Zwölf \u{1F680}\n".to_owned(), ..samples::asset("12.5") };
    list(subject, &asset).await;
    assert_eq!(stored(subject, &asset.id).await, asset);
}

pub(super) async fn asset_that_never_was_is_absent(subject: &Subject) {
    assert_eq!(subject.assets.by_id(&samples::asset("1").id).await.expect("read"), None);
}

pub(super) async fn existing_asset_is_not_created_again(subject: &Subject) {
    let asset = samples::asset("1");
    list(subject, &asset).await;
    let again = Asset { available: samples::quantity("99"), ..asset.clone() };
    assert!(!subject.assets.create_if_absent(&again).await.expect("create"));
    assert_eq!(stored(subject, &asset.id).await, asset);
}

pub(super) async fn one_of_many_simultaneous_listings_is_written(subject: &Subject) {
    let asset = samples::asset("1");
    let results = join_all((0..16).map(|_| subject.assets.create_if_absent(&asset))).await;
    let written = results.into_iter().filter(|result| *result.as_ref().expect("create")).count();
    assert_eq!(written, 1);
}

pub(super) async fn all_has_every_asset_even_past_one_page(subject: &Subject) {
    // A page of DynamoDB's ends at 1 MiB.
    let description = "x".repeat(16 * 1024);
    let assets: Vec<Asset> =
        (0..80).map(|_| Asset { description: description.clone(), ..samples::asset("1") }).collect();
    join_all(assets.iter().map(|asset| list(subject, asset))).await;
    let all = subject.assets.all().await.expect("read");
    let ids: HashSet<&AssetId> = all.iter().map(|asset| &asset.id).collect();
    assert_eq!(ids.len(), all.len(), "none twice");
    assert!(assets.iter().all(|asset| ids.contains(&asset.id)));
}

pub(super) async fn newer_price_replaces_the_older(subject: &Subject) {
    let asset = samples::asset("1");
    list(subject, &asset).await;
    let as_of = asset.price_updated_at + chrono::TimeDelta::nanoseconds(1);
    assert!(subject.assets.set_price(&asset.id, samples::price("0.00000001"), as_of).await.expect("set"));
    let after = stored(subject, &asset.id).await;
    assert!(after.updated_at > asset.updated_at);
    let expected =
        Asset { price: samples::price("0.00000001"), price_updated_at: as_of, updated_at: after.updated_at, ..asset };
    assert_eq!(after, expected);
}

pub(super) async fn price_that_is_not_newer_is_not_set(subject: &Subject) {
    let asset = samples::asset("1");
    list(subject, &asset).await;
    for as_of in [asset.price_updated_at, samples::moment(-1, 0)] {
        assert!(!subject.assets.set_price(&asset.id, samples::price("99"), as_of).await.expect("set"), "{as_of}");
    }
    assert_eq!(stored(subject, &asset.id).await, asset);
}

pub(super) async fn price_of_a_missing_asset_is_not_set(subject: &Subject) {
    let id = samples::asset("1").id;
    assert!(!subject.assets.set_price(&id, samples::price("1"), samples::moment(1, 0)).await.expect("set"));
    assert_eq!(subject.assets.by_id(&id).await.expect("read"), None);
}

pub(super) async fn extreme_numbers_come_back_as_they_were(subject: &Subject) {
    for number in ["0.00000001", "999999999999.99999999", "1000000000000", "0.1", "100"] {
        let asset = Asset { price: samples::price(number), ..samples::asset(number) };
        list(subject, &asset).await;
        let stored = stored(subject, &asset.id).await;
        assert_eq!((stored.price.to_string(), stored.available.to_string()), (number.to_owned(), number.to_owned()));
    }
}
