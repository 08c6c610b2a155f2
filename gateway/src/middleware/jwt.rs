//! Proves who is there by an access token.
//!
//! `jws` opens a token with a `key` of the provider's `key_set`, `claims` says whether and how long its claims count, and
//! `cache` keeps what was found, so that a token in use costs a look-up and not a signature. `remote` has the keys that an
//! issuer publishes and changes. Whether a token was revoked is asked of `revocation` on every request.

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

use http::HeaderValue;
use pingora_http::RequestHeader;

pub(crate) use provider::JwtProvider;
pub(crate) use providers::JwtProviders;
pub use providers::ProviderError;
pub(crate) use remote::KeysState;

use super::identity::{Asked, Asking, Authenticator, Proof};
use crate::credential::{Place, missing_token};
use crate::reply::{BEARER, Rejection};
use crate::revocation::{Marks, Revocations, Standing};
use cache::Verified;

/// The proof by a token of one provider.
pub(crate) struct Jwt {
    provider: Arc<JwtProvider>,
    revocations: Option<Arc<Revocations>>,
}

impl Jwt {
    /// Asks for a token of `provider` that is not among the `revocations`.
    pub(crate) fn new(provider: Arc<JwtProvider>, revocations: Option<Arc<Revocations>>) -> Self {
        Self { provider, revocations }
    }

    /// What a token proves that was `found` to be right, from the cache or not, or to be wrong.
    fn proof(&self, found: Result<Verified, BadToken>) -> Proof {
        let standing = |marks: &Marks| self.revocations.as_ref().map_or(Standing::Counts, |all| all.standing(marks));
        let found = found.and_then(|verified| match standing(&verified.marks) {
            Standing::Counts => Ok(verified.identity),
            Standing::Void => Err(BadToken::Revoked),
            Standing::Unknown => Err(BadToken::RevocationsUnknown),
        });
        match found {
            Ok(identity) => Proof::Given(identity),
            Err(bad) => {
                // Which check failed is nobody's business but the log's, and there the request id leads to the client.
                tracing::debug!(reason = %bad, "token refused");
                Proof::Refused(bad.rejection())
            }
        }
    }
}

impl Authenticator for Jwt {
    fn ask<'a>(&'a self, head: &'a RequestHeader, asking: &Asking) -> Asked<'a> {
        let now = asking.now;
        let token = match self.provider.token_of(head) {
            Ok(Some(token)) => token,
            Ok(None) => return Asked::Done(Proof::Absent),
            Err(bad) => return Asked::Done(self.proof(Err(bad))),
        };
        match self.provider.identify(&token, now) {
            Err(BadToken::UnknownKey) => {
                Asked::Wait(Box::pin(async move { self.proof(self.provider.identify_later(&token, now).await) }))
            }
            found => Asked::Done(self.proof(found)),
        }
    }

    fn missing(&self) -> Rejection {
        missing_token(self.provider.places())
    }

    fn challenge(&self) -> HeaderValue {
        HeaderValue::from_static(BEARER)
    }

    fn places(&self) -> &[Place] {
        self.provider.places()
    }

    fn forwards(&self) -> bool {
        self.provider.forwards_token()
    }
}

/// Why a token is not believed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
enum BadToken {
    #[error("there is more than one")]
    Several,
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
    #[error("a claim has not the value that it must have")]
    OtherClaim,
    #[error("its time has not come")]
    NotYetValid,
    #[error("its time is over")]
    Expired,
    #[error("a claim cannot be a header")]
    NoHeader,
    #[error("the issuer's keys cannot be had")]
    NoKeys,
    #[error("it was revoked")]
    Revoked,
    #[error("it is not known which tokens were revoked")]
    RevocationsUnknown,
}

impl BadToken {
    /// What the client is told.
    const fn rejection(self) -> Rejection {
        match self {
            Self::NoKeys => Rejection::KeysUnavailable,
            Self::Revoked => Rejection::TokenRevoked,
            Self::RevocationsUnknown => Rejection::RevocationsUnknown,
            _ => Rejection::TokenInvalid,
        }
    }
}

#[cfg(test)]
mod tests;
