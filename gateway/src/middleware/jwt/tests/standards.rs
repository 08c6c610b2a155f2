//! The examples that the standards themselves give, with the standards' own keys.

use aws_lc_rs::signature::Ed25519KeyPair;
use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD as BASE64;

use super::*;
use crate::config::file::JwtAlgorithm;
use crate::config::values::Jwks;
use crate::middleware::jwt::key::VerifyingKey;
use crate::middleware::jwt::key_set::KeySet;

/// The payload of RFC 7515, appendices A.1 to A.3.
const JOE: &str = "eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQogImh0dHA6Ly9leGFtcGxlLmNvbS9pc19yb290Ijp0cnVlfQ";
/// The payload of RFC 7520, section 4.
const FRODO: &str = "SXTigJlzIGEgZGFuZ2Vyb3VzIGJ1c2luZXNzLCBGcm9kbywgZ29pbmcgb3V0IHlvdXIgZG9vci4gWW91IHN0ZXAgb250byB0aGUgc\
                     m9hZCwgYW5kIGlmIHlvdSBkb24ndCBrZWVwIHlvdXIgZmVldCwgdGhlcmXigJlzIG5vIGtub3dpbmcgd2hlcmUgeW91IG1pZ2h0IG\
                     JlIHN3ZXB0IG9mZiB0by4";

/// The header of RFC 7520, sections 4.4 and 4.5, and what it and that payload are signed with.
const FRODO_BY_HMAC: &str = "eyJhbGciOiJIUzI1NiIsImtpZCI6IjAxOGMwYWU1LTRkOWItNDcxYi1iZmQ2LWVlZjMxNGJjNzAzNyJ9";
const FRODO_SIGNATURE: &str = "s0h6KThzkfBBBkLspW1h84VsJZFTsPPqMDA7g1Md7p0";

struct Example {
    place: &'static str,
    algorithm: JwtAlgorithm,
    pem: &'static str,
    header: &'static str,
    payload: &'static str,
    signature: &'static str,
}

const EXAMPLES: [Example; 5] = [
    Example {
        place: "RFC 7515, A.2",
        algorithm: JwtAlgorithm::RS256,
        pem: pem!("rfc7515-a2"),
        header: "eyJhbGciOiJSUzI1NiJ9",
        payload: JOE,
        signature: "cC4hiUPoj9Eetdgtv3hF80EGrhuB__dzERat0XF9g2VtQgr9PJbu3XOiZj5RZmh7AAuHIm4Bh-0Qc_lF5YKt_O8W2Fp5jujGbds\
                    9uJdbF9CUAr7t1dnZcAcQjbKBYNX4BAynRFdiuB--f_nZLgrnbyTyWzO75vRK5h6xBArLIARNPvkSjtQBMHlb1L07Qe7K0GarZRmB\
                    _eSN9383LcOLn6_dO--xi12jzDwusC-eOkHWEsqtFZESc6BfI7noOPqvhJ1phCnvWh6IeYI2w9QOYEUipUTI8np6LbgGY9Fs98rqV\
                    t5AXLIhWkWywlVmtVrBp0igcN_IoypGlUPQGe77Rw",
    },
    Example {
        place: "RFC 7515, A.3",
        algorithm: JwtAlgorithm::ES256,
        pem: pem!("rfc7515-a3"),
        header: "eyJhbGciOiJFUzI1NiJ9",
        payload: JOE,
        signature: "DtEhU3ljbEg8L38VWAfUAqOyKAM6-Xx-F4GawxaepmXFCgfTjDxw5djxLa8ISlSApmWQxfKTUJqPP3-Kg6NU1Q",
    },
    Example {
        place: "RFC 7520, 4.1",
        algorithm: JwtAlgorithm::RS256,
        pem: pem!("rfc7520-3.3"),
        header: "eyJhbGciOiJSUzI1NiIsImtpZCI6ImJpbGJvLmJhZ2dpbnNAaG9iYml0b24uZXhhbXBsZSJ9",
        payload: FRODO,
        signature: "MRjdkly7_-oTPTS3AXP41iQIGKa80A0ZmTuV5MEaHoxnW2e5CZ5NlKtainoFmKZopdHM1O2U4mwzJdQx996ivp83xuglII7PNDi\
                    84wnB-BDkoBwA78185hX-Es4JIwmDLJK3lfWRa-XtL0RnltuYv746iYTh_qHRD68BNt1uSNCrUCTJDt5aAE6x8wW1Kt9eRo4QPocS\
                    adnHXFxnt8Is9UzpERV0ePPQdLuW3IS_de3xyIrDaLGdjluPxUAhb6L2aXic1U12podGU0KLUQSE_oI-ZnmKJ3F4uOZDnd6QZWJus\
                    hZ41Axf_fcIe8u9ipH84ogoree7vjbU5y18kDquDg",
    },
    Example {
        place: "RFC 7520, 4.2",
        algorithm: JwtAlgorithm::PS384,
        pem: pem!("rfc7520-3.3"),
        header: "eyJhbGciOiJQUzM4NCIsImtpZCI6ImJpbGJvLmJhZ2dpbnNAaG9iYml0b24uZXhhbXBsZSJ9",
        payload: FRODO,
        signature: "cu22eBqkYDKgIlTpzDXGvaFfz6WGoz7fUDcfT0kkOy42miAh2qyBzk1xEsnk2IpN6-tPid6VrklHkqsGqDqHCdP6O8TTB5dDDIt\
                    llVo6_1OLPpcbUrhiUSMxbbXUvdvWXzg-UD8biiReQFlfz28zGWVsdiNAUf8ZnyPEgVFn442ZdNqiVJRmBqrYRXe8P_ijQ7p8Vdz0\
                    TTrxUeT3lm8d9shnr2lfJT8ImUjvAA2Xez2Mlp8cBE5awDzT0qI0n6uiP1aCN_2_jLAeQTlqRHtfa64QQSUmFAAjVKPbByi7xho0u\
                    TOcbH510a6GYmJUAfmWjwZ6oD4ifKo8DYM-X72Eaw",
    },
    Example {
        place: "RFC 8037, A.4",
        algorithm: JwtAlgorithm::EdDSA,
        pem: pem!("rfc8037-a"),
        header: "eyJhbGciOiJFZERTQSJ9",
        payload: "RXhhbXBsZSBvZiBFZDI1NTE5IHNpZ25pbmc",
        signature: "hgyY0il_MGCjP0JzlnLWG1PPOt7-09PGcvMg3AIbQR6dWbhijcNR4ki4iylGjg5BhVsPt9g7sVvpAr_MuM0KAg",
    },
];

#[test]
fn the_examples_of_the_standards_open_and_their_neighbours_do_not() {
    for Example { place, algorithm, pem, header, payload, signature } in &EXAMPLES {
        let key = VerifyingKey::new(*algorithm, &public(pem)).expect("the key is for the algorithm");
        let keys = KeySet::one(key);
        let open = |token: String| jws::open(token.as_bytes(), &keys);
        let opened = open(format!("{header}.{payload}.{signature}"));
        assert_eq!(opened.expect(place), BASE64.decode(payload).expect("base64url"), "{place}");
        let swapped = |text: &str| text.replacen(['e', 'R', 'S', 'c', 'D', 'M', 'h'], "k", 1);
        assert!(open(format!("{header}.{}.{signature}", swapped(payload))).is_err(), "{place}");
        assert!(open(format!("{header}.{payload}.{}", swapped(signature))).is_err(), "{place}");
        for other in EXAMPLES.iter().filter(|other| other.signature != *signature) {
            assert!(open(format!("{header}.{payload}.{}", other.signature)).is_err(), "{place} by {}", other.place);
        }
    }
}

/// RFC 7520, section 4.1, by the key of section 3.3 in a set: the token names it.
#[test]
fn the_example_that_names_its_key_opens_by_a_set() {
    let jwk = json!({
        "kty": "RSA", "kid": "bilbo.baggins@hobbiton.example", "use": "sig", "e": "AQAB",
        "n": "n4EPtAOCc9AlkeQHPzHStgAbgs7bTZLwUBZdR8_KuKPEHLd4rHVTeT-O-XV2jRojdNhxJWTDvNd7nqQ0VEiZQHz_AJmSCpMaJMRBSFKrKb2wqVwGU_NsYOYL-QtiWN2lbzcEe6XC0dApr5ydQLrHqkHHig3RBordaZ6Aj-oBHqFEHYpPe7Tpe-OfVfHd1E6cS6M1FZcD1NNLYD5lFHpPI9bTwJlsde3uhGqC0ZCuEHg8lhzwOHrtIQbS0FVbb9k3-tVTU4fg_3L_vniUFAKwuCLqKnS2BYwdq_mzSnbLY7h_qixoR7jig3__kRhuaxwUkRz5iaiQkqgc5gHdrNP5zw",
    });
    let example = EXAMPLES.iter().find(|example| example.place == "RFC 7520, 4.1").expect("an example");
    let token = format!("{}.{}.{}", example.header, example.payload, example.signature);
    let open = |id: &str| {
        let mut jwk = jwk.clone();
        jwk["kid"] = json!(id);
        let jwks = Jwks::parse(json!({"keys": [jwk]}).to_string().as_bytes(), &[JwtAlgorithm::RS256]).expect("a set");
        jws::open(token.as_bytes(), &KeySet::named(&jwks, &[JwtAlgorithm::RS256], 0))
    };
    let payload = BASE64.decode(example.payload).expect("base64url");
    assert_eq!(open("bilbo.baggins@hobbiton.example").expect("opens"), payload);
    assert_eq!(open("frodo.baggins@hobbiton.example").expect_err("another name"), BadToken::UnknownKey);
}

/// RFC 7515, A.1, and RFC 7520, section 4.4. (The keys are no text, as the file would have them.)
#[test]
fn the_examples_with_a_shared_key_open_by_their_own_alone() {
    let shared = |key: &str| {
        let bytes = BASE64.decode(key).expect("base64url");
        let key = aws_lc_rs::hmac::Key::new(aws_lc_rs::hmac::HMAC_SHA256, &bytes);
        KeySet::one(VerifyingKey::shared(&["HS256"], key))
    };
    let joe = shared("AyM1SysPpbyDfgZld3umj1qzKObwVMkoqQ-EstJQLr_T-1qS0gZH75aKtMN3Yj0iPS4hcgUuTwjAzZr1Z9CAow");
    let frodo = shared("hJtXIZ2uSN5kbQfbtTNWbpdmhkV8FJG-Onbc6mxCcYg");
    let of_joe = format!("eyJ0eXAiOiJKV1QiLA0KICJhbGciOiJIUzI1NiJ9.{JOE}.dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk");
    let of_frodo = format!("{FRODO_BY_HMAC}.{FRODO}.{FRODO_SIGNATURE}");
    for (token, own, other, payload) in [(&of_joe, &joe, &frodo, JOE), (&of_frodo, &frodo, &joe, FRODO)] {
        let payload = BASE64.decode(payload).expect("base64url");
        assert_eq!(jws::open(token.as_bytes(), own).expect("opens"), payload);
        assert_eq!(jws::open(token.as_bytes(), other).expect_err("another key"), BadToken::BadSignature);
    }
}

/// RFC 7515, A.5, is not signed, and the signature of RFC 7520, section 4.5, is for what is sent elsewhere.
#[test]
fn the_examples_without_a_signature_or_without_a_payload_do_not_open() {
    let rsa =
        VerifyingKey::new(JwtAlgorithm::RS256, &public(pem!("rfc7515-a2"))).expect("the key is for the algorithm");
    let bytes = BASE64.decode("hJtXIZ2uSN5kbQfbtTNWbpdmhkV8FJG-Onbc6mxCcYg").expect("base64url");
    let shared = aws_lc_rs::hmac::Key::new(aws_lc_rs::hmac::HMAC_SHA256, &bytes);
    let shared = VerifyingKey::shared(&["HS256"], shared);
    for keys in [KeySet::one(rsa), KeySet::one(shared)] {
        let unsecured = format!("eyJhbGciOiJub25lIn0.{JOE}.");
        assert!(jws::open(unsecured.as_bytes(), &keys).is_err());
        let detached = format!("{FRODO_BY_HMAC}..{FRODO_SIGNATURE}");
        assert!(jws::open(detached.as_bytes(), &keys).is_err());
    }
}

/// RFC 9864 gives Ed25519 a name of its own; issuers that use it, and those that say `EdDSA`, are both understood, whichever
/// of the two the file says.
#[test]
fn ed25519_is_taken_under_both_its_names() {
    let der = pem_bytes(pem!("rfc8037-a.private"));
    let pair = Ed25519KeyPair::from_pkcs8_maybe_unchecked(&der).expect("a key pair");
    for configured in ["EdDSA", "Ed25519"] {
        let provider = provider(&public(pem!("rfc8037-a")), json!({"algorithm": configured}));
        for (named, taken) in [("EdDSA", true), ("Ed25519", true), ("Ed448", false), ("eddsa", false)] {
            let header = BASE64.encode(json!({"alg": named}).to_string());
            let signed = format!("{header}.{}", BASE64.encode(claims().to_string()));
            let token = format!("{signed}.{}", BASE64.encode(pair.sign(signed.as_bytes())));
            assert_eq!(identify(&provider, &token).is_ok(), taken, "{named} for {configured}");
        }
    }
}

fn pem_bytes(pem: &str) -> Vec<u8> {
    let body: String = pem.lines().filter(|line| !line.starts_with("-----")).collect();
    base64::prelude::BASE64_STANDARD.decode(body).expect("base64")
}
