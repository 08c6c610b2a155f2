//! Where Redis is, and what it is spoken to with.

use rcgen::generate_simple_self_signed;
use tempfile::TempDir;

use super::*;

/// A directory with the pair `a`.
fn directory() -> TempDir {
    let directory = tempfile::tempdir().expect("directory");
    let generated = generate_simple_self_signed(["a.example".to_owned()]).expect("a certificate");
    fs::write(directory.path().join("a.pem"), generated.cert.pem()).expect("writes");
    fs::write(directory.path().join("a.key"), generated.signing_key.serialize_pem()).expect("writes");
    directory
}

fn told(directory: &TempDir, block: &str) -> String {
    let text = with(&format!("redis: {{ {block} }}"));
    match parse(&text, &directory.path().join("gateway.yaml"), &env()) {
        Ok(loaded) => loaded.warnings.join("\n"),
        Err(problems) => problems.to_string(),
    }
}

#[test]
fn redis_is_a_server_a_sentinel_set_or_a_cluster() {
    let directory = directory();
    for good in [
        "host: h",
        "host: '', port: 1",
        "host: '', port: 1, sentinel: { master: m, nodes: ['a:1,b:2', '[::1]:3'], username: u, password: p }",
        "sentinel: { master: m-1.x_y, nodes: ['a:1'] }, username: u, password: p, database: 3",
        "sentinel: { master: m, nodes: ['a:1'], username: u, password: p }, password: p",
        "host: '', username: u, password: ''",
        "cluster: { nodes: ['a:1', 'b:2'] }, timeout: 5ms, expected_gateways: 10000",
        "host: h, tls: true",
        "host: h, tls: true, ca_file: a.pem, certificate_file: a.pem, key_file: a.key",
    ] {
        assert_eq!(told(&directory, good), "", "{good}");
    }
    for (wrong, problem) in [
        ("port: 1", "redis: it does not say where Redis is; `host`, `sentinel` or `cluster` is missing"),
        ("host: h, cluster: { nodes: ['a:1'] }", "redis.cluster: Redis is one of `host`, `sentinel` and `cluster`"),
        (
            "cluster: { nodes: ['a:1'] }, sentinel: { master: m, nodes: ['a:1'] }",
            "redis.cluster: Redis is one of `host`, `sentinel` and `cluster`",
        ),
        ("port: 1, cluster: { nodes: ['a:1'] }", "redis.port: this is the port of `host`"),
        ("sentinal: { master: m, nodes: ['a:1'] }", "did you mean `sentinel`"),
        ("sentinel: { nodes: ['a:1'] }", "redis.sentinel: the key `master` is missing"),
        ("sentinel: { master: 'a b', nodes: ['a:1'] }", "redis.sentinel.master: a master's name has"),
        ("sentinel: { master: m, nodes: [] }", "redis.sentinel.nodes: there is no node"),
        ("sentinel: { master: m, nodes: ['a'] }", "redis.sentinel.nodes[0]: `a`: a node is written like"),
        ("cluster: { nodes: ['redis://a:1'] }", "redis.cluster.nodes[0]: `redis://a:1`: a node is written like"),
        ("cluster: { nodes: ['a:1'] }, database: 1", "redis.database: a cluster has database 0 alone"),
        ("cluster: { nodes: ['a:1'] }, key_prefix: '{g}'", "redis.key_prefix: a `{` here puts every key into one slot"),
        ("host: h, username: u", "redis.username: its `password` is missing or empty"),
        ("host: h, username: u, password: ''", "redis.username: its `password` is missing or empty"),
        ("cluster: { nodes: ['a:1'] }, username: u", "redis.username: its `password` is missing or empty"),
        (
            "sentinel: { master: m, nodes: ['a:1'], username: u }, password: p",
            "redis.sentinel.username: its `password` is missing or empty",
        ),
        (
            "sentinel: { master: m, nodes: ['a:1'], username: u, password: '' }, password: p",
            "redis.sentinel.username: its `password` is missing or empty",
        ),
        ("host: h, expected_gateways: 0", "redis.expected_gateways: `0` is no whole number from 1 to 10000"),
        ("host: h, ca_file: a.pem", "redis.ca_file: this is only for TLS; write `tls: true`"),
        ("host: h, tls: true, ca_file: none.pem", "redis.ca_file: `none.pem` cannot be read"),
        ("host: h, tls: true, ca_file: a.key", "redis.ca_file: there is no certificate in it"),
        ("host: h, tls: true, certificate_file: a.pem", "redis.certificate_file: its `key_file` is missing"),
        ("host: h, tls: true, key_file: a.key", "redis.key_file: the `certificate_file` it is for is missing"),
        (
            "host: h, tls: true, certificate_file: a.pem, key_file: a.pem",
            "redis.key_file: there is no private key in it",
        ),
    ] {
        assert!(told(&directory, wrong).contains(problem), "{wrong}: {}", told(&directory, wrong));
    }
}

#[test]
fn limits_and_revocations_need_one_of_them() {
    let limit = "rate_limits: { l: { scope: redis, limit: 1, window: 1s, key: client_address } }";
    for place in ["host: h", "sentinel: { master: m, nodes: ['a:1'] }", "cluster: { nodes: ['a:1'] }"] {
        let text = with(&format!("redis: {{ {place} }}\nrevocation: {{ source: redis }}\n{limit}"));
        let loaded = parse(&text, Path::new("f"), &env()).unwrap_or_else(|problems| panic!("{problems}"));
        assert!(loaded.file.redis.is_some() && loaded.file.revocation.is_some());
    }
}

/// Names stand in keys, and what is in braces there decides which node of a cluster has a key.
#[test]
fn a_policy_whose_keys_would_all_be_on_one_node_is_refused() {
    for scope in ["redis", "leased"] {
        let limit = format!("{{ scope: {scope}, limit: 100, window: 1m, key: client_address }}");
        let with_name = |name: &str| {
            report(&with(&format!("redis: {{ cluster: {{ nodes: ['a:1'] }} }}\nrate_limits: {{ {name}: {limit} }}")))
        };
        assert!(with_name("'{l}'").contains("a name has up to 63 of a-z, 0-9, `-` and `_`"), "{}", with_name("'{l}'"));
        assert!(!with_name("l").contains("a name has"), "{}", with_name("l"));
    }
}

/// A word of old that would quietly mean something else now.
#[test]
fn a_limit_that_would_count_whole_in_each_gateway_is_refused() {
    let limit = "{ scope: redis, limit: 1, window: 1s, key: client_address, on_redis_failure: local }";
    let said = report(&with(&format!("redis: {{ host: h }}\nrate_limits: {{ l: {limit} }}")));
    assert!(said.contains("`local` is none of `open`, `closed`, `local_share`"), "{said}");
}
