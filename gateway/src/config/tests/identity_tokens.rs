//! What is said of `identity_tokens` and the step that sends them.

use super::*;
use crate::config::values::password_hash::tests::BCRYPT;

const KEY: &str = include_str!("../../../tests/keys/rfc8037-a.private.pem");

/// What is said of a file with this signer and these steps on its one route.
fn said(signer: &str, steps: &str) -> String {
    let directory = tempfile::tempdir().expect("directory");
    fs::write(directory.path().join("ed.pem"), KEY).expect("file");
    let path = directory.path().join("gateway.yaml");
    let text = format!(
        "basic_auth: {{ staff: {{ realm: r, users: {{ ann: '{BCRYPT}' }} }} }}\n\
         identity_tokens: {{ internal: {{ {signer} }} }}\n\
         jwt_providers: {{ us: {{ algorithm: HS256, secret: {SECRET}, issuer: us, audience: us }} }}\n\
         upstreams: {{ up: {{ targets: [\"http://a:1\"] }} }}\n\
         routes: [{{ name: all, match: {{ path: \"/a/*\" }}, upstream: up, middleware: [{steps}] }}]\n"
    );
    parse(&text, &path, &env()).err().map(|problems| problems.to_string()).unwrap_or_default()
}

const ED: &str = "algorithm: EdDSA, private_key_file: ed.pem";

fn steps(all: &[&str]) -> String {
    all.iter().map(|step| format!("{{ {step} }}")).collect::<Vec<_>>().join(", ")
}

#[test]
fn what_signs_has_the_key_of_its_algorithm() {
    let sign = "identity_token: { signer: internal }";
    let good = steps(&["any_of: [[jwt: { provider: us }], [basic_auth: { provider: staff }]]", sign]);
    assert_eq!(said(ED, &good), "");
    assert_eq!(said(&format!("{ED}, claims: [org.id]"), &good), "", "a token may say it");
    let of_staff = steps(&["basic_auth: { provider: staff }", sign]);
    let never = said(&format!("{ED}, claims: [org.id]"), &of_staff);
    assert!(never.contains("identity_tokens.internal.claims[0]: nobody who is asked here says"), "{never}");
    assert_eq!(said(&format!("algorithm: HS256, secret: {SECRET}"), &good), "");
    for (signer, problem) in [
        ("algorithm: EdDSA", "the key `private_key_file` is missing"),
        ("algorithm: HS256", "the key `secret` is missing"),
        ("algorithm: HS256, private_key_file: ed.pem", "`HS256` has no private key"),
        ("algorithm: EdDSA, secret: x, private_key_file: ed.pem", "no secret but a `private_key_file`"),
        ("algorithm: ES256, private_key_file: ed.pem", "not for `ES256`"),
        ("algorithm: EdDSA, private_key_file: gateway.yaml", "cannot be read"),
        ("algorithm: HS256, secret: changeme", "too weak"),
        ("algorithm: none", "identity_tokens.internal.algorithm"),
        (&format!("{ED}, lifetime: 2m"), "is not between 2s and 1m"),
        (&format!("{ED}, claims: [sub]"), "said by the gateway itself"),
        (&format!("{ED}, claims: [idp]"), "said by the gateway itself"),
        (&format!("{ED}, lifetim: 2s"), "lifetime"),
    ] {
        let said = said(signer, &good);
        assert!(said.contains(problem), "{signer}: {said}");
    }
}

#[test]
fn the_step_stands_behind_whoever_asks_and_whatever_rewrites() {
    let (jwt, sign, rewrite) =
        ("jwt: { provider: us }", "identity_token: { signer: internal }", "rewrite: { strip_prefix: /a }");
    assert_eq!(said(ED, &steps(&[jwt, rewrite, sign])), "");
    for (order, problem) in [
        ([sign, jwt].as_slice(), "no step before this one asks who is there"),
        (&[jwt, sign, rewrite], "rewrite before it"),
        (&[jwt, sign, sign], "signs already"),
        (&[jwt, "identity_token: { signer: nobody }"], "there is no signer `nobody`"),
        (&[jwt, "identity_token: { signer: internal, audience: \"\" }"], "for a certain audience"),
    ] {
        let said = said(ED, &steps(order));
        assert!(said.contains(problem), "{order:?}: {said}");
    }
}
