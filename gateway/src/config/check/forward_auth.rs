//! Checks the services under `forward_auth`.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use super::routes::repeats;
use super::service::{self, Described};
use super::{HOUR, size_is_within, span_is_within};
use crate::config::RemoteService;
use crate::config::file::GatewayFile;
use crate::config::problems::KeyPath;
use crate::config::report::Report;
use crate::config::values::{ABOUT_THE_CLIENT, ByteSize, EditableHeader, is_forwarded, same_but_for_underscores};

const LONGEST_WAIT: Duration = Duration::from_secs(60);
const MOST_BODY: ByteSize = ByteSize::from_kib(1024);

/// The services by name; one with which something is wrong is missing.
pub(super) fn check(file: &GatewayFile, directory: &Path, report: &mut Report<'_>) -> BTreeMap<String, RemoteService> {
    let mut all = BTreeMap::new();
    for (name, service) in &file.forward_auth {
        let at = KeyPath::default().key("forward_auth").key(name);
        let described = Described {
            url: ("url", &service.url),
            ca_file: service.ca_file.as_ref(),
            allow_insecure_http: service.allow_insecure_http,
        };
        if let Some(found) = service::check(&described, directory, &at, report) {
            all.insert(name.clone(), found);
        }
        span_is_within(service.timeout, Duration::from_millis(1), LONGEST_WAIT, &at.key("timeout"), report);
        size_is_within(service.max_body, ByteSize::from_kib(0), MOST_BODY, &at.key("max_body"), report);
        if let Some(cache) = &service.cache {
            span_is_within(cache.ttl, Duration::from_secs(1), HOUR, &at.key("cache").key("ttl"), report);
        }
        check_headers(&service.request_headers, &at.key("request_headers"), report);
        check_headers(&service.client_headers, &at.key("client_headers"), report);
        let told = at.key("upstream_headers");
        repeats(&service.upstream_headers, &told, report);
    }
    all
}

fn check_headers(headers: &[EditableHeader], at: &KeyPath, report: &mut Report<'_>) {
    repeats(headers, at, report);
    for (index, header) in headers.iter().enumerate() {
        let is_ours = |own: &http::HeaderName| same_but_for_underscores(header.get().as_str(), own.as_str());
        if is_forwarded(header.get().as_str()) || ABOUT_THE_CLIENT.iter().any(is_ours) {
            report.problem(&at.index(index), "this header says who asks, and the gateway alone says that");
        }
    }
}
