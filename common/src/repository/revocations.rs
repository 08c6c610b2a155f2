//! Tokens that are dead before their time.

use async_trait::async_trait;
use chrono::{DateTime, Utc};

use super::RepositoryError;
use crate::ids::TokenId;

/// Remembers revoked tokens until they would have expired anyway.
#[async_trait]
pub trait RevocationRepository: Send + Sync {
    /// Revokes the token for good; `expires_at` is when its record may be dropped. Safe to repeat.
    ///
    /// # Errors
    /// When the store fails; the token may then still be alive.
    async fn revoke(&self, token: TokenId, expires_at: DateTime<Utc>) -> Result<(), RepositoryError>;

    /// Whether the token was revoked before this call began.
    ///
    /// # Errors
    /// When the store fails; the caller must then refuse the token.
    async fn is_revoked(&self, token: TokenId) -> Result<bool, RepositoryError>;
}
