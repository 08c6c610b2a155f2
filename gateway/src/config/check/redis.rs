//! Checks the block `redis`, and reads its certificates.

use std::path::Path;
use std::time::Duration;

use secrecy::ExposeSecret as _;

use super::tls::text;
use super::{client_identity, span_is_within};
use crate::config::file::{GatewayFile, RedisFile};
use crate::config::problems::KeyPath;
use crate::config::report::Report;
use crate::config::values::{Authorities, RedisCertificates, RedisNodes};

/// Each sentinel has a connection of its own.
const MOST_NODES: usize = 64;

/// What Redis is spoken to with over TLS; what is missing was told.
pub(super) fn check(file: &GatewayFile, directory: &Path, report: &mut Report<'_>) -> RedisCertificates {
    let Some(redis) = &file.redis else { return RedisCertificates::default() };
    let at = KeyPath::default().key("redis");
    let legal = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.' | ':');
    if !redis.host.chars().all(legal) {
        report.problem(
            &at.key("host"),
            "a host name or an address is wanted here, without `redis://` and without the port",
        );
    }
    check_place(redis, &at, report);
    check_logins(redis, &at, report);
    let key_prefix = &redis.key_prefix;
    if key_prefix.is_empty() || key_prefix.len() > 64 || !key_prefix.bytes().all(|b| b.is_ascii_graphic()) {
        report.problem(&at.key("key_prefix"), "a prefix has 1 to 64 visible ASCII characters");
    } else if redis.cluster.is_some() && key_prefix.contains('{') {
        report.problem(&at.key("key_prefix"), "a `{` here puts every key into one slot, on one node of the cluster");
    }
    span_is_within(redis.timeout, Duration::from_millis(1), Duration::from_secs(10), &at.key("timeout"), report);
    check_tls(redis, directory, &at, report)
}

/// Whether it says in one way alone where Redis is.
fn check_place(redis: &RedisFile, at: &KeyPath, report: &mut Report<'_>) {
    let (host, sentinel, cluster) = (at.key("host"), at.key("sentinel"), at.key("cluster"));
    let given: Vec<_> =
        [(!redis.host.is_empty(), &host), (redis.sentinel.is_some(), &sentinel), (redis.cluster.is_some(), &cluster)]
            .into_iter()
            .filter_map(|(is_given, key)| is_given.then_some(key))
            .collect();
    if given.is_empty() && !report.is_there(&host) && report.is_written(at) {
        let message = "it does not say where Redis is; `host`, `sentinel` or `cluster` is missing";
        report.problem(at, message);
    }
    for key in given.iter().skip(1) {
        report.problem(key, "Redis is one of `host`, `sentinel` and `cluster`; keep one of them");
    }
    let elsewhere = redis.sentinel.is_some() || redis.cluster.is_some();
    if elsewhere && !report.is_there(&host) && report.is_there(&at.key("port")) {
        report.problem(&at.key("port"), "this is the port of `host`; each of the nodes has its own behind its name");
    }
    if let Some(asked) = &redis.sentinel {
        // As Redis itself allows.
        let is_name = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_');
        if asked.master.is_empty() || !asked.master.chars().all(is_name) {
            report.problem(&sentinel.key("master"), "a master's name has letters, digits, `.`, `-` and `_`");
        }
        check_nodes(&asked.nodes, &sentinel.key("nodes"), report);
    }
    if let Some(of) = &redis.cluster {
        check_nodes(&of.nodes, &cluster.key("nodes"), report);
        if redis.database != 0 {
            report.problem(&at.key("database"), "a cluster has database 0 alone; leave the key out");
        }
    }
}

/// Without a password no name is sent either, and the server would take the gateway for its default user.
fn check_logins(redis: &RedisFile, at: &KeyPath, report: &mut Report<'_>) {
    let own = redis.is_somewhere().then_some((at.clone(), &redis.username, &redis.password));
    let of_sentinels = redis.sentinel.as_ref().map(|asked| (at.key("sentinel"), &asked.username, &asked.password));
    for (at, username, password) in own.into_iter().chain(of_sentinels) {
        let has_password = password.as_ref().is_some_and(|password| !password.as_secret().expose_secret().is_empty());
        if username.is_some() && !has_password && report.is_written(&at.key("password")) {
            report.problem(
                &at.key("username"),
                "its `password` is missing or empty, and without one Redis takes the gateway for its default user; write it, or \
                 leave the name out",
            );
        }
    }
}

fn check_nodes(nodes: &[RedisNodes], at: &KeyPath, report: &mut Report<'_>) {
    let number: usize = nodes.iter().map(|nodes| nodes.iter().count()).sum();
    if number == 0 {
        report.problem(at, "there is no node; write at least one, like redis-1.example:6379");
    }
    if number > MOST_NODES {
        report.problem(at, format!("there are more than {MOST_NODES} nodes"));
    }
}

fn check_tls(redis: &RedisFile, directory: &Path, at: &KeyPath, report: &mut Report<'_>) -> RedisCertificates {
    let files =
        [("ca_file", &redis.ca_file), ("certificate_file", &redis.certificate_file), ("key_file", &redis.key_file)];
    for (key, _) in files.into_iter().filter(|(_, path)| path.is_some() && !redis.tls) {
        report.problem(&at.key(key), "this is only for TLS; write `tls: true`");
    }
    let authorities = redis.ca_file.as_ref().and_then(|path| {
        let at = at.key("ca_file");
        let pem = text(&directory.join(path), &at, report)?;
        let read = Authorities::from_pem(pem.expose_secret(), None);
        read.map_err(|bad| report.problem(&at, bad.to_string())).ok()?;
        Some(pem.expose_secret().to_owned())
    });
    let files = client_identity::Files {
        certificate: ("certificate_file", redis.certificate_file.as_ref()),
        key: ("key_file", redis.key_file.as_ref()),
    };
    let shown = client_identity::read(files, directory, at, report);
    RedisCertificates { authorities, identity: shown.map(|shown| shown.pem) }
}
