//! The JSON that goes in and out, and its way into the domain's types.

use chrono::{DateTime, Utc};
use common::auth::IssuedToken;
use common::entities::{Email, Password, PersonName, User, Username};
use common::service::{Field, Fields, Problem};
use poem_openapi::payload::Json;
use poem_openapi::{ApiResponse, Object};
use uuid::Uuid;

use crate::accounts::{ProfileChange, Registration};

/// What somebody registers with.
#[derive(Object)]
#[oai(deny_unknown_fields)]
pub(super) struct NewAccount {
    username: Field<Username>,
    email: Field<Email>,
    password: Field<Password>,
    first_name: Field<PersonName>,
    last_name: Field<PersonName>,
}

impl NewAccount {
    pub(super) fn parse(self, mut fields: Fields) -> Result<Registration, Problem> {
        let username = fields.take("username", self.username);
        let email = fields.take("email", self.email);
        let password = fields.take("password", self.password);
        let first_name = fields.take("first_name", self.first_name);
        let last_name = fields.take("last_name", self.last_name);
        if let (Some(username), Some(password)) = (&username, &password)
            && password.expose().to_lowercase().contains(username.as_str())
        {
            fields.wrong("password", "must not contain the user name");
        }
        let registration = || {
            Some(Registration {
                username: username?,
                email: email?,
                password: password?,
                first_name: first_name?,
                last_name: last_name?,
            })
        };
        fields.finish(registration())
    }
}

/// What somebody logs in with.
#[derive(Object)]
#[oai(deny_unknown_fields)]
pub(super) struct Credentials {
    username: Field<String>,
    password: Field<String>,
}

impl Credentials {
    pub(super) fn parse(self, mut fields: Fields) -> Result<(String, String), Problem> {
        let username = fields.take("username", self.username);
        let password = fields.take("password", self.password);
        fields.finish(username.zip(password))
    }
}

/// What is to be changed of a profile.
#[derive(Object)]
#[oai(deny_unknown_fields)]
pub(super) struct ProfileUpdate {
    email: Option<Field<Email>>,
    first_name: Option<Field<PersonName>>,
    last_name: Option<Field<PersonName>>,
}

impl ProfileUpdate {
    pub(super) fn parse(self, mut fields: Fields) -> Result<ProfileChange, Problem> {
        let email = fields.take_optional("email", self.email);
        let first_name = fields.take_optional("first_name", self.first_name);
        let last_name = fields.take_optional("last_name", self.last_name);
        fields.finish(Some(ProfileChange { email, first_name, last_name }))
    }
}

/// An account, as its owner sees it.
#[derive(Object)]
pub(super) struct Account {
    id: Uuid,
    username: String,
    email: String,
    first_name: String,
    last_name: String,
    created_at: DateTime<Utc>,
    updated_at: DateTime<Utc>,
}

impl From<User> for Account {
    fn from(user: User) -> Self {
        Self {
            id: user.id.as_uuid(),
            username: user.username.as_str().to_owned(),
            email: user.email.as_str().to_owned(),
            first_name: user.first_name.as_str().to_owned(),
            last_name: user.last_name.as_str().to_owned(),
            created_at: user.created_at,
            updated_at: user.updated_at,
        }
    }
}

/// A token, as RFC 6750, section 4, has it.
#[derive(Object)]
pub(super) struct Token {
    /// To be sent in the header `Authorization: Bearer <token>`.
    access_token: String,
    /// Always `bearer`.
    token_type: String,
    /// Seconds that the token counts.
    expires_in: u64,
}

impl From<IssuedToken> for Token {
    fn from(issued: IssuedToken) -> Self {
        Self { access_token: issued.token, token_type: "bearer".to_owned(), expires_in: issued.expires_in.as_secs() }
    }
}

#[derive(ApiResponse)]
pub(super) enum Registered {
    /// The new account.
    #[oai(status = 201)]
    Created(Json<Account>),
}

#[derive(ApiResponse)]
pub(super) enum LoggedOut {
    /// The token is dead.
    #[oai(status = 204)]
    Done,
}
