//! Checks how the gateway hears of revocations.

use std::time::Duration;

use common::auth::SigningSecret;

use super::routes::repeats;
use super::{HOUR, refers_to, span_is_within};
use crate::config::file::{GatewayFile, RedisFile, RevocationFile, RevocationSource};
use crate::config::problems::KeyPath;
use crate::config::report::Report;

pub(super) fn check(file: &GatewayFile, report: &mut Report<'_>) {
    let at = KeyPath::default().key("revocation");
    let Some(revocation) = file.revocation.as_ref().filter(|_| report.is_written(&at)) else { return };
    let providers = at.key("providers");
    repeats(&revocation.providers, &providers, report);
    for (index, name) in revocation.providers.iter().enumerate() {
        refers_to("provider", name, &file.jwt_providers, &providers.index(index), report);
    }
    span_is_within(revocation.max_staleness, Duration::from_secs(1), HOUR, &at.key("max_staleness"), report);
    let source = at.key("source");
    if !report.is_written(&source) {
        return;
    }
    match revocation.source {
        RevocationSource::Redis => {
            for (given, key) in [(revocation.url.is_some(), "url"), (revocation.secret.is_some(), "secret")] {
                if given {
                    report.problem(&at.key(key), "this is only for source `url`");
                }
            }
            let has_redis = file.redis.as_ref().is_some_and(RedisFile::is_somewhere);
            if !has_redis && report.is_written(&KeyPath::default().key("redis")) {
                report.problem(&source, "this source needs a `redis` block with a host; add it, or use source `url`");
            }
        }
        RevocationSource::Url => check_url(revocation, &at, report),
    }
}

fn check_url(revocation: &RevocationFile, at: &KeyPath, report: &mut Report<'_>) {
    if revocation.url.is_none() && report.is_written(&at.key("url")) {
        report.problem(at, "the key `url` is missing, where the user service is");
    }
    match &revocation.secret {
        None if !report.is_there(&at.key("secret")) => {
            report.problem(at, "the key `secret` is missing, which the user service has as REVOCATION_SECRET");
        }
        Some(secret) if !revocation.is_off() => {
            if let Err(weak) = SigningSecret::new(secret.as_secret().clone()) {
                report.problem(&at.key("secret"), format!("this secret is too weak: {weak}"));
            }
        }
        Some(_) | None => {}
    }
}
