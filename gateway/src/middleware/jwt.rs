//! Lets only requests with a valid access token pass, and tells the upstream who sent them.

use std::sync::Arc;

use http::header::AUTHORIZATION;
use http::{HeaderMap, HeaderName, HeaderValue};
use jsonwebtoken::{Algorithm, DecodingKey, Validation};
use pingora_http::RequestHeader;
use serde_json::{Map, Value};

use super::{Flow, Middleware, Step};
use crate::config::file::{JwtAlgorithm, JwtProviderFile};
use crate::config::values::IdentityHeader;
use crate::ctx::{Identity, RequestContext};
use crate::reply::Rejection;

/// A longer token is refused before it is decoded; ours have about 400 bytes.
const MAX_TOKEN_BYTES: usize = 8 * 1024;

/// One issuer of tokens: its key, its rules, and which of its claims go to the upstream.
pub(crate) struct JwtProvider {
    key: DecodingKey,
    validation: Validation,
    claims_to_headers: Vec<(Box<str>, HeaderName)>,
    forward_token: bool,
}

impl JwtProvider {
    /// The provider that `file` describes, with `secret` as its key.
    pub(crate) fn compile(file: &JwtProviderFile, secret: &[u8]) -> Self {
        let mut validation = Validation::new(match file.algorithm {
            JwtAlgorithm::HS256 => Algorithm::HS256,
            JwtAlgorithm::HS384 => Algorithm::HS384,
            JwtAlgorithm::HS512 => Algorithm::HS512,
        });
        validation.set_issuer(&[&file.issuer]);
        validation.set_audience(&[&file.audience]);
        validation.set_required_spec_claims(&["exp", "iss", "aud"]);
        validation.validate_nbf = true;
        validation.leeway = file.leeway.get().as_secs();
        let header = |(claim, name): (&String, &IdentityHeader)| (claim.as_str().into(), name.get().clone());
        Self {
            key: DecodingKey::from_secret(secret),
            validation,
            claims_to_headers: file.claims_to_headers.iter().map(header).collect(),
            forward_token: file.forward_token,
        }
    }

    /// The headers this provider's claims are written to; a client must not set them on any route.
    pub(crate) fn asserted_headers(&self) -> impl Iterator<Item = &HeaderName> {
        self.claims_to_headers.iter().map(|(_, header)| header)
    }

    fn verify(&self, token: &str) -> Option<Map<String, Value>> {
        if token.len() > MAX_TOKEN_BYTES {
            return None;
        }
        // Which check failed is nobody's business but the log's, and there the request id leads to the client.
        jsonwebtoken::decode(token, &self.key, &self.validation)
            .inspect_err(|error| tracing::debug!(%error, "token refused"))
            .ok()
            .map(|data| data.claims)
    }
}

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
        let claims = self.provider.verify(token).ok_or(Rejection::TokenInvalid)?;
        let identity = Identity { claims };
        for (claim, header) in &self.provider.claims_to_headers {
            if let Some(text) = identity.claim(claim) {
                // UTF-8 as it is, for names have more letters than ASCII; line ends and other controls are refused.
                let value = HeaderValue::from_bytes(text.as_bytes()).map_err(|_| Rejection::TokenInvalid)?;
                ctx.request_headers.push((header.clone(), value));
            }
        }
        ctx.hide_authorization |= !self.provider.forward_token;
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
}

/// The token of the one `Authorization: Bearer` header (RFC 6750, section 2.1).
fn bearer_token(headers: &HeaderMap) -> Result<&str, Rejection> {
    let mut values = headers.get_all(AUTHORIZATION).iter();
    let value = values.next().ok_or(Rejection::TokenMissing)?;
    // Two of them could be read in two ways, here and at the upstream.
    if values.next().is_some() {
        return Err(Rejection::TokenInvalid);
    }
    let (scheme, token) = value.to_str().ok().and_then(|text| text.split_once(' ')).ok_or(Rejection::TokenMissing)?;
    if scheme.eq_ignore_ascii_case("bearer") { Ok(token.trim_start()) } else { Err(Rejection::TokenMissing) }
}

#[cfg(test)]
mod tests {
    use jsonwebtoken::{EncodingKey, Header, encode, get_current_timestamp};
    use serde_json::json;

    use super::*;

    const SECRET: &[u8] = b"6f1d0a94c2b85e7733e09a1bd4c65f28";

    fn provider() -> JwtProvider {
        let file = serde_json::from_value(json!({
            "algorithm": "HS256", "issuer": "us", "audience": "us",
            "claims_to_headers": {"sub": "X-User-Id", "level": "X-Level"},
        }));
        JwtProvider::compile(&file.expect("a provider"), SECRET)
    }

    fn token(algorithm: Algorithm, secret: &[u8], change: impl Fn(&mut Value)) -> String {
        let now = get_current_timestamp();
        let mut claims = json!({"sub": "ann", "iss": "us", "aud": "us", "nbf": now, "exp": now + 60, "level": 3});
        change(&mut claims);
        encode(&Header::new(algorithm), &claims, &EncodingKey::from_secret(secret)).expect("signs")
    }

    #[test]
    fn a_valid_token_gives_its_claims() {
        let claims = provider().verify(&token(Algorithm::HS256, SECRET, |_| {})).expect("valid");
        assert_eq!(claims["sub"], "ann");
    }

    #[test]
    fn tokens_not_to_be_believed_are_refused() {
        let refused = |token: String| assert!(provider().verify(&token).is_none(), "{token}");
        let now = get_current_timestamp();
        refused(token(Algorithm::HS256, b"another secret of thirty-two byte", |_| {}));
        refused(token(Algorithm::HS512, SECRET, |_| {}));
        refused(token(Algorithm::HS256, SECRET, |claims| claims["exp"] = json!(now - 60)));
        refused(token(Algorithm::HS256, SECRET, |claims| claims["nbf"] = json!(now + 60)));
        refused(token(Algorithm::HS256, SECRET, |claims| claims["iss"] = json!("them")));
        refused(token(Algorithm::HS256, SECRET, |claims| claims["aud"] = json!(["them"])));
        for claim in ["exp", "iss", "aud"] {
            refused(token(Algorithm::HS256, SECRET, |claims| drop(claims.as_object_mut().map(|c| c.remove(claim)))));
        }
    }

    #[test]
    fn alg_none_is_rejected() {
        use base64::Engine;
        use base64::prelude::BASE64_URL_SAFE_NO_PAD as BASE64;
        let real = token(Algorithm::HS256, SECRET, |_| {});
        let payload = real.split('.').nth(1).expect("a payload");
        for name in ["none", "None", "nOnE"] {
            let header = BASE64.encode(json!({"alg": name, "typ": "JWT"}).to_string());
            assert!(provider().verify(&format!("{header}.{payload}.")).is_none(), "{name}");
        }
    }

    #[test]
    fn exactly_one_bearer_header_is_taken() {
        let headers = |values: &[&str]| {
            let mut headers = HeaderMap::new();
            for value in values {
                headers.append(AUTHORIZATION, value.parse().expect("a value"));
            }
            headers
        };
        assert_eq!(bearer_token(&headers(&["bearer x.y.z"])), Ok("x.y.z"));
        assert_eq!(bearer_token(&headers(&[])), Err(Rejection::TokenMissing));
        assert_eq!(bearer_token(&headers(&["Basic eDp5"])), Err(Rejection::TokenMissing));
        assert_eq!(bearer_token(&headers(&["Bearer"])), Err(Rejection::TokenMissing));
        assert_eq!(bearer_token(&headers(&["Bearer a", "Bearer b"])), Err(Rejection::TokenInvalid));
    }
}
