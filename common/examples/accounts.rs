//! Creates an account in an embedded store, and shows that its name is taken then.
//!
//! `cargo run -p common --features embedded --example accounts`

use chrono::Utc;
use common::dynamo::embedded::{EmbeddedStore, Place};
use common::dynamo::{DynamoConfig, Store, TablePrefix};
use common::entities::{Email, PasswordHash, PersonName, User, Username};
use common::ids::UserId;
use common::repository::{CreateUserError, UserRepository};

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let embedded = EmbeddedStore::start(Place::Memory).await?;
    let store = Store::connect(&DynamoConfig::local(embedded.endpoint(), TablePrefix::parse("example-")?)).await?;
    store.ensure_tables().await?;
    let users = store.users();

    users.create(&account("alice", "alice@example.com")?).await?;
    let found = users.by_username(&Username::parse("ALICE")?).await?;
    println!("registered: {found:?}");

    match users.create(&account("Alice", "other@example.com")?).await {
        Err(CreateUserError::UsernameTaken) => println!("a second one: the user name is taken"),
        other => anyhow::bail!("a second alice was not refused: {other:?}"),
    }
    embedded.stop().await;
    Ok(())
}

fn account(username: &str, email: &str) -> anyhow::Result<User> {
    let now = Utc::now();
    Ok(User {
        id: UserId::new(),
        username: Username::parse(username)?,
        email: Email::parse(email)?,
        first_name: PersonName::parse("Alice")?,
        last_name: PersonName::parse("Example")?,
        password_hash: PasswordHash::from_phc("$argon2id$v=19$m=19456,t=2,p=1$c2FsdHNhbHQ$aGFzaA".to_owned()),
        created_at: now,
        updated_at: now,
        version: 1,
    })
}

#[test]
fn runs_to_its_end() -> anyhow::Result<()> {
    main()
}
