//! The keys of providers: where they come from, and which of them are refused.

use super::*;

#[test]
fn secrets_come_from_a_file_beside_the_configuration() {
    let directory = tempfile::tempdir().expect("directory");
    let path = directory.path().join("gateway.yaml");
    fs::write(directory.path().join("jwt"), format!("{SECRET}\n")).expect("secret");
    let provider = "jwt_providers: { p: { algorithm: HS256, secret_file: jwt, issuer: i, audience: a } }";
    fs::write(&path, with(provider)).expect("file");
    let loaded = load(&path, &Env::default()).unwrap_or_else(|problems| panic!("{problems}"));
    assert_eq!(loaded.keys["p"], secret());
    assert!(check_file(&path, &Env::default()).expect("no problems").ends_with("no problems (1 routes, 1 upstreams)"));
    fs::remove_file(directory.path().join("jwt")).expect("removed");
    let problems = load(&path, &Env::default()).expect_err("no secret").to_string();
    assert!(problems.contains("jwt_providers.p.secret_file: `jwt` cannot be read: "), "{problems}");
}

#[test]
fn public_keys_come_inline_or_from_a_file_beside_the_configuration() {
    let directory = tempfile::tempdir().expect("directory");
    let path = directory.path().join("gateway.yaml");
    fs::write(directory.path().join("issuer.pem"), pem!("rfc7515-a2.certificate")).expect("key");
    let inline = pem!("rfc7515-a2").replace('\n', "\n      ");
    let providers = format!(
        "jwt_providers:\n  file: {{ algorithm: PS512, public_key_file: issuer.pem, issuer: i, audience: a }}\n  \
         inline:\n    algorithm: RS256\n    public_key: |\n      {inline}\n    issuer: i\n    audience: a"
    );
    fs::write(&path, with(&providers)).expect("file");
    let loaded = load(&path, &Env::default()).unwrap_or_else(|problems| panic!("{problems}"));
    let key = PublicKey::from_pem(pem!("rfc7515-a2")).expect("a key");
    assert_eq!(loaded.keys["inline"], ProviderKey::Public(key));
    assert_eq!(loaded.keys["file"], loaded.keys["inline"], "a certificate stands for its key");
}

#[test]
fn a_key_that_is_not_for_its_algorithm_is_told_in_one_sentence() {
    let directory = tempfile::tempdir().expect("directory");
    let path = directory.path().join("gateway.yaml");
    for (name, pem) in [
        ("rsa", pem!("rfc7515-a2")),
        ("p256", pem!("rfc7515-a3")),
        ("p384", pem!("p384")),
        ("ed", pem!("rfc8037-a")),
        ("small", pem!("rsa-1024")),
        ("private", pem!("rfc7515-a3.private")),
        ("text", "no key"),
    ] {
        fs::write(directory.path().join(name), pem).expect("key");
    }
    let secret = format!("secret: {SECRET}");
    let no_secret = "has no shared secret but the issuer's public key; write `public_key` or `public_key_file`";
    let no_public = "has no public key but a shared secret; write `secret` or `secret_file`";
    for (settings, key, expected) in [
        (
            "algorithm: RS256, public_key_file: p256",
            ".public_key_file",
            "`RS256` needs an RSA key, and this is a P-256 key, which is for `ES256`",
        ),
        (
            "algorithm: ES256, public_key_file: p384",
            ".public_key_file",
            "`ES256` needs a P-256 key, and this is a P-384 key, which is for `ES384`",
        ),
        (
            "algorithm: ES384, public_key_file: ed",
            ".public_key_file",
            "`ES384` needs a P-384 key, and this is an Ed25519 key, which is for `EdDSA`",
        ),
        (
            "algorithm: Ed25519, public_key_file: rsa",
            ".public_key_file",
            "`Ed25519` needs an Ed25519 key, and this is an RSA key, which is for `RS256`, ",
        ),
        (
            "algorithm: PS256, public_key_file: small",
            ".public_key_file",
            "this RSA key has 1024 bits; it needs 2048 to 8192",
        ),
        (
            "algorithm: ES256, public_key_file: private",
            ".public_key_file",
            "this is a private key, which only the issuer may have; ",
        ),
        (
            "algorithm: ES256, public_key: no key",
            ".public_key",
            "there is no public key in it; it begins with `-----BEGIN PUBLIC KEY-----`",
        ),
        ("algorithm: ES256, public_key_file: text", ".public_key_file", "there is no public key in it; "),
        ("algorithm: ES256, public_key_file: none", ".public_key_file", "`none` cannot be read: "),
        ("algorithm: ES256, public_key_file: \"\"", ".public_key_file", "the path is empty"),
        ("algorithm: ES256", "", "a `public_key` or a `public_key_file` is missing"),
        ("algorithm: RS256, public_key_file: rsa, cache: 1KiB", ".cache", "`1KiB` is not between 64KiB and 16GiB"),
        (&format!("algorithm: RS256, {secret}"), ".secret", &format!("`RS256` {no_secret}")),
        (&format!("algorithm: RS256, public_key_file: rsa, {secret}"), ".secret", &format!("`RS256` {no_secret}")),
        ("algorithm: EdDSA, secret_file: rsa", ".secret_file", &format!("`EdDSA` {no_secret}")),
        (
            "algorithm: HS256, secret_file: rsa",
            ".secret_file",
            "this is PEM, and everybody may have it; `HS256` needs a random secret",
        ),
        ("algorithm: HS256, public_key_file: rsa", ".public_key_file", &format!("`HS256` {no_public}")),
        (&format!("algorithm: HS256, public_key: x, {secret}"), ".public_key", &format!("`HS256` {no_public}")),
    ] {
        fs::write(&path, with(&format!("jwt_providers: {{ p: {{ {settings}, issuer: i, audience: a }} }}")))
            .expect("file");
        let problems = load(&path, &Env::default()).expect_err(expected).to_string();
        assert!(problems.contains(&format!(": jwt_providers.p{key}: {expected}")), "{settings}\n{problems}");
        assert!(problems.ends_with("\n1 problem"), "{settings}\n{problems}");
        assert!(!problems.contains(SECRET) && !problems.contains("MIGH"), "{problems}");
    }
}

/// With the algorithm misspelt, the key beside it is still checked, and not against a guess.
#[test]
fn a_misspelt_algorithm_hides_no_other_mistake_and_makes_none_up() {
    for (settings, count) in [
        ("algorithm: RS265, public_key: no key", 2),
        ("algorithm: SE256, public_key_file: none", 2),
        ("algorithm: RS265, secret: short", 2),
    ] {
        let problems = report(&with(&format!("jwt_providers: {{ p: {{ {settings}, issuer: i, audience: a }} }}")));
        assert!(problems.ends_with(&format!("\n{count} problems")), "{problems}");
    }
}
