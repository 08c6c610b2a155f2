//! Tokens of issuers with a private key, and what a gateway remembers of them.

use gateway::StartError;
use jsonwebtoken::{Algorithm, EncodingKey, Header};
use reqwest::Method;
use testkit::Upstream;

use crate::support::{Gateway, claims};

macro_rules! pem {
    ($name:literal) => {
        include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/keys/", $name, ".pem"))
    };
}

/// The provider `name` with the key `pem`, as a line of `jwt_providers`.
fn provider(name: &str, algorithm: &str, pem: &str) -> String {
    let pem = pem.replace('\n', "\\n");
    format!(
        "  {name}: {{ algorithm: {algorithm}, public_key: \"{pem}\", issuer: us, audience: us, \
         claims_to_headers: {{ sub: X-User-Id }} }}\n"
    )
}

/// A file with `providers`, and a route `/<name>` for each of `names`.
fn file(upstream: &Upstream, providers: &str, names: &[&str]) -> String {
    let route = |name: &&str| {
        format!(
            "  - {{ name: {name}, match: {{ path: /{name} }}, upstream: u, middleware: [{{ jwt: {{ provider: {name} }} }}] }}\n"
        )
    };
    let routes: String = names.iter().map(route).collect();
    format!("jwt_providers:\n{providers}upstreams: {{ u: {{ targets: [\"{}\"] }} }}\nroutes:\n{routes}", upstream.url())
}

fn rsa_token() -> String {
    let key = EncodingKey::from_rsa_pem(pem!("rfc7515-a2.private").as_bytes()).expect("a key");
    jsonwebtoken::encode(&Header::new(Algorithm::RS256), &claims(), &key).expect("signs")
}

async fn status(gateway: &Gateway, path: &str, token: &str) -> u16 {
    let request = gateway.request(Method::GET, path).bearer_auth(token).header("X-User-Id", "spoofed");
    request.send().await.expect("an answer").status().as_u16()
}

async fn known(gateway: &Gateway) -> (Option<f64>, Option<f64>) {
    let series = |name: &str| format!(r#"gateway_token_cache_{name}_total{{provider="rsa"}}"#);
    (gateway.metric(&series("hits")).await, gateway.metric(&series("misses")).await)
}

#[tokio::test]
async fn each_route_takes_the_tokens_of_its_own_issuer() {
    let upstream = Upstream::start().await.expect("starts");
    let providers = [
        provider("rsa", "RS256", pem!("rfc7515-a2")),
        provider("ec", "ES256", pem!("rfc7515-a3")),
        provider("ed", "EdDSA", pem!("rfc8037-a")),
    ];
    let gateway = Gateway::start(&file(&upstream, &providers.concat(), &["rsa", "ec", "ed"]));
    let ec = EncodingKey::from_ec_pem(pem!("rfc7515-a3.private").as_bytes()).expect("a key");
    let ed = EncodingKey::from_ed_pem(pem!("rfc8037-a.private").as_bytes()).expect("a key");
    let sign = |algorithm, key| jsonwebtoken::encode(&Header::new(algorithm), &claims(), key).expect("signs");
    let tokens = [("/rsa", rsa_token()), ("/ec", sign(Algorithm::ES256, &ec)), ("/ed", sign(Algorithm::EdDSA, &ed))];
    // Twice, so that the second time each is known to one of them.
    for _ in 0..2 {
        for (own, token) in &tokens {
            for (path, _) in &tokens {
                let expected = if path == own { 200 } else { 401 };
                assert_eq!(status(&gateway, path, token).await, expected, "the token of {own} on {path}");
            }
        }
    }
    let arrived = upstream.arrived();
    assert_eq!(arrived.len(), 6);
    assert!(arrived.iter().all(|request| request.header("x-user-id") == ["ann"]), "new or known, it is the same");
}

#[tokio::test]
async fn a_reload_keeps_what_is_known_and_a_changed_key_forgets_it_at_once() {
    let upstream = Upstream::start().await.expect("starts");
    let (old, new) = (pem!("rfc7515-a2"), pem!("rfc7520-3.3"));
    let with = |key: &str| file(&upstream, &provider("rsa", "RS256", key), &["rsa"]);
    let gateway = Gateway::start(&with(old));
    let token = rsa_token();
    assert_eq!(status(&gateway, "/rsa", &token).await, 200);
    assert_eq!(status(&gateway, "/rsa", &token).await, 200);
    assert_eq!(known(&gateway).await, (Some(1.0), Some(1.0)));
    gateway.reload(&format!("{}middleware: []\n", with(old))).expect("taken");
    assert_eq!(status(&gateway, "/rsa", &token).await, 200);
    assert_eq!(known(&gateway).await, (Some(2.0), Some(1.0)), "the provider has not changed");
    gateway.reload(&with(new)).expect("taken");
    assert_eq!(status(&gateway, "/rsa", &token).await, 401, "signed with a key that counts no more");
    gateway.reload(&with(old)).expect("taken");
    assert_eq!(status(&gateway, "/rsa", &token).await, 200);
    assert_eq!(known(&gateway).await, (Some(2.0), Some(3.0)), "a provider that is back begins anew");
    gateway.reload(&with(old).replace("audience: us", "audience: them")).expect("taken");
    assert_eq!(status(&gateway, "/rsa", &token).await, 401, "nor does a token count for another audience");
}

#[tokio::test]
async fn a_key_of_the_wrong_kind_stops_the_start() {
    let upstream = Upstream::start().await.expect("starts");
    for (algorithm, pem, expected) in [
        ("RS256", pem!("rfc7515-a3"), "`RS256` needs an RSA key, and this is a P-256 key"),
        ("ES256", pem!("rfc8037-a"), "`ES256` needs a P-256 key, and this is an Ed25519 key"),
        ("HS256", pem!("rfc7515-a2"), "`HS256` has no public key but a shared secret"),
        ("RS256", pem!("rfc7515-a2.private"), "this is a private key, which only the issuer may have"),
    ] {
        let started = Gateway::try_start(&file(&upstream, &provider("rsa", algorithm, pem), &["rsa"]), Vec::new());
        let Err(StartError::Config(problems)) = started.map(drop) else { panic!("refused") };
        let problems = problems.to_string();
        assert!(problems.contains(expected) && problems.ends_with("\n1 problem"), "{problems}");
    }
}
