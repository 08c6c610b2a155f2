//! Revoked tokens on DynamoDB: one item for each, which DynamoDB drops after its time.

use async_trait::async_trait;
use aws_sdk_dynamodb::Client;
use chrono::{DateTime, Utc};

use super::error;
use super::item::{number, text};
use super::tables::EXPIRES_AT;
use crate::ids::TokenId;
use crate::repository::{RepositoryError, RevocationRepository};

/// The table of revoked tokens.
#[derive(Clone, Debug)]
pub struct DynamoRevocations {
    client: Client,
    table: String,
}

impl DynamoRevocations {
    pub(super) fn new(client: Client, table: String) -> Self {
        Self { client, table }
    }

    /// Whether the table can be read.
    pub(super) async fn check(&self) -> Result<(), RepositoryError> {
        self.has("readiness".to_owned()).await.map(|_| ())
    }

    async fn has(&self, jti: String) -> Result<bool, RepositoryError> {
        let request = self.client.get_item().table_name(&self.table).key("jti", text(jti)).consistent_read(true);
        Ok(request.send().await.map_err(error::failed)?.item.is_some())
    }
}

#[async_trait]
impl RevocationRepository for DynamoRevocations {
    async fn revoke(&self, token: TokenId, expires_at: DateTime<Utc>) -> Result<(), RepositoryError> {
        let request = self.client.put_item().table_name(&self.table);
        let request = request.item("jti", text(token.to_string())).item(EXPIRES_AT, number(expires_at.timestamp()));
        request.send().await.map(|_| ()).map_err(error::failed)
    }

    // A record past its time counts as long as it is there: a verifier's leeway may still let the token live.
    async fn is_revoked(&self, token: TokenId) -> Result<bool, RepositoryError> {
        self.has(token.to_string()).await
    }
}
