//! Which published keys are taken, and for which algorithm.

use serde_json::json;

use super::*;
use JwtAlgorithm::{ES256, ES384, Ed25519, EdDSA, PS256, RS256};

/// RFC 7517, appendix A.1.
const RFC_7517: &str = r#"{"keys": [
  {"kty": "EC", "crv": "P-256", "x": "MKBCTNIcKUSDii11ySs3526iDZ8AiTo7Tu6KPAqv7D4",
   "y": "4Etl6SRW2YiLUrN5vfvVHuhp7x8PxltmWWlbbM4IFyM", "use": "enc", "kid": "1"},
  {"kty": "RSA", "n": "0vx7agoebGcQSuuPiLJXZptN9nndrQmbXEps2aiAFbWhM78LhWx4cbbfAAtVT86zwu1RK7aPFFxuhDR1L6tSoc_BJECPebWKRXjBZCiFV4n3oknjhMstn64tZ_2W-5JsGY4Hc5n9yBXArwl93lqt7_RN5w6Cf0h4QyQ5v-65YGjQR0_FDW2QvzqY368QQMicAtaSqzs8KJZgnYb9c7d0zgdAZHzu6qMQvRL5hajrn1n91CbOpbISD08qNLyrdkt-bFTWhAI4vMQFh6WeZu0fM4lFd2NcRwr3XPksINHaQ-G_xBniIqbw0Ls1jF44-csFCur-kEgU8awapJzKnqDKgw",
   "e": "AQAB", "alg": "RS256", "kid": "2011-04-29"}]}"#;

/// RFC 8037, appendix A.2.
fn ed25519() -> Value {
    json!({"kty": "OKP", "crv": "Ed25519", "x": "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"})
}

/// RFC 7515, appendix A.3.1.
fn p256() -> Value {
    json!({
        "kty": "EC", "crv": "P-256", "kid": "e",
        "x": "f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU", "y": "x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0",
    })
}

fn rsa() -> Value {
    serde_json::from_str::<Value>(RFC_7517).expect("JSON")["keys"][1].clone()
}

fn parse(keys: &[Value], algorithms: &[JwtAlgorithm]) -> Result<Jwks, BadJwks> {
    Jwks::parse(json!({ "keys": keys }).to_string().as_bytes(), algorithms)
}

/// Why `key` alone is passed over, for whatever algorithm.
fn passed_over(key: Value) -> String {
    match parse(&[key], &[RS256, ES256, ES384, EdDSA]) {
        Err(BadJwks::NoneOfUse(reasons)) => reasons.concat(),
        other => panic!("{other:?}"),
    }
}

fn with(mut key: Value, change: Value) -> Value {
    for (name, value) in change.as_object().expect("members") {
        key[name] = value.clone();
    }
    key
}

#[test]
fn the_example_of_the_standard_has_one_key_for_signatures() {
    let jwks = Jwks::parse(RFC_7517.as_bytes(), &[RS256, ES256]).expect("a set");
    let [key] = jwks.keys() else { panic!("{jwks:?}") };
    assert_eq!((key.id.as_deref(), key.algorithm, key.key.kind()), (Some("2011-04-29"), RS256, KeyKind::Rsa));
    assert_eq!(jwks.passed_over(), ["key 1 (`1`) is passed over: it is not for signatures"]);
}

#[test]
fn a_key_is_bound_to_its_own_algorithm_or_to_the_first_that_fits() {
    let bound =
        |key: Value, algorithms: &[JwtAlgorithm]| parse(&[key], algorithms).ok().map(|set| set.keys()[0].algorithm);
    assert_eq!(bound(rsa(), &[PS256, RS256]), Some(RS256), "it says so itself");
    assert_eq!(bound(with(rsa(), json!({"alg": null})), &[ES256, PS256, RS256]), Some(PS256));
    assert_eq!(bound(with(rsa(), json!({"alg": "RS512"})), &[RS256]), None);
    assert_eq!(bound(with(rsa(), json!({"alg": "none"})), &[RS256]), None);
    assert_eq!(bound(with(rsa(), json!({"alg": "HS256"})), &[RS256]), None);
    assert_eq!(bound(p256(), &[RS256, ES256]), Some(ES256));
    assert_eq!(bound(with(p256(), json!({"alg": "ES384"})), &[ES256, ES384]), None);
    for named in ["EdDSA", "Ed25519"] {
        assert_eq!(bound(with(ed25519(), json!({"alg": named})), &[EdDSA]), Some(EdDSA));
        assert_eq!(bound(with(ed25519(), json!({"alg": named})), &[Ed25519]), Some(Ed25519));
    }
}

/// The same keys as PEM are what `jwt_providers` takes elsewhere.
#[test]
fn a_key_is_the_same_in_either_form() {
    let only = |key: Value| parse(&[key], &[RS256, ES256, EdDSA]).expect("a set").keys()[0].key.clone();
    for (jwk, pem) in [(p256(), pem!("rfc7515-a3")), (ed25519(), pem!("rfc8037-a"))] {
        let (jwk, pem) = (only(jwk), PublicKey::from_pem(pem).expect("a key"));
        assert_eq!(jwk.kind(), pem.kind());
        assert!(pem.der().ends_with(jwk.der()), "the point is the end of the DER");
    }
}

#[test]
fn what_cannot_verify_is_passed_over_with_its_reason() {
    let long = "x".repeat(513);
    let mut small = BASE64.decode(rsa()["n"].as_str().expect("text")).expect("base64url");
    small.truncate(128);
    small[127] |= 1;
    let small = BASE64.encode(small);
    for (key, reason) in [
        (json!({"kty": "oct", "k": "AyM1SysPpbyDfgZld3umj1qzKObwVMkoqQ-EstJQLr_T"}), "it is a shared secret"),
        (with(p256(), json!({"d": "jpsQnnGQmL-YBIffH1136cspYG6-0iY7X1fCE9-E9LI"})), "it is a private key"),
        (with(p256(), json!({"use": "enc"})), "it is not for signatures"),
        (with(p256(), json!({"key_ops": ["sign"]})), "it is not for signatures"),
        (with(p256(), json!({"crv": "secp256k1"})), "it is of another kind or curve"),
        (with(p256(), json!({"crv": "P-521"})), "it is of another kind or curve"),
        (with(ed25519(), json!({"crv": "Ed448"})), "it is of another kind or curve"),
        (
            with(p256(), json!({"y": "x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a1"})),
            "a member is missing or of the wrong",
        ),
        (with(p256(), json!({"y": p256()["x"]})), "its text is damaged"),
        (with(p256(), json!({"x": "AAAA"})), "a member is missing or of the wrong type"),
        (with(p256(), json!({"kid": 5})), "a member is missing or of the wrong type"),
        (with(p256(), json!({"kid": long})), "its name has more than 512 bytes"),
        (with(rsa(), json!({"n": small})), "this RSA key has 1024 bits"),
        (with(rsa(), json!({"e": "AA"})), "its text is damaged"),
        (json!("text"), "a member is missing"),
        (json!({}), "a member is missing"),
    ] {
        let told = passed_over(key.clone());
        assert!(told.contains(&format!("is passed over: {reason}")), "{key}: {told}");
    }
    assert!(parse(&[with(p256(), json!({"key_ops": ["verify"], "use": "sig"}))], &[ES256]).is_ok());
}

#[test]
fn one_bad_key_spoils_no_other_and_one_name_may_have_several() {
    let same_name = with(ed25519(), json!({"kid": "e"}));
    let jwks = parse(&[json!(null), p256(), same_name, p256()], &[ES256, EdDSA]).expect("a set");
    assert_eq!(jwks.keys().len(), 2);
    assert_eq!(jwks.passed_over().len(), 2);
    assert!(jwks.passed_over()[1].ends_with("it stands in the set already"));
}

#[test]
fn what_is_no_set_is_refused() {
    for text in ["", "[]", "{}", r#"{"keys": {}}"#, "<html>", "{\"keys\": [1"] {
        assert!(matches!(Jwks::parse(text.as_bytes(), &[ES256]), Err(BadJwks::NoSet(_))), "{text}");
    }
    assert!(matches!(parse(&[], &[ES256]), Err(BadJwks::NoneOfUse(_))));
    assert!(matches!(parse(&vec![p256(); 257], &[ES256]), Err(BadJwks::TooMany(257))));
}

#[test]
fn sets_are_compared_by_their_keys_in_whatever_order() {
    let (one, other) = (with(p256(), json!({"kid": "a"})), with(ed25519(), json!({"kid": "b"})));
    let set =
        |keys: &[&Value]| parse(&keys.iter().copied().cloned().collect::<Vec<_>>(), &[ES256, EdDSA]).expect("a set");
    assert_eq!(set(&[&one, &other]), set(&[&other, &one]));
    assert!(set(&[&one, &other]).includes(&set(&[&one])));
    assert!(!set(&[&one]).includes(&set(&[&one, &other])));
    assert!(!set(&[&one]).includes(&set(&[&with(p256(), json!({"kid": "renamed"}))])), "a key is known by its name");
}
