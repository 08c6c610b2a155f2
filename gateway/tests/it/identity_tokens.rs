//! The gateway's word on who asks: what upstreams get, and what they can check it with.

use jsonwebtoken::jwk::JwkSet;
use jsonwebtoken::{Algorithm, DecodingKey, Validation};
use reqwest::Method;
use serde_json::{Value, json};
use testkit::Upstream;

use common::auth::{BadIdentityToken, IdentityTokens, SignedRequest};
use common::config::{Env, Reader};
use common::ids::UserId;

use crate::support::{Gateway, token};

const ED: &str = include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/keys/rfc8037-a.private.pem"));
const ED_PUBLIC: &str = include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/keys/rfc8037-a.pem"));
const P256: &str = include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/keys/rfc7515-a3.private.pem"));
const P256_PUBLIC: &str = include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/keys/rfc7515-a3.pem"));
const SHARED: &str = "0d4f1a94c2b85e7733e09a1bd4c65f28";

/// A gateway that signs for what is behind `/a` without that, and for `/b` not.
fn gateway(upstream: &Upstream, signer: &str, keys: &tempfile::TempDir) -> Gateway {
    std::fs::write(keys.path().join("ed.pem"), ED).expect("writes");
    std::fs::write(keys.path().join("p256.pem"), P256).expect("writes");
    let signer = signer.replace("KEYS", &keys.path().display().to_string());
    Gateway::start(&format!(
        r#"
identity_tokens: {{ internal: {{ {signer}, claims: [username] }} }}
upstreams: {{ u: {{ targets: ["{}"] }} }}
routes:
  - name: signed
    match: {{ path: "/a/*" }}
    upstream: u
    middleware: [{{ jwt: {{ provider: us }} }}, {{ rewrite: {{ strip_prefix: /a }} }}, {{ identity_token: {{ signer: internal }} }}]
  - {{ name: plain, match: {{ path: "/b/*" }}, upstream: u, public: true }}
"#,
        upstream.url()
    ))
}

async fn send(gateway: &Gateway, method: Method, path: &str, token: &str) {
    let request = gateway.request(method, path).bearer_auth(token);
    let spoofed = request.header("X-Identity-Token", "spoofed").header("x_identity_token", "spoofed");
    assert_eq!(spoofed.send().await.expect("an answer").status(), 200, "{path}");
}

fn told(upstream: &Upstream) -> String {
    let arrived = upstream.arrived().pop().expect("a request");
    assert!(!arrived.head.contains("spoofed"), "{}", arrived.head);
    let [told] = arrived.header("x-identity-token")[..] else { panic!("one: {}", arrived.head) };
    told.to_owned()
}

/// What an upstream called `u` reads in `token`.
fn read(token: &str, algorithm: Algorithm, key: &DecodingKey) -> Value {
    let mut validation = Validation::new(algorithm);
    validation.set_issuer(&["gateway"]);
    validation.set_audience(&["u"]);
    jsonwebtoken::decode::<Value>(token, key, &validation).expect("valid").claims
}

#[tokio::test]
async fn the_upstream_gets_one_that_is_for_this_request_and_checks_it_with_the_published_key() {
    let (upstream, keys) = (Upstream::start().await.expect("starts"), tempfile::tempdir().expect("a directory"));
    let signer = "algorithm: EdDSA, private_key_file: \"KEYS/ed.pem\", key_id: k1, lifetime: 20s";
    let gateway = gateway(&upstream, signer, &keys);
    let published: JwkSet = serde_json::from_str(&gateway.admin("/jwks.json").await.1).expect("a set");
    let key = DecodingKey::from_jwk(published.find("k1").expect("the key")).expect("a key");
    let ann = token(|_| ());
    send(&gateway, Method::GET, "/a/x/../y?q=1", &ann).await;
    let word = told(&upstream);
    let claims = read(&word, Algorithm::EdDSA, &key);
    assert_eq!((&claims["sub"], &claims["username"]), (&json!("ann"), &json!("Ann")), "{claims}");
    assert_eq!((&claims["amr"], &claims["idp"]), (&json!(["jwt"]), &json!("us")), "who has checked the proof");
    assert_eq!((&claims["htm"], &claims["htp"]), (&json!("GET"), &json!("/y")), "what the upstream is asked for");
    let lives = claims["exp"].as_u64().zip(claims["iat"].as_u64()).map(|(exp, iat)| exp - iat);
    assert_eq!(lives, Some(20));
    let arrived = upstream.arrived().pop().expect("a request");
    assert_eq!(arrived.header("x-request-id"), [claims["jti"].as_str().expect("an id")]);
    let header = jsonwebtoken::decode_header(&word).expect("a header");
    assert_eq!((header.typ.as_deref(), header.kid.as_deref()), (Some("identity+jwt"), Some("k1")));

    send(&gateway, Method::GET, "/a/y", &ann).await;
    assert_eq!(told(&upstream), word, "it is kept for the same request");
    for (method, path, token) in [
        (Method::POST, "/a/y", ann.clone()),
        (Method::GET, "/a/z", ann.clone()),
        (Method::GET, "/a/y", crate::support::token(|claims| claims["sub"] = json!("bob"))),
    ] {
        send(&gateway, method, path, &token).await;
        assert_ne!(told(&upstream), word, "{path}");
    }
    send(&gateway, Method::GET, "/b/x", &ann).await;
    let arrived = upstream.arrived().pop().expect("a request");
    assert!(arrived.header("x-identity-token").is_empty(), "{}", arrived.head);
}

#[tokio::test]
async fn a_shared_secret_is_published_nowhere_and_without_a_cache_each_request_has_its_own() {
    let (upstream, keys) = (Upstream::start().await.expect("starts"), tempfile::tempdir().expect("a directory"));
    let gateway = gateway(&upstream, &format!("algorithm: HS256, secret: {SHARED}, cache: 0"), &keys);
    let published = gateway.admin("/jwks.json").await.1;
    assert_eq!(published, r#"{"keys":[]}"#);
    let ann = token(|_| ());
    let mut words = Vec::new();
    for _ in 0..2 {
        send(&gateway, Method::GET, "/a/x", &ann).await;
        let word = told(&upstream);
        read(&word, Algorithm::HS256, &DecodingKey::from_secret(SHARED.as_bytes()));
        words.push(word);
    }
    assert_ne!(words[0], words[1]);
}

/// What a service called `u` demands with this key.
fn demanded(algorithm: &str, key: &str) -> IdentityTokens {
    let env = Env::default().with("IDENTITY_TOKEN_ALGORITHM", algorithm).with("IDENTITY_TOKEN_KEY", key);
    let mut reader = Reader::new(&env);
    let tokens = IdentityTokens::read(&mut reader, "u");
    reader.finish(tokens).expect("sound")
}

#[tokio::test]
async fn what_is_signed_in_each_way_is_taken_by_our_services_and_fits_the_published_key() {
    let (upstream, keys) = (Upstream::start().await.expect("starts"), tempfile::tempdir().expect("a directory"));
    let subject = UserId::new();
    let token = token(|claims| claims["sub"] = json!(subject));
    let ways = [
        ("EdDSA", "private_key_file: \"KEYS/ed.pem\"".to_owned(), ED_PUBLIC, Some(Algorithm::EdDSA)),
        ("ES256", "private_key_file: \"KEYS/p256.pem\"".to_owned(), P256_PUBLIC, Some(Algorithm::ES256)),
        ("HS256", format!("secret: {SHARED}"), SHARED, None),
    ];
    for (algorithm, key, public, published) in &ways {
        let gateway = gateway(&upstream, &format!("algorithm: {algorithm}, {key}, key_id: k1, cache: 0"), &keys);
        send(&gateway, Method::GET, "/a/x", &token).await;
        let word = told(&upstream);
        if let Some(published) = published {
            let set: JwkSet = serde_json::from_str(&gateway.admin("/jwks.json").await.1).expect("a set");
            let key = DecodingKey::from_jwk(set.find("k1").expect("the key")).expect("a key");
            assert_eq!(read(&word, *published, &key)["sub"], json!(subject), "{algorithm}");
        }
        let request = SignedRequest { method: "GET", path: "/x", subject };
        for (other, _, demanded_key, _) in &ways {
            let checked = demanded(other, demanded_key).check(Some(&word), request);
            if other == algorithm {
                checked.expect("it is for this");
                let elsewhere = SignedRequest { path: "/y", ..request };
                let refused = demanded(other, public).check(Some(&word), elsewhere);
                assert!(matches!(refused, Err(BadIdentityToken::OtherRequest)), "{algorithm}");
            } else {
                assert!(matches!(checked, Err(BadIdentityToken::Invalid(_))), "{algorithm} where {other} is demanded");
            }
        }
    }
}
