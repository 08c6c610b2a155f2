//! Tokens that are dead before their time.

use async_trait::async_trait;
use chrono::{DateTime, Utc};

use super::RepositoryError;
use crate::ids::UserId;
use crate::revocations::{Revocation, TokenMarks};

/// Remembers revocations until the tokens that they concern would have expired anyway.
#[async_trait]
pub trait RevocationRepository: Send + Sync {
    /// Revokes for good. Safe to repeat; of one subject the latest moment counts.
    ///
    /// # Errors
    /// When the store fails; the tokens may then still be alive.
    async fn revoke(&self, revocation: &Revocation) -> Result<(), RepositoryError>;

    /// Whether the token, its session or its subject was revoked before this call began.
    ///
    /// # Errors
    /// When the store fails; the caller must then refuse the token.
    async fn is_revoked(&self, token: TokenMarks<'_>) -> Result<bool, RepositoryError>;

    /// The second, counted since 1970, before which tokens of `subject` are void; 0 for none.
    ///
    /// # Errors
    /// When the store fails.
    async fn void_before(&self, subject: UserId) -> Result<i64, RepositoryError>;
}

/// Tells what was revoked, by whichever process.
#[async_trait]
pub trait RevocationLog: Send + Sync {
    /// All revocations that count: at least those that were written before this call began.
    ///
    /// # Errors
    /// When the store fails.
    async fn all(&self) -> Result<Vec<Revocation>, RepositoryError>;

    /// Those whose writer said to begin writing them between `since` and, by clocks that differ a little, now; at most
    /// some minutes back.
    ///
    /// # Errors
    /// When the store fails.
    async fn written_since(&self, since: DateTime<Utc>) -> Result<Vec<Revocation>, RepositoryError>;
}
