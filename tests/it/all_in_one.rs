//! What the all-in-one has acknowledged, it keeps.

use std::sync::Mutex;

use anyhow::Context as _;
use futures::future::join_all;
use reqwest::StatusCode;

use crate::support::{AllInOne, Api, expect};

/// Clients that write at once; few, for each registration keeps a core busy.
const CLIENTS: usize = 4;
/// Accounts that are acknowledged before the process is killed.
const ENOUGH: usize = 8;

/// The shipped quotas would end a flood of registrations.
const WITHOUT_QUOTAS: &str = r#"
server: { listen: ["${GATEWAY_LISTEN}"], admin: "${GATEWAY_ADMIN}" }
upstreams:
  user-service: { targets: ["${USER_SERVICE_URL}"] }
  inventory-service: { targets: ["${INVENTORY_SERVICE_URL}"] }
routes:
  - { name: accounts, match: { path: /* }, upstream: user-service, public: true }
  - { name: shop, match: { path: /inventory/* }, upstream: inventory-service, public: true }
"#;

#[tokio::test]
async fn accounts_tokens_and_orders_survive_a_restart() -> anyhow::Result<()> {
    let data_dir = tempfile::tempdir()?;
    let before = AllInOne::start(data_dir.path()).await?;
    let token = before.api.sign_up("ada").await?;
    let order = expect(before.api.try_buy(&token, "0.5").await?, StatusCode::CREATED).await?;
    assert!(before.process.stop().await?.success());

    let after = AllInOne::start(data_dir.path()).await?;
    let orders = expect(after.api.get_as(&token, "/inventory/orders").await?, StatusCode::OK).await?;
    assert_eq!(orders["items"][0]["id"], order["id"]);
    after.api.log_in("ada").await?;
    Ok(())
}

#[tokio::test]
async fn a_crash_loses_no_acknowledged_account_and_no_acknowledged_order() -> anyhow::Result<()> {
    let data_dir = tempfile::tempdir()?;
    let config = data_dir.path().join("without-quotas.yaml");
    std::fs::write(&config, WITHOUT_QUOTAS)?;
    let flags = ["--config", config.to_str().context("the temporary directory is not UTF-8")?];
    let mut before = AllInOne::with_flags(data_dir.path(), &flags).await?;
    let written = Mutex::new(Vec::new());

    let (enough, mut told) = tokio::sync::mpsc::unbounded_channel();
    let clients =
        join_all((0..CLIENTS).map(|client| write_until_it_dies(client, &before.api, &written, enough.clone())));
    let crash = async {
        for _ in 0..ENOUGH {
            told.recv().await;
        }
        before.process.kill()
    };
    futures::join!(clients, crash).1?;

    let after = AllInOne::with_flags(data_dir.path(), &flags).await?;
    let written = written.into_inner()?;
    assert!(written.len() >= ENOUGH, "only {} were acknowledged", written.len());
    for (username, order) in written {
        let token = after.api.log_in(&username).await?;
        if let Some(id) = order {
            expect(after.api.get_as(&token, &format!("/inventory/orders/{id}")).await?, StatusCode::OK).await?;
        }
    }
    Ok(())
}

/// Registers accounts and buys something with each, and notes what was acknowledged, until nobody answers.
async fn write_until_it_dies(
    client: usize,
    api: &Api,
    written: &Mutex<Vec<(String, Option<String>)>>,
    acknowledged: tokio::sync::mpsc::UnboundedSender<()>,
) {
    for number in 0.. {
        let username = format!("user-{client}-{number}");
        match api.try_register(&username).await {
            Ok(answer) if answer.status() == StatusCode::CREATED => {}
            _ => return,
        }
        let order = buy_once(api, &username).await;
        let answered = order.is_ok();
        written.lock().expect("no panic before").push((username, order.ok()));
        if !answered || acknowledged.send(()).is_err() {
            return;
        }
    }
}

async fn buy_once(api: &Api, username: &str) -> anyhow::Result<String> {
    let token = api.log_in(username).await?;
    let order = expect(api.try_buy(&token, "0.01").await?, StatusCode::CREATED).await?;
    Ok(order["id"].as_str().unwrap_or_default().to_owned())
}
