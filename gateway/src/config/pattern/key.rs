//! What a rate limit counts by: `client_address` or `claim.<name>`.

use std::fmt;
use std::str::FromStr;

use schemars::JsonSchema;
use serde::Deserialize;

/// Requests of one key share one quota.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Deserialize, JsonSchema)]
#[serde(try_from = "String")]
#[schemars(with = "String", example = &"client_address")]
pub enum RateLimitKey {
    /// The address the request came from.
    ClientAddress,
    /// A claim of the verified token, by name.
    Claim(String),
}

/// The text is neither of the two.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a rate limit counts by `client_address` or by `claim.<name>`, as in `claim.sub`")]
pub struct BadKey;

impl FromStr for RateLimitKey {
    type Err = BadKey;

    fn from_str(text: &str) -> Result<Self, BadKey> {
        let legal = |name: &&str| !name.is_empty() && name.bytes().all(|b| b.is_ascii_graphic());
        match text.strip_prefix("claim.") {
            Some(name) => Some(name).filter(legal).map(|name| Self::Claim(name.to_owned())).ok_or(BadKey),
            None if text == "client_address" => Ok(Self::ClientAddress),
            None => Err(BadKey),
        }
    }
}

impl TryFrom<String> for RateLimitKey {
    type Error = BadKey;

    fn try_from(text: String) -> Result<Self, BadKey> {
        text.parse()
    }
}

impl fmt::Display for RateLimitKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::ClientAddress => f.write_str("client_address"),
            Self::Claim(name) => write!(f, "claim.{name}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_an_address_or_a_claim_and_nothing_else() {
        for text in ["client_address", "claim.sub", "claim.https://example.com/tenant"] {
            assert_eq!(text.parse::<RateLimitKey>().map(|key| key.to_string()), Ok(text.to_owned()));
        }
        for text in ["", "claim.", "claim. ", "claims.sub", "Client_Address", "header.x-api-key"] {
            assert_eq!(text.parse::<RateLimitKey>(), Err(BadKey), "{text}");
        }
    }
}
