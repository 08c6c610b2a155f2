//! Checks the steps that change requests and responses, or answer by themselves.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};
use std::time::Duration;

use bytes::Bytes;
use common::names::did_you_mean;
use http::HeaderName;

use super::{DAY, span_is_within};
use crate::config::file::{
    CorsFile, EditsFile, GatewayFile, HeadersFile, MiddlewareFile, RedirectFile, RespondFile, RewriteFile, RouteFile,
    Scheme,
};
use crate::config::pattern::{Gap, HostPattern, OriginPattern, Part, Segment, Tail};
use crate::config::problems::KeyPath;
use crate::config::report::Report;
use crate::config::values::{ABOUT_THE_CLIENT, EditableHeader, same_but_for_underscores};

/// The largest body that a route answers by itself with.
const MOST_BODY: u64 = 1 << 20;

/// Where a step stands.
pub(super) struct Scope<'a, 'f> {
    pub file: &'f GatewayFile,
    /// Where relative paths begin.
    pub directory: &'a Path,
    /// The route whose list it is, and where that stands; none for the list of the whole gateway.
    pub route: Option<(&'f RouteFile, &'a KeyPath)>,
    /// Whether a step before it has read a token.
    pub knows_claims: bool,
}

/// What the steps before some point do.
#[derive(Clone, Default)]
pub(super) struct Shape {
    rewrites: bool,
    says_cors: bool,
    /// The step that answers every request.
    answers: Option<&'static str>,
}

impl Shape {
    /// The step that answers every request, if there is one.
    pub(super) const fn answers(&self) -> Option<&'static str> {
        self.answers
    }

    /// Checks `step`, which stands at `at`. Bodies that it refers to are put into `bodies`.
    pub(super) fn check(
        &mut self,
        step: &MiddlewareFile,
        at: &KeyPath,
        scope: &Scope<'_, '_>,
        bodies: &mut BTreeMap<PathBuf, Bytes>,
        report: &mut Report<'_>,
    ) {
        if let Some(before) = self.answers {
            report.problem(
                at,
                format!("the `{before}` step before this one answers every request; nothing behind it runs"),
            );
        }
        match step {
            MiddlewareFile::Jwt(_) | MiddlewareFile::RateLimit(_) => {}
            MiddlewareFile::Headers(headers) => check_headers(headers, &at.key("headers"), scope, report),
            MiddlewareFile::Cors(cors) => {
                let at = at.key("cors");
                once(&mut self.says_cors, &at, report);
                check_cors(cors, &at, report);
            }
            MiddlewareFile::Rewrite(rewrite) => {
                let at = at.key("rewrite");
                once(&mut self.rewrites, &at, report);
                check_rewrite(rewrite, &at, scope, report);
            }
            MiddlewareFile::Redirect(redirect) => {
                self.answers = Some("redirect");
                check_redirect(redirect, &at.key("redirect"), scope, report);
            }
            MiddlewareFile::Respond(respond) => {
                self.answers = Some("respond");
                check_respond(respond, &at.key("respond"), scope, bodies, report);
            }
        }
    }
}

/// A route without an upstream needs a step that answers in its place; beside such a step an upstream is never asked.
pub(super) fn check_upstream(route: &RouteFile, shape: &Shape, at: &KeyPath, report: &mut Report<'_>) {
    match (&route.upstream, shape.answers()) {
        (None, None) => report.problem(at, "the key `upstream` is missing"),
        (Some(_), Some(step)) => {
            let message = format!("the route's `{step}` step answers every request; leave `upstream` out");
            report.problem(&at.key("upstream"), message);
        }
        (Some(_), None) | (None, Some(_)) => {}
    }
}

fn once(seen: &mut bool, at: &KeyPath, report: &mut Report<'_>) {
    if std::mem::replace(seen, true) {
        report.problem(at, "a step before this one does the same; keep one of the two");
    }
}

/// Whether the step stands in a route's own list, where it belongs.
fn is_in_a_route(scope: &Scope<'_, '_>, at: &KeyPath, report: &mut Report<'_>) -> bool {
    if scope.route.is_none() {
        report.problem(at, "this step goes by its route; write it in the route's own list");
    }
    scope.route.is_some()
}

/// Whether every gap is one that a request of the route can fill.
fn check_gaps(parts: &[Part], at: &KeyPath, scope: &Scope<'_, '_>, report: &mut Report<'_>) {
    let gaps = parts.iter().filter_map(|part| match part {
        Part::Text(_) => None,
        Part::Gap(gap) => Some(gap),
    });
    for gap in gaps {
        match (gap, scope.route) {
            (Gap::Param(_) | Gap::Rest, None) => {
                report.problem(at, "parameters belong to a route's path; write this step in the route's own list");
            }
            (Gap::Param(name), Some((route, route_at))) if report.is_written(&route_at.key("match")) => {
                let known = || {
                    route.matches.path.segments.iter().filter_map(|segment| match segment {
                        Segment::Parameter(name) => Some(name.as_str()),
                        Segment::Literal(_) => None,
                    })
                };
                if !known().any(|known| known == name) {
                    let hint = did_you_mean(name, known());
                    report.problem(at, format!("the route's path has no parameter `{name}`{hint}"));
                }
            }
            (Gap::Rest, Some((route, route_at)))
                if route.matches.path.tail != Tail::Prefix && report.is_written(&route_at.key("match")) =>
            {
                report.problem(at, "`{path}` is what the `/*` of the route's path stands for, and this one has none");
            }
            (Gap::Claim(_), _) if !scope.knows_claims => {
                report.problem(at, "no `jwt` step before this one reads the token");
            }
            _ => {}
        }
    }
}

fn check_headers(headers: &HeadersFile, at: &KeyPath, scope: &Scope<'_, '_>, report: &mut Report<'_>) {
    let (request, response) = (at.key("request"), at.key("response"));
    let is_empty = |edits: &EditsFile| edits.set.is_empty() && edits.add.is_empty() && edits.remove.is_empty();
    if is_empty(&headers.request) && is_empty(&headers.response) && report.is_written(at) {
        report.problem(at, "this changes nothing; name headers under `request` or `response`");
    }
    check_edits(&headers.request, &request, scope, report);
    // A response comes after every step.
    let scope = Scope { knows_claims: true, ..*scope };
    check_edits(&headers.response, &response, &scope, report);
    let identity = || scope.file.jwt_providers.values().flat_map(|provider| provider.claims_to_headers.values());
    let is_ours = |name: &str| {
        let same = |own: &HeaderName| same_but_for_underscores(name, own.as_str());
        ABOUT_THE_CLIENT.iter().any(same) || identity().any(|own| same(own.get()))
    };
    let mut refuse = |name: &str, at: &KeyPath| {
        if is_ours(&name.to_ascii_lowercase()) {
            report.problem(at, "the gateway itself says this to upstreams, and never what a client or a step says");
        }
    };
    for (block, edits) in [("set", &headers.request.set), ("add", &headers.request.add)] {
        for name in edits.keys() {
            refuse(name, &request.key(block).key(name));
        }
    }
    for (index, name) in headers.request.remove.iter().enumerate() {
        refuse(name.get().as_str(), &request.key("remove").index(index));
    }
}

fn check_edits(edits: &EditsFile, at: &KeyPath, scope: &Scope<'_, '_>, report: &mut Report<'_>) {
    for (block, values) in [("set", &edits.set), ("add", &edits.add)] {
        let mut seen: Vec<HeaderName> = Vec::new();
        for (name, value) in values {
            let here = at.key(block).key(name);
            match EditableHeader::try_from(name.clone()) {
                Ok(name) if seen.contains(name.get()) => report.problem(&here, "this header stands here already"),
                Ok(name) => seen.push(name.get().clone()),
                Err(bad) => report.problem(&here, bad.to_string()),
            }
            check_gaps(value.parts(), &here, scope, report);
        }
    }
}

fn check_rewrite(rewrite: &RewriteFile, at: &KeyPath, scope: &Scope<'_, '_>, report: &mut Report<'_>) {
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
        && !route.matches.path.segments.starts_with(prefix.segments())
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

fn check_redirect(redirect: &RedirectFile, at: &KeyPath, scope: &Scope<'_, '_>, report: &mut Report<'_>) {
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

fn check_respond(
    respond: &RespondFile,
    at: &KeyPath,
    scope: &Scope<'_, '_>,
    bodies: &mut BTreeMap<PathBuf, Bytes>,
    report: &mut Report<'_>,
) {
    if !is_in_a_route(scope, at, report) {
        return;
    }
    let has_body = respond.body.is_some() || respond.body_file.is_some();
    if respond.body.is_some() && respond.body_file.is_some() {
        report.problem(&at.key("body_file"), "there is a `body` too; keep one of the two");
    }
    if matches!(respond.status, 204 | 205 | 304) && has_body {
        report.problem(&at.key("status"), format!("an answer of status {} has no body", respond.status));
    }
    for name in respond.headers.keys() {
        let here = at.key("headers").key(name);
        match EditableHeader::try_from(name.clone()) {
            Ok(name) if name.get() == http::header::CONTENT_TYPE => {
                report.problem(&here, "the media type has a key of its own: `content_type`");
            }
            Ok(_) => {}
            Err(bad) => report.problem(&here, bad.to_string()),
        }
    }
    if let Some(path) = &respond.body_file {
        let here = at.key("body_file");
        match read(&scope.directory.join(path)) {
            Ok(Some(body)) => drop(bodies.insert(path.clone(), body)),
            Ok(None) => report.problem(&here, format!("`{}` has more than {MOST_BODY} bytes", report.shown(&here))),
            Err(error) => report.problem(&here, format!("`{}` cannot be read: {error}", report.shown(&here))),
        }
    }
}

/// `None` when the file is too large.
fn read(path: &Path) -> io::Result<Option<Bytes>> {
    let mut body = Vec::new();
    File::open(path)?.take(MOST_BODY + 1).read_to_end(&mut body)?;
    Ok((body.len() as u64 <= MOST_BODY).then(|| body.into()))
}

fn check_cors(cors: &CorsFile, at: &KeyPath, report: &mut Report<'_>) {
    let origins = at.key("allow_origins");
    if cors.allow_origins.is_empty() {
        report.problem(&origins, "there is no origin to let in; `*` is all of them");
    }
    let takes_all = cors.allow_origins.contains(&OriginPattern::Any);
    if takes_all && cors.allow_origins.len() > 1 && report.is_written(&origins) {
        report.problem(&origins, "`*` is all origins; leave the others out");
    }
    if takes_all && cors.allow_credentials && report.is_written(&origins) {
        let message =
            "with `*` every page could act as whoever is logged in, and no browser takes it; name the origins";
        report.problem(&at.key("allow_credentials"), message);
    }
    for (block, names) in [("allow_headers", &cors.allow_headers), ("expose_headers", &cors.expose_headers)] {
        for (index, name) in names.iter().enumerate() {
            let here = at.key(block).index(index);
            if name == "*" && cors.allow_credentials {
                report.problem(&here, "with `allow_credentials` browsers take `*` for a name; list the headers");
            } else if name.parse::<HeaderName>().is_err() {
                report.problem(&here, format!("`{}` is no header name", report.shown(&here)));
            }
        }
    }
    if let Some(age) = cors.max_age {
        span_is_within(age, Duration::ZERO, DAY, &at.key("max_age"), report);
        if age.get().subsec_nanos() != 0 {
            report.problem(&at.key("max_age"), "browsers count in whole seconds");
        }
    }
}
