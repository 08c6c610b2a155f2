//! What a gateway says of whoever asks: a token for one method and path of one service, signed by the gateway.
//!
//! Whoever demands it need not trust the network: a request that did not come through the gateway has none.

use std::fmt;

use jsonwebtoken::{Algorithm, DecodingKey, Validation};
use secrecy::{ExposeSecret as _, SecretString};
use serde::Deserialize;

use super::SigningSecret;
use crate::config::Reader;
use crate::ids::UserId;

/// The header in which it stands.
pub const IDENTITY_TOKEN_HEADER: &str = "x-identity-token";
/// So that no other token of the same key is taken for one (RFC 8725, section 3.11).
pub const IDENTITY_TOKEN_TYPE: &str = "identity+jwt";

/// Tolerated difference between two machines' clocks.
const LEEWAY_SECONDS: u64 = 5;
const MOST_BYTES: usize = 16 * 1024;

/// Checks them.
#[derive(Clone)]
pub struct IdentityTokens {
    key: DecodingKey,
    validation: Validation,
    is_required: bool,
}

/// A request, as far as it is signed.
#[derive(Clone, Copy, Debug)]
pub struct SignedRequest<'r> {
    /// Its method.
    pub method: &'r str,
    /// Its path, as it came.
    pub path: &'r str,
    /// Who it is of, by its access token.
    pub subject: UserId,
}

/// Why one is not believed.
#[derive(Debug, thiserror::Error)]
pub enum BadIdentityToken {
    /// There is none.
    #[error("the request did not come through the gateway")]
    Missing,
    /// It is none, or its time is over, or it is for somebody else.
    #[error("the gateway's word is not valid or no longer valid")]
    Invalid(#[source] Option<jsonwebtoken::errors::Error>),
    /// It was given for another request.
    #[error("the gateway's word is for another request")]
    OtherRequest,
}

#[derive(Deserialize)]
struct Claims {
    sub: UserId,
    htm: String,
    htp: String,
}

impl IdentityTokens {
    /// Reads `IDENTITY_TOKEN_KEY`, `IDENTITY_TOKEN_ALGORITHM`, `IDENTITY_TOKEN_ISSUER` and `IDENTITY_TOKEN_REQUIRED`; where
    /// none of them is set, none is asked for. `audience` is what the gateway calls this service.
    pub fn read(reader: &mut Reader<'_>, audience: &str) -> Option<Self> {
        let algorithm = reader.text("IDENTITY_TOKEN_ALGORITHM", "EdDSA");
        let issuer = reader.text("IDENTITY_TOKEN_ISSUER", "gateway");
        let is_required = reader.flag("IDENTITY_TOKEN_REQUIRED", true);
        let Some(secret) = reader.secret("IDENTITY_TOKEN_KEY") else {
            for name in ["IDENTITY_TOKEN_ALGORITHM", "IDENTITY_TOKEN_ISSUER", "IDENTITY_TOKEN_REQUIRED"] {
                if reader.optional(name).is_some() {
                    reader.problem(name, "is set, and IDENTITY_TOKEN_KEY is not: nothing would be demanded");
                }
            }
            return None;
        };
        let pem = secret.expose_secret().as_bytes();
        let no_key = |_| "is no public key as PEM, for IDENTITY_TOKEN_ALGORITHM".to_owned();
        let key = match algorithm.as_str() {
            "EdDSA" => DecodingKey::from_ed_pem(pem).map(|key| (Algorithm::EdDSA, key)).map_err(no_key),
            "ES256" => DecodingKey::from_ec_pem(pem).map(|key| (Algorithm::ES256, key)).map_err(no_key),
            "HS256" => shared(secret.clone()).map(|key| (Algorithm::HS256, key)),
            _ => {
                reader.problem("IDENTITY_TOKEN_ALGORITHM", "must be EdDSA, ES256 or HS256");
                return None;
            }
        };
        match key {
            Ok((algorithm, key)) => Some(Self::new(algorithm, key, &issuer, audience, is_required)),
            Err(problem) => {
                reader.problem("IDENTITY_TOKEN_KEY", problem);
                None
            }
        }
    }

    fn new(algorithm: Algorithm, key: DecodingKey, issuer: &str, audience: &str, is_required: bool) -> Self {
        let mut validation = Validation::new(algorithm);
        validation.set_issuer(&[issuer]);
        validation.set_audience(&[audience]);
        validation.set_required_spec_claims(&["exp", "iss", "aud", "sub"]);
        validation.leeway = LEEWAY_SECONDS;
        Self { key, validation, is_required }
    }

    /// Whether `token` is the gateway's word for this `request`.
    ///
    /// # Errors
    /// Says in which way it is not.
    pub fn check(&self, token: Option<&str>, request: SignedRequest<'_>) -> Result<(), BadIdentityToken> {
        let Some(token) = token else {
            return if self.is_required { Err(BadIdentityToken::Missing) } else { Ok(()) };
        };
        if token.len() > MOST_BYTES {
            return Err(BadIdentityToken::Invalid(None));
        }
        let decoded = jsonwebtoken::decode::<Claims>(token, &self.key, &self.validation);
        let decoded = decoded.map_err(|error| BadIdentityToken::Invalid(Some(error)))?;
        if decoded.header.typ.as_deref() != Some(IDENTITY_TOKEN_TYPE) {
            return Err(BadIdentityToken::Invalid(None));
        }
        let Claims { sub, htm, htp } = decoded.claims;
        if htm == request.method && htp == request.path && sub == request.subject {
            Ok(())
        } else {
            Err(BadIdentityToken::OtherRequest)
        }
    }
}

impl fmt::Debug for IdentityTokens {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("IdentityTokens").field("is_required", &self.is_required).finish_non_exhaustive()
    }
}

fn shared(secret: SecretString) -> Result<DecodingKey, String> {
    let secret = SigningSecret::new(secret).map_err(|weak| format!("is too weak: {weak}"))?;
    Ok(DecodingKey::from_secret(secret.expose()))
}

#[cfg(test)]
mod tests {
    use jsonwebtoken::{EncodingKey, Header};
    use serde_json::{Value, json};

    use super::*;
    use crate::config::Env;

    const SECRET: &str = "6f1d0a94c2b85e7733e09a1bd4c65f28";

    fn tokens(more: &[(&str, &str)]) -> IdentityTokens {
        let env = Env::default().with("IDENTITY_TOKEN_KEY", SECRET).with("IDENTITY_TOKEN_ALGORITHM", "HS256");
        let env = more.iter().fold(env, |env, (name, value)| env.with(name, *value));
        let mut reader = Reader::new(&env);
        let read = IdentityTokens::read(&mut reader, "us");
        reader.finish(read).expect("sound")
    }

    fn claims(subject: UserId) -> Value {
        let exp = chrono::Utc::now().timestamp() + 30;
        json!({"iss": "gateway", "aud": "us", "sub": subject, "exp": exp, "htm": "GET", "htp": "/profile"})
    }

    fn token(subject: UserId, change: impl FnOnce(&mut Header, &mut Value)) -> String {
        let mut claims = claims(subject);
        let mut header = Header { typ: Some(IDENTITY_TOKEN_TYPE.to_owned()), ..Header::default() };
        change(&mut header, &mut claims);
        jsonwebtoken::encode(&header, &claims, &EncodingKey::from_secret(SECRET.as_bytes())).expect("signs")
    }

    #[test]
    fn a_token_counts_for_its_own_request_and_no_other() {
        let (tokens, subject) = (tokens(&[]), UserId::new());
        let request = SignedRequest { method: "GET", path: "/profile", subject };
        let good = token(subject, |_, _| ());
        tokens.check(Some(&good), request).expect("it is for this");
        for other in [
            SignedRequest { method: "PUT", ..request },
            SignedRequest { path: "/profile/", ..request },
            SignedRequest { subject: UserId::new(), ..request },
        ] {
            let refused = tokens.check(Some(&good), other);
            assert!(matches!(refused, Err(BadIdentityToken::OtherRequest)), "{other:?}");
        }
        let past = chrono::Utc::now().timestamp() - 60;
        for bad in [
            token(subject, |_, claims| claims["exp"] = json!(past)),
            token(subject, |_, claims| claims["aud"] = json!("others")),
            token(subject, |_, claims| claims["iss"] = json!("others")),
            token(subject, |header, _| header.typ = Some("JWT".to_owned())),
            format!("{good}x"),
            String::new(),
        ] {
            let refused = tokens.check(Some(&bad), request);
            assert!(matches!(refused, Err(BadIdentityToken::Invalid(_))), "{bad}");
        }
        assert!(matches!(tokens.check(None, request), Err(BadIdentityToken::Missing)));
    }

    /// The examples of RFC 7515, appendix A.3, and RFC 8037, appendix A, whose private halves everybody knows.
    const P256: [&str; 2] = [
        "-----BEGIN PRIVATE KEY-----\nMIGHAgEAMBMGByqGSM49AgEGCCqGSM49AwEHBG0wawIBAQQgjpsQnnGQmL+YBIff\n\
         H1136cspYG6+0iY7X1fCE9+E9LKhRANCAAR/zc4ncPbEXUGDy+5v20t7WAczNXvp\n\
         7xO6z248e9FURcfxRM0bvZt+hyzf7bnuufSzaV1uqQskrYpGIyiFiOWt\n-----END PRIVATE KEY-----\n",
        "-----BEGIN PUBLIC KEY-----\nMFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAEf83OJ3D2xF1Bg8vub9tLe1gHMzV7\n\
         6e8Tus9uPHvRVEXH8UTNG72bfocs3+257rn0s2ldbqkLJK2KRiMohYjlrQ==\n-----END PUBLIC KEY-----\n",
    ];
    const ED25519: [&str; 2] = [
        "-----BEGIN PRIVATE KEY-----\nMC4CAQAwBQYDK2VwBCIEIJ1hsZ3v/VpguoRK9JLsLMREScVpezJpGXA7rAMcrn9g\n-----END PRIVATE KEY-----\n",
        "-----BEGIN PUBLIC KEY-----\nMCowBQYDK2VwAyEA11qYAYKxCrfVS/7TyWQHOg7hcvPapiMlrwIaaPcHURo=\n-----END PUBLIC KEY-----\n",
    ];

    #[test]
    fn each_algorithm_takes_what_its_own_key_has_signed() {
        let demanded = |algorithm: &str, key: &str| {
            let env = Env::default().with("IDENTITY_TOKEN_KEY", key).with("IDENTITY_TOKEN_ALGORITHM", algorithm);
            let mut reader = Reader::new(&env);
            let read = IdentityTokens::read(&mut reader, "us");
            reader.finish(read).expect("sound")
        };
        let p256 = EncodingKey::from_ec_pem(P256[0].as_bytes()).expect("a key");
        let ed25519 = EncodingKey::from_ed_pem(ED25519[0].as_bytes()).expect("a key");
        let ways = [
            (Algorithm::ES256, "ES256", p256, P256[1]),
            (Algorithm::EdDSA, "EdDSA", ed25519, ED25519[1]),
            (Algorithm::HS256, "HS256", EncodingKey::from_secret(SECRET.as_bytes()), SECRET),
        ];
        let subject = UserId::new();
        let request = SignedRequest { method: "GET", path: "/profile", subject };
        for (algorithm, name, signs, _) in &ways {
            let mut header = Header::new(*algorithm);
            header.typ = Some(IDENTITY_TOKEN_TYPE.to_owned());
            let signed = jsonwebtoken::encode(&header, &claims(subject), signs).expect("signs");
            for (_, other, _, key) in &ways {
                let checked = demanded(other, key).check(Some(&signed), request);
                assert_eq!(checked.is_ok(), other == name, "{name} where {other} is demanded: {checked:?}");
            }
        }
    }

    #[test]
    fn where_none_is_required_a_bad_one_is_refused_still() {
        let tokens = tokens(&[("IDENTITY_TOKEN_REQUIRED", "false")]);
        let request = SignedRequest { method: "GET", path: "/", subject: UserId::new() };
        tokens.check(None, request).expect("none is asked for");
        assert!(tokens.check(Some("x.y.z"), request).is_err());
    }

    #[test]
    fn what_would_demand_nothing_for_want_of_a_key_stops_the_start() {
        let read = |env: Env| {
            let mut reader = Reader::new(&env);
            let read = IdentityTokens::read(&mut reader, "us");
            reader.finish(Some(read)).map(|read| read.is_some()).map_err(|error| error.to_string())
        };
        assert_eq!(read(Env::default().with("IDENTITY_TOKEN_KEY", "")), Ok(false));
        for (name, value) in
            [("IDENTITY_TOKEN_REQUIRED", "true"), ("IDENTITY_TOKEN_ALGORITHM", "HS256"), ("IDENTITY_TOKEN_ISSUER", "g")]
        {
            for env in [Env::default(), Env::default().with("IDENTITY_TOKEN_KEY", "")] {
                let error = read(env.with(name, value)).expect_err("nothing would be demanded");
                assert!(error.starts_with(name) && error.lines().count() == 1, "{error}");
            }
        }
    }

    #[test]
    fn wrong_keys_stop_the_start_and_are_not_shown() {
        for (algorithm, key, name) in [
            ("EdDSA", SECRET, "IDENTITY_TOKEN_KEY"),
            ("HS256", "hunter2", "IDENTITY_TOKEN_KEY"),
            ("none", SECRET, "IDENTITY_TOKEN_ALGORITHM"),
        ] {
            let env = Env::default().with("IDENTITY_TOKEN_KEY", key).with("IDENTITY_TOKEN_ALGORITHM", algorithm);
            let mut reader = Reader::new(&env);
            let read = IdentityTokens::read(&mut reader, "us");
            let error = reader.finish(read).expect_err("wrong").to_string();
            assert!(error.starts_with(name) && !error.contains(key), "{error}");
        }
    }
}
