//! Lists an asset, buys some of it, and repeats the purchase under the same key: there is one order.
//!
//! `cargo run -p common --features embedded --example orders`

use chrono::Utc;
use common::dynamo::embedded::{EmbeddedStore, Place};
use common::dynamo::{DynamoConfig, Store, TablePrefix};
use common::entities::{
    Asset, AssetId, Category, IdempotencyKey, NewOrder, Order, OrderStatus, Price, Quantity, Symbol,
};
use common::ids::{OrderId, UserId};
use common::repository::{AssetRepository, OrderRepository, Placed};

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let embedded = EmbeddedStore::start(Place::Memory).await?;
    let store = Store::connect(&DynamoConfig::local(embedded.endpoint(), TablePrefix::parse("example-")?)).await?;
    store.ensure_tables().await?;

    let bitcoin = listing()?;
    store.assets().create_if_absent(&bitcoin).await?;

    let buyer = UserId::new();
    for attempt in 1..=2 {
        let order = purchase(&bitcoin, buyer, "0.25")?;
        let new = NewOrder { order, idempotency_key: Some(IdempotencyKey::parse("monday")?) };
        match store.orders().place(&new).await? {
            Placed::Now(order) => println!("attempt {attempt}: placed {} for {} dollars", order.id, order.total),
            Placed::Before(order) => println!("attempt {attempt}: {} was placed before", order.id),
        }
    }
    let left = store.assets().by_id(&bitcoin.id).await?.map(|asset| asset.available.to_string());
    println!("left: {}", left.unwrap_or_default());
    embedded.stop().await;
    Ok(())
}

fn listing() -> anyhow::Result<Asset> {
    let now = Utc::now();
    Ok(Asset {
        id: AssetId::parse("bitcoin")?,
        symbol: Symbol::parse("btc")?,
        name: "Bitcoin".to_owned(),
        description: "The first of its kind.".to_owned(),
        category: Category::parse("currency")?,
        price: Price::new("65000.5".parse()?)?,
        price_updated_at: now,
        available: Quantity::new("10".parse()?)?,
        active: true,
        created_at: now,
        updated_at: now,
    })
}

fn purchase(asset: &Asset, buyer: UserId, quantity: &str) -> anyhow::Result<Order> {
    let quantity = Quantity::positive(quantity.parse()?)?;
    Ok(Order {
        id: OrderId::new(),
        user_id: buyer,
        asset_id: asset.id.clone(),
        symbol: asset.symbol.clone(),
        quantity,
        unit_price: asset.price,
        total: asset.price.times(quantity)?,
        status: OrderStatus::Confirmed,
        created_at: Utc::now(),
    })
}

#[test]
fn runs_to_its_end() -> anyhow::Result<()> {
    main()
}
