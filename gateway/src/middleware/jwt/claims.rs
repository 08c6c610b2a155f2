//! Decides whether a token's claims count, and from when to when (RFC 7519, section 4.1).

use serde_json::{Map, Number, Value};

use crate::claim::ClaimPath;
use crate::reply::BadToken;

/// What one provider asks of claims.
pub(super) struct Rules {
    issuers: Box<[Box<str>]>,
    audiences: Box<[Box<str>]>,
    required: Box<[(ClaimPath, Value)]>,
    leeway: u64,
}

/// The seconds since 1970 in which a token counts, the leeway included.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Lifetime {
    begins: u64,
    ends: u64,
}

impl Rules {
    /// Tokens of one of `issuers` for one of `audiences`, by clocks that differ by at most `leeway` seconds.
    pub(super) fn new<'t>(
        issuers: impl IntoIterator<Item = &'t str>,
        audiences: impl IntoIterator<Item = &'t str>,
        leeway: u64,
    ) -> Self {
        let texts = |texts: &mut dyn Iterator<Item = &'t str>| texts.map(Box::from).collect();
        Self {
            issuers: texts(&mut issuers.into_iter()),
            audiences: texts(&mut audiences.into_iter()),
            required: Box::default(),
            leeway,
        }
    }

    /// The same for tokens with claims of exactly these values.
    pub(super) fn requiring(self, required: impl IntoIterator<Item = (ClaimPath, Value)>) -> Self {
        Self { required: required.into_iter().collect(), ..self }
    }

    /// How long `claims` count; whether now is within is for [`Lifetime::includes`].
    pub(super) fn lifetime(&self, claims: &Map<String, Value>) -> Result<Lifetime, BadToken> {
        let is_among = |claim: &Value, texts: &[Box<str>]| texts.iter().any(|text| *claim == **text);
        if !is_among(claims.get("iss").ok_or(BadToken::BadClaims)?, &self.issuers) {
            return Err(BadToken::OtherIssuer);
        }
        let is_for_us = match claims.get("aud").ok_or(BadToken::BadClaims)? {
            Value::Array(audiences) => audiences.iter().any(|audience| is_among(audience, &self.audiences)),
            audience => is_among(audience, &self.audiences),
        };
        if !is_for_us {
            return Err(BadToken::OtherAudience);
        }
        if !self.required.iter().all(|(path, value)| path.find(claims) == Some(value)) {
            return Err(BadToken::OtherClaim);
        }
        let expires = match claims.get("exp") {
            Some(Value::Number(time)) => seconds(time, f64::floor)?,
            _ => return Err(BadToken::BadClaims),
        };
        let begins = match claims.get("nbf") {
            None => 0,
            Some(Value::Number(time)) => seconds(time, f64::ceil)?,
            Some(_) => return Err(BadToken::BadClaims),
        };
        Ok(Lifetime { begins: begins.saturating_sub(self.leeway), ends: expires.saturating_add(self.leeway) })
    }
}

impl Lifetime {
    /// Whether `now` is within; the end is not.
    pub(super) const fn includes(self, now: u64) -> Result<(), BadToken> {
        if now < self.begins {
            Err(BadToken::NotYetValid)
        } else if now >= self.ends {
            Err(BadToken::Expired)
        } else {
            Ok(())
        }
    }
}

/// A `NumericDate` in whole seconds; one with a fraction is rounded so that the token counts for less.
fn seconds(time: &Number, round: fn(f64) -> f64) -> Result<u64, BadToken> {
    let fraction = || time.as_f64().filter(|time| *time >= 0.0).map(|time| round(time) as u64);
    time.as_u64().or_else(fraction).ok_or(BadToken::BadClaims)
}
