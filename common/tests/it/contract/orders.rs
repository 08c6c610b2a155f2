//! Orders: stock and order in one step, never more than there is, and no purchase twice.

use common::entities::{Asset, AssetId, IdempotencyKey, NewOrder, Order};
use common::ids::{OrderId, UserId};
use common::repository::{PlaceOrderError, Placed};
use futures::future::join_all;

use super::Subject;
use crate::samples::{self, without_key};

async fn listed(subject: &Subject, available: &str) -> Asset {
    let asset = samples::asset(available);
    assert!(subject.assets.create_if_absent(&asset).await.expect("create"));
    asset
}

async fn left(subject: &Subject, id: &AssetId) -> String {
    subject.assets.by_id(id).await.expect("read").expect("asset").available.to_string()
}

async fn place(subject: &Subject, order: &Order) {
    let placed = subject.orders.place(&without_key(order.clone())).await.expect("place");
    assert_eq!(placed, Placed::Now(order.clone()));
}

fn under(key: &str, order: Order) -> NewOrder {
    NewOrder { order, idempotency_key: Some(IdempotencyKey::parse(key).expect("key")) }
}

pub(super) async fn placed_order_is_read_back_and_taken_out_of_stock(subject: &Subject) {
    let asset = listed(subject, "10").await;
    let order = samples::order(&asset, UserId::new(), "2.5");
    place(subject, &order).await;
    assert_eq!(subject.orders.by_id(order.user_id, order.id).await.expect("read"), Some(order));
    assert_eq!(left(subject, &asset.id).await, "7.5");
}

pub(super) async fn more_than_is_left_is_refused_with_what_is_left(subject: &Subject) {
    let asset = listed(subject, "1.5").await;
    let result = subject.orders.place(&without_key(samples::order(&asset, UserId::new(), "1.50000001"))).await;
    assert!(
        matches!(&result, Err(PlaceOrderError::OutOfStock { available }) if available.to_string() == "1.5"),
        "{result:?}"
    );
    place(subject, &samples::order(&asset, UserId::new(), "1.5")).await;
    assert_eq!(left(subject, &asset.id).await, "0");
}

pub(super) async fn inactive_asset_is_not_for_sale(subject: &Subject) {
    let asset = Asset { active: false, ..samples::asset("10") };
    subject.assets.create_if_absent(&asset).await.expect("create");
    let result = subject.orders.place(&without_key(samples::order(&asset, UserId::new(), "1"))).await;
    assert!(matches!(result, Err(PlaceOrderError::NotForSale)), "{result:?}");
}

pub(super) async fn missing_asset_is_not_for_sale(subject: &Subject) {
    let result = subject.orders.place(&without_key(samples::order(&samples::asset("1"), UserId::new(), "1"))).await;
    assert!(matches!(result, Err(PlaceOrderError::NotForSale)), "{result:?}");
}

pub(super) async fn changed_price_is_refused(subject: &Subject) {
    let asset = listed(subject, "10").await;
    let order = samples::order(&asset, UserId::new(), "1");
    subject.assets.set_price(&asset.id, samples::price("11"), samples::moment(9, 0)).await.expect("set");
    let result = subject.orders.place(&without_key(order)).await;
    assert!(matches!(result, Err(PlaceOrderError::PriceChanged)), "{result:?}");
}

pub(super) async fn refused_order_changes_nothing(subject: &Subject) {
    let asset = listed(subject, "1").await;
    let order = samples::order(&asset, UserId::new(), "2");
    subject.orders.place(&under("key", order.clone())).await.expect_err("out of stock");
    assert_eq!(left(subject, &asset.id).await, "1");
    assert_eq!(subject.orders.by_id(order.user_id, order.id).await.expect("read"), None);
    assert!(subject.orders.of_user(order.user_id, None, 10).await.expect("read").orders.is_empty());
}

pub(super) async fn many_buyers_never_buy_more_than_there_is(subject: &Subject) {
    let asset = listed(subject, "10").await;
    let orders: Vec<NewOrder> = (0..50).map(|_| without_key(samples::order(&asset, UserId::new(), "1"))).collect();
    let results = join_all(orders.iter().map(|new| subject.orders.place(new))).await;
    let sold = results.iter().filter(|result| matches!(result, Ok(Placed::Now(_)))).count();
    let refused = results.iter().filter(|result| matches!(result, Err(PlaceOrderError::OutOfStock { .. }))).count();
    assert_eq!((sold, refused), (10, 40));
    assert_eq!(left(subject, &asset.id).await, "0");
    let written = join_all(orders.iter().map(|new| subject.orders.by_id(new.order.user_id, new.order.id))).await;
    assert_eq!(written.into_iter().filter(|found| found.as_ref().expect("read").is_some()).count(), 10);
}

pub(super) async fn fractions_add_up_exactly(subject: &Subject) {
    let asset = listed(subject, "0.3").await;
    for units in ["0.1", "0.19999999", "0.00000001"] {
        place(subject, &samples::order(&asset, UserId::new(), units)).await;
    }
    assert_eq!(left(subject, &asset.id).await, "0");
}

pub(super) async fn repetition_under_a_key_returns_the_first_order(subject: &Subject) {
    let asset = listed(subject, "10").await;
    let user = UserId::new();
    let first = samples::order(&asset, user, "1");
    assert_eq!(subject.orders.place(&under("k", first.clone())).await.expect("place"), Placed::Now(first.clone()));
    for _ in 0..2 {
        let again = under("k", samples::order(&asset, user, "1.0"));
        assert_eq!(subject.orders.place(&again).await.expect("place"), Placed::Before(first.clone()));
    }
    // Even the very same order, identity and all.
    let same = under("k", first.clone());
    assert!(matches!(subject.orders.place(&same).await.expect("place"), Placed::Before(before) if before == first));
    assert_eq!(left(subject, &asset.id).await, "9");
}

pub(super) async fn repetition_returns_its_order_though_price_and_stock_have_changed(subject: &Subject) {
    let asset = listed(subject, "1").await;
    let user = UserId::new();
    let first = samples::order(&asset, user, "1");
    subject.orders.place(&under("k", first.clone())).await.expect("place");
    subject.assets.set_price(&asset.id, samples::price("11"), samples::moment(9, 0)).await.expect("set");
    let repriced = Asset { price: samples::price("11"), ..asset.clone() };
    let again = under("k", samples::order(&repriced, user, "1"));
    assert_eq!(subject.orders.place(&again).await.expect("place"), Placed::Before(first));
}

pub(super) async fn key_of_another_purchase_is_refused(subject: &Subject) {
    let (asset, other) = (listed(subject, "10").await, listed(subject, "10").await);
    let user = UserId::new();
    subject.orders.place(&under("k", samples::order(&asset, user, "1"))).await.expect("place");
    for order in
        [samples::order(&asset, user, "2"), samples::order(&other, user, "1"), samples::order(&asset, user, "99")]
    {
        let result = subject.orders.place(&under("k", order)).await;
        assert!(matches!(result, Err(PlaceOrderError::KeyReused)), "{result:?}");
    }
    assert_eq!((left(subject, &asset.id).await, left(subject, &other.id).await), ("9".to_owned(), "10".to_owned()));
}

pub(super) async fn keys_of_two_users_are_two_keys(subject: &Subject) {
    let asset = listed(subject, "10").await;
    for _ in 0..2 {
        let placed = subject.orders.place(&under("k", samples::order(&asset, UserId::new(), "1"))).await;
        assert!(matches!(placed, Ok(Placed::Now(_))), "{placed:?}");
    }
    assert_eq!(left(subject, &asset.id).await, "8");
}

pub(super) async fn refused_order_leaves_its_key_free(subject: &Subject) {
    let asset = listed(subject, "1").await;
    let user = UserId::new();
    subject.orders.place(&under("k", samples::order(&asset, user, "2"))).await.expect_err("out of stock");
    let placed = subject.orders.place(&under("k", samples::order(&asset, user, "1"))).await;
    assert!(matches!(placed, Ok(Placed::Now(_))), "{placed:?}");
}

pub(super) async fn simultaneous_attempts_under_one_key_place_one_order(subject: &Subject) {
    let asset = listed(subject, "10").await;
    let user = UserId::new();
    let attempts: Vec<NewOrder> = (0..20).map(|_| under("k", samples::order(&asset, user, "1"))).collect();
    let results = join_all(attempts.iter().map(|new| subject.orders.place(new))).await;
    let placed: Vec<Placed> = results.into_iter().map(|result| result.expect("place")).collect();
    let now: Vec<&Order> =
        placed.iter().filter_map(|placed| if let Placed::Now(order) = placed { Some(order) } else { None }).collect();
    assert_eq!(now.len(), 1);
    assert!(
        placed.iter().all(|placed| matches!(placed, Placed::Now(order) | Placed::Before(order) if order == now[0]))
    );
    assert_eq!(left(subject, &asset.id).await, "9");
    assert_eq!(subject.orders.of_user(user, None, 10).await.expect("read").orders, [now[0].clone()]);
}

/// Every page of `user`'s orders from `before` on.
async fn pages(subject: &Subject, user: UserId, mut before: Option<OrderId>, limit: usize) -> Vec<Vec<OrderId>> {
    let mut pages = Vec::new();
    loop {
        let page = subject.orders.of_user(user, before, limit).await.expect("read");
        pages.push(page.orders.iter().map(|order| order.id).collect());
        before = page.next;
        if before.is_none() {
            return pages;
        }
    }
}

async fn bought(subject: &Subject, asset: &Asset, user: UserId, count: usize) -> Vec<OrderId> {
    let mut newest_first = Vec::new();
    for n in 0..count {
        let order = samples::order(asset, user, "1");
        // Some with a key: its record stands beside the orders and must not show among them.
        let new = if n % 2 == 0 { under(&n.to_string(), order.clone()) } else { without_key(order.clone()) };
        subject.orders.place(&new).await.expect("place");
        newest_first.insert(0, order.id);
    }
    newest_first
}

pub(super) async fn pages_have_every_order_once_newest_first(subject: &Subject) {
    let asset = listed(subject, "100").await;
    let user = UserId::new();
    assert_eq!(pages(subject, user, None, 3).await, [Vec::new()], "no orders yet");
    let ids = bought(subject, &asset, user, 7).await;
    bought(subject, &asset, UserId::new(), 2).await;
    assert_eq!(pages(subject, user, None, 3).await, [&ids[..3], &ids[3..6], &ids[6..]]);
    assert_eq!(pages(subject, user, None, 100).await, [&ids[..]]);
    assert_eq!(pages(subject, user, None, usize::MAX).await, [&ids[..]]);
}

pub(super) async fn orders_placed_while_paging_do_not_disturb_later_pages(subject: &Subject) {
    let asset = listed(subject, "100").await;
    let user = UserId::new();
    let ids = bought(subject, &asset, user, 4).await;
    let first = subject.orders.of_user(user, None, 2).await.expect("read");
    place(subject, &samples::order(&asset, user, "1")).await;
    assert_eq!(pages(subject, user, first.next, 2).await, [&ids[2..]]);
}

pub(super) async fn page_of_exactly_the_last_orders_is_the_last(subject: &Subject) {
    let asset = listed(subject, "100").await;
    let user = UserId::new();
    let ids = bought(subject, &asset, user, 2).await;
    assert_eq!(pages(subject, user, None, 2).await, [&ids[..]]);
    assert_eq!(pages(subject, user, Some(ids[1]), 2).await, [Vec::new()], "nothing is older than the oldest");
}

pub(super) async fn order_of_another_user_is_absent(subject: &Subject) {
    let asset = listed(subject, "10").await;
    let order = samples::order(&asset, UserId::new(), "1");
    place(subject, &order).await;
    let other = UserId::new();
    assert_eq!(subject.orders.by_id(other, order.id).await.expect("read"), None);
    assert!(subject.orders.of_user(other, None, 10).await.expect("read").orders.is_empty());
}

pub(super) async fn price_updates_and_purchases_do_not_disturb_each_other(subject: &Subject) {
    let asset = listed(subject, "100").await;
    let updates = join_all((1..=20).map(|n| {
        let id = &asset.id;
        // The same price, so that the purchases go through.
        async move { subject.assets.set_price(id, samples::price("10"), samples::moment(n, 0)).await }
    }));
    let orders: Vec<NewOrder> = (0..20).map(|_| without_key(samples::order(&asset, UserId::new(), "1"))).collect();
    let purchases = join_all(orders.iter().map(|new| subject.orders.place(new)));
    let (updates, purchases) = futures::future::join(updates, purchases).await;
    assert!(updates.iter().all(Result::is_ok), "{updates:?}");
    assert!(purchases.iter().all(Result::is_ok), "{purchases:?}");
    let after = subject.assets.by_id(&asset.id).await.expect("read").expect("asset");
    assert_eq!((after.available.to_string(), after.price_updated_at), ("80".to_owned(), samples::moment(20, 0)));
}
