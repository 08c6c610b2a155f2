//! Access tokens: JSON Web Tokens (RFC 7519) signed with a shared secret, issued and checked as RFC 8725 advises.

use std::str::FromStr;
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use jsonwebtoken::errors::ErrorKind;
use jsonwebtoken::{DecodingKey, EncodingKey, Header, Validation};
use serde::{Deserialize, Serialize};

use super::SigningSecret;
use crate::ids::{TokenId, UserId};
use crate::revocations::{Revocation, TokenMarks};

/// Tolerated difference between two machines' clocks.
const LEEWAY: Duration = Duration::from_secs(5);

/// How much longer than its token a revocation is kept: the most leeway that any verifier may have (60 s, to which the
/// gateway's configuration is held), and as much again, for the store that drops it has a clock of its own.
const REVOCATION_MARGIN: TimeDelta = TimeDelta::minutes(2);

/// What a longer token could not hold; checked before anything is decoded.
const MAX_TOKEN_BYTES: usize = 8 * 1024;

/// How a token is signed. Only the keyed hashes: issuer and verifiers share one secret.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Algorithm {
    /// HMAC with SHA-256.
    Hs256,
    /// HMAC with SHA-384.
    Hs384,
    /// HMAC with SHA-512.
    Hs512,
}

impl From<Algorithm> for jsonwebtoken::Algorithm {
    fn from(algorithm: Algorithm) -> Self {
        match algorithm {
            Algorithm::Hs256 => Self::HS256,
            Algorithm::Hs384 => Self::HS384,
            Algorithm::Hs512 => Self::HS512,
        }
    }
}

impl FromStr for Algorithm {
    type Err = UnknownAlgorithm;

    fn from_str(name: &str) -> Result<Self, Self::Err> {
        match name {
            "HS256" => Ok(Self::Hs256),
            "HS384" => Ok(Self::Hs384),
            "HS512" => Ok(Self::Hs512),
            _ => Err(UnknownAlgorithm),
        }
    }
}

/// The name is none of the algorithms'.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("must be HS256, HS384 or HS512")]
pub struct UnknownAlgorithm;

/// What a token says of its bearer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Claims {
    /// Whose token it is.
    pub sub: UserId,
    /// That user's name when the token was issued.
    pub username: String,
    /// Which token it is; by this it is revoked.
    pub jti: TokenId,
    /// The session that it belongs to, if it has one; by this all of them are revoked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sid: Option<String>,
    /// Who issued it.
    pub iss: String,
    /// Whom it is for.
    pub aud: String,
    /// Seconds since 1970 when it was issued.
    pub iat: i64,
    /// Seconds since 1970 from which on it counts.
    pub nbf: i64,
    /// Seconds since 1970 from which on it no longer counts.
    pub exp: i64,
}

impl Claims {
    /// When the token stops to count.
    #[must_use]
    pub fn expires_at(&self) -> DateTime<Utc> {
        DateTime::from_timestamp(self.exp, 0).unwrap_or(DateTime::<Utc>::MAX_UTC)
    }

    /// From when on nobody believes the token any more, so that its revocation can be forgotten.
    #[must_use]
    pub fn forgettable_at(&self) -> DateTime<Utc> {
        self.expires_at().checked_add_signed(REVOCATION_MARGIN).unwrap_or(DateTime::<Utc>::MAX_UTC)
    }

    /// What revocations go by.
    #[must_use]
    pub fn marks(&self) -> TokenMarks<'_> {
        TokenMarks { token: self.jti, session: self.sid.as_deref(), subject: self.sub, issued_at: self.iat }
    }

    /// That this token is void.
    #[must_use]
    pub fn revocation(&self) -> Revocation {
        Revocation::of_token(self.jti, self.forgettable_at())
    }
}

/// A token as it is handed to its bearer.
#[derive(Debug)]
pub struct IssuedToken {
    /// The signed token.
    pub token: String,
    /// What it says.
    pub claims: Claims,
    /// How long it counts.
    pub expires_in: Duration,
}

/// Issues tokens.
pub struct TokenIssuer {
    header: Header,
    key: EncodingKey,
    issuer: String,
    audience: String,
    lifetime: Duration,
}

impl TokenIssuer {
    /// An issuer whose tokens are signed with `secret`, name `issuer` and `audience`, and count for `lifetime`.
    #[must_use]
    pub fn new(
        secret: &SigningSecret,
        algorithm: Algorithm,
        issuer: String,
        audience: String,
        lifetime: Duration,
    ) -> Self {
        let header = Header::new(algorithm.into());
        Self { header, key: EncodingKey::from_secret(secret.expose()), issuer, audience, lifetime }
    }

    /// A token for `user` that counts from `now` on.
    ///
    /// # Errors
    /// [`TokenError::Signing`] when the cryptographic library fails.
    pub fn issue(&self, user: UserId, username: &str, now: DateTime<Utc>) -> Result<IssuedToken, TokenError> {
        self.issue_past(user, username, now, 0)
    }

    /// The same where tokens issued before `void_before`, in seconds since 1970, are void. Should that be the next second,
    /// the token calls itself issued then; it counts now.
    ///
    /// # Errors
    /// [`TokenError::Signing`] when the cryptographic library fails.
    pub fn issue_past(
        &self,
        user: UserId,
        username: &str,
        now: DateTime<Utc>,
        void_before: i64,
    ) -> Result<IssuedToken, TokenError> {
        let lifetime = i64::try_from(self.lifetime.as_secs()).unwrap_or(i64::MAX);
        let claims = Claims {
            sub: user,
            username: username.to_owned(),
            jti: TokenId::new(),
            sid: None,
            iss: self.issuer.clone(),
            aud: self.audience.clone(),
            iat: now.timestamp().max(void_before),
            nbf: now.timestamp(),
            exp: now.timestamp().saturating_add(lifetime),
        };
        let token = jsonwebtoken::encode(&self.header, &claims, &self.key).map_err(TokenError::Signing)?;
        Ok(IssuedToken { token, claims, expires_in: self.lifetime })
    }

    /// That all tokens of `user` issued until `now` are void.
    #[must_use]
    pub fn revocation_of(&self, user: UserId, now: DateTime<Utc>) -> Revocation {
        let lifetime = TimeDelta::from_std(self.lifetime).unwrap_or(TimeDelta::MAX);
        let until = now.checked_add_signed(lifetime).and_then(|last| last.checked_add_signed(REVOCATION_MARGIN));
        Revocation::of_subject(user, now, until.unwrap_or(DateTime::<Utc>::MAX_UTC))
    }
}

/// Checks tokens.
pub struct TokenVerifier {
    key: DecodingKey,
    validation: Validation,
}

impl TokenVerifier {
    /// A verifier that accepts only tokens signed by `algorithm` with `secret`, from `issuer`, for `audience`.
    #[must_use]
    pub fn new(secret: &SigningSecret, algorithm: Algorithm, issuer: &str, audience: &str) -> Self {
        let mut validation = Validation::new(algorithm.into());
        validation.set_issuer(&[issuer]);
        validation.set_audience(&[audience]);
        validation.set_required_spec_claims(&["exp", "nbf", "iss", "aud", "sub"]);
        validation.validate_nbf = true;
        validation.leeway = LEEWAY.as_secs();
        Self { key: DecodingKey::from_secret(secret.expose()), validation }
    }

    /// What `token` says, if it may be believed. Whether it was revoked is not asked here.
    ///
    /// # Errors
    /// Says in which way the token is not to be believed.
    pub fn verify(&self, token: &str) -> Result<Claims, TokenError> {
        if token.len() > MAX_TOKEN_BYTES {
            return Err(TokenError::Malformed);
        }
        match jsonwebtoken::decode::<Claims>(token, &self.key, &self.validation) {
            Ok(data) => Ok(data.claims),
            Err(error) => Err(match error.kind() {
                ErrorKind::ExpiredSignature => TokenError::Expired,
                ErrorKind::ImmatureSignature => TokenError::NotYetValid,
                ErrorKind::InvalidSignature => TokenError::BadSignature,
                ErrorKind::InvalidAlgorithm | ErrorKind::InvalidAlgorithmName | ErrorKind::UnsupportedAlgorithm => {
                    TokenError::WrongAlgorithm
                }
                ErrorKind::InvalidIssuer | ErrorKind::InvalidAudience => TokenError::NotForUs,
                _ => TokenError::Malformed,
            }),
        }
    }
}

/// Why a token is not to be believed, or was not made.
#[derive(Debug, thiserror::Error)]
pub enum TokenError {
    /// It is no token of ours: not three parts, not JSON, a claim missing or of another type.
    #[error("the token is malformed")]
    Malformed,
    /// It is signed in another way than agreed, `none` included.
    #[error("the token is signed by another algorithm")]
    WrongAlgorithm,
    /// Its signature is not by our secret.
    #[error("the token's signature is wrong")]
    BadSignature,
    /// Its time is over.
    #[error("the token has expired")]
    Expired,
    /// Its time has not come.
    #[error("the token does not count yet")]
    NotYetValid,
    /// It is from another issuer or for another audience.
    #[error("the token is from another issuer or for another audience")]
    NotForUs,
    /// The cryptographic library failed.
    #[error("the token could not be signed")]
    Signing(#[source] jsonwebtoken::errors::Error),
}

#[cfg(test)]
mod tests;
