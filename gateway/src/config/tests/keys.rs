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
        ("algorithm: ES256", "", "a `public_key` or a `public_key_file`, or a `jwks_file` or a `jwks_url`, is missing"),
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

/// RFC 7515, appendix A.3.1, beside a key of no use.
const SET: &str = r#"{"keys": [
  {"kty": "EC", "crv": "P-256", "kid": "e",
   "x": "f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU", "y": "x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0"},
  {"kty": "EC", "crv": "P-521", "kid": "f"}]}"#;

#[test]
fn sets_of_keys_come_from_a_file_or_from_their_issuer() {
    let directory = tempfile::tempdir().expect("directory");
    let path = directory.path().join("gateway.yaml");
    fs::write(directory.path().join("keys.json"), SET).expect("keys");
    let providers = "jwt_providers:\n  file: { algorithm: ES256, jwks_file: keys.json, issuer: i, audience: a }\n  \
                     url: { algorithms: [ES256, EdDSA], jwks_url: 'https://a.example/keys', issuer: i, audience: a, \
                     jwks_fetch: { cache_file: copy.json, stale_for: 0s } }\n  \
                     here: { algorithms: [ES256], jwks_url: 'http://[::1]:8080/keys', issuer: i, audience: a }\n  \
                     insecure: { algorithms: [ES256], jwks_url: 'http://a.example/keys', issuer: i, audience: a, \
                     jwks_fetch: { allow_insecure_http: true } }";
    fs::write(&path, with(providers)).expect("file");
    let loaded = load(&path, &Env::default()).unwrap_or_else(|problems| panic!("{problems}"));
    let ProviderKey::Set(set) = &loaded.keys["file"] else { panic!("a set") };
    assert_eq!(set.keys().len(), 1);
    let told = "jwt_providers.file.jwks_file: key 2 (`f`) is passed over: it is of another kind or curve";
    assert!(loaded.warnings.iter().any(|warning| warning.contains(told)), "{:?}", loaded.warnings);
    let ProviderKey::Remote(remote) = &loaded.keys["url"] else { panic!("a place") };
    assert_eq!(remote.url.as_str(), "https://a.example/keys");
    assert_eq!(remote.cache_file.as_deref(), Some(&*directory.path().join("copy.json")), "beside the configuration");
    assert_eq!((remote.refresh.as_secs(), remote.stale_for.as_secs()), (300, 0));
    assert!(["here", "insecure"].iter().all(|name| matches!(loaded.keys[*name], ProviderKey::Remote(_))));
}

#[test]
fn a_set_of_keys_that_cannot_be_or_must_not_be_used_is_told_in_one_sentence() {
    let directory = tempfile::tempdir().expect("directory");
    let path = directory.path().join("gateway.yaml");
    fs::write(directory.path().join("keys.json"), SET).expect("keys");
    fs::write(directory.path().join("html"), "<html>").expect("keys");
    let fetch =
        |settings: &str| format!("algorithms: [ES256], jwks_url: 'https://a.example/k', jwks_fetch: {{ {settings} }}");
    let secret = format!("algorithms: [ES256], jwks_file: keys.json, secret: {SECRET}");
    for (settings, key, expected) in [
        ("jwks_file: keys.json", "", "the key `algorithms` is missing"),
        (&format!("secret: {SECRET}"), "", "the key `algorithm` is missing"),
        ("algorithms: [ES256], jwks_file: none", ".jwks_file", "`none` cannot be read: "),
        (
            "algorithms: [ES256], jwks_file: html",
            ".jwks_file",
            "it is no set of keys, which is JSON like {\"keys\": [...]}",
        ),
        (
            "algorithms: [RS256], jwks_file: keys.json",
            ".jwks_file",
            "none of its keys can be used; key 1 (`e`) is passed over: none of the accepted algorithms is its own; key 2",
        ),
        ("algorithms: [ES256, ES256], jwks_file: keys.json", ".algorithms[1]", "`ES256` stands in this list already"),
        (
            "algorithm: ES256, algorithms: [ES256], jwks_file: keys.json",
            ".algorithms",
            "there is an `algorithm` too; keep one of the two",
        ),
        (
            "algorithms: [ES256, HS256], jwks_file: keys.json",
            ".algorithms",
            "`HS256` has a shared secret, and a set of keys has none",
        ),
        ("algorithm: HS256, jwks_url: 'https://a.example/k'", ".algorithm", "`HS256` has a shared secret, "),
        (&secret, ".secret", "there is a `jwks_file` too; keep one of the two"),
        (
            "algorithms: [ES256], jwks_file: keys.json, jwks_url: 'https://a.example/k'",
            ".jwks_file",
            "there is a `jwks_url` too",
        ),
        (
            "algorithms: [ES256], jwks_file: keys.json, jwks_fetch: { refresh: 1m }",
            ".jwks_fetch",
            "there is no `jwks_url` to fetch from",
        ),
        ("algorithms: [ES256], jwks_url: a.example/k", ".jwks_url", "a URL is wanted here, like https://"),
        ("algorithms: [ES256], jwks_url: 'ftp://a.example/k'", ".jwks_url", "a URL is wanted here, like https://"),
        ("algorithms: [ES256], jwks_url: 'https://me:x@a.example/k'", ".jwks_url", "a set of keys is public; "),
        (
            "algorithms: [ES256], jwks_url: 'http://a.example/k'",
            ".jwks_url",
            "over http:// whoever is on the way can put in ",
        ),
        (&fetch("refresh: 100ms"), ".jwks_fetch.refresh", "`100ms` is not between 1s and 1day"),
        (&fetch("timeout: 2m"), ".jwks_fetch.timeout", "`2m` is not between 1ms and 1m"),
        (&fetch("cooldown: 0s"), ".jwks_fetch.cooldown", "`0s` is not between 1s and 1h"),
        (&fetch("stale_for: 31days"), ".jwks_fetch.stale_for", "`31days` is not between 0s and 30days"),
        (&fetch("cache_file: ''"), ".jwks_fetch.cache_file", "the path is empty"),
        (&fetch("ca_file: none"), ".jwks_fetch.ca_file", "`none` cannot be read: "),
        (&fetch("ca_file: html"), ".jwks_fetch.ca_file", "there is no certificate in it; "),
        (&fetch("stalefor: 1m"), ".jwks_fetch.stalefor", "unknown key; did you mean `stale_for`?"),
    ] {
        fs::write(&path, with(&format!("jwt_providers: {{ p: {{ {settings}, issuer: i, audience: a }} }}")))
            .expect("file");
        let problems = load(&path, &Env::default()).expect_err(expected).to_string();
        assert!(problems.contains(&format!(": jwt_providers.p{key}: {expected}")), "{settings}\n{problems}");
        assert!(problems.ends_with("\n1 problem"), "{settings}\n{problems}");
    }
    let copy =
        "algorithms: [ES256], jwks_url: 'https://a.example/k', jwks_fetch: { cache_file: k }, issuer: i, audience: a";
    let both = report(&with(&format!("jwt_providers: {{ p: {{ {copy} }}, q: {{ {copy} }} }}")));
    assert!(
        both.contains("jwt_providers.q.jwks_fetch.cache_file: the provider `p` keeps its keys in this file"),
        "{both}"
    );
}
