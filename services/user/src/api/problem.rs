//! What a use case that failed is to the one who asked for it.

use common::repository::CreateUserError;
use common::service::Problem;

use crate::accounts::{LoginError, ProfileError, RegisterError};

impl From<RegisterError> for Problem {
    fn from(error: RegisterError) -> Self {
        match error {
            RegisterError::Create(CreateUserError::UsernameTaken) => {
                Self::conflict("username_taken", "Another account has this user name")
            }
            RegisterError::Create(CreateUserError::EmailTaken) => email_taken(),
            RegisterError::Create(CreateUserError::Repository(error)) => error.into(),
            RegisterError::Password(error) => error.into(),
        }
    }
}

impl From<LoginError> for Problem {
    fn from(error: LoginError) -> Self {
        match error {
            LoginError::WrongCredentials => {
                Self::unauthorized("wrong_credentials", "The user name or the password is wrong")
            }
            LoginError::Password(error) => error.into(),
            LoginError::Token(error) => Self::internal(error),
            LoginError::Repository(error) => error.into(),
        }
    }
}

impl From<ProfileError> for Problem {
    fn from(error: ProfileError) -> Self {
        match error {
            ProfileError::Gone => Self::invalid_token("the token's account is no more"),
            ProfileError::EmailTaken => email_taken(),
            ProfileError::Contended => {
                Self::conflict("profile_changed", "The profile is being changed by another request; try again")
            }
            ProfileError::Repository(error) => error.into(),
        }
    }
}

fn email_taken() -> Problem {
    Problem::conflict("email_taken", "Another account has this e-mail address")
}
