//! Lets only requests with a valid access token pass, and tells the upstream who sent them.
//!
//! `jws` opens a token with the provider's one `key`, `claims` says whether and how long its claims count, and `cache` keeps
//! what was found, so that a token in use costs a look-up and not a signature.

mod cache;
mod claims;
mod jws;
mod key;
mod metrics;
mod provider;
mod providers;

use std::sync::Arc;

use http::HeaderMap;
use http::header::AUTHORIZATION;
use pingora_http::RequestHeader;

pub(crate) use provider::JwtProvider;
pub(crate) use providers::JwtProviders;
pub use providers::ProviderError;

use super::{Flow, Middleware, Step};
use crate::ctx::RequestContext;
use crate::reply::Rejection;

/// The step that asks for a token of one provider.
pub(crate) struct Jwt {
    provider: Arc<JwtProvider>,
}

impl Jwt {
    /// Asks for a token of `provider`.
    pub(crate) fn new(provider: Arc<JwtProvider>) -> Self {
        Self { provider }
    }

    fn decide(&self, headers: &HeaderMap, ctx: &mut RequestContext) -> Result<(), Rejection> {
        let token = bearer_token(headers)?;
        let identity = self.provider.identify(token, ctx.unix_time()).map_err(|bad| {
            // Which check failed is nobody's business but the log's, and there the request id leads to the client.
            tracing::debug!(reason = %bad, "token refused");
            Rejection::TokenInvalid
        })?;
        ctx.hide_authorization |= !self.provider.forwards_token();
        ctx.identity = Some(identity);
        Ok(())
    }
}

impl Middleware for Jwt {
    fn on_request<'a>(&'a self, head: &'a mut RequestHeader, ctx: &'a mut RequestContext) -> Step<'a> {
        Step::Done(match self.decide(&head.headers, ctx) {
            Ok(()) => Flow::Continue,
            Err(rejection) => Flow::Reply(rejection),
        })
    }

    fn sees_responses(&self) -> bool {
        false
    }
}

/// Why a token is not believed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
enum BadToken {
    #[error("it is too long")]
    TooLong,
    #[error("it has no three parts of base64url")]
    NoJws,
    #[error("its header is none of a token, or asks for an extension")]
    BadHeader,
    #[error("it is signed with another algorithm")]
    OtherAlgorithm,
    #[error("its signature is not the issuer's")]
    BadSignature,
    #[error("a claim is missing or of the wrong type")]
    BadClaims,
    #[error("it is of another issuer")]
    OtherIssuer,
    #[error("it is for another audience")]
    OtherAudience,
    #[error("its time has not come")]
    NotYetValid,
    #[error("its time is over")]
    Expired,
    #[error("a claim cannot be a header")]
    NoHeader,
}

/// The token of the one `Authorization: Bearer` header (RFC 6750, section 2.1).
fn bearer_token(headers: &HeaderMap) -> Result<&[u8], Rejection> {
    let mut values = headers.get_all(AUTHORIZATION).iter();
    let value = values.next().ok_or(Rejection::TokenMissing)?.as_bytes();
    // Two of them could be read in two ways, here and at the upstream.
    if values.next().is_some() {
        return Err(Rejection::TokenInvalid);
    }
    let (scheme, mut token) = value.split_at_checked("Bearer ".len()).ok_or(Rejection::TokenMissing)?;
    if !scheme.eq_ignore_ascii_case(b"Bearer ") {
        return Err(Rejection::TokenMissing);
    }
    while let [b' ', rest @ ..] = token {
        token = rest;
    }
    Ok(token)
}

#[cfg(test)]
mod tests;
