//! Sets of keys, and tokens that try to choose among them what is not theirs to choose.

use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD as BASE64;

use super::attacks::hmac_of;
use super::*;
use crate::config::file::JwtAlgorithm;
use crate::config::values::Jwks;

/// The public keys of RFC 7515, A.2 and A.3, and of RFC 8037, A.2.
fn keys() -> [Value; 3] {
    [
        json!({"kty": "RSA", "kid": "r", "e": "AQAB",
            "n": "ofgWCuLjybRlzo0tZWJjNiuSfb4p4fAkd_wWJcyQoTbji9k0l8W26mPddxHmfHQp-Vaw-4qPCJrcS2mJPMEzP1Pt0Bm4d4QlL-yRT-SFd2lZS-pCgNMsD1W_YpRPEwOWvG6b32690r2jZ47soMZo9wGzjb_7OMg0LOL-bSf63kpaSHSXndS5z5rexMdbBYUsLA9e-KXBdQOS-UTo7WTBEMa2R2CapHg665xsmtdVMTBQY4uDZlxvb3qCo5ZwKh9kG4LT6_I5IhlJH7aGhyxXFvUK-DWNmoudF8NAco9_h9iaGNj8q2ethFkMLs91kzk2PAcDTW9gb54h4FRWyuXpoQ"}),
        json!({"kty": "EC", "crv": "P-256", "kid": "e",
            "x": "f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU", "y": "x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0"}),
        json!({"kty": "OKP", "crv": "Ed25519", "kid": "o", "x": "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}),
    ]
}

/// A provider with the set of `keys`, which accepts `algorithms`.
fn with_set(keys: &[Value], algorithms: &[&str]) -> JwtProvider {
    let accepted: Vec<JwtAlgorithm> = serde_json::from_value(json!(algorithms)).expect("algorithms");
    let jwks = Jwks::parse(json!({ "keys": keys }).to_string().as_bytes(), &accepted).expect("a set");
    provider(&ProviderKey::Set(jwks), json!({"algorithm": null, "algorithms": algorithms}))
}

fn signed(algorithm: Algorithm, id: Option<&str>) -> String {
    let key = match algorithm {
        Algorithm::ES256 => EncodingKey::from_ec_pem(pem!("rfc7515-a3.private").as_bytes()),
        Algorithm::EdDSA => EncodingKey::from_ed_pem(pem!("rfc8037-a.private").as_bytes()),
        _ => EncodingKey::from_rsa_pem(pem!("rfc7515-a2.private").as_bytes()),
    };
    let header = Header { kid: id.map(str::to_owned), ..Header::new(algorithm) };
    sign(&header, &claims(), &key.expect("a key"))
}

const ALL: [&str; 3] = ["RS256", "ES256", "EdDSA"];

#[test]
fn each_key_verifies_tokens_of_its_own_name_and_algorithm() {
    let provider = with_set(&keys(), &ALL);
    for (algorithm, own) in [(Algorithm::RS256, "r"), (Algorithm::ES256, "e"), (Algorithm::EdDSA, "o")] {
        for id in ["r", "e", "o"] {
            let found = identify(&provider, &signed(algorithm, Some(id)));
            match id == own {
                true => assert_eq!(found.expect(id).claims["sub"], "ann"),
                false => assert_eq!(found.expect_err(id), BadToken::OtherAlgorithm),
            }
        }
        assert_eq!(identify(&provider, &signed(algorithm, Some("x"))).expect_err("unknown"), BadToken::UnknownKey);
        identify(&provider, &signed(algorithm, None)).expect("only one key is for it");
    }
}

#[test]
fn a_token_without_a_name_is_taken_only_if_one_key_fits() {
    let [rsa, mut other, _] = keys();
    let mut second = rsa.clone();
    second["kid"] = json!("r2");
    let provider = with_set(&[rsa.clone(), second], &ALL);
    assert_eq!(identify(&provider, &signed(Algorithm::RS256, None)).expect_err("two"), BadToken::NoKeyNamed);
    identify(&provider, &signed(Algorithm::RS256, Some("r2"))).expect("named");
    other.as_object_mut().map(|members| members.remove("kid"));
    let provider = with_set(&[rsa, other], &ALL);
    identify(&provider, &signed(Algorithm::ES256, None)).expect("the one without a name");
    assert_eq!(
        identify(&provider, &signed(Algorithm::ES256, Some("e"))).expect_err("no key has this name"),
        BadToken::UnknownKey
    );
}

#[test]
fn several_keys_of_one_name_are_tried_in_turn() {
    let (mut first, mut second) = (keys()[0].clone(), keys()[0].clone());
    // RFC 7520, section 3.3.
    first["n"] = json!(
        "n4EPtAOCc9AlkeQHPzHStgAbgs7bTZLwUBZdR8_KuKPEHLd4rHVTeT-O-XV2jRojdNhxJWTDvNd7nqQ0VEiZQHz_AJmSCpMaJMRBSFKrKb2wqVwGU_NsYOYL-QtiWN2lbzcEe6XC0dApr5ydQLrHqkHHig3RBordaZ6Aj-oBHqFEHYpPe7Tpe-OfVfHd1E6cS6M1FZcD1NNLYD5lFHpPI9bTwJlsde3uhGqC0ZCuEHg8lhzwOHrtIQbS0FVbb9k3-tVTU4fg_3L_vniUFAKwuCLqKnS2BYwdq_mzSnbLY7h_qixoR7jig3__kRhuaxwUkRz5iaiQkqgc5gHdrNP5zw"
    );
    second["kid"] = first["kid"].clone();
    let provider = with_set(&[first, second], &["RS256"]);
    identify(&provider, &signed(Algorithm::RS256, Some("r"))).expect("by the second");
}

#[test]
fn a_key_of_a_set_is_used_with_one_algorithm_alone() {
    let provider = with_set(&keys(), &["RS256", "PS256"]);
    identify(&provider, &signed(Algorithm::RS256, Some("r"))).expect("the first that fits");
    let other = identify(&provider, &signed(Algorithm::PS256, Some("r")));
    assert_eq!(other.expect_err("the same key"), BadToken::OtherAlgorithm);
}

#[test]
fn an_hmac_over_the_public_key_is_rejected() {
    let provider = with_set(&keys(), &ALL);
    let rsa = &keys()[0];
    let pem = pem!("rfc7515-a2");
    let modulus = BASE64.decode(rsa["n"].as_str().expect("text")).expect("base64url");
    let jwk = rsa.to_string();
    for key in [
        pem.as_bytes(),
        pem.trim_end().as_bytes(),
        PublicKey::from_pem(pem).expect("a key").der(),
        &modulus,
        jwk.as_bytes(),
    ] {
        for alg in ["HS256", "RS256"] {
            for header in [json!({"alg": alg, "kid": "r"}), json!({"alg": alg}), json!({"alg": alg, "kid": "none"})] {
                let forged = hmac_of(&header.to_string(), &claims().to_string(), key);
                assert!(identify(&provider, &forged).is_err(), "{header}");
            }
        }
    }
}

#[test]
fn alg_none_is_rejected_whatever_key_it_names() {
    let provider = with_set(&keys(), &ALL);
    for header in [json!({"alg": "none"}), json!({"alg": "none", "kid": "r"}), json!({"alg": "None", "kid": "x"})] {
        let unsigned = format!("{}.{}.", BASE64.encode(header.to_string()), BASE64.encode(claims().to_string()));
        assert_eq!(identify(&provider, &unsigned).expect_err("refused"), BadToken::OtherAlgorithm, "{header}");
    }
}

#[test]
fn a_name_that_is_no_text_is_rejected() {
    let provider = with_set(&keys(), &ALL);
    for id in [json!(1), json!(["r"]), json!({"r": 1})] {
        let header = json!({"alg": "RS256", "kid": id}).to_string();
        let token = format!("{}.{}.AAAA", BASE64.encode(header), BASE64.encode(claims().to_string()));
        assert_eq!(identify(&provider, &token).expect_err("refused"), BadToken::BadHeader);
    }
    let traversal = signed(Algorithm::RS256, Some("../../dev/null"));
    assert_eq!(identify(&provider, &traversal).expect_err("refused"), BadToken::UnknownKey);
}
