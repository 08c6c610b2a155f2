//! Checks the issuers under `token_introspection`, and reads the passwords for them.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use secrecy::{ExposeSecret, SecretString};

use super::jwt::{LEAST_CACHE, MOST_CACHE, check_claims, check_headers, check_places, read};
use super::service::{self, Described};
use super::{DAY, HOUR, size_is_within, span_is_within};
use crate::config::IntrospectionService;
use crate::config::file::{GatewayFile, IntrospectionProviderFile};
use crate::config::problems::KeyPath;
use crate::config::report::Report;

const LONGEST_WAIT: Duration = Duration::from_secs(60);
const MOST_SECRET_BYTES: u64 = 4096;

/// The services by name; one with which something is wrong is missing.
pub(super) fn check(
    file: &GatewayFile,
    directory: &Path,
    report: &mut Report<'_>,
) -> BTreeMap<String, IntrospectionService> {
    let mut all = BTreeMap::new();
    for (name, provider) in &file.token_introspection {
        let at = KeyPath::default().key("token_introspection").key(name);
        let described = Described {
            url: ("endpoint", &provider.endpoint),
            ca_file: provider.ca_file.as_ref(),
            allow_insecure_http: provider.allow_insecure_http,
        };
        let service = service::check(&described, directory, &at, report);
        let secret = secret(provider, directory, &at, report);
        if let (Some(service), Some(secret)) = (service, secret) {
            all.insert(name.clone(), IntrospectionService { service, secret });
        }
        if provider.client_id.is_empty() {
            report.problem(&at.key("client_id"), "the name is empty");
        }
        for (texts, key) in [(&provider.issuer, "issuer"), (&provider.audience, "audience")] {
            if texts.as_ref().is_some_and(|texts| texts.says_nothing()) {
                report.problem(&at.key(key), "this is empty; leave it out where it is not asked for");
            }
        }
        span_is_within(provider.timeout, Duration::from_millis(1), LONGEST_WAIT, &at.key("timeout"), report);
        size_is_within(provider.cache, LEAST_CACHE, MOST_CACHE, &at.key("cache"), report);
        for (span, most, key) in [
            (provider.ttl, HOUR, "ttl"),
            (provider.negative_ttl, HOUR, "negative_ttl"),
            (provider.stale_if_error, DAY, "stale_if_error"),
        ] {
            span_is_within(span, Duration::ZERO, most, &at.key(key), report);
        }
        check_headers(&provider.claims_to_headers, &at.key("claims_to_headers"), report);
        check_claims(&provider.required_claims, &at.key("required_claims"), report);
        check_places(&provider.token_from, &at.key("token_from"), report);
    }
    all
}

fn secret(
    provider: &IntrospectionProviderFile,
    directory: &Path,
    at: &KeyPath,
    report: &mut Report<'_>,
) -> Option<SecretString> {
    let (inline, from) = (at.key("client_secret"), at.key("client_secret_file"));
    let (here, secret) = match (&provider.client_secret, &provider.client_secret_file) {
        (Some(secret), None) => (inline, secret.as_secret().clone()),
        (None, Some(path)) => match read(&directory.join(path), MOST_SECRET_BYTES) {
            Ok(secret) => (from, secret),
            Err(error) => {
                report.problem(&from, format!("`{}` cannot be read: {error}", report.shown(&from)));
                return None;
            }
        },
        (Some(_), Some(_)) => {
            report.problem(&from, "there is a `client_secret` too; keep one of the two");
            return None;
        }
        (None, None) => {
            report.problem(at, "a `client_secret` or a `client_secret_file` is missing");
            return None;
        }
    };
    if secret.expose_secret().is_empty() {
        report.problem(&here, "the password is empty");
        return None;
    }
    Some(secret)
}
