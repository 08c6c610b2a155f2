//! Who can say who is there, and the steps that ask: what is taken, and what is refused in which words.

use super::*;
use crate::config::values::KnownKey;
use crate::config::values::password_hash::tests::{ARGON2ID, BCRYPT};

/// The SHA-256 of "abc".
const ABC: &str = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";

/// A file with one provider of each kind, and a route with these `settings`.
fn file(settings: &str) -> String {
    format!(
        "jwt_providers: {{ p: {{ algorithm: HS256, secret: \"${{JWT_SECRET_KEY}}\", issuer: i, audience: a }} }}\n\
         api_keys: {{ k: {{ keys: [{{ client: c, sha256: {ABC} }}] }} }}\n\
         basic_auth: {{ b: {{ realm: r, users: {{ u: '{BCRYPT}' }} }} }}\n\
         upstreams: {{ up: {{ targets: [\"http://a:1\"] }} }}\n\
         routes: [{{ name: all, match: {{ path: /* }}, upstream: up, {settings} }}]\n"
    )
}

#[test]
fn steps_that_ask_who_is_there_are_taken_alone_or_together() {
    for settings in [
        "middleware: [jwt: { provider: p }]",
        "middleware: [api_key: { provider: k }]",
        "middleware: [basic_auth: { provider: b }]",
        "middleware: [any_of: [[jwt: { provider: p }], [{ api_key: { provider: k } }, { basic_auth: { provider: b } }]]]",
        "middleware: [all_of: [{ jwt: { provider: p } }, { api_key: { provider: k } }]]",
        "public: true, middleware: [jwt: { provider: p, optional: true }]",
        "middleware: [{ jwt: { provider: p } }, { authorize: { roles: { claim: r, any: [a] }, claims: { x: 1, y: a } } }]",
    ] {
        assert_eq!(report(&file(settings)), "", "{settings}");
    }
}

#[test]
fn a_step_that_lets_in_whom_it_should_not_is_refused() {
    let authorize = |rule: &str| format!("middleware: [{{ jwt: {{ provider: p }} }}, {{ authorize: {{ {rule} }} }}]");
    for (settings, expected) in [
        ("middleware: [jwt: { provider: q }]".to_owned(), "middleware[0].jwt.provider: there is no provider `q`"),
        (
            "middleware: [api_key: { provider: p }]".to_owned(),
            "middleware[0].api_key.provider: there is no provider `p`",
        ),
        (
            "middleware: [basic_auth: { provider: bb }]".to_owned(),
            "middleware[0].basic_auth.provider: there is no provider `bb`",
        ),
        (
            "middleware: [{ jwt: { provider: p } }, { api_key: { provider: k } }]".to_owned(),
            "middleware[1]: a step before this one asks who is there already; put both into one `all_of`",
        ),
        (
            "middleware: [jwt: { provider: p, optional: true }]".to_owned(),
            "routes[0]: nobody has to say who is there, for the step that asks is optional; write `public: true` too",
        ),
        (
            "public: true, middleware: [api_key: { provider: k }]".to_owned(),
            "routes[0].public: the route is public, and a step asks who is there",
        ),
        (
            "public: true, middleware: [any_of: [[jwt: { provider: p }], [api_key: { provider: k }]]]".to_owned(),
            "routes[0].public: the route is public, and a step asks who is there",
        ),
        (
            "middleware: [any_of: [[jwt: { provider: p }]]]".to_owned(),
            "middleware[0].any_of: there are no two ways to choose from",
        ),
        (
            "middleware: [any_of: [[jwt: { provider: p }], []]]".to_owned(),
            "middleware[0].any_of[1]: this list asks for nothing, and would let everybody pass",
        ),
        (
            "middleware: [all_of: []]".to_owned(),
            "middleware[0].all_of: this list asks for nothing, and would let everybody pass",
        ),
        (
            "middleware: [any_of: [[jwt: { provider: p, optional: true }], [api_key: { provider: k }]]]".to_owned(),
            "middleware[0].any_of[0][0].jwt.optional: what is asked for together with others is not optional",
        ),
        (
            "middleware: [any_of: [[jwt: { provider: q }], [api_key: { provider: k }]]]".to_owned(),
            "any_of[0][0].jwt.provider: there is no provider `q`",
        ),
        (
            "middleware: [any_of: [[rate_limit: { policies: [] }], [api_key: { provider: k }]]]".to_owned(),
            "middleware[0].any_of[0][0].rate_limit: unknown key; known here: `jwt`, `api_key`, `basic_auth`",
        ),
        (
            "public: true, middleware: [authorize: { scopes: [a] }]".to_owned(),
            "middleware[0].authorize: no step before this one asks who is there",
        ),
        (
            "public: true, middleware: [{ jwt: { provider: p, optional: true } }, { authorize: { scopes: [a] } }]"
                .to_owned(),
            "middleware[1].authorize: no step before this one asks who is there",
        ),
        (
            authorize(""),
            "middleware[1].authorize: this rule lets everybody pass; write `scopes`, `roles`, `claims` or `rules`",
        ),
        (authorize("rule: x"), "middleware[1].authorize: this rule lets everybody pass"),
        (authorize("scopes: ['a b']"), "authorize.scopes[0]: a scope has visible ASCII characters only"),
        (authorize("scopes: [a, a]"), "authorize.scopes[1]: `a` stands in this list already"),
        (authorize("roles: { claim: r, any: [] }"), "authorize.roles.any: without a role here nobody could pass"),
        (authorize("roles: { claim: '', any: [a] }"), "authorize.roles.claim: the name of a claim is empty"),
        (authorize("claims: { a: [1] }"), "authorize.claims.a: a text, a number, `true` or `false` is wanted here"),
    ] {
        let problems = report(&file(&settings));
        assert!(problems.contains(expected), "{settings}\n{problems}");
        assert!(problems.ends_with("\n1 problem"), "{settings}\n{problems}");
    }
}

#[test]
fn where_a_token_may_stand_is_said_in_one_way_only() {
    let with = |settings: &str| {
        report(&super::with(&format!(
            "jwt_providers: {{ p: {{ algorithm: HS256, secret: {SECRET}, issuer: i, audience: a, {settings} }} }}"
        )))
    };
    assert_eq!(
        with(
            "token_from: [{ header: Authorization, scheme: Bearer }, { header: X-Token }, { cookie: s }, { query: t }]"
        ),
        ""
    );
    assert_eq!(with("required_claims: { a: true, b.c: 'x', d: 5, e: '5' }"), "");
    for (settings, expected) in [
        ("token_from: [{}]", "token_from[0]: one of `header`, `cookie` and `query` is wanted here"),
        (
            "token_from: [{ cookie: s, query: t }]",
            "token_from[0]: one of `header`, `cookie` and `query` is wanted here",
        ),
        (
            "token_from: [{ header: Authorization }]",
            "token_from[0]: this header has a word before the token; write `scheme: Bearer`",
        ),
        (
            "token_from: [{ header: Cookie }]",
            "token_from[0].header: `Cookie`: this header has a meaning of its own in HTTP",
        ),
        ("token_from: [{ cookie: s, scheme: Bearer }]", "token_from[0].scheme: only a header has a scheme"),
        ("token_from: [{ header: X-T, scheme: 'a b' }]", "token_from[0].scheme: a scheme is one word, like `Bearer`"),
        ("token_from: [{ cookie: 'a=b' }]", "token_from[0].cookie: this is no name that a cookie may have"),
        ("token_from: [{ query: '' }]", "token_from[0].query: "),
        ("token_from: [{ query: t }, { query: t }]", "token_from[1]: this place stands in the list already"),
        ("required_claims: { '': 1 }", "required_claims.: the name of a claim is empty"),
        ("required_claims: { a: }", "required_claims.a: a value is missing here"),
        ("required_claims: { a: { b: 1 } }", "required_claims.a: a text, a number, `true` or `false` is wanted here"),
    ] {
        let problems = with(settings);
        assert!(problems.contains(expected), "{settings}\n{problems}");
        assert!(problems.ends_with("\n1 problem"), "{settings}\n{problems}");
    }
    for key in ["issuer", "audience"] {
        for nothing in ["[]", "['']", "[a, '']"] {
            let text = super::with(&format!(
                "jwt_providers: {{ p: {{ algorithm: HS256, secret: {SECRET}, issuer: i, audience: a }} }}"
            ));
            let text = text.replace(&format!("{key}: {}", &key[..1]), &format!("{key}: {nothing}"));
            let problems = report(&text);
            assert!(problems.contains(&format!("jwt_providers.p.{key}: this is empty; ")), "{text}\n{problems}");
        }
    }
}

#[test]
fn a_claim_that_nobody_who_is_asked_ever_says_is_refused() {
    let limits = "rate_limits: { by-claim: { scope: local, limit: 1, window: 1s, key: claim.CLAIM } }\n";
    let both = "{ any_of: [[api_key: { provider: k }], [basic_auth: { provider: b }]] }";
    let second = "{ all_of: [{ basic_auth: { provider: b } }, { api_key: { provider: k } }] }";
    for (asks, claim, told) in [
        ("{ api_key: { provider: k } }", "client", ""),
        ("{ api_key: { provider: k } }", "sub", "says the claim `sub`; there is `client` and `scope`"),
        ("{ api_key: { provider: k } }", "clint", "says the claim `clint`; did you mean `client`?"),
        ("{ basic_auth: { provider: b } }", "sub", ""),
        ("{ basic_auth: { provider: b } }", "sub.id", "says the claim `sub.id`"),
        ("{ jwt: { provider: p } }", "whatever.it.is", ""),
        (both, "sub", ""),
        (both, "client", ""),
        (both, "tenant", "says the claim `tenant`; there is `client` and `scope` and `sub`"),
        (second, "client", ""),
        (second, "scope", "says the claim `scope`; there is `client` and `sub`"),
    ] {
        let header = format!("{{ headers: {{ request: {{ set: {{ X-A: '{{claim.{claim}}}' }} }} }} }}");
        let limit = "{ rate_limit: { policies: [by-claim] } }";
        let rule = format!("{{ authorize: {{ claims: {{ {claim}: x }} }} }}");
        for step in [&header, limit, &rule] {
            let text = limits.replace("CLAIM", claim) + &file(&format!("middleware: [{asks}, {step}]"));
            let problems = report(&text);
            assert_eq!(problems.is_empty(), told.is_empty(), "{asks} {step}\n{problems}");
            assert!(problems.contains(told), "{asks} {step}\n{problems}");
        }
        let late = format!("{{ headers: {{ response: {{ set: {{ X-A: '{{claim.{claim}}}' }} }} }} }}");
        let problems = report(&file(&format!("middleware: [{late}, {asks}]")));
        assert_eq!(problems.is_empty(), told.is_empty(), "a response comes after every step\n{problems}");
    }
}

#[test]
fn keys_and_passwords_come_from_files_too() {
    let directory = tempfile::tempdir().expect("directory");
    let path = directory.path().join("gateway.yaml");
    let other = KnownKey::hash(b"other").iter().map(|byte| format!("{byte:02X}")).collect::<String>();
    fs::write(directory.path().join("keys"), format!("# ours\n\nweb {other} a:read  a:write\n")).expect("writes");
    fs::write(directory.path().join("users"), format!("ann:{ARGON2ID}\r\n# nobody\nZoë:{BCRYPT}\n")).expect("writes");
    let blocks = format!(
        "api_keys: {{ k: {{ keys: [{{ client: c, sha256: {ABC} }}], file: keys }} }}\n\
         basic_auth: {{ b: {{ realm: r, file: users }} }}"
    );
    fs::write(&path, with(&blocks)).expect("writes");
    let loaded = load(&path, &Env::default()).unwrap_or_else(|problems| panic!("{problems}"));
    let clients: Vec<_> = loaded.api_keys["k"].iter().map(|key| (&*key.client, key.scopes.len())).collect();
    assert_eq!(clients, [("c", 0), ("web", 2)]);
    assert_eq!(loaded.passwords["b"].keys().collect::<Vec<_>>(), ["Zoë", "ann"]);
    fs::write(directory.path().join("keys"), format!("alone\nweb {ABC}\nweb x\n")).expect("writes");
    fs::write(directory.path().join("users"), format!("alone\nann:{{SHA}}x\nann:{BCRYPT}\nann:{BCRYPT}\n:{BCRYPT}"))
        .expect("writes");
    let problems = load(&path, &Env::default()).expect_err("lines").to_string();
    for expected in [
        "api_keys.k.file: line 1: a client and a hash are wanted, with a space between",
        "api_keys.k.file: line 2: this key is there already",
        "api_keys.k.file: line 3: a hash has 64 hexadecimal digits",
        "basic_auth.b.file: line 1: a name, a colon and a hash are wanted",
        "basic_auth.b.file: line 2: this is no Argon2id hash",
        "basic_auth.b.file: line 4: this user is there already",
        "basic_auth.b.file: line 5: a name has 1 to 100 characters",
    ] {
        assert!(problems.contains(expected), "{expected}\n{problems}");
    }
    assert!(problems.ends_with("\n7 problems"), "{problems}");
}

#[test]
fn a_key_of_a_variable_that_is_not_set_is_one_problem() {
    for key in [
        "client: c, sha256: '${NONE}'".to_owned(),
        format!("client: '${{NONE}}', sha256: {ABC}"),
        "client: '${NONE}', sha256: '${NONE}'".to_owned(),
    ] {
        let problems = parse(&format!("api_keys: {{ x: {{ keys: [{{ {key} }}] }} }}"), Path::new("f"), &Env::default());
        let problems = problems.expect_err("refused");
        let at_the_key = problems.problems().iter().filter(|problem| problem.key.to_string().contains("keys[0]"));
        let is_told = |problem: &problems::Problem| problem.message.contains("`NONE` is not set");
        let told: Vec<_> = at_the_key.map(is_told).collect();
        assert!(!told.is_empty() && told.iter().all(|is_told| *is_told), "{problems}");
    }
}

#[test]
fn keys_and_passwords_of_no_use_are_told_in_one_sentence() {
    let users = |user: &str, hash: &str| format!("basic_auth: {{ x: {{ realm: r, users: {{ {user}: '{hash}' }} }} }}");
    for (block, expected) in [
        ("api_keys: { x: {} }".to_owned(), "api_keys.x: there is no key; write `keys` or a `file`"),
        (
            "api_keys: { x: { keys: [{ client: c, sha256: abc }] } }".to_owned(),
            "api_keys.x.keys[0]: a hash has 64 hexadecimal digits",
        ),
        (
            format!("api_keys: {{ x: {{ keys: [{{ client: 'a b', sha256: {ABC} }}] }} }}"),
            "api_keys.x.keys[0]: a client's name has",
        ),
        (
            format!("api_keys: {{ x: {{ keys: [{{ client: a, sha256: {ABC} }}, {{ client: b, sha256: {ABC} }}] }} }}"),
            "api_keys.x.keys[1]: this key stands in the list already",
        ),
        (
            format!("api_keys: {{ x: {{ keys: [{{ client: a, sha256: {ABC} }}], header: Host }} }}"),
            "api_keys.x.header: `Host`: this header has a meaning",
        ),
        (
            format!(
                "api_keys: {{ x: {{ keys: [{{ client: a, sha256: {ABC} }}], claims_to_headers: {{ sub: X-A }} }} }}"
            ),
            "api_keys.x.claims_to_headers.sub: a key says `client` and `scope`",
        ),
        ("api_keys: { x: { file: none } }".to_owned(), "api_keys.x.file: `none` cannot be read: "),
        ("basic_auth: { x: { realm: r } }".to_owned(), "basic_auth.x: there is nobody; write `users` or a `file`"),
        (users("u", "open sesame"), "basic_auth.x.users.u: this is no Argon2id hash"),
        (users("u", &BCRYPT[..50]), "basic_auth.x.users.u: its text is damaged"),
        (users("'a:b'", BCRYPT), "basic_auth.x.users.a:b: a name has 1 to 100 characters"),
        (
            users("u", BCRYPT).replace("realm: r", "realm: 'a\"b'"),
            "basic_auth.x.realm: a realm is a text of ASCII characters",
        ),
        (
            users("u", BCRYPT).replace("realm: r", "realm: r, checks: 0"),
            "basic_auth.x.checks: `0` is no whole number from 1 to 64",
        ),
        (
            users("u", BCRYPT).replace("realm: r", "realm: r, remember: 2days"),
            "basic_auth.x.remember: `2days` is not between 0s and 1day",
        ),
        (
            users("u", BCRYPT).replace("realm: r", "realm: r, claims_to_headers: { name: X-A }"),
            "basic_auth.x.claims_to_headers.name: a password says `sub`",
        ),
    ] {
        let problems = report(&with(&block));
        assert!(problems.contains(expected), "{block}\n{problems}");
        assert!(problems.ends_with("\n1 problem"), "{block}\n{problems}");
        assert!(!problems.contains("sesame"), "{problems}");
    }
}

#[test]
fn a_key_is_hashed_as_the_configuration_wants_it() {
    for input in ["abc", "abc\n", "abc\r\n"] {
        assert_eq!(hash_key(input.as_bytes()).expect("a hash"), ABC);
    }
    assert_ne!(hash_key(&b"abc\n\n"[..]).expect("a hash"), ABC, "only the last line end is no part of it");
    for input in [String::new(), "\n".to_owned(), "x".repeat(4097)] {
        assert!(hash_key(input.as_bytes()).is_err());
    }
}
