//! Who calls: the bearer of a token that we issued and that nobody revoked.

use std::sync::Arc;

use poem::Request;
use poem_openapi::SecurityScheme;
use poem_openapi::auth::Bearer;

use super::Problem;
use crate::auth::{Claims, IDENTITY_TOKEN_HEADER, IdentityTokens, SignedRequest, TokenVerifier};
use crate::ids::UserId;
use crate::repository::RevocationRepository;

/// Checks tokens.
pub struct Authenticator {
    verifier: TokenVerifier,
    revocations: Arc<dyn RevocationRepository>,
    identity_tokens: Option<IdentityTokens>,
}

impl Authenticator {
    /// An authenticator that believes what `verifier` believes unless it is in `revocations`.
    #[must_use]
    pub fn new(verifier: TokenVerifier, revocations: Arc<dyn RevocationRepository>) -> Self {
        Self { verifier, revocations, identity_tokens: None }
    }

    /// The same for requests that a gateway vouches for, in each with a token of its own.
    #[must_use]
    pub fn behind(self, identity_tokens: Option<IdentityTokens>) -> Self {
        Self { identity_tokens, ..self }
    }

    async fn authenticate(&self, request: &Request, token: &str) -> Result<Claims, Problem> {
        let claims = self.verifier.verify(token).map_err(|error| Problem::invalid_token(error.to_string()))?;
        if let Some(tokens) = &self.identity_tokens {
            let signed = SignedRequest {
                method: request.method().as_str(),
                path: request.original_uri().path(),
                subject: claims.sub,
            };
            let checked = tokens.check(request.header(IDENTITY_TOKEN_HEADER), signed);
            checked.map_err(|bad| Problem::invalid_token(bad.to_string()).caused_by(bad))?;
        }
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
    Ok(authenticator.authenticate(request, &bearer.token).await?)
}
