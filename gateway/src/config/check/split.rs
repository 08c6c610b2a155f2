//! Checks the block `split` of a route.

use std::collections::{BTreeMap, HashMap};

use super::claims::Claims;
use super::conditions::is_the_clients;
use super::{Used, refers_to, span_is_within};
use crate::config::file::{GatewayFile, RouteFile, SplitFile, StickyCookieFile, UpstreamFile};
use crate::config::problems::KeyPath;
use crate::config::report::Report;

/// Browsers keep no cookie for longer (RFC 6265bis, section 5.5).
const LONGEST: std::time::Duration = std::time::Duration::from_secs(400 * 24 * 3600);

/// Every request weighs all of them.
const MOST_UPSTREAMS: usize = 16;

pub(super) fn check<'f>(
    route: &'f RouteFile,
    file: &GatewayFile,
    claims: &Claims,
    at: &KeyPath,
    used: &mut Used<'f>,
    report: &mut Report<'_>,
) {
    let Some(split) = &route.split else { return };
    let at = at.key("split");
    if route.upstream.is_some() {
        report.problem(&at, "the route has an `upstream` too; keep one of the two");
    }
    check_shares(split, &file.upstreams, &at.key("upstreams"), used, report);
    if let Some(sticky) = &split.sticky {
        let at = at.key("sticky");
        let ways = [sticky.cookie.is_some(), sticky.header.is_some(), sticky.claim.is_some(), sticky.client_address];
        if ways.into_iter().filter(|is_written| *is_written).count() != 1 && report.is_written(&at) {
            report.problem(&at, "exactly one of `cookie`, `header`, `claim` and `client_address: true` is wanted here");
        }
        if let Some(cookie) = &sticky.cookie {
            check_cookie(cookie, &at.key("cookie"), report);
        }
        if let Some(header) = &sticky.header {
            is_the_clients(header, file, &at.key("header"), report);
        }
        if let Some(claim) = &sticky.claim {
            claims.check(claim, &at.key("claim"), report);
        }
    }
    if let Some(force) = &split.force {
        let at = at.key("force");
        if force.header.is_none() && force.cookie.is_none() && report.is_written(&at) {
            report.problem(&at, "a `header` or a `cookie` is wanted here");
        }
        if let Some(header) = &force.header {
            is_the_clients(header, file, &at.key("header"), report);
        }
        if let Some(name) = &force.cookie {
            check_cookie_name(name, &at.key("cookie"), report);
        }
    }
}

fn check_shares<'f>(
    split: &'f SplitFile,
    upstreams: &BTreeMap<String, UpstreamFile>,
    at: &KeyPath,
    used: &mut Used<'f>,
    report: &mut Report<'_>,
) {
    if split.upstreams.len() < 2 {
        report.problem(at, "there are no two upstreams to choose from; write `upstream` with the name of the one");
    }
    if split.upstreams.len() > MOST_UPSTREAMS {
        report.problem(at, format!("a route is split over {MOST_UPSTREAMS} upstreams at most"));
    }
    let mut seen: HashMap<&str, usize> = HashMap::new();
    for (index, share) in split.upstreams.iter().enumerate() {
        let here = at.index(index).key("name");
        if refers_to("upstream", &share.name, upstreams, &here, report) {
            used.upstreams.insert(&share.name);
        }
        if seen.insert(&share.name, index).is_some() {
            report.problem(&here, format!("`{}` stands in this list already", share.name));
        }
    }
    if split.upstreams.iter().all(|share| share.weight == 0) && report.is_written(at) {
        report.problem(at, "every weight is 0, so nothing would get requests");
    }
}

fn check_cookie(cookie: &StickyCookieFile, at: &KeyPath, report: &mut Report<'_>) {
    check_cookie_name(&cookie.name, &at.key("name"), report);
    if let Some(max_age) = cookie.max_age {
        span_is_within(max_age, std::time::Duration::from_secs(1), LONGEST, &at.key("max_age"), report);
    }
}

/// A token (RFC 6265, section 4.1.1).
fn check_cookie_name(name: &str, at: &KeyPath, report: &mut Report<'_>) {
    let is_token = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte);
    if report.is_written(at) && (name.is_empty() || !name.bytes().all(is_token)) {
        report.problem(at, "the name of a cookie has letters, digits and signs like `-`");
    }
}
