//! Checks the steps that change requests and responses, or answer by themselves.

mod headers;
mod path;
mod response;

pub(super) use headers::is_asserted;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use bytes::Bytes;
use common::names::did_you_mean;

use super::claims::Claims;
use crate::config::file::{GatewayFile, MiddlewareFile, RouteFile};
use crate::config::pattern::{Gap, Part, Segment};
use crate::config::problems::KeyPath;
use crate::config::report::Report;

/// Where a step stands.
pub(super) struct Scope<'a, 'f> {
    pub file: &'f GatewayFile,
    /// Where relative paths begin.
    pub directory: &'a Path,
    /// The route whose list it is, and where that stands; none for the list of the whole gateway.
    pub route: Option<(&'f RouteFile, &'a KeyPath)>,
    /// What the steps before it may have found out of who is there.
    pub claims: &'a Claims,
    /// What all steps of the route may find out.
    pub claims_in_the_end: &'a Claims,
}

/// What the steps before some point do.
#[derive(Clone, Default)]
pub(super) struct Shape {
    rewrites: bool,
    says_cors: bool,
    compresses: bool,
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
            MiddlewareFile::Jwt(_)
            | MiddlewareFile::ApiKey(_)
            | MiddlewareFile::BasicAuth(_)
            | MiddlewareFile::ClientCertificate(_)
            | MiddlewareFile::Introspection(_)
            | MiddlewareFile::ForwardAuth(_)
            | MiddlewareFile::AnyOf(_)
            | MiddlewareFile::AllOf(_)
            | MiddlewareFile::Authorize(_)
            | MiddlewareFile::IdentityToken(_)
            | MiddlewareFile::RateLimit(_) => {}
            MiddlewareFile::Headers(headers) => headers::check(headers, &at.key("headers"), scope, report),
            MiddlewareFile::Cors(cors) => {
                let at = at.key("cors");
                once(&mut self.says_cors, &at, report);
                response::check_cors(cors, &at, report);
            }
            MiddlewareFile::Compress(compress) => {
                let at = at.key("compress");
                once(&mut self.compresses, &at, report);
                response::check_compress(compress, &at, report);
            }
            MiddlewareFile::Rewrite(rewrite) => {
                let at = at.key("rewrite");
                once(&mut self.rewrites, &at, report);
                path::check_rewrite(rewrite, &at, scope, report);
            }
            MiddlewareFile::Redirect(redirect) => {
                self.answers = scope.route.map(|_| "redirect");
                path::check_redirect(redirect, &at.key("redirect"), scope, report);
            }
            MiddlewareFile::Respond(respond) => {
                self.answers = scope.route.map(|_| "respond");
                response::check_respond(respond, &at.key("respond"), scope, bodies, report);
            }
        }
    }
}

/// A route without an upstream needs a step that answers in its place; beside such a step an upstream is never asked.
pub(super) fn check_upstream(route: &RouteFile, shape: &Shape, at: &KeyPath, report: &mut Report<'_>) {
    match (&route.upstream, shape.answers()) {
        (None, None) if route.split.is_some() => {}
        (None, Some(step)) if route.split.is_some() => {
            report.problem(
                &at.key("split"),
                format!("the route's `{step}` step answers every request; leave `split` out"),
            );
        }
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
                    route.matches.path.segments().iter().filter_map(|segment| match segment {
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
                if !route.matches.path.is_prefix() && report.is_written(&route_at.key("match")) =>
            {
                report.problem(at, "`{path}` is what the `/*` of the route's path stands for, and this one has none");
            }
            (Gap::Header(name), _) if headers::is_asserted(name.as_str(), scope.file) => {
                let message =
                    "clients write here what they like; `{client_ip}`, `{scheme}` and `{claim.…}` are what is believed";
                report.problem(at, message);
            }
            (Gap::Claim(name), _) => scope.claims.check(name, at, report),
            _ => {}
        }
    }
}
