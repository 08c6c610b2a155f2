//! Who calls: the bearer of a token that we issued and that nobody revoked.

use std::sync::Arc;

use poem::Request;
use poem_openapi::SecurityScheme;
use poem_openapi::auth::Bearer;

use super::Problem;
use crate::auth::{Claims, TokenVerifier};
use crate::ids::UserId;
use crate::repository::RevocationRepository;

/// Checks tokens.
pub struct Authenticator {
    verifier: TokenVerifier,
    revocations: Arc<dyn RevocationRepository>,
}

impl Authenticator {
    /// An authenticator that believes what `verifier` believes unless it is in `revocations`.
    #[must_use]
    pub fn new(verifier: TokenVerifier, revocations: Arc<dyn RevocationRepository>) -> Self {
        Self { verifier, revocations }
    }

    async fn authenticate(&self, token: &str) -> Result<Claims, Problem> {
        let claims = self.verifier.verify(token).map_err(|error| Problem::invalid_token(error.to_string()))?;
        // A store that does not answer lets nobody in: 503, by the error's conversion.
        if self.revocations.is_revoked(claims.marks()).await? {
            return Err(Problem::invalid_token("the token was revoked"));
        }
        Ok(claims)
    }
}

/// A caller whose token was checked; only the check can make one.
///
/// The token that `POST /login` answered with, in the header `Authorization: Bearer <token>`.
#[derive(SecurityScheme)]
#[oai(rename = "bearer", ty = "bearer", bearer_format = "JWT", checker = "check")]
pub struct Authenticated(Claims);

impl Authenticated {
    /// Whose token it is.
    #[must_use]
    pub const fn user(&self) -> UserId {
        self.0.sub
    }

    /// What the token says.
    #[must_use]
    pub const fn claims(&self) -> &Claims {
        &self.0
    }
}

async fn check(request: &Request, bearer: Bearer) -> poem::Result<Claims> {
    let authenticator = request.data::<Arc<Authenticator>>().ok_or_else(|| Problem::internal("no authenticator"))?;
    Ok(authenticator.authenticate(&bearer.token).await?)
}
