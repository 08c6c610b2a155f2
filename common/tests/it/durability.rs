//! What the embedded store has acknowledged survives `kill -9`.

use std::io::{BufRead, BufReader, Write};
use std::path::PathBuf;
use std::process::{Command, Stdio};

use common::dynamo::embedded::{EmbeddedStore, Place};
use common::entities::Asset;
use common::ids::{OrderId, UserId};
use common::repository::{AssetRepository, OrderRepository};

use crate::samples::{self, without_key};

/// Set in the process that is to be killed: where it writes.
const VICTIM: &str = "STORE_TO_BE_KILLED";
const ACKNOWLEDGED_BEFORE_THE_KILL: usize = 25;

/// Runs itself a second time, kills that process while it places orders, and looks for every order it reported.
#[tokio::test]
async fn acknowledged_orders_survive_kill_9() {
    if let Some(directory) = std::env::var_os(VICTIM) {
        return place_orders_until_killed(directory.into()).await;
    }
    let directory = tempfile::tempdir().expect("directory");
    let mut victim = Command::new(std::env::current_exe().expect("this binary"))
        .args(["--exact", "durability::acknowledged_orders_survive_kill_9", "--nocapture"])
        .env(VICTIM, directory.path())
        .stdout(Stdio::piped())
        .spawn()
        .expect("second process");
    let lines = BufReader::new(victim.stdout.take().expect("piped")).lines();
    let acknowledged: Vec<(UserId, OrderId)> = lines
        .map_while(Result::ok)
        .filter_map(|line| {
            let (user, order) = line.strip_prefix("placed ")?.split_once(' ')?;
            Some((user.parse().ok()?, order.parse().ok()?))
        })
        .take(ACKNOWLEDGED_BEFORE_THE_KILL)
        .collect();
    victim.kill().expect("kill");
    victim.wait().expect("end");
    assert_eq!(acknowledged.len(), ACKNOWLEDGED_BEFORE_THE_KILL);

    let embedded = EmbeddedStore::start(Place::Directory(directory.path().to_owned())).await.expect("opens again");
    let store = samples::connect(&embedded.endpoint()).await;
    for (user, order) in &acknowledged {
        let found = store.orders().by_id(*user, *order).await.expect("read");
        assert!(found.is_some(), "{order} was acknowledged");
    }
    let (user, _) = acknowledged[0];
    let orders = store.orders().of_user(user, None, usize::MAX).await.expect("read").orders;
    let asset: Asset = store.assets().all().await.expect("read").remove(0);
    let sold: rust_decimal::Decimal = orders.iter().map(|order| order.quantity.as_decimal()).sum();
    assert_eq!(asset.available.as_decimal() + sold, 1_000_000.into(), "stock and orders agree");
}

async fn place_orders_until_killed(directory: PathBuf) {
    let embedded = EmbeddedStore::start(Place::Directory(directory)).await.expect("embedded store");
    let store = samples::connect(&embedded.endpoint()).await;
    store.ensure_tables().await.expect("tables");
    let asset = samples::asset("1000000");
    store.assets().create_if_absent(&asset).await.expect("create");
    let user = UserId::new();
    loop {
        let order = samples::order(&asset, user, "1");
        let id = order.id;
        store.orders().place(&without_key(order)).await.expect("place");
        // Ends with the parent's end of the pipe, should the parent be gone.
        writeln!(std::io::stdout(), "placed {user} {id}").expect("the parent reads");
    }
}
