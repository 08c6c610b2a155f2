//! Checks the steps that lead requests to another place: at the upstream, or elsewhere.

use super::{Scope, check_gaps, is_in_a_route};
use crate::config::file::{RedirectFile, RewriteFile, Scheme};
use crate::config::pattern::{Gap, HostPattern, Part};
use crate::config::problems::KeyPath;
use crate::config::report::Report;

pub(super) fn check_rewrite(rewrite: &RewriteFile, at: &KeyPath, scope: &Scope<'_, '_>, report: &mut Report<'_>) {
    let RewriteFile { strip_prefix, add_prefix, path, query } = rewrite;
    if !is_in_a_route(scope, at, report) {
        return;
    }
    let fronts = strip_prefix.is_some() || add_prefix.is_some();
    let queries = query.as_ref().is_some_and(|query| !query.set.is_empty() || !query.remove.is_empty());
    if !fronts && path.is_none() && !queries && report.is_written(at) {
        report.problem(at, "this changes nothing; name `strip_prefix`, `add_prefix`, `path` or `query`");
    }
    if fronts && path.is_some() {
        report.problem(&at.key("path"), "this is the whole path; leave `strip_prefix` and `add_prefix` out");
    }
    if let Some(path) = path {
        check_gaps(path.parts(), &at.key("path"), scope, report);
    }
    if let (Some(prefix), Some((route, route_at))) = (strip_prefix, scope.route)
        && report.is_written(&route_at.key("match"))
        && !route.matches.path.segments().starts_with(prefix.segments())
    {
        report.problem(&at.key("strip_prefix"), format!("the route's path does not begin with `{prefix}`"));
    }
    let at = at.key("query");
    for (name, value) in query.iter().flat_map(|query| &query.set) {
        check_gaps(value.parts(), &at.key("set").key(name), scope, report);
        if query.as_ref().is_some_and(|query| query.remove.contains(name)) {
            report.problem(&at.key("set").key(name), "this is taken away too; keep one of the two");
        }
    }
}

pub(super) fn check_redirect(redirect: &RedirectFile, at: &KeyPath, scope: &Scope<'_, '_>, report: &mut Report<'_>) {
    let RedirectFile { to, scheme, host, port, path, status: _ } = redirect;
    if !is_in_a_route(scope, at, report) {
        return;
    }
    let parts =
        [("scheme", scheme.is_some()), ("host", host.is_some()), ("port", port.is_some()), ("path", path.is_some())];
    let beside = parts.iter().find(|(_, is_there)| *is_there).map(|(key, _)| *key);
    match (to, beside) {
        (Some(_), Some(key)) => report.problem(&at.key(key), "`to` is the whole place; leave this out"),
        (None, None) if report.is_written(at) => {
            report.problem(at, "this leads nowhere; name `to`, or `scheme`, `host`, `port` or `path`");
        }
        _ => {}
    }
    if let Some(HostPattern::Wildcard(_)) = host {
        report.problem(&at.key("host"), "a redirect leads to one host");
    }
    let on_the_asked_host = match to {
        Some(to) => to.origin.contains(&Part::Gap(Gap::Host)),
        None => host.is_none() && (scheme.is_some() || port.is_some()),
    };
    if let Some((route, route_at)) = scope.route
        && on_the_asked_host
        && route.matches.hosts.is_empty()
        && report.is_written(&route_at.key("match"))
    {
        let message = "whoever asks says which host that is; name the route's `hosts`, or a host here";
        report.problem(&at.key(if to.is_some() { "to" } else { "scheme" }), message);
    }
    if let (Some(scheme), None, None, None) = (scheme, host, port, path)
        && (*scheme == Scheme::Http || scope.file.server.tls.is_some())
    {
        let message = "who comes over this scheme already would be sent in a circle; see `server.tls.redirect_http`";
        report.problem(&at.key("scheme"), message);
    }
    if let Some(to) = to {
        check_gaps(&to.path, &at.key("to"), scope, report);
    }
    if let Some(path) = path {
        check_gaps(path.parts(), &at.key("path"), scope, report);
    }
}
