//! Revocations on DynamoDB.
//!
//! One table has an item for each, by what is revoked, which DynamoDB drops after its time. A second one has the same by the
//! minute in which it was written, so that every process finds what the others have written in one or two small reads.
//! Both are written in one transaction.

use async_trait::async_trait;
use aws_sdk_dynamodb::Client;
use aws_sdk_dynamodb::types::{KeysAndAttributes, Put};
use chrono::{DateTime, TimeDelta, Utc};
use uuid::Uuid;

use super::error;
use super::item::{Item, Stored, instant, item, number, text};
use super::tables::EXPIRES_AT;
use super::transaction::{self, NotWritten};
use crate::ids::UserId;
use crate::repository::{RepositoryError, RevocationLog, RevocationRepository};
use crate::revocations::{Revocation, Revoked, TokenMarks};

const SESSION: &str = "sid#";
const SUBJECT: &str = "sub#";
const BEFORE: &str = "void_before";

/// How long the log is of use: whoever is further behind reads everything.
const LOGGED_FOR: TimeDelta = TimeDelta::hours(1);
/// How far another writer's clock may be ahead of ours.
const CLOCK_DIFFERENCE: TimeDelta = TimeDelta::seconds(10);

/// The tables of revocations.
#[derive(Clone, Debug)]
pub struct DynamoRevocations {
    client: Client,
    table: String,
    log: String,
}

/// More keys were asked for than the store had room to answer.
#[derive(Debug, thiserror::Error)]
#[error("the store answered for some of the keys only")]
struct Unanswered;

impl DynamoRevocations {
    pub(super) fn new(client: Client, table: String, log: String) -> Self {
        Self { client, table, log }
    }

    /// Whether the table can be read.
    pub(super) async fn check(&self) -> Result<(), RepositoryError> {
        self.get("readiness".to_owned()).await.map(|_| ())
    }

    async fn get(&self, key: String) -> Result<Option<Item>, RepositoryError> {
        let request = self.client.get_item().table_name(&self.table).key("jti", text(key)).consistent_read(true);
        Ok(request.send().await.map_err(error::failed)?.item)
    }

    /// The items of these keys, read at once.
    async fn get_all(&self, keys: Vec<Item>) -> Result<Vec<Item>, RepositoryError> {
        let wanted = KeysAndAttributes::builder().set_keys(Some(keys)).consistent_read(true);
        let wanted = wanted.build().map_err(error::unbuilt)?;
        let request = self.client.batch_get_item().request_items(&self.table, wanted);
        let answer = request.send().await.map_err(error::failed)?;
        if answer.unprocessed_keys.is_some_and(|keys| !keys.is_empty()) {
            return Err(RepositoryError::Unavailable(Box::new(Unanswered)));
        }
        Ok(answer.responses.and_then(|mut tables| tables.remove(&self.table)).unwrap_or_default())
    }

    /// What of the log has the partition `minute` and a moment from `since` on.
    async fn logged(&self, minute: String, since: DateTime<Utc>) -> Result<Vec<Revocation>, RepositoryError> {
        let pages = self
            .client
            .query()
            .table_name(&self.log)
            .consistent_read(true)
            .key_condition_expression("pk = :minute AND sk >= :since")
            .expression_attribute_values(":minute", text(minute))
            .expression_attribute_values(":since", instant(since))
            .into_paginator()
            .items()
            .send();
        let items: Vec<Item> = pages.collect::<Result<_, _>>().await.map_err(error::failed)?;
        let decode = |item: &Item| {
            let stored = Stored { entity: "logged revocation", item };
            Ok(Revocation { revoked: stored.text("revoked", serde_json::from_str)?, until: stored.count("until")? })
        };
        items.iter().map(decode).collect()
    }
}

#[async_trait]
impl RevocationRepository for DynamoRevocations {
    async fn revoke(&self, revocation: &Revocation) -> Result<(), RepositoryError> {
        let mut put = Put::builder().table_name(&self.table).set_item(Some(encode(revocation)));
        if let Revoked::Subject { before, .. } = revocation.revoked {
            put = put
                .condition_expression("attribute_not_exists(jti) OR void_before < :before")
                .expression_attribute_values(":before", number(before));
        }
        let log = Put::builder().table_name(&self.log).set_item(Some(log_entry(revocation, Utc::now())));
        match transaction::write(&self.client, vec![transaction::put(put)?, transaction::put(log)?]).await {
            // A later moment stands there, which includes this one.
            Ok(()) | Err(NotWritten::Conditions(_)) => Ok(()),
            Err(NotWritten::Store(error)) => Err(error),
        }
    }

    // A record past its time counts as long as it is there: a verifier's leeway may still let the token live.
    async fn is_revoked(&self, token: TokenMarks<'_>) -> Result<bool, RepositoryError> {
        let subject = format!("{SUBJECT}{}", token.subject);
        let session = token.session.map(|session| format!("{SESSION}{session}"));
        let keys = [token.token.to_string(), subject].into_iter().chain(session);
        let found = self.get_all(keys.map(|key| item([("jti", text(key))])).collect()).await?;
        found.iter().try_fold(false, |is_revoked, item| {
            let voids = match void_before(item)? {
                Some(before) => token.issued_at < before,
                None => true,
            };
            Ok(is_revoked | voids)
        })
    }

    async fn void_before(&self, subject: UserId) -> Result<i64, RepositoryError> {
        let found = self.get(format!("{SUBJECT}{subject}")).await?;
        Ok(found.as_ref().map(void_before).transpose()?.flatten().unwrap_or_default())
    }
}

#[async_trait]
impl RevocationLog for DynamoRevocations {
    async fn all(&self) -> Result<Vec<Revocation>, RepositoryError> {
        let pages = self.client.scan().table_name(&self.table).consistent_read(true).into_paginator().items().send();
        let items: Vec<Item> = pages.collect::<Result<_, _>>().await.map_err(error::failed)?;
        items.iter().map(decode).collect()
    }

    async fn written_since(&self, since: DateTime<Utc>) -> Result<Vec<Revocation>, RepositoryError> {
        let (mut moment, last) = (since, minute(Utc::now() + CLOCK_DIFFERENCE));
        let mut found = Vec::new();
        loop {
            let minute = minute(moment);
            let is_last = minute >= last;
            found.append(&mut self.logged(minute, since).await?);
            if is_last {
                return Ok(found);
            }
            moment += TimeDelta::minutes(1);
        }
    }
}

/// The partition of the log.
fn minute(moment: DateTime<Utc>) -> String {
    moment.format("%Y-%m-%dT%H:%M").to_string()
}

fn void_before(item: &Item) -> Result<Option<i64>, RepositoryError> {
    if !item.contains_key(BEFORE) {
        return Ok(None);
    }
    let before = Stored { entity: "revocation", item }.count(BEFORE)?;
    Ok(Some(i64::try_from(before).unwrap_or(i64::MAX)))
}

fn encode(revocation: &Revocation) -> Item {
    let until = (EXPIRES_AT, number(revocation.until));
    match &revocation.revoked {
        Revoked::Token(token) => item([("jti", text(token)), until]),
        Revoked::Session(session) => item([("jti", text(format!("{SESSION}{session}"))), until]),
        Revoked::Subject { id, before } => {
            item([("jti", text(format!("{SUBJECT}{id}"))), (BEFORE, number(before)), until])
        }
    }
}

fn decode(item: &Item) -> Result<Revocation, RepositoryError> {
    let stored = Stored { entity: "revocation", item };
    let key = stored.text("jti", Ok::<_, std::convert::Infallible>)?;
    let revoked = if let Some(session) = key.strip_prefix(SESSION) {
        Revoked::Session(session.to_owned())
    } else if let Some(id) = key.strip_prefix(SUBJECT) {
        Revoked::Subject { id: id.to_owned(), before: stored.count(BEFORE)? }
    } else {
        Revoked::Token(key.to_owned())
    };
    Ok(Revocation { revoked, until: stored.count(EXPIRES_AT)? })
}

fn log_entry(revocation: &Revocation, now: DateTime<Utc>) -> Item {
    // Never fails: texts and numbers alone.
    let revoked = serde_json::to_string(&revocation.revoked).unwrap_or_default();
    let moment = instant(now).as_s().map_or("", String::as_str).to_owned();
    item([
        ("pk", text(minute(now))),
        // Two of one moment are two.
        ("sk", text(format!("{moment}#{}", Uuid::now_v7()))),
        ("revoked", text(revoked)),
        ("until", number(revocation.until)),
        (EXPIRES_AT, number((now + LOGGED_FOR).timestamp())),
    ])
}
