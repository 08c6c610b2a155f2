//! Whole files through [`parse`] and [`load`].

use std::fs;
use std::path::PathBuf;

use proptest::prelude::*;

use super::*;

const SECRET: &str = "6f1d0a94c2b85e7733e09a1bd4c65f28";

fn env() -> Env {
    Env::default().with("JWT_SECRET_KEY", SECRET)
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
fn the_annotated_file_needs_no_redis_and_only_one_secret() {
    let loaded = load(&conf("gateway.yaml"), &env()).unwrap_or_else(|problems| panic!("{problems}"));
    assert!(loaded.file.redis.is_none());
    assert_eq!(loaded.secrets["accounts"].expose(), SECRET.as_bytes());
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

/// Each line `# key: value` that shows a default says what is so without it.
#[test]
fn the_annotated_file_still_holds_when_everything_in_it_is_uncommented() {
    let text = fs::read_to_string(conf("gateway.yaml")).expect("conf/gateway.yaml");
    let is_example = |line: &str| {
        let key = line.trim_start().strip_prefix("# ").and_then(|line| line.split_once(": ")).map(|(key, _)| key);
        // These contradict what stands beside them.
        key.is_some_and(|key| key.chars().all(|c| c.is_ascii_lowercase() || c == '_'))
            && !["secret_file", "burst", "on_redis_failure"].map(Some).contains(&key)
    };
    let uncomment = |line: &str| if is_example(line) { line.replacen("# ", "", 1) } else { line.to_owned() };
    let whole: Vec<String> = text.lines().map(uncomment).collect();
    assert!(whole.iter().any(|line| line == "  threads: 4"));
    assert_eq!(report(&whole.join("\n")), "");
}

#[test]
fn secrets_come_from_a_file_beside_the_configuration() {
    let directory = tempfile::tempdir().expect("directory");
    let path = directory.path().join("gateway.yaml");
    fs::write(directory.path().join("jwt"), format!("{SECRET}\n")).expect("secret");
    let provider = "jwt_providers: { p: { algorithm: HS256, secret_file: jwt, issuer: i, audience: a } }";
    fs::write(&path, with(provider)).expect("file");
    let loaded = load(&path, &Env::default()).unwrap_or_else(|problems| panic!("{problems}"));
    assert_eq!(loaded.secrets["p"].expose(), SECRET.as_bytes());
    assert!(check_file(&path, &Env::default()).expect("no problems").ends_with("no problems (1 routes, 1 upstreams)"));
    fs::remove_file(directory.path().join("jwt")).expect("removed");
    let problems = load(&path, &Env::default()).expect_err("no secret").to_string();
    assert!(problems.contains("jwt_providers.p.secret_file: `jwt` cannot be read: "), "{problems}");
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
        from in 0..9000usize, length in 0..60usize, with in "\\PC{0,12}|[a-z:\\[\\]{}&*\\n -]{0,12}"
    ) {
        let text: Vec<char> = include_str!("../../../conf/gateway.yaml").chars().collect();
        let (from, to) = (from.min(text.len()), (from + length).min(text.len()));
        let damaged: String = text[..from].iter().copied().chain(with.chars()).chain(text[to..].iter().copied()).collect();
        if let Err(problems) = parse(&damaged, Path::new("f"), &env()) {
            prop_assert!(!problems.problems().is_empty());
        }
    }
}
