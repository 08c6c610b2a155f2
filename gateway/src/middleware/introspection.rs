//! Proves who is there by a token that its issuer says is active (RFC 7662).
//!
//! Answers are remembered for a while, so that a token in use costs a look-up and not a call, and all requests that come
//! with one token meanwhile wait for one call. What an answer says is checked like the claims of a signed token.

mod answer;
mod metrics;
mod provider;

use std::sync::Arc;

use http::HeaderValue;
use pingora_http::RequestHeader;

pub(crate) use provider::{Introspection, Introspections};

use super::identity::{Asked, Asking, Authenticator, Proof};
use crate::credential::{Place, Several, find_one, missing_token};
use crate::reply::{BEARER, BadToken, Rejection};

impl Authenticator for Introspection {
    fn ask<'a>(&'a self, head: &'a RequestHeader, asking: &Asking) -> Asked<'a> {
        let token = match find_one(self.places(), head) {
            Ok(None) => return Asked::Done(Proof::Absent),
            Ok(Some(token)) => token,
            Err(Several) => return Asked::Done(Proof::Refused(Rejection::TokenInvalid(BadToken::Several))),
        };
        let now = asking.now;
        let Some(presented) = self.presented(&token) else {
            return Asked::Done(Proof::Refused(Rejection::TokenInvalid(BadToken::NoToken)));
        };
        match self.remembered(&presented, now) {
            Some(proof) => Asked::Done(proof),
            None => Asked::Wait(Box::pin(async move { self.find_out(&token, &presented, now).await })),
        }
    }

    fn missing(&self) -> Rejection {
        missing_token(Introspection::places(self))
    }

    fn challenge(&self) -> HeaderValue {
        HeaderValue::from_static(BEARER)
    }

    fn places(&self) -> &[Place] {
        Introspection::places(self)
    }

    fn forwards(&self) -> bool {
        self.forwards_token()
    }
}

/// What a token was found to be.
#[derive(Clone)]
enum Found {
    /// Somebody's, until this second since 1970 if it says so.
    Active(Arc<crate::ctx::Identity>, Option<u64>),
    /// Nobody's, and why.
    Inactive(BadToken),
    /// Not known, for no answer came.
    Unknown,
}

#[cfg(test)]
mod tests;
