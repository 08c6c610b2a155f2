//! Whole files through [`parse`] and [`load`].

mod annotations;
mod expressions;
mod http;
mod identity;
mod identity_tokens;
mod keys;
mod limits;
mod mirror;
mod redis;
mod references;
mod revocation;
mod routes;
mod services;
mod shape;
mod split;
mod tls;
mod told;

use std::fs;
use std::path::PathBuf;

use common::auth::SigningSecret;
use proptest::prelude::*;

use super::values::PublicKey;
use super::*;

const SECRET: &str = "6f1d0a94c2b85e7733e09a1bd4c65f28";

fn env() -> Env {
    Env::default().with("JWT_SECRET_KEY", SECRET)
}

fn secret() -> ProviderKey {
    ProviderKey::Secret(SigningSecret::new(SECRET.into()).expect("strong"))
}

fn conf(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../conf").join(name)
}

/// The report about `text`; empty when there is none.
fn report(text: &str) -> String {
    parse(text, Path::new("gateway.yaml"), &env()).err().map(|problems| problems.to_string()).unwrap_or_default()
}

/// A file of one public route with `blocks` above it.
fn with(blocks: &str) -> String {
    format!(
        "{blocks}\nupstreams: {{ up: {{ targets: [\"http://a:1\"] }} }}\n\
         routes: [{{ name: all, match: {{ path: /* }}, upstream: up, public: true }}]\n"
    )
}

#[test]
fn every_file_that_is_shipped_is_without_problems_and_warnings() {
    let env = env().with("REDIS_HOST", "redis").with("REDIS_PASSWORD", "hush");
    let mut files = 0;
    for entry in fs::read_dir(conf("")).expect("conf/") {
        let path = entry.expect("entry").path();
        if path.extension().is_some_and(|extension| extension == "yaml") {
            let loaded = load(&path, &env).unwrap_or_else(|problems| panic!("{problems}"));
            assert_eq!(loaded.warnings, Vec::<String>::new(), "{}", path.display());
            files += 1;
        }
    }
    assert!(files >= 2);
}

#[test]
fn the_gateway_of_the_readme_is_without_problems_and_warnings() {
    let (_, example) = include_str!("../../../README.md").split_once("```yaml\n").expect("an example");
    let (text, _) = example.split_once("```").expect("its end");
    let loaded = parse(text, Path::new("shop.yaml"), &Env::default()).unwrap_or_else(|problems| panic!("{problems}"));
    assert_eq!(loaded.warnings, Vec::<String>::new());
}

#[test]
fn the_annotated_file_needs_no_redis_and_only_one_secret() {
    let loaded = load(&conf("gateway.yaml"), &env()).unwrap_or_else(|problems| panic!("{problems}"));
    assert!(loaded.file.redis.is_none());
    assert_eq!(loaded.keys["accounts"], secret());
    let problems = load(&conf("gateway.yaml"), &Env::default()).expect_err("no secret").to_string();
    assert!(problems.contains("the variable `JWT_SECRET_KEY` is not set"), "{problems}");
    assert!(problems.ends_with("\n1 problem"), "{problems}");
}

#[test]
fn the_file_for_many_gateways_asks_for_redis() {
    let problems = load(&conf("gateway.redis.yaml"), &env()).expect_err("no Redis").to_string();
    assert!(problems.contains("redis.host: the variable `REDIS_HOST` is not set"), "{problems}");
    assert!(problems.ends_with("\n1 problem"), "{problems}");
}

/// Every key of `file.rs` stands in the annotated file, so that it cannot go stale.
#[test]
fn the_annotated_file_explains_every_key() {
    let text = fs::read_to_string(conf("gateway.yaml")).expect("conf/gateway.yaml");
    let schema = schemars::schema_for!(GatewayFile).to_value();
    let blocks = schema["$defs"].as_object().expect("$defs").values().chain([&schema]);
    let variants = blocks.clone().filter_map(|block| block["oneOf"].as_array()).flatten();
    let mut missing: Vec<&str> = blocks
        .chain(variants)
        .filter_map(|block| block["properties"].as_object())
        .flat_map(|keys| keys.keys())
        .map(String::as_str)
        .filter(|key| {
            let is_key = |line: &str| {
                line.trim_start_matches([' ', '#', '-', '{'])
                    .strip_prefix(key)
                    .is_some_and(|rest| rest.starts_with(':'))
            };
            !text.lines().any(is_key)
        })
        .collect();
    missing.sort_unstable();
    assert_eq!(missing, Vec::<&str>::new());
}

/// What in the annotated file contradicts what stands beside it.
const CONTRADICTORY: [&str; 13] = [
    "ca_file",
    "certificate_file",
    "key_file",
    "max_concurrent_streams",
    "ping_interval",
    "secret_file",
    "public_key",
    "public_key_file",
    "algorithms",
    "jwks_file",
    "jwks_url",
    "on_redis_failure",
    "missing_key",
];

/// Each line `# key: value` that shows a default says what is so without it.
#[test]
fn the_annotated_file_still_holds_when_everything_in_it_is_uncommented() {
    let text = fs::read_to_string(conf("gateway.yaml")).expect("conf/gateway.yaml");
    let is_example = |line: &str| {
        let key = line.trim_start().strip_prefix("# ").and_then(|line| line.split_once(": ")).map(|(key, _)| key);
        // These contradict what stands beside them.
        key.is_some_and(|key| key.chars().all(|c| c.is_ascii_lowercase() || c == '_'))
            && !CONTRADICTORY.contains(&key.unwrap_or_default())
    };
    let uncomment = |line: &str| if is_example(line) { line.replacen("# ", "", 1) } else { line.to_owned() };
    let whole: Vec<String> = text.lines().map(uncomment).collect();
    assert!(whole.iter().any(|line| line == "  threads: 4"));
    assert_eq!(report(&whole.join("\n")), "");
}

/// Blocks that are commented out hold too, each alone. The files and variables that they name are the reader's own.
#[test]
fn the_annotated_file_still_holds_when_one_of_its_blocks_is_uncommented() {
    let text = fs::read_to_string(conf("gateway.yaml")).expect("conf/gateway.yaml");
    let (text, _) = text.split_once("  # -- examples --").expect("examples");
    let lines: Vec<&str> = text.lines().collect();
    let mut tried = Vec::new();
    for (first, line) in lines.iter().enumerate() {
        let block = line.trim_start().strip_prefix("# ").and_then(|line| line.strip_suffix(':'));
        // Two contradict what stands beside them.
        let Some(block) = block.filter(|block| !block.contains(' ') && !["jwks_fetch", "headers"].contains(block))
        else {
            continue;
        };
        let indent = &line[..line.len() - line.trim_start().len()];
        let deeper = lines[first + 1..].iter().take_while(|line| line.starts_with(&format!("{indent}#  "))).count();
        // In the place of which a split stands.
        let upstream = lines[..first].iter().rposition(|line| line.starts_with("    upstream: "));
        let uncomment = |(number, line): (usize, &&str)| match number {
            _ if (first..=first + deeper).contains(&number) => line.replacen("# ", "", 1),
            _ if block == "split" && Some(number) == upstream => String::new(),
            _ => (*line).to_owned(),
        };
        let whole: Vec<String> = lines.iter().enumerate().map(uncomment).collect();
        let problems = report(&whole.join("\n"));
        // And what two want to stand beside them.
        let the_readers = [
            "cannot be read: ",
            "is not set (or empty)",
            "write `server.tls.client_certificates` too",
            "write its URL with `https://`",
        ];
        let is_the_readers = |line: &&str| the_readers.iter().any(|words| line.contains(words));
        let others: Vec<&str> =
            problems.lines().filter(|line| line.starts_with("gateway.yaml:") && !is_the_readers(line)).collect();
        assert_eq!(others, Vec::<&str>::new(), "{block}");
        tried.push(block);
    }
    for block in
        ["tls", "api_keys", "basic_auth", "token_introspection", "forward_auth", "identity_tokens", "split", "mirror"]
    {
        assert!(tried.contains(&block), "{block} of {tried:?}");
    }
}

#[test]
fn leases_that_save_no_calls_are_warned_of() {
    let warnings = |limit: &str| {
        let limited = format!(
            "redis: {{ host: a }}\nmiddleware: [rate_limit: {{ policies: [l] }}]\n\
             rate_limits: {{ l: {{ scope: leased, {limit}, key: client_address }} }}"
        );
        parse(&with(&limited), Path::new("f"), &env()).expect("legal").warnings
    };
    for limit in ["limit: 49, window: 1m", "limit: 1000, window: 1s, burst: 900"] {
        let warnings = warnings(limit);
        assert!(
            warnings.len() == 1 && warnings[0].contains("rate_limits.l.scope: leases save few calls"),
            "{warnings:?}"
        );
    }
    for limit in ["limit: 50, window: 1m", "limit: 1000, window: 1s"] {
        assert_eq!(warnings(limit), Vec::<String>::new());
    }
}

#[test]
fn what_nothing_uses_is_warned_of() {
    let text = with("rate_limits: { idle: { scope: local, limit: 1, window: 1s, key: client_address } }");
    let loaded = parse(&text, Path::new("f"), &env()).unwrap_or_else(|problems| panic!("{problems}"));
    assert_eq!(loaded.warnings, ["f:1:16: rate_limits.idle: nothing uses this policy"]);
}

#[test]
fn no_message_shows_what_a_variable_holds() {
    let text = with(
        "server: { threads: \"${SECRET}\", listen: [\"${SECRET}\"], admin: \"${SECRET}\", max_body: \"${SECRET}\" }\n\
         access_log: { enabled: \"${SECRET}\" }\n\
         redis: { host: \"${SECRET} \", password: \"${SECRET}\" }\n\
         jwt_providers: { p: { algorithm: \"${SECRET}\", secret: \"${SECRET}\", issuer: i, audience: a, \
         claims_to_headers: { sub: \"${SECRET}\" } } }\n\
         middleware: [rate_limit: { policies: [\"${SECRET}\"] }]",
    );
    let env = Env::default().with("SECRET", "s3cr3t/ value");
    let problems = parse(&text, Path::new("f"), &env).expect_err("wrong everywhere").to_string();
    assert!(!problems.contains("s3cr3t"), "{problems}");
    assert_eq!(problems.lines().count(), 11, "{problems}");
}

#[test]
fn a_file_that_cannot_be_read_is_one_clear_line() {
    let directory = tempfile::tempdir().expect("directory");
    let path = directory.path().join("gateway.yaml");
    let problems = load(&path, &env()).expect_err("not there").to_string();
    assert!(problems.contains("gateway.yaml: the file cannot be read: "), "{problems}");
    fs::write(&path, "#".repeat(5 << 20)).expect("file");
    let problems = load(&path, &env()).expect_err("too large").to_string();
    assert!(problems.contains("gateway.yaml: the file has more than 4194304 bytes"), "{problems}");
    fs::write(&path, [0xff, 0xfe, 0x00]).expect("file");
    assert!(load(&path, &env()).is_err());
}

/// What stands in for a wrong value must itself be right, or the mistake would hide what follows it.
#[test]
fn every_stand_in_is_taken_by_its_type() {
    let schema = schema::Schema::of_the_file();
    serde_json::from_value::<GatewayFile>(schema.whole(schema.root())).expect("the stand-in of everything");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    #[test]
    fn any_text_is_answered(text in "\\PC{0,200}|[a-z:\\[\\]{}&*!|>'\"#%@?, \\n$-]{0,200}") {
        let _ = parse(&text, Path::new("f"), &Env::default());
    }

    /// A part of the shipped file replaced by anything: the answer comes, and is a report or a file.
    #[test]
    fn any_damage_to_a_real_file_is_answered(
        from in 0..include_str!("../../../conf/gateway.yaml").len(), length in 0..60usize, with in "\\PC{0,12}|[a-z:\\[\\]{}&*\\n -]{0,12}"
    ) {
        let text: Vec<char> = include_str!("../../../conf/gateway.yaml").chars().collect();
        let (from, to) = (from.min(text.len()), (from + length).min(text.len()));
        let damaged: String = text[..from].iter().copied().chain(with.chars()).chain(text[to..].iter().copied()).collect();
        if let Err(problems) = parse(&damaged, Path::new("f"), &env()) {
            prop_assert!(!problems.problems().is_empty());
        }
    }
}

/// `tests/mistakes.yaml` has about every mistake there is; `tests/mistakes.txt` is the whole report about it.
#[test]
fn every_mistake_of_a_file_is_told_in_one_report() {
    let report = report(include_str!("tests/mistakes.yaml"));
    assert_eq!(report.trim(), include_str!("tests/mistakes.txt").trim(), "\n{report}");
}

/// What the one file of mistakes cannot have beside its other blocks.
#[test]
fn contradictions_between_blocks_are_told() {
    let jwt = "jwt_providers: { p: { algorithm: HS256, secret: \"${JWT_SECRET_KEY}\", issuer: i, audience: a } }\n";
    let redis_policy = "rate_limits: { l: { scope: redis, limit: 1, window: 1s, key: client_address } }\n";
    let limited =
        |limit: &str| with(&format!("rate_limits: {{ l: {{ scope: local, {limit}, key: client_address }} }}\n"));
    let leased = |limit: &str| {
        let policy = format!("{{ scope: leased, limit: 900, {limit}, key: client_address }}");
        with(&format!("redis: {{ host: a }}\nrate_limits: {{ l: {policy} }}\n"))
    };
    for (text, expected) in [
        ("server: {}".to_owned(), "routes: there is no route; a gateway needs at least one"),
        (
            limited("limit: 2000000, window: 1s"),
            "rate_limits.l.limit: `limit` may be at most one request per microsecond",
        ),
        (limited("limit: 1, window: 1d, burst: 20000"), "rate_limits.l.burst: `burst` must come back within 31 years"),
        (limited("limit: 1"), "f:1:16: rate_limits.l: the key `window` is missing"),
        (
            limited("limit: 9, algorithm: in_flight, window: 1s"),
            "rate_limits.l.window: `window` is not for `algorithm: in_flight`",
        ),
        (
            limited("limit: 9, algorithm: sliding_window, window: 1s, burst: 3"),
            "rate_limits.l.burst: `burst` is not for `algorithm: sliding_window`",
        ),
        (
            limited("limit: 10001, max_keys: 10, algorithm: sliding_window, window: 1s"),
            "rate_limits.l.limit: `limit` may be at most 10000 with `algorithm: sliding_window`",
        ),
        (
            limited("limit: 2000, algorithm: sliding_window, window: 1s"),
            "rate_limits.l.max_keys: `max_keys` × `limit` may be at most 67108864",
        ),
        (
            leased("algorithm: sliding_window, window: 1m"),
            "rate_limits.l.algorithm: `algorithm: sliding_window` is only for the scopes `local` and `redis`",
        ),
        (leased("algorithm: in_flight"), "rate_limits.l.algorithm: `algorithm: in_flight` is only for scope `local`"),
        (
            leased("algorithm: sketch, window: 1m"),
            "rate_limits.l.algorithm: `algorithm: sketch` is only for scope `local`",
        ),
        (with(redis_policy), "rate_limits.l.scope: this scope needs Redis, and there is no `redis` block; add it"),
        (
            with(&redis_policy.replace("redis, limit: 1", "leased, limit: 90")),
            "rate_limits.l.scope: this scope needs Redis, and there is no `redis` block; add it",
        ),
        (
            with(&format!("redis: {{ host: a }}\n{}", redis_policy.replace("redis, limit", "leased, limit"))),
            "rate_limits.l.scope: nothing can be leased of so small a quota; use scope `redis`",
        ),
        (
            with(&format!(
                "redis: {{ host: a }}\n{}",
                redis_policy.replace("redis, limit: 1", "leased, limit: 90, cost: 90")
            )),
            "rate_limits.l.cost: `cost` may be at most the number of requests that may come at once",
        ),
        (
            with(&format!("redis: {{ host: \"\" }}\n{redis_policy}")),
            "this scope needs Redis, and `redis.host` is empty",
        ),
        (
            with(&format!("{jwt}middleware: [jwt: {{ provider: p }}]")),
            "routes[0].public: the route is public, and a step asks who is there; keep one of the two",
        ),
        (with("server: { listen: [] }"), "server.listen: there is no address to listen on"),
        (
            with("server: { listen: [\"[::1]:1\"], admin: \"[::]:1\" }"),
            "server.listen[0]: [::1]:1 is the admin address",
        ),
        (with("server: { max_connections: 0 }"), "server.max_connections: `0` is no whole number from 1 to 10000000"),
        (
            with("redis: { host: a, password: \"${NONE}\" }"),
            "redis.password: the variable `NONE` is not set (or empty); set it\n",
        ),
        (with("access_log: { path: \"\" }"), "access_log.path: the path is empty"),
        (with("redis: { host: a, port: 0 }"), "redis.port: `0` is no whole number from 1 to 65535"),
        (
            with("").replace("name: all", "name: none"),
            "routes[0].name: `none` is what logs and metrics call no route at all",
        ),
        ("[1, 2]".to_owned(), "f:1:1: a block of `key: value` lines is wanted here"),
    ] {
        let problems = parse(&text, Path::new("f"), &env()).expect_err(expected).to_string();
        assert!(problems.contains(expected), "{text}\n{problems}");
        assert!(problems.ends_with("\n1 problem"), "{text}\n{problems}");
    }
}

#[test]
fn what_only_looks_like_a_contradiction_is_taken() {
    for blocks in [
        "server: { listen: [\"127.0.0.1:0\", \"127.0.0.1:0\"], admin: \"127.0.0.1:0\" }",
        "rate_limits: { l: { scope: local, limit: 9, algorithm: in_flight, max_keys: 5, cost: 2, key: client_address } }\n\
         middleware: [rate_limit: { policies: [l] }]",
        "rate_limits: { l: { scope: local, limit: 9, algorithm: sliding_window, window: 1m, only_statuses: [401], \
         key: client_address } }\nmiddleware: [rate_limit: { policies: [l] }]",
        "redis:",
        "redis: { host: redis, password: \"${NONE:-}\", database: 3 }",
        "server: { threads: \"${NONE:-}\", shutdown_grace: 0s }",
        "server: &s { read_timeout: 1s }\naccess_log: { enabled: \"true\" }",
    ] {
        assert_eq!(report(&with(blocks)), "");
    }
}

/// The bounds hold: no file of the size that is read at all can keep the start, or a reload, busy for long.
#[test]
fn huge_files_are_answered() {
    let many = |count: usize, line: &dyn Fn(usize) -> String| (0..count).map(line).collect::<String>();
    let long = "x".repeat(4 << 20);
    for text in [
        long.clone(),
        format!("{long}: 1"),
        format!("server: {{ {long}: 1, max_body: {long} }}"),
        many(20_000, &|n| format!("key-{n}: {n}\n")),
        format!("upstreams:\n{}", many(20_000, &|n| format!("  up-{n}: {{ targets: [a], retries: x }}\n"))),
        format!(
            "routes:\n{}",
            many(10_000, &|n| format!("  - {{ name: r{n}, upstream: u{n}, match: {{ path: /a }} }}\n"))
        ),
        format!(
            "routes:\n{}",
            many(2_000, &|n| format!(
                "  - {{ name: r{n}, match: {{ path: '/a/{{x}}', hosts: [\"~a{n}\"] }}, priority: {} }}\n",
                n % 9
            ))
        ),
        format!(
            "routes:\n{}",
            many(4_000, &|n| format!(
                "  - {{ name: r{n}, match: {{ path: /a, query: [{{ name: q{n}, value: 1 }}] }} }}\n"
            ))
        ),
        format!("upstreams: &u\n{}", many(1000, &|n| format!("  up-{n}: *u\n"))),
    ] {
        assert!(parse(&text, Path::new("f"), &env()).is_err());
    }
}
