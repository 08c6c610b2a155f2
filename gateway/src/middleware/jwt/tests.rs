//! Providers asked with tokens of an independent library's making, at times of the test's own.

mod attacks;
mod cached;
mod key_sets;
mod standards;

use http::HeaderValue;
use jsonwebtoken::{Algorithm, EncodingKey, Header};
use serde_json::{Value, json};

use super::metrics::CacheMetrics;
use super::provider::{Keys, Settings};
use super::*;
use crate::config::ProviderKey;
use crate::config::values::PublicKey;
use crate::ctx::Identity;

const SECRET: &str = "6f1d0a94c2b85e7733e09a1bd4c65f28";
const NOW: u64 = 1_900_000_000;

/// The provider that the file's words in `settings` give, with the defaults of these tests for the rest.
fn provider(key: &ProviderKey, settings: Value) -> JwtProvider {
    let mut file = json!({
        "algorithm": "HS256", "issuer": "us", "audience": "us", "leeway": "0s",
        "claims_to_headers": {"sub": "X-User-Id", "level": "X-Level"},
    });
    for (name, value) in settings.as_object().expect("a block") {
        file[name] = value.clone();
    }
    let file = serde_json::from_value(file).expect("a provider");
    let metrics = CacheMetrics::new("us").expect("a legal name");
    let settings = Settings::read(&file, key);
    let keys = Keys::fixed(&settings).expect("the key is for the algorithm");
    JwtProvider::new(settings, keys, metrics)
}

/// The provider of tokens that [`token`] signs.
fn with_secret() -> JwtProvider {
    provider(&secret(), json!({}))
}

fn secret() -> ProviderKey {
    ProviderKey::Secret(common::auth::SigningSecret::new(SECRET.into()).expect("strong"))
}

fn public(pem: &str) -> ProviderKey {
    ProviderKey::Public(PublicKey::from_pem(pem).expect("a public key"))
}

fn claims() -> Value {
    json!({"sub": "ann", "iss": "us", "aud": "us", "nbf": NOW - 10, "exp": NOW + 60, "level": 3})
}

/// A token with [`claims`], changed by `change`.
fn token(change: impl FnOnce(&mut Value)) -> String {
    let mut claims = claims();
    change(&mut claims);
    sign(&Header::default(), &claims, &EncodingKey::from_secret(SECRET.as_bytes()))
}

fn sign(header: &Header, claims: &Value, key: &EncodingKey) -> String {
    jsonwebtoken::encode(header, claims, key).expect("signs")
}

fn identify(provider: &JwtProvider, token: &str) -> Result<Arc<Identity>, BadToken> {
    provider.identify(token.as_bytes(), NOW).map(|verified| verified.identity).map_err(bad)
}

/// What is wrong with a token that is not taken for what it is itself.
fn bad(not_taken: NotTaken) -> BadToken {
    match not_taken {
        NotTaken::Bad(bad) => bad,
        other => panic!("{other:?} says nothing of the token"),
    }
}

#[test]
fn a_valid_token_gives_its_claims_and_their_headers() {
    let identity = identify(&with_secret(), &token(|_| {})).expect("valid");
    assert_eq!(identity.claims["sub"], "ann");
    let headers: Vec<_> = identity.headers.iter().map(|(name, value)| (name.as_str(), value.as_bytes())).collect();
    assert_eq!(headers, [("x-level", &b"3"[..]), ("x-user-id", b"ann")]);
    let name = identify(&with_secret(), &token(|claims| claims["sub"] = json!("Zoë"))).expect("valid");
    assert_eq!(name.headers[1].1, HeaderValue::from_bytes("Zoë".as_bytes()).expect("a value"));
}

#[test]
fn every_algorithm_is_verified_with_its_own_key() {
    let rsa = || EncodingKey::from_rsa_pem(pem!("rfc7515-a2.private").as_bytes()).expect("a key");
    let ec = |pem: &str| EncodingKey::from_ec_pem(pem.as_bytes()).expect("a key");
    let ed = || EncodingKey::from_ed_pem(pem!("rfc8037-a.private").as_bytes()).expect("a key");
    let shared = || EncodingKey::from_secret(SECRET.as_bytes());
    for (name, algorithm, signing, verifying) in [
        ("HS256", Algorithm::HS256, shared(), secret()),
        ("HS384", Algorithm::HS384, shared(), secret()),
        ("HS512", Algorithm::HS512, shared(), secret()),
        ("RS256", Algorithm::RS256, rsa(), public(pem!("rfc7515-a2"))),
        ("RS384", Algorithm::RS384, rsa(), public(pem!("rfc7515-a2"))),
        ("RS512", Algorithm::RS512, rsa(), public(pem!("rfc7515-a2.certificate"))),
        ("PS256", Algorithm::PS256, rsa(), public(pem!("rfc7515-a2"))),
        ("PS384", Algorithm::PS384, rsa(), public(pem!("rfc7515-a2"))),
        ("PS512", Algorithm::PS512, rsa(), public(pem!("rfc7515-a2"))),
        ("ES256", Algorithm::ES256, ec(pem!("rfc7515-a3.private")), public(pem!("rfc7515-a3"))),
        ("ES384", Algorithm::ES384, ec(pem!("p384.private")), public(pem!("p384"))),
        ("EdDSA", Algorithm::EdDSA, ed(), public(pem!("rfc8037-a"))),
        ("Ed25519", Algorithm::EdDSA, ed(), public(pem!("rfc8037-a"))),
    ] {
        let provider = provider(&verifying, json!({"algorithm": name}));
        let token = sign(&Header::new(algorithm), &claims(), &signing);
        assert_eq!(identify(&provider, &token).expect(name).claims["sub"], "ann");
        let (signed, signature) = token.rsplit_once('.').expect("a signature");
        let broken: String = signature.chars().rev().collect();
        assert!(identify(&provider, &format!("{signed}.{broken}")).is_err(), "{name}");
    }
}

#[test]
fn claims_of_others_or_of_another_time_are_refused() {
    let provider = with_secret();
    let refused = |bad: BadToken, change: &dyn Fn(&mut Value)| {
        assert_eq!(identify(&provider, &token(change)).expect_err("refused"), bad);
    };
    refused(BadToken::Expired, &|claims| claims["exp"] = json!(NOW));
    refused(BadToken::Expired, &|claims| claims["exp"] = json!(NOW as f64 + 0.9));
    refused(BadToken::NotYetValid, &|claims| claims["nbf"] = json!(NOW + 1));
    refused(BadToken::NotYetValid, &|claims| claims["nbf"] = json!(NOW as f64 + 0.1));
    refused(BadToken::OtherIssuer, &|claims| claims["iss"] = json!("them"));
    refused(BadToken::OtherIssuer, &|claims| claims["iss"] = json!(["us"]));
    refused(BadToken::OtherAudience, &|claims| claims["aud"] = json!(["them"]));
    refused(BadToken::OtherAudience, &|claims| claims["aud"] = json!([["us"]]));
    refused(BadToken::OtherAudience, &|claims| claims["aud"] = json!({"us": 1}));
    refused(BadToken::NoHeader, &|claims| claims["sub"] = json!("a\r\nX-Admin: 1"));
    for claim in ["exp", "iss", "aud"] {
        refused(BadToken::BadClaims, &|claims| drop(claims.as_object_mut().map(|claims| claims.remove(claim))));
    }
    for time in [json!(null), json!("1900000060"), json!(-1), json!([NOW + 60]), json!(true)] {
        refused(BadToken::BadClaims, &|claims| claims["exp"] = time.clone());
    }
    refused(BadToken::BadClaims, &|claims| claims["nbf"] = json!("0"));
    refused(BadToken::BadClaims, &|claims| claims["nbf"] = json!(null));
    refused(BadToken::BadClaims, &|claims| *claims = json!([1]));
    for change in [
        &|claims: &mut Value| claims["aud"] = json!(["them", "us"]),
        &|claims: &mut Value| drop(claims.as_object_mut().map(|claims| claims.remove("nbf"))),
        &|claims: &mut Value| claims["exp"] = json!(NOW as f64 + 1.5),
    ] as [&dyn Fn(&mut Value); 3]
    {
        identify(&provider, &token(change)).expect("valid");
    }
}

#[test]
fn the_leeway_is_on_both_ends() {
    let provider = provider(&secret(), json!({"leeway": "5s"}));
    let token = token(|claims| claims["nbf"] = json!(NOW));
    let at = |now| provider.identify(token.as_bytes(), now).map(drop).map_err(bad);
    assert_eq!(at(NOW - 6), Err(BadToken::NotYetValid));
    assert_eq!(at(NOW - 5), Ok(()));
    assert_eq!(at(NOW + 64), Ok(()));
    assert_eq!(at(NOW + 65), Err(BadToken::Expired));
    assert_eq!(at(u64::MAX), Err(BadToken::Expired));
}

#[test]
fn issuers_and_audiences_may_be_several_of_which_one_has_to_match() {
    let provider = provider(&secret(), json!({"issuer": ["us", "them"], "audience": ["us", "shop"]}));
    for (iss, aud) in [("us", json!("shop")), ("them", json!(["x", "us"])), ("them", json!("us"))] {
        let token = token(|claims| (claims["iss"], claims["aud"]) = (json!(iss), aud.clone()));
        identify(&provider, &token).expect("valid");
    }
    for (claim, value, bad) in [
        ("iss", json!("others"), BadToken::OtherIssuer),
        ("iss", json!(["us"]), BadToken::OtherIssuer),
        ("aud", json!("them"), BadToken::OtherAudience),
        ("aud", json!([]), BadToken::OtherAudience),
    ] {
        let token = token(|claims| claims[claim] = value);
        assert_eq!(identify(&provider, &token).expect_err("refused"), bad);
    }
}

#[test]
fn required_claims_have_exactly_their_value() {
    let provider =
        provider(&secret(), json!({"required_claims": {"email_verified": true, "tier": 2, "org.name": "acme"}}));
    let with = |change: Value| {
        let token = token(|claims| {
            (claims["email_verified"], claims["tier"], claims["org"]) =
                (json!(true), json!(2), json!({"name": "acme"}));
            for (name, value) in change.as_object().expect("a block") {
                claims[name] = value.clone();
            }
        });
        identify(&provider, &token).map(drop)
    };
    assert_eq!(with(json!({})), Ok(()));
    for other in [
        json!({"email_verified": "true"}),
        json!({"email_verified": false}),
        json!({"email_verified": null}),
        json!({"email_verified": [true]}),
        json!({"tier": "2"}),
        json!({"org": {"name": "acme2"}}),
        json!({"org": "acme"}),
    ] {
        assert_eq!(with(other.clone()), Err(BadToken::OtherClaim), "{other}");
    }
}

#[test]
fn claims_inside_of_others_and_lists_go_into_headers() {
    let provider = provider(&secret(), json!({"claims_to_headers": {"realm_access.roles": "X-Roles"}}));
    let with = |roles: Value| identify(&provider, &token(|claims| claims["realm_access"] = json!({"roles": roles})));
    assert_eq!(with(json!(["a", "b"])).expect("valid").headers[0].1, "a,b");
    assert_eq!(with(json!(["a,admin"])).expect_err("refused"), BadToken::NoHeader);
    assert!(identify(&provider, &token(|_| {})).expect("valid").headers.is_empty());
}

#[test]
fn a_token_is_found_where_the_file_says_and_nowhere_else() {
    let places = json!([{"header": "Authorization", "scheme": "Bearer"}, {"cookie": "session"}, {"query": "access_token"},
        {"header": "X-Token"}]);
    let several = provider(&secret(), json!({ "token_from": places }));
    let usual = with_secret();
    let found = |provider: &JwtProvider, target: &str, headers: &[(&'static str, &str)]| {
        let mut head = RequestHeader::build("GET", target.as_bytes(), None).expect("a request");
        for (name, value) in headers {
            head.append_header(*name, *value).expect("a header");
        }
        let token = provider.token_of(&head)?;
        Ok(token.map(|token| String::from_utf8(token.into_owned()).expect("text")))
    };
    let t = Ok(Some("t".to_owned()));
    for (target, headers) in [
        ("/", &[("Authorization", "Bearer t")][..]),
        ("/", &[("Cookie", "a=b; session=t")]),
        ("/?access_token=t", &[]),
        ("/", &[("X-Token", "t")]),
        ("/?access_token=t", &[("Authorization", "Bearer t"), ("Cookie", "session=t")]),
        ("/", &[("Authorization", "Basic eDp5"), ("X-Token", "t")]),
    ] {
        assert_eq!(found(&several, target, headers), t, "{target} {headers:?}");
    }
    assert_eq!(found(&several, "/", &[]), Ok(None));
    assert_eq!(found(&usual, "/?access_token=t", &[("Cookie", "session=t"), ("X-Token", "t")]), Ok(None));
    for (target, headers) in [
        ("/?access_token=other", &[("Authorization", "Bearer t")][..]),
        ("/", &[("Cookie", "session=t"), ("Cookie", "session=t")]),
        ("/", &[("Authorization", "Bearer t"), ("Authorization", "Bearer t")]),
        ("/?access_token=t&access_token=t", &[]),
    ] {
        assert_eq!(found(&several, target, headers), Err(BadToken::Several), "{target} {headers:?}");
    }
}
