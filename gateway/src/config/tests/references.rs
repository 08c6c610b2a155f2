//! What is said of names in steps that nobody has.

use super::*;
use crate::config::values::password_hash::tests::BCRYPT;

/// The SHA-256 of "abc".
const ABC: &str = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";

/// A file with `blocks` and these steps on its one route.
fn file(blocks: &str, steps: &str) -> String {
    format!(
        "{blocks}\nupstreams: {{ up: {{ targets: ['http://a:1'] }} }}\n\
         routes: [{{ name: all, match: {{ path: /* }}, upstream: up, middleware: [{steps}] }}]\n"
    )
}

#[test]
fn a_name_that_stands_elsewhere_is_told_with_its_block_and_its_step() {
    let keys = format!("api_keys: {{ partners: {{ keys: [{{ client: c, sha256: {ABC} }}] }} }}");
    for (step, expected) in [
        (
            "jwt: { provider: partners }",
            "jwt.provider: there is no provider `partners` under `jwt_providers`; `api_keys` has one of this name, which a \
             step `api_key` asks",
        ),
        (
            "all_of: [{ basic_auth: { provider: partners } }]",
            "basic_auth.provider: there is no provider `partners` under `basic_auth`; `api_keys` has",
        ),
        ("api_key: { provider: partner }", "there is no provider `partner`; did you mean `partners`?"),
        ("api_key: { provider: others }", "api_key.provider: there is no provider `others`\n"),
    ] {
        let said = report(&file(&keys, step));
        assert!(said.contains(expected), "{step}: {said}");
    }
}

#[test]
fn a_block_that_is_missing_is_told_with_the_least_that_makes_one() {
    let directory = tempfile::tempdir().expect("a directory");
    for (name, text) in [
        ("api-keys.txt", format!("c {ABC}\n")),
        ("staff.htpasswd", format!("ann:{BCRYPT}\n")),
        ("secret.txt", "hush\n".to_owned()),
        ("identity.pem", include_str!("../../../tests/keys/rfc8037-a.private.pem").to_owned()),
    ] {
        fs::write(directory.path().join(name), text).expect("writes");
    }
    let path = directory.path().join("gateway.yaml");
    for (step, kind, block) in [
        ("jwt: { provider: x }", "provider", "jwt_providers"),
        ("api_key: { provider: x }", "provider", "api_keys"),
        ("basic_auth: { provider: x }", "provider", "basic_auth"),
        ("introspection: { provider: x }", "provider", "token_introspection"),
        ("client_certificate: { provider: x }", "provider", "client_certificates"),
        ("forward_auth: { provider: x }", "provider", "forward_auth"),
        ("identity_token: { signer: x }", "signer", "identity_tokens"),
    ] {
        let said = report(&file("", step));
        let expected = format!("there is no {kind} `x`, for the file has no block `{block}`; the least that");
        let line = said.lines().find(|line| line.contains(&expected)).unwrap_or_else(|| panic!("{step}: {said}"));
        let example = line.split('`').nth_back(1).expect("an example").replace("NAME", "x");
        let whole = match block {
            "identity_tokens" => file(
                &format!(
                    "{example}\njwt_providers: {{ us: {{ algorithm: HS256, secret: {SECRET}, issuer: i, audience: a }} }}"
                ),
                &format!("{{ jwt: {{ provider: us }} }}, {{ {step} }}"),
            ),
            _ => file(&example, step),
        };
        let told = parse(&whole, &path, &env()).err().map(|problems| problems.to_string()).unwrap_or_default();
        // Certificates are shown only where a listener asks for them, which is another block's affair.
        let is_enough = told.is_empty()
            || block == "client_certificates"
                && told.contains("write `server.tls.client_certificates` too")
                && told.ends_with("\n1 problem");
        assert!(is_enough, "{example}: {told}");
    }
}
