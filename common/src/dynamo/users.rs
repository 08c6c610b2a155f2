//! Accounts on DynamoDB.
//!
//! An account is three items: `user#<id>` holds it, `username#<name>` and `email#<address>` keep others from taking the
//! same. All three are written in one transaction, and that they are absent is its condition.

use async_trait::async_trait;
use aws_sdk_dynamodb::Client;
use aws_sdk_dynamodb::types::{Delete, Put, TransactWriteItem, Update};

use super::error;
use super::item::{Item, Stored, instant, item, number, text};
use super::transaction::{self, NotWritten};
use crate::entities::{Email, PasswordHash, PersonName, User, Username};
use crate::ids::UserId;
use crate::repository::{CreateUserError, RepositoryError, UpdateUserError, UserRepository};

const IF_ABSENT: &str = "attribute_not_exists(pk)";

/// The table of accounts.
#[derive(Clone, Debug)]
pub struct DynamoUsers {
    client: Client,
    table: String,
}

/// Two accounts were given one id.
#[derive(Debug, thiserror::Error)]
#[error("an account with this id exists")]
struct IdTaken;

impl DynamoUsers {
    pub(super) fn new(client: Client, table: String) -> Self {
        Self { client, table }
    }

    async fn get(&self, key: String) -> Result<Option<Item>, RepositoryError> {
        let request = self.client.get_item().table_name(&self.table).key("pk", text(key)).consistent_read(true);
        Ok(request.send().await.map_err(error::failed)?.item)
    }

    fn put_if_absent(&self, item: Item) -> Result<TransactWriteItem, RepositoryError> {
        transaction::put(Put::builder().table_name(&self.table).set_item(Some(item)).condition_expression(IF_ABSENT))
    }

    /// Keeps others from taking what `key` stands for.
    fn claim(&self, key: String, owner: UserId) -> Result<TransactWriteItem, RepositoryError> {
        self.put_if_absent(item([("pk", text(key)), ("user_id", text(owner.to_string()))]))
    }

    /// Writes what may change of `user`, if it is still at its version.
    fn replace(&self, user: &User) -> Result<TransactWriteItem, RepositoryError> {
        let update = Update::builder()
            .table_name(&self.table)
            .key("pk", text(user_key(user.id)))
            .condition_expression("version = :version")
            .update_expression(
                "SET email = :email, first_name = :first_name, last_name = :last_name, \
                 password_hash = :password_hash, updated_at = :updated_at, version = :next_version",
            )
            .expression_attribute_values(":version", number(user.version))
            .expression_attribute_values(":next_version", number(user.version + 1))
            .expression_attribute_values(":email", text(user.email.as_str()))
            .expression_attribute_values(":first_name", text(user.first_name.as_str()))
            .expression_attribute_values(":last_name", text(user.last_name.as_str()))
            .expression_attribute_values(":password_hash", text(user.password_hash.as_str()))
            .expression_attribute_values(":updated_at", instant(user.updated_at));
        transaction::update(update)
    }
}

#[async_trait]
impl UserRepository for DynamoUsers {
    async fn create(&self, user: &User) -> Result<(), CreateUserError> {
        let writes = vec![
            self.put_if_absent(encode(user))?,
            self.claim(username_key(&user.username), user.id)?,
            self.claim(email_key(&user.email), user.id)?,
        ];
        transaction::write(&self.client, writes).await.map_err(|not_written| match not_written {
            NotWritten::Conditions(failed) if failed.at(1) => CreateUserError::UsernameTaken,
            NotWritten::Conditions(failed) if failed.at(2) => CreateUserError::EmailTaken,
            NotWritten::Conditions(_) => RepositoryError::Refused(Box::new(IdTaken)).into(),
            NotWritten::Store(error) => error.into(),
        })
    }

    async fn by_id(&self, id: UserId) -> Result<Option<User>, RepositoryError> {
        self.get(user_key(id)).await?.as_ref().map(decode).transpose()
    }

    async fn by_username(&self, username: &Username) -> Result<Option<User>, RepositoryError> {
        let Some(claim) = self.get(username_key(username)).await? else { return Ok(None) };
        // Reads are not isolated from transactions: an account that is just being written may not be there yet.
        self.by_id(Stored { entity: "user name", item: &claim }.text("user_id", str::parse)?).await
    }

    async fn update(&self, user: &User) -> Result<User, UpdateUserError> {
        let before = self.by_id(user.id).await?.filter(|before| before.version == user.version);
        let before = before.ok_or(UpdateUserError::Stale)?;
        let mut writes = vec![self.replace(user)?];
        if before.email != user.email {
            let release = Delete::builder().table_name(&self.table).key("pk", text(email_key(&before.email)));
            writes.push(self.claim(email_key(&user.email), user.id)?);
            writes.push(transaction::delete(release)?);
        }
        transaction::write(&self.client, writes).await.map_err(|not_written| match not_written {
            NotWritten::Conditions(failed) if failed.at(0) => UpdateUserError::Stale,
            NotWritten::Conditions(_) => UpdateUserError::EmailTaken,
            NotWritten::Store(error) => error.into(),
        })?;
        Ok(User { username: before.username, created_at: before.created_at, version: user.version + 1, ..user.clone() })
    }
}

fn user_key(id: UserId) -> String {
    format!("user#{id}")
}

fn username_key(username: &Username) -> String {
    format!("username#{username}")
}

fn email_key(email: &Email) -> String {
    format!("email#{}", email.as_str())
}

fn encode(user: &User) -> Item {
    item([
        ("pk", text(user_key(user.id))),
        ("id", text(user.id.to_string())),
        ("username", text(user.username.as_str())),
        ("email", text(user.email.as_str())),
        ("first_name", text(user.first_name.as_str())),
        ("last_name", text(user.last_name.as_str())),
        ("password_hash", text(user.password_hash.as_str())),
        ("created_at", instant(user.created_at)),
        ("updated_at", instant(user.updated_at)),
        ("version", number(user.version)),
    ])
}

fn decode(item: &Item) -> Result<User, RepositoryError> {
    let stored = Stored { entity: "user", item };
    Ok(User {
        id: stored.text("id", str::parse)?,
        username: stored.text("username", Username::parse)?,
        email: stored.text("email", Email::parse)?,
        first_name: stored.text("first_name", PersonName::parse)?,
        last_name: stored.text("last_name", PersonName::parse)?,
        password_hash: stored
            .text("password_hash", |phc| Ok::<_, std::convert::Infallible>(PasswordHash::from_phc(phc.to_owned())))?,
        created_at: stored.instant("created_at")?,
        updated_at: stored.instant("updated_at")?,
        version: stored.count("version")?,
    })
}
