//! Which tokens are believed, and which are refused and why.

use base64::Engine;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use secrecy::SecretString;
use serde_json::json;

use super::*;

fn secret(text: &str) -> SigningSecret {
    SigningSecret::new(SecretString::from(text)).expect("strong")
}

fn ours() -> SigningSecret {
    secret("6f1d0a94c2b85e7733e09a1bd4c65f28")
}

fn issuer(secret: &SigningSecret) -> TokenIssuer {
    TokenIssuer::new(secret, Algorithm::Hs256, "us".into(), "us".into(), Duration::from_secs(60))
}

fn verifier() -> TokenVerifier {
    TokenVerifier::new(&ours(), Algorithm::Hs256, "us", "us")
}

fn forge(header: &serde_json::Value, claims: &serde_json::Value, signature: &str) -> String {
    let part = |value: &serde_json::Value| BASE64_URL_SAFE_NO_PAD.encode(value.to_string());
    format!("{}.{}.{signature}", part(header), part(claims))
}

#[test]
fn an_issued_token_is_believed() {
    let issued = issuer(&ours()).issue(UserId::new(), "ann", Utc::now()).expect("signs");
    assert_eq!(verifier().verify(&issued.token).expect("believed"), issued.claims);
}

#[test]
fn tokens_outside_their_time_are_refused() {
    let issue = |at| issuer(&ours()).issue(UserId::new(), "ann", at).expect("signs").token;
    let minute = chrono::TimeDelta::minutes(2);
    assert!(matches!(verifier().verify(&issue(Utc::now() - minute)), Err(TokenError::Expired)));
    assert!(matches!(verifier().verify(&issue(Utc::now() + minute)), Err(TokenError::NotYetValid)));
}

#[test]
fn a_token_signed_by_another_secret_is_refused() {
    let other = secret("00112233445566778899aabbccddeeff");
    let token = issuer(&other).issue(UserId::new(), "ann", Utc::now()).expect("signs").token;
    assert!(matches!(verifier().verify(&token), Err(TokenError::BadSignature)));
}

#[test]
fn another_algorithm_is_refused_even_with_the_right_secret() {
    let issuer = TokenIssuer::new(&ours(), Algorithm::Hs512, "us".into(), "us".into(), Duration::from_secs(60));
    let token = issuer.issue(UserId::new(), "ann", Utc::now()).expect("signs").token;
    assert!(matches!(verifier().verify(&token), Err(TokenError::WrongAlgorithm)));
}

#[test]
fn alg_none_is_refused() {
    let claims = serde_json::to_value(issuer(&ours()).issue(UserId::new(), "ann", Utc::now()).expect("signs").claims);
    for none in ["none", "None", "NONE", ""] {
        let token = forge(&json!({"alg": none, "typ": "JWT"}), claims.as_ref().expect("json"), "");
        assert!(verifier().verify(&token).is_err(), "{none}");
    }
}

#[test]
fn another_issuer_or_audience_is_refused() {
    for (iss, aud) in [("them", "us"), ("us", "them")] {
        let issuer = TokenIssuer::new(&ours(), Algorithm::Hs256, iss.into(), aud.into(), Duration::from_secs(60));
        let token = issuer.issue(UserId::new(), "ann", Utc::now()).expect("signs").token;
        assert!(matches!(verifier().verify(&token), Err(TokenError::NotForUs)), "{iss} {aud}");
    }
}

#[test]
fn a_token_without_a_required_claim_is_refused() {
    let key = EncodingKey::from_secret(ours().expose());
    let whole = serde_json::to_value(issuer(&ours()).issue(UserId::new(), "ann", Utc::now()).expect("signs").claims)
        .expect("json");
    for name in ["sub", "username", "jti", "iss", "aud", "nbf", "exp"] {
        let mut claims = whole.clone();
        claims.as_object_mut().expect("object").remove(name);
        let token = jsonwebtoken::encode(&Header::default(), &claims, &key).expect("signs");
        assert!(verifier().verify(&token).is_err(), "without {name}");
    }
}

#[test]
fn rubbish_is_refused() {
    for token in ["", ".", "..", "a.b.c", "🦀.🦀.🦀", &"a".repeat(MAX_TOKEN_BYTES + 1)] {
        assert!(matches!(verifier().verify(token), Err(TokenError::Malformed)), "{token:.20}");
    }
}

#[test]
fn a_revocation_is_remembered_for_longer_than_the_most_lenient_verifier_believes_the_token() {
    let most_leeway = chrono::TimeDelta::seconds(60);
    let claims = issuer(&ours()).issue(UserId::new(), "ann", Utc::now()).expect("issued").claims;
    assert!(claims.forgettable_at() > claims.expires_at() + most_leeway);
    let for_ever = Claims { exp: i64::MAX, ..claims };
    assert_eq!(for_ever.forgettable_at(), DateTime::<Utc>::MAX_UTC);
}
