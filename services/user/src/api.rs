//! Every route of the service.

mod message;
mod problem;

use common::service::{Authenticated, Body, Problem};
use poem_openapi::payload::Json;
use poem_openapi::{OpenApi, Tags};

use self::message::{Account, Credentials, LoggedOut, NewAccount, ProfileUpdate, Registered, Token};
use crate::accounts::Accounts;

/// The routes; what they do is in [`Accounts`].
pub(crate) struct Api {
    pub(crate) accounts: Accounts,
}

#[derive(Tags)]
enum Tag {
    /// Who you are here
    Accounts,
}

#[OpenApi(tag = "Tag::Accounts")]
impl Api {
    /// Register
    ///
    /// 409 `username_taken` or `email_taken` if another account has it; 422 with what is wrong with each field.
    #[oai(path = "/register", method = "post", operation_id = "register")]
    async fn register(&self, body: Body<NewAccount>) -> Result<Registered, Problem> {
        let user = self.accounts.register(body.read(NewAccount::parse)?).await?;
        Ok(Registered::Created(Json(user.into())))
    }

    /// Log in
    ///
    /// 401 `wrong_credentials` if the name is unknown or the password wrong; 503 `busy` if too many log in at once.
    #[oai(path = "/login", method = "post", operation_id = "login")]
    async fn login(&self, body: Body<Credentials>) -> Result<Json<Token>, Problem> {
        let (username, password) = body.read(Credentials::parse)?;
        Ok(Json(self.accounts.login(&username, &password).await?.into()))
    }

    /// Log out
    ///
    /// The token that the request bears is dead from then on.
    #[oai(path = "/logout", method = "post", operation_id = "logout")]
    async fn logout(&self, caller: Authenticated) -> Result<LoggedOut, Problem> {
        self.accounts.logout(caller.claims()).await?;
        Ok(LoggedOut::Done)
    }

    /// Log out everywhere
    ///
    /// Every token that was issued to you until now is dead from then on.
    #[oai(path = "/logout/everywhere", method = "post", operation_id = "logout_everywhere")]
    async fn logout_everywhere(&self, caller: Authenticated) -> Result<LoggedOut, Problem> {
        self.accounts.logout_everywhere(caller.user()).await?;
        Ok(LoggedOut::Done)
    }

    /// Your profile
    #[oai(path = "/profile", method = "get", operation_id = "get_profile")]
    async fn profile(&self, caller: Authenticated) -> Result<Json<Account>, Problem> {
        Ok(Json(self.accounts.profile(caller.user()).await?.into()))
    }

    /// Change your profile
    ///
    /// Fields that are left out stay as they are. 409 `email_taken` if another account has the address.
    #[oai(path = "/profile", method = "put", operation_id = "change_profile")]
    async fn change_profile(&self, caller: Authenticated, body: Body<ProfileUpdate>) -> Result<Json<Account>, Problem> {
        Ok(Json(self.accounts.change_profile(caller.user(), body.read(ProfileUpdate::parse)?).await?.into()))
    }
}
