//! Checks the block `mirror` of a route.

use std::collections::BTreeMap;

use super::shape::Shape;
use super::{Used, is_deadline, refers_to, size_is_within};
use crate::config::file::{RouteFile, UpstreamFile, UpstreamProtocol};
use crate::config::problems::KeyPath;
use crate::config::report::Report;
use crate::config::values::ByteSize;

/// A larger body is a transfer, and no request to try a second upstream with.
const MOST_COPY: ByteSize = ByteSize::from_kib(16 << 10);

/// What the bodies of one route's copies may take at once.
const MOST_MEMORY: ByteSize = ByteSize::from_kib(1 << 20);

pub(super) fn check<'f>(
    route: &'f RouteFile,
    upstreams: &BTreeMap<String, UpstreamFile>,
    shape: &Shape,
    at: &KeyPath,
    used: &mut Used<'f>,
    report: &mut Report<'_>,
) {
    let Some(mirror) = &route.mirror else { return };
    let at = at.key("mirror");
    if let Some(step) = shape.answers() {
        report.problem(&at, format!("the route's `{step}` step answers every request, so nothing is copied"));
    }
    if refers_to("upstream", &mirror.upstream, upstreams, &at.key("upstream"), report) {
        used.upstreams.insert(&mirror.upstream);
    }
    if let Some(upstream) = upstreams.get(&mirror.upstream) {
        // Copies go by a client of their own, which knows neither.
        let cannot = [
            (upstream.tls.is_some(), "has a `tls` block, by which copies cannot go"),
            (upstream.protocol != UpstreamProtocol::Http1, "speaks not only `http1`, in which copies are sent"),
        ];
        for (_, why) in cannot.into_iter().filter(|(is_so, _)| *is_so) {
            report.problem(&at.key("upstream"), format!("the upstream `{}` {why}", mirror.upstream));
        }
    }
    let split = route.split.iter().flat_map(|split| &split.upstreams).map(|share| &share.name);
    if route.upstream.iter().chain(split).any(|upstream| *upstream == mirror.upstream) {
        report.problem(&at.key("upstream"), "this upstream gets the requests themselves; a copy would do all twice");
    }
    size_is_within(mirror.max_body, ByteSize::from_kib(0), MOST_COPY, &at.key("max_body"), report);
    let most = mirror.max_body.bytes().saturating_mul(mirror.max_in_flight as u64);
    if most > MOST_MEMORY.bytes() && report.is_written(&at) {
        report.problem(
            &at,
            format!("copies could take more than {MOST_MEMORY} at once; lower `max_body` or `max_in_flight`"),
        );
    }
    is_deadline(mirror.timeout, &at.key("timeout"), report);
}
