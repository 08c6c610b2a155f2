//! Accounts in a store.

use async_trait::async_trait;

use super::RepositoryError;
use crate::entities::{User, Username};
use crate::ids::UserId;

/// Keeps accounts, each user name and each e-mail address at most once.
#[async_trait]
pub trait UserRepository: Send + Sync {
    /// Writes a new account.
    ///
    /// # Errors
    /// [`CreateUserError::UsernameTaken`] or [`CreateUserError::EmailTaken`] when another account has it, also when both
    /// are being written at the same moment: exactly one wins.
    async fn create(&self, user: &User) -> Result<(), CreateUserError>;

    /// The account with this id.
    ///
    /// # Errors
    /// When the store fails.
    async fn by_id(&self, id: UserId) -> Result<Option<User>, RepositoryError>;

    /// The account with this name.
    ///
    /// # Errors
    /// When the store fails.
    async fn by_username(&self, username: &Username) -> Result<Option<User>, RepositoryError>;

    /// Replaces e-mail address, names, password hash and `updated_at` of the account that is still at `user.version`;
    /// returns it at the next version.
    ///
    /// # Errors
    /// [`UpdateUserError::Stale`] when the account has changed since or is gone, [`UpdateUserError::EmailTaken`] when
    /// another account has the address.
    async fn update(&self, user: &User) -> Result<User, UpdateUserError>;
}

/// Why an account was not created.
#[derive(Debug, thiserror::Error)]
pub enum CreateUserError {
    /// Another account has the user name.
    #[error("the user name is taken")]
    UsernameTaken,
    /// Another account has the e-mail address.
    #[error("the e-mail address is taken")]
    EmailTaken,
    /// The store failed. When it is [`RepositoryError::Unavailable`], the account may be written all the same.
    #[error(transparent)]
    Repository(#[from] RepositoryError),
}

/// Why an account was not changed.
#[derive(Debug, thiserror::Error)]
pub enum UpdateUserError {
    /// Another account has the e-mail address.
    #[error("the e-mail address is taken")]
    EmailTaken,
    /// The account has changed since it was read.
    #[error("the account has changed since it was read")]
    Stale,
    /// The store failed.
    #[error(transparent)]
    Repository(#[from] RepositoryError),
}
