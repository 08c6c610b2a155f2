//! Valid things to put into a store, each unlike any other.

use chrono::{DateTime, Utc};
use common::dynamo::{DynamoConfig, Store, TablePrefix};
use common::entities::{
    Asset, AssetId, Category, Email, NewOrder, Order, OrderStatus, PasswordHash, PersonName, Price, Quantity, Symbol,
    User, Username,
};
use common::ids::{OrderId, TokenId, UserId};
use common::revocations::TokenMarks;
use uuid::Uuid;

pub(crate) fn unique() -> String {
    Uuid::new_v4().simple().to_string()
}

pub(crate) fn config(endpoint: &str) -> DynamoConfig {
    DynamoConfig::local(endpoint, TablePrefix::parse("test-").expect("prefix"))
}

pub(crate) async fn connect(endpoint: &str) -> Store {
    Store::connect(&config(endpoint)).await.expect("connection")
}

pub(crate) fn price(dollars: &str) -> Price {
    Price::new(dollars.parse().expect("decimal")).expect("price")
}

pub(crate) fn quantity(units: &str) -> Quantity {
    Quantity::new(units.parse().expect("decimal")).expect("quantity")
}

pub(crate) fn moment(seconds: i64, nanoseconds: u32) -> DateTime<Utc> {
    DateTime::from_timestamp(1_700_000_000 + seconds, nanoseconds).expect("moment")
}

pub(crate) fn username() -> Username {
    Username::parse(&unique()).expect("user name")
}

pub(crate) fn email() -> Email {
    Email::parse(&format!("{}@example.com", unique())).expect("e-mail address")
}

pub(crate) fn user() -> User {
    User {
        id: UserId::new(),
        username: username(),
        email: email(),
        first_name: PersonName::parse("Zoë").expect("name"),
        last_name: PersonName::parse("李").expect("name"),
        password_hash: PasswordHash::from_phc("$argon2id$v=19$m=19456,t=2,p=1$c2FsdA$aGFzaA".to_owned()),
        created_at: moment(0, 123_456_789),
        updated_at: moment(1, 0),
        version: 1,
    }
}

/// An asset at 10 dollars.
pub(crate) fn asset(available: &str) -> Asset {
    Asset {
        id: AssetId::parse(&unique()).expect("asset id"),
        symbol: Symbol::parse("TST").expect("symbol"),
        name: "Test \"coin\"".to_owned(),
        description: String::new(),
        category: Category::parse("currency").expect("category"),
        price: price("10"),
        price_updated_at: moment(0, 5),
        available: quantity(available),
        active: true,
        created_at: moment(0, 6),
        updated_at: moment(0, 7),
    }
}

pub(crate) fn order(asset: &Asset, user_id: UserId, units: &str) -> Order {
    let quantity = quantity(units);
    Order {
        id: OrderId::new(),
        user_id,
        asset_id: asset.id.clone(),
        symbol: asset.symbol.clone(),
        quantity,
        unit_price: asset.price,
        total: asset.price.times(quantity).expect("total"),
        status: OrderStatus::Confirmed,
        created_at: Utc::now(),
    }
}

pub(crate) fn without_key(order: Order) -> NewOrder {
    NewOrder { order, idempotency_key: None }
}

/// Of a token of its own subject, issued now and of no session.
pub(crate) fn marks(token: TokenId) -> TokenMarks<'static> {
    TokenMarks { token, session: None, subject: UserId::new(), issued_at: Utc::now().timestamp() }
}
