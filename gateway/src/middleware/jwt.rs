//! Lets only requests with a valid access token pass, and tells the upstream who sent them.
//!
//! `jws` opens a token with a `key` of the provider's `key_set`, `claims` says whether and how long its claims count, and
//! `cache` keeps what was found, so that a token in use costs a look-up and not a signature. `remote` has the keys that an
//! issuer publishes and changes.

mod cache;
mod claims;
mod jws;
mod key;
mod key_set;
mod metrics;
mod provider;
mod providers;
mod remote;

use std::sync::Arc;

use http::HeaderMap;
use http::header::AUTHORIZATION;
use pingora_http::RequestHeader;

pub(crate) use provider::JwtProvider;
pub(crate) use providers::JwtProviders;
pub use providers::ProviderError;

use super::{Flow, Middleware, Step};
use crate::ctx::{Identity, RequestContext};
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

    fn admit(&self, found: Result<Arc<Identity>, BadToken>, ctx: &mut RequestContext) -> Flow {
        match found {
            Ok(identity) => {
                ctx.hide_authorization |= !self.provider.forwards_token();
                ctx.identity = Some(identity);
                Flow::Continue
            }
            Err(bad) => {
                // Which check failed is nobody's business but the log's, and there the request id leads to the client.
                tracing::debug!(reason = %bad, "token refused");
                Flow::Reply(bad.rejection())
            }
        }
    }
}

impl Middleware for Jwt {
    fn on_request<'a>(&'a self, head: &'a mut RequestHeader, ctx: &'a mut RequestContext) -> Step<'a> {
        let token = match bearer_token(&head.headers) {
            Ok(token) => token,
            Err(rejection) => return Step::Done(Flow::Reply(rejection)),
        };
        match self.provider.identify(token, ctx.unix_time()) {
            Err(BadToken::UnknownKey) => Step::Wait(Box::pin(async move {
                let found = self.provider.identify_later(token, ctx.unix_time()).await;
                self.admit(found, ctx)
            })),
            found => Step::Done(self.admit(found, ctx)),
        }
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
    #[error("it names a key that the issuer does not publish")]
    UnknownKey,
    #[error("it names no key, and there are several that it may be of")]
    NoKeyNamed,
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
    #[error("the issuer's keys cannot be had")]
    NoKeys,
}

impl BadToken {
    /// What the client is told.
    const fn rejection(self) -> Rejection {
        match self {
            Self::NoKeys => Rejection::KeysUnavailable,
            _ => Rejection::TokenInvalid,
        }
    }
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
