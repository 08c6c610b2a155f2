//! The tables: their names, their keys, and making them where nobody else does.
//!
//! On AWS they are made by whoever runs the account; this is for the embedded store and DynamoDB Local.

use std::time::Duration;

use aws_sdk_dynamodb::Client;
use aws_sdk_dynamodb::types::{
    AttributeDefinition, BillingMode, KeySchemaElement, KeyType, ScalarAttributeType, TableStatus,
    TimeToLiveSpecification, TimeToLiveStatus,
};
use tokio::time::{Instant, sleep};

use super::config::TablePrefix;
use super::error;
use crate::repository::RepositoryError;

/// By when a new table must be usable.
const USABLE_WITHIN: Duration = Duration::from_secs(30);
const POLL_INTERVAL: Duration = Duration::from_millis(100);

/// When an item may be dropped, in seconds of Unix time.
pub(super) const EXPIRES_AT: &str = "expires_at";

/// The tables' names.
#[derive(Clone, Debug)]
pub(super) struct Tables {
    pub(super) users: String,
    pub(super) assets: String,
    pub(super) orders: String,
    pub(super) revocations: String,
    pub(super) revocation_log: String,
}

impl Tables {
    pub(super) fn with(prefix: &TablePrefix) -> Self {
        let name = |suffix: &str| format!("{}{suffix}", prefix.as_str());
        Self {
            users: name("users"),
            assets: name("assets"),
            orders: name("orders"),
            revocations: name("revocations"),
            revocation_log: name("revocation-log"),
        }
    }
}

/// How one table is made.
struct Shape<'a> {
    name: &'a str,
    partition_key: &'static str,
    sort_key: Option<&'static str>,
    expires: bool,
}

#[derive(Debug, thiserror::Error)]
#[error("the table {table} was not usable within {USABLE_WITHIN:?}")]
struct NotUsable {
    table: String,
}

/// Makes what is missing of `tables` and waits until all can be used.
pub(super) async fn ensure(client: &Client, tables: &Tables) -> Result<(), RepositoryError> {
    let shapes = [
        Shape { name: &tables.users, partition_key: "pk", sort_key: None, expires: false },
        Shape { name: &tables.assets, partition_key: "id", sort_key: None, expires: false },
        Shape { name: &tables.orders, partition_key: "pk", sort_key: Some("sk"), expires: true },
        Shape { name: &tables.revocations, partition_key: "jti", sort_key: None, expires: true },
        Shape { name: &tables.revocation_log, partition_key: "pk", sort_key: Some("sk"), expires: true },
    ];
    futures::future::try_join_all(shapes.iter().map(|shape| async move {
        create(client, shape).await?;
        until_active(client, shape.name).await?;
        if shape.expires { expire(client, shape.name).await } else { Ok(()) }
    }))
    .await?;
    Ok(())
}

async fn create(client: &Client, shape: &Shape<'_>) -> Result<(), RepositoryError> {
    let mut request = client.create_table().table_name(shape.name).billing_mode(BillingMode::PayPerRequest);
    let sort_key = shape.sort_key.map(|name| (name, KeyType::Range));
    for (name, kind) in [(shape.partition_key, KeyType::Hash)].into_iter().chain(sort_key) {
        let attribute = AttributeDefinition::builder().attribute_name(name).attribute_type(ScalarAttributeType::S);
        let key = KeySchemaElement::builder().attribute_name(name).key_type(kind);
        request = request
            .attribute_definitions(attribute.build().map_err(error::unbuilt)?)
            .key_schema(key.build().map_err(error::unbuilt)?);
    }
    match request.send().await {
        Ok(_) => Ok(()),
        // It is there, or another process is making it.
        Err(failure) if failure.as_service_error().is_some_and(|e| e.is_resource_in_use_exception()) => Ok(()),
        Err(failure) => Err(error::failed(failure)),
    }
}

async fn until_active(client: &Client, table: &str) -> Result<(), RepositoryError> {
    let deadline = Instant::now() + USABLE_WITHIN;
    loop {
        match client.describe_table().table_name(table).send().await {
            Ok(described) if described.table().and_then(|t| t.table_status()) == Some(&TableStatus::Active) => {
                return Ok(());
            }
            Ok(_) => {}
            // Descriptions follow a creation with some delay.
            Err(failure) if failure.as_service_error().is_some_and(|e| e.is_resource_not_found_exception()) => {}
            Err(failure) => return Err(error::failed(failure)),
        }
        if Instant::now() >= deadline {
            return Err(RepositoryError::Unavailable(Box::new(NotUsable { table: table.to_owned() })));
        }
        sleep(POLL_INTERVAL).await;
    }
}

/// Lets DynamoDB drop items that have expired.
async fn expire(client: &Client, table: &str) -> Result<(), RepositoryError> {
    if expires(client, table).await? {
        return Ok(());
    }
    let specification = TimeToLiveSpecification::builder().enabled(true).attribute_name(EXPIRES_AT);
    let updated = client
        .update_time_to_live()
        .table_name(table)
        .time_to_live_specification(specification.build().map_err(error::unbuilt)?)
        .send()
        .await;
    match updated {
        Ok(_) => Ok(()),
        // DynamoDB refuses to enable it a second time: another process may have been faster.
        Err(failure) => {
            if expires(client, table).await? {
                Ok(())
            } else {
                Err(error::failed(failure))
            }
        }
    }
}

async fn expires(client: &Client, table: &str) -> Result<bool, RepositoryError> {
    let described = client.describe_time_to_live().table_name(table).send().await.map_err(error::failed)?;
    let status = described.time_to_live_description().and_then(|ttl| ttl.time_to_live_status());
    Ok(matches!(status, Some(TimeToLiveStatus::Enabled | TimeToLiveStatus::Enabling)))
}
