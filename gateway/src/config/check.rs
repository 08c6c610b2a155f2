//! What a file must also be, once every value is of its type: references that lead somewhere, numbers that make sense
//! together, routes that cannot be confused, and no route that is open by accident.

mod claims;
mod client_certificates;
mod client_identity;
mod conditions;
mod expressions;
mod forward_auth;
mod identity;
mod identity_token;
mod introspection;
mod jwt;
mod keys;
mod limits;
mod mirror;
mod overlaps;
mod preflights;
mod redis;
mod references;
mod revocation;
mod routes;
mod server;
mod service;
mod shape;
mod split;
mod tls;
mod told;
mod upstream_tls;
mod upstreams;

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::time::Duration;

use bytes::Bytes;
use common::names::did_you_mean;

use super::file::GatewayFile;
use super::problems::KeyPath;
use super::report::Report;
use super::values::{
    Authorities, ByteSize, Certificate, KnownKey, PasswordHash, RedisCertificates, SigningKey, Span, UpstreamTls,
};
use super::{IntrospectionService, ProviderKey, RemoteService};

/// Checks `file` and puts everything that is wrong into `report`. `directory` is where relative paths begin.
///
/// Gives what the file refers to; what is missing was told.
pub(super) fn check(file: &GatewayFile, directory: &Path, report: &mut Report<'_>) -> Found {
    let top = KeyPath::default();
    server::check(file, report);
    let redis_certificates = redis::check(file, directory, report);
    limits::check(file, report);
    revocation::check(file, report);
    upstreams::check(file, report);
    client_certificates::check(file, report);
    let introspection = introspection::check(file, directory, report);
    let forward_auth = forward_auth::check(file, directory, report);
    let upstream_tls = upstream_tls::check(file, directory, report);
    let client_authorities = tls::client_authorities(file, directory, report);
    let (certificates, keys_of_providers) = (tls::check(file, directory, report), jwt::check(file, directory, report));
    let api_keys = identity::api_keys(file, directory, report);
    let passwords = identity::passwords(file, directory, report);
    let signing_keys = identity_token::check(file, directory, report);
    let used = routes::check(file, directory, report);
    told::check(file, report);
    for (block, kind, names, used) in [
        ("upstreams", "upstream", keys(&file.upstreams), used.upstreams),
        ("jwt_providers", "provider", keys(&file.jwt_providers), used.providers),
        ("api_keys", "provider", keys(&file.api_keys), used.api_keys),
        ("basic_auth", "provider", keys(&file.basic_auth), used.basic_auth),
        ("client_certificates", "provider", keys(&file.client_certificates), used.client_certificates),
        ("token_introspection", "provider", keys(&file.token_introspection), used.introspection),
        ("forward_auth", "provider", keys(&file.forward_auth), used.forward_auth),
        ("identity_tokens", "signer", keys(&file.identity_tokens), used.signers),
        ("rate_limits", "policy", keys(&file.rate_limits), used.policies),
    ] {
        for name in names {
            let key = top.key(block).key(name);
            name_is_legal(name, &key, report);
            if !used.contains(name) {
                report.warning(&key, format!("nothing uses this {kind}"));
            }
        }
    }
    Found {
        redis_certificates,
        certificates,
        client_authorities,
        upstream_tls,
        forward_auth,
        introspection,
        keys: keys_of_providers,
        signing_keys,
        api_keys,
        passwords,
        bodies: used.bodies,
    }
}

/// What the file refers to.
pub(super) struct Found {
    /// What Redis is spoken to with over TLS.
    pub redis_certificates: RedisCertificates,
    /// The key of each provider, by name.
    pub keys: BTreeMap<String, ProviderKey>,
    /// The key of each signer, by name.
    pub signing_keys: BTreeMap<String, SigningKey>,
    /// The keys of programs under `api_keys`, by name.
    pub api_keys: BTreeMap<String, Vec<KnownKey>>,
    /// The users under `basic_auth`, by name.
    pub passwords: BTreeMap<String, BTreeMap<String, PasswordHash>>,
    /// The certificates of `server.tls`, in its order.
    pub certificates: Vec<Certificate>,
    /// Whose clients `server.tls` lets in, if it asks for certificates.
    pub client_authorities: Option<Authorities>,
    /// What upstreams are spoken to with over TLS, by name.
    pub upstream_tls: BTreeMap<String, UpstreamTls>,
    /// The services under `token_introspection`, by name.
    pub introspection: BTreeMap<String, IntrospectionService>,
    /// The services under `forward_auth`, by name.
    pub forward_auth: BTreeMap<String, RemoteService>,
    /// What routes answer with by themselves, by the name of the file.
    pub bodies: BTreeMap<PathBuf, Bytes>,
}

/// What routes and middlewares refer to.
#[derive(Default)]
struct Used<'f> {
    upstreams: BTreeSet<&'f str>,
    providers: BTreeSet<&'f str>,
    api_keys: BTreeSet<&'f str>,
    basic_auth: BTreeSet<&'f str>,
    client_certificates: BTreeSet<&'f str>,
    forward_auth: BTreeSet<&'f str>,
    introspection: BTreeSet<&'f str>,
    signers: BTreeSet<&'f str>,
    policies: BTreeSet<&'f str>,
    bodies: BTreeMap<PathBuf, Bytes>,
}

fn keys<T>(map: &BTreeMap<String, T>) -> Vec<&str> {
    map.keys().map(String::as_str).collect()
}

/// Names become labels of metrics and parts of Redis keys, so their letters are few.
fn name_is_legal(name: &str, key: &KeyPath, report: &mut Report<'_>) {
    let letter = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit();
    let legal =
        name.len() <= 63 && name.starts_with(letter) && name.chars().all(|c| letter(c) || matches!(c, '-' | '_'));
    if !legal {
        report.problem(key, "a name has up to 63 of a-z, 0-9, `-` and `_`, and begins with a letter or digit");
    }
}

/// Whether `name` is a key of `map`; tells when it is not.
fn refers_to<T>(kind: &str, name: &str, map: &BTreeMap<String, T>, key: &KeyPath, report: &mut Report<'_>) -> bool {
    let known = map.contains_key(name);
    if !known {
        let hint = did_you_mean(name, map.keys().map(String::as_str));
        report.problem(key, format!("there is no {kind} `{}`{hint}", report.shown(key)));
    }
    known
}

const HOUR: Duration = Duration::from_secs(3600);
const DAY: Duration = Duration::from_secs(24 * 3600);

fn span_is_within(span: Span, least: Duration, most: Duration, key: &KeyPath, report: &mut Report<'_>) {
    if !(least..=most).contains(&span.get()) {
        let (least, most) = (humantime::format_duration(least), humantime::format_duration(most));
        report.problem(key, format!("`{}` is not between {least} and {most}", report.shown(key)));
    }
}

/// The same for a span that may be nothing, for what is then not done at all.
fn may_be_never(span: Span, least: Duration, most: Duration, key: &KeyPath, report: &mut Report<'_>) {
    if !span.get().is_zero() {
        span_is_within(span, least, most, key, report);
    }
}

/// A deadline of nothing could never be kept, and one of more than an hour is none.
fn is_deadline(span: Span, key: &KeyPath, report: &mut Report<'_>) {
    span_is_within(span, Duration::from_millis(1), HOUR, key, report);
}

fn size_is_within(size: ByteSize, least: ByteSize, most: ByteSize, key: &KeyPath, report: &mut Report<'_>) {
    if !(least..=most).contains(&size) {
        report.problem(key, format!("`{}` is not between {least} and {most}", report.shown(key)));
    }
}
