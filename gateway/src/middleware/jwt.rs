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
use crate::reply::{BEARER, BadToken, Rejection};
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
    fn proof(&self, found: Result<Verified, NotTaken>) -> Proof {
        let standing = |marks: &Marks| self.revocations.as_ref().map_or(Standing::Counts, |all| all.standing(marks));
        let found = found.and_then(|verified| match standing(&verified.marks) {
            Standing::Counts => Ok(verified.identity),
            Standing::Void => Err(NotTaken::Revoked),
            Standing::Unknown => Err(NotTaken::RevocationsUnknown),
        });
        match found {
            Ok(identity) => Proof::Given(identity),
            // Which check has failed is nobody's business but the log's.
            Err(not_taken) => Proof::Refused(not_taken.into()),
        }
    }
}

impl Authenticator for Jwt {
    fn ask<'a>(&'a self, head: &'a RequestHeader, asking: &Asking) -> Asked<'a> {
        let now = asking.now;
        let token = match self.provider.token_of(head) {
            Ok(Some(token)) => token,
            Ok(None) => return Asked::Done(Proof::Absent),
            Err(bad) => return Asked::Done(self.proof(Err(bad.into()))),
        };
        match self.provider.identify(&token, now) {
            Err(NotTaken::Bad(BadToken::UnknownKey)) => {
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

/// Why a token does not let its request in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum NotTaken {
    /// It is not to be believed.
    Bad(BadToken),
    /// The issuer's keys cannot be had.
    NoKeys,
    /// It was revoked.
    Revoked,
    /// It is not known which tokens were revoked.
    RevocationsUnknown,
}

impl From<BadToken> for NotTaken {
    fn from(bad: BadToken) -> Self {
        Self::Bad(bad)
    }
}

impl From<NotTaken> for Rejection {
    fn from(not_taken: NotTaken) -> Self {
        match not_taken {
            NotTaken::Bad(bad) => Self::TokenInvalid(bad),
            NotTaken::NoKeys => Self::KeysUnavailable,
            NotTaken::Revoked => Self::TokenRevoked,
            NotTaken::RevocationsUnknown => Self::RevocationsUnknown,
        }
    }
}

#[cfg(test)]
mod tests;
