//! What an issuer's answer says of a token (RFC 7662, section 2.2).

use std::sync::Arc;

use serde_json::{Map, Value};

use super::Found;
use crate::claim::{ClaimHeaders, ClaimPath};
use crate::config::file::IntrospectionProviderFile;
use crate::ctx::Identity;
use crate::reply::BadToken;

/// Clocks may differ by so many seconds.
const LEEWAY: u64 = 5;

/// What one provider asks of answers.
pub(super) struct Rules {
    issuers: Option<Box<[Box<str>]>>,
    audiences: Option<Box<[Box<str>]>>,
    required: Box<[(ClaimPath, Value)]>,
    headers: ClaimHeaders,
}

/// The answer is none that RFC 7662 has.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the answer is none about a token")]
pub(super) struct BadAnswer;

impl Rules {
    pub(super) fn new(file: &IntrospectionProviderFile) -> Self {
        let texts = |texts: &crate::config::values::Texts| texts.iter().map(Box::from).collect();
        let required = file.required_claims.iter();
        Self {
            issuers: file.issuer.as_ref().map(texts),
            audiences: file.audience.as_ref().map(texts),
            required: required.map(|(claim, value)| (ClaimPath::new(claim), value.get().clone())).collect(),
            headers: ClaimHeaders::new(&file.claims_to_headers),
        }
    }

    /// In which headers upstreams are told.
    pub(super) const fn headers(&self) -> &ClaimHeaders {
        &self.headers
    }

    /// What the answer `body` says at `now`, in seconds since 1970. An active token that does not meet the rules is nobody's.
    pub(super) fn judge(&self, body: &[u8], now: u64) -> Result<Found, BadAnswer> {
        let claims: Map<String, Value> = serde_json::from_slice(body).map_err(|_| BadAnswer)?;
        if !claims.get("active").and_then(Value::as_bool).ok_or(BadAnswer)? {
            return Ok(Found::Inactive(BadToken::Inactive));
        }
        let (ends, begins) = (seconds(claims.get("exp"))?, seconds(claims.get("nbf"))?);
        let is_text = |claim: &str| claims.get(claim).is_none_or(Value::is_string);
        let is_list = |claim: &str| match claims.get(claim) {
            None | Some(Value::String(_)) => true,
            Some(Value::Array(items)) => items.iter().all(Value::is_string),
            Some(_) => false,
        };
        if !(is_text("sub") && is_text("iss") && is_list("scope") && is_list("aud")) {
            return Err(BadAnswer);
        }
        let is_among = |claim: &Value, texts: &[Box<str>]| texts.iter().any(|text| *claim == **text);
        let is_of_us = self.issuers.as_ref().is_none_or(|own| claims.get("iss").is_some_and(|iss| is_among(iss, own)));
        let is_for_us = self.audiences.as_ref().is_none_or(|own| match claims.get("aud") {
            Some(Value::Array(audiences)) => audiences.iter().any(|audience| is_among(audience, own)),
            Some(audience) => is_among(audience, own),
            None => false,
        });
        let meets = self.required.iter().all(|(path, value)| path.find(&claims) == Some(value));
        let ends = ends.map(|ends| ends.saturating_add(LEEWAY));
        let is_over = ends.is_some_and(|ends| now >= ends);
        let is_early = begins.is_some_and(|begins| now + LEEWAY < begins);
        let bad = [
            (!is_of_us, BadToken::OtherIssuer),
            (!is_for_us, BadToken::OtherAudience),
            (!meets, BadToken::OtherClaim),
            (is_over, BadToken::Expired),
            (is_early, BadToken::NotYetValid),
        ];
        if let Some((_, why)) = bad.into_iter().find(|(is_so, _)| *is_so) {
            return Ok(Found::Inactive(why));
        }
        match self.headers.write(&claims) {
            Ok(headers) => Ok(Found::Active(Arc::new(Identity { claims, headers }), ends)),
            // As for a signed token: what the upstream cannot be told is not let through untold.
            Err(_) => Ok(Found::Inactive(BadToken::NoHeader)),
        }
    }
}

/// A time in whole seconds since 1970.
fn seconds(time: Option<&Value>) -> Result<Option<u64>, BadAnswer> {
    let Some(time) = time else { return Ok(None) };
    let fraction = || time.as_f64().filter(|time| *time >= 0.0).map(|time| time as u64);
    time.as_u64().or_else(fraction).map(Some).ok_or(BadAnswer)
}
