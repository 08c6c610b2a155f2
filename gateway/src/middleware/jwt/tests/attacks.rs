//! What RFC 8725 warns of, one test for each.

use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD as BASE64;

use super::*;

/// `token` under another header, with its signature.
fn with_header(token: &str, header: &str) -> String {
    let (_, rest) = token.split_once('.').expect("a header");
    format!("{}.{rest}", BASE64.encode(header))
}

/// `header` and `claims` with the HMAC that `key` gives, whatever the header says.
pub(super) fn hmac_of(header: &str, claims: &str, key: &[u8]) -> String {
    let signed = format!("{}.{}", BASE64.encode(header), BASE64.encode(claims));
    let key = aws_lc_rs::hmac::Key::new(aws_lc_rs::hmac::HMAC_SHA256, key);
    format!("{signed}.{}", BASE64.encode(aws_lc_rs::hmac::sign(&key, signed.as_bytes())))
}

#[test]
fn alg_none_is_rejected() {
    for provider in [with_secret(), provider(&public(pem!("rfc7515-a2")), json!({"algorithm": "RS256"}))] {
        for name in ["none", "None", "nOnE", ""] {
            let real = with_header(&token(|_| {}), &json!({"alg": name, "typ": "JWT"}).to_string());
            let (signed, _) = real.rsplit_once('.').expect("a signature");
            for unsigned in [format!("{signed}."), signed.to_owned(), real.clone()] {
                assert!(identify(&provider, &unsigned).is_err(), "{unsigned}");
            }
        }
    }
}

#[test]
fn rs256_public_key_as_hs256_secret_is_rejected() {
    let pem = pem!("rfc7515-a2");
    let provider = provider(&public(pem), json!({"algorithm": "RS256"}));
    let der = PublicKey::from_pem(pem).expect("a key");
    for key in [pem.as_bytes(), pem.trim_end().as_bytes(), der.der()] {
        for alg in ["HS256", "RS256"] {
            let forged = hmac_of(&json!({"alg": alg}).to_string(), &claims().to_string(), key);
            assert!(identify(&provider, &forged).is_err(), "{alg}");
        }
    }
}

#[test]
fn another_algorithm_of_the_same_key_is_rejected() {
    let rsa = EncodingKey::from_rsa_pem(pem!("rfc7515-a2.private").as_bytes()).expect("a key");
    let provider = provider(&public(pem!("rfc7515-a2")), json!({"algorithm": "RS256"}));
    for algorithm in [Algorithm::RS384, Algorithm::RS512, Algorithm::PS256, Algorithm::PS384, Algorithm::PS512] {
        let token = sign(&Header::new(algorithm), &claims(), &rsa);
        assert_eq!(identify(&provider, &token).expect_err("refused"), BadToken::OtherAlgorithm);
        let renamed = with_header(&token, r#"{"alg":"RS256"}"#);
        assert_eq!(identify(&provider, &renamed).expect_err("refused"), BadToken::BadSignature);
    }
    let longer = sign(&Header::new(Algorithm::HS512), &claims(), &EncodingKey::from_secret(SECRET.as_bytes()));
    assert_eq!(identify(&with_secret(), &longer).expect_err("refused"), BadToken::OtherAlgorithm);
}

#[test]
fn a_key_that_the_token_itself_names_is_not_used() {
    let pair = json!({"kty": "oct", "k": BASE64.encode("the attacker's own thirty-two bytes")});
    let header = json!({"alg": "HS256", "jwk": pair, "jku": "http://127.0.0.1:1/keys", "x5u": "http://127.0.0.1:1/"});
    let forged = hmac_of(&header.to_string(), &claims().to_string(), b"the attacker's own thirty-two bytes");
    assert_eq!(identify(&with_secret(), &forged).expect_err("refused"), BadToken::BadSignature);
}

/// RFC 7515, section 4.1.11; with `b64` as an example (RFC 7797), under which the payload would be another.
#[test]
fn an_extension_that_must_be_understood_is_rejected() {
    for crit in [json!(["b64"]), json!(["exp"]), json!([]), json!(null), json!("b64")] {
        let header = json!({"alg": "HS256", "b64": false, "crit": crit}).to_string();
        let token = hmac_of(&header, &claims().to_string(), SECRET.as_bytes());
        assert_eq!(identify(&with_secret(), &token).expect_err("refused"), BadToken::BadHeader, "{crit}");
    }
}

#[test]
fn a_header_that_can_be_read_in_two_ways_is_rejected() {
    for header in [r#"{"alg":"HS256","alg":"none"}"#, r#"{"alg":"none","alg":"HS256"}"#, "[]", "", "{}", r#"{"alg":1}"#]
    {
        let token = hmac_of(header, &claims().to_string(), SECRET.as_bytes());
        assert_eq!(identify(&with_secret(), &token).expect_err("refused"), BadToken::BadHeader, "{header}");
    }
}

/// Of a claim that stands twice the last counts (RFC 7519, section 4), for its check and for its header alike.
#[test]
fn a_claim_that_stands_twice_counts_as_its_last() {
    let twice = |claims: &str| {
        let token = hmac_of(r#"{"alg":"HS256"}"#, claims, SECRET.as_bytes());
        identify(&with_secret(), &token)
    };
    let later = format!(r#"{{"iss":"us","aud":"us","exp":{},"exp":1}}"#, NOW + 60);
    assert_eq!(twice(&later).expect_err("refused"), BadToken::Expired);
    let subject = format!(r#"{{"iss":"us","aud":"us","exp":{},"sub":"admin","sub":"ann"}}"#, NOW + 60);
    assert_eq!(twice(&subject).expect("valid").headers[0].1, "ann");
}

#[test]
fn there_is_one_spelling_of_a_signed_token() {
    let provider = with_secret();
    let token = token(|_| {});
    identify(&provider, &token).expect("valid");
    let last = token.chars().last().expect("a letter");
    for spare in ('A'..='Z').chain('a'..='z').chain('0'..='9').chain(['-', '_']).filter(|letter| *letter != last) {
        // The last letter of 43 has two bits that no byte needs.
        let other = format!("{}{spare}", &token[..token.len() - 1]);
        assert!(identify(&provider, &other).is_err(), "{spare}");
    }
    for other in [
        format!("{token}="),
        format!("{token}."),
        format!(".{token}"),
        format!("{token} "),
        token.replace('.', ".."),
        token.replacen('.', "=.", 1),
        token.replace('.', ""),
        String::new(),
        "..".to_owned(),
    ] {
        assert!(identify(&provider, &other).is_err(), "{other}");
    }
}

#[test]
fn a_token_that_is_too_long_is_not_even_read() {
    let long = token(|claims| claims["text"] = json!("x".repeat(8 * 1024)));
    assert_eq!(identify(&with_secret(), &long).expect_err("refused"), BadToken::TooLong);
}

/// An empty signature, and one of zeros ("psychic signatures", CVE-2022-21449), on every algorithm with a public key.
#[test]
fn a_signature_of_nothing_is_rejected() {
    for (algorithm, pem, bytes) in [
        ("RS256", pem!("rfc7515-a2"), 256),
        ("PS256", pem!("rfc7515-a2"), 256),
        ("ES256", pem!("rfc7515-a3"), 64),
        ("ES384", pem!("p384"), 96),
        ("EdDSA", pem!("rfc8037-a"), 64),
    ] {
        let provider = provider(&public(pem), json!({"algorithm": algorithm}));
        let signed =
            format!("{}.{}", BASE64.encode(json!({"alg": algorithm}).to_string()), BASE64.encode(claims().to_string()));
        for length in [0, 1, bytes - 1, bytes, bytes + 1, 1024, 2000] {
            let token = format!("{signed}.{}", BASE64.encode(vec![0; length]));
            assert!(identify(&provider, &token).is_err(), "{algorithm} with {length} bytes");
        }
    }
}
