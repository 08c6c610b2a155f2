//! What can be done with an account.

use std::sync::Arc;

use chrono::Utc;
use common::auth::{Claims, IssuedToken, PasswordError, PasswordHasher, TokenError, TokenIssuer};
use common::entities::{Email, Password, PersonName, User, Username};
use common::ids::UserId;
use common::repository::{CreateUserError, RepositoryError, RevocationRepository, UpdateUserError, UserRepository};
use common::revocations::Revocation;

use crate::revocations::Feed;

/// Somebody else may change the same account at the same moment; twice in a row is no accident.
const UPDATE_ATTEMPTS: usize = 2;

/// The use cases.
pub(crate) struct Accounts {
    pub(crate) users: Arc<dyn UserRepository>,
    pub(crate) revocations: Arc<dyn RevocationRepository>,
    pub(crate) hasher: Arc<PasswordHasher>,
    pub(crate) tokens: TokenIssuer,
    /// Who is told of revocations, if anybody.
    pub(crate) feed: Option<Arc<Feed>>,
}

/// What somebody registers with.
pub(crate) struct Registration {
    pub(crate) username: Username,
    pub(crate) email: Email,
    pub(crate) password: Password,
    pub(crate) first_name: PersonName,
    pub(crate) last_name: PersonName,
}

/// What is to be changed of a profile; what is absent stays.
#[derive(Clone)]
pub(crate) struct ProfileChange {
    pub(crate) email: Option<Email>,
    pub(crate) first_name: Option<PersonName>,
    pub(crate) last_name: Option<PersonName>,
}

/// Why somebody was not registered.
#[derive(Debug, thiserror::Error)]
pub(crate) enum RegisterError {
    #[error(transparent)]
    Create(#[from] CreateUserError),
    #[error(transparent)]
    Password(#[from] PasswordError),
}

/// Why somebody was not logged in.
#[derive(Debug, thiserror::Error)]
pub(crate) enum LoginError {
    /// There is no such account, or it has another password; which of the two is nobody's business.
    #[error("the user name or the password is wrong")]
    WrongCredentials,
    #[error(transparent)]
    Password(#[from] PasswordError),
    #[error(transparent)]
    Token(#[from] TokenError),
    #[error(transparent)]
    Repository(#[from] RepositoryError),
}

/// Why a profile was not read or not changed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ProfileError {
    /// The token's account is no more.
    #[error("the account is gone")]
    Gone,
    /// Another account has the e-mail address.
    #[error("the e-mail address is taken")]
    EmailTaken,
    /// Others keep changing the account at the same time.
    #[error("the account was changed by another request")]
    Contended,
    #[error(transparent)]
    Repository(#[from] RepositoryError),
}

impl Accounts {
    /// Makes an account. The store decides, in one transaction, whether name and address are still free.
    pub(crate) async fn register(&self, new: Registration) -> Result<User, RegisterError> {
        let password_hash = self.hasher.hash(new.password).await?;
        let now = Utc::now();
        let user = User {
            id: UserId::new(),
            username: new.username,
            email: new.email,
            first_name: new.first_name,
            last_name: new.last_name,
            password_hash,
            created_at: now,
            updated_at: now,
            version: 1,
        };
        self.users.create(&user).await?;
        tracing::info!(user = %user.id, "registered");
        Ok(user)
    }

    /// Issues a token to whoever knows the password. An unknown name costs as much time as a wrong password.
    pub(crate) async fn login(&self, username: &str, password: &str) -> Result<IssuedToken, LoginError> {
        let user = self.by_typed_name(username).await?;
        let hash = user.as_ref().map(|user| user.password_hash.clone());
        let matches = self.hasher.verify(Password::typed(password), hash).await?;
        match user {
            Some(user) if matches => {
                let void_before = self.revocations.void_before(user.id).await?;
                let issued = self.tokens.issue_past(user.id, user.username.as_str(), Utc::now(), void_before)?;
                tracing::info!(user = %user.id, "logged in");
                Ok(issued)
            }
            _ => Err(LoginError::WrongCredentials),
        }
    }

    async fn by_typed_name(&self, username: &str) -> Result<Option<User>, RepositoryError> {
        if let Ok(username) = Username::parse(username)
            && let Some(user) = self.users.by_username(&username).await?
        {
            return Ok(Some(user));
        }
        // A known name is found in two reads, its own and its account's. An unknown one costs the second as well.
        self.users.by_id(UserId::new()).await
    }

    /// The account.
    pub(crate) async fn profile(&self, id: UserId) -> Result<User, ProfileError> {
        self.users.by_id(id).await?.ok_or(ProfileError::Gone)
    }

    /// Changes the account, and returns it as it is then.
    pub(crate) async fn change_profile(&self, id: UserId, change: ProfileChange) -> Result<User, ProfileError> {
        for _ in 0..UPDATE_ATTEMPTS {
            let user = self.profile(id).await?;
            let changed = User {
                email: change.email.clone().unwrap_or(user.email),
                first_name: change.first_name.clone().unwrap_or(user.first_name),
                last_name: change.last_name.clone().unwrap_or(user.last_name),
                updated_at: Utc::now(),
                ..user
            };
            match self.users.update(&changed).await {
                Ok(user) => return Ok(user),
                Err(UpdateUserError::Stale) => {}
                Err(UpdateUserError::EmailTaken) => return Err(ProfileError::EmailTaken),
                Err(UpdateUserError::Repository(error)) => return Err(error.into()),
            }
        }
        Err(ProfileError::Contended)
    }

    /// Ends the token's life.
    pub(crate) async fn logout(&self, claims: &Claims) -> Result<(), RepositoryError> {
        self.revoke(claims.revocation()).await?;
        tracing::info!(user = %claims.sub, "logged out");
        Ok(())
    }

    /// Ends the lives of all tokens that the user has.
    pub(crate) async fn logout_everywhere(&self, user: UserId) -> Result<(), RepositoryError> {
        self.revoke(self.tokens.revocation_of(user, Utc::now())).await?;
        tracing::info!(%user, "logged out everywhere");
        Ok(())
    }

    /// For good first, and then told: who hears of it finds it in the store.
    async fn revoke(&self, revocation: Revocation) -> Result<(), RepositoryError> {
        self.revocations.revoke(&revocation).await?;
        if let Some(feed) = &self.feed {
            feed.add([revocation]);
        }
        Ok(())
    }
}
