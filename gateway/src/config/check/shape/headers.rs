//! Checks the steps that change headers.

use http::HeaderName;

use super::{Claims, Scope, check_gaps};
use crate::config::file::{EditsFile, GatewayFile, HeadersFile};
use crate::config::problems::KeyPath;
use crate::config::report::Report;
use crate::config::values::{ABOUT_THE_CLIENT, EditableHeader, NEVER_SAID, same_but_for_underscores};

/// Whether upstreams get the header `name`, in lower case, from the gateway or not at all. What a client sends under it is its own
/// word.
pub(in crate::config::check) fn is_asserted(name: &str, file: &GatewayFile) -> bool {
    let same = |own: &HeaderName| same_but_for_underscores(name, own.as_str());
    ABOUT_THE_CLIENT.iter().any(same) || file.identity_headers().any(|(own, _)| same(own))
}

pub(super) fn check(headers: &HeadersFile, at: &KeyPath, scope: &Scope<'_, '_>, report: &mut Report<'_>) {
    let (request, response) = (at.key("request"), at.key("response"));
    let is_empty = |edits: &EditsFile| edits.set.is_empty() && edits.add.is_empty() && edits.remove.is_empty();
    if is_empty(&headers.request) && is_empty(&headers.response) && report.is_written(at) {
        report.problem(at, "this changes nothing; name headers under `request` or `response`");
    }
    check_edits(&headers.request, &request, scope, report);
    // A response comes after every step.
    let claims = match scope.claims_in_the_end {
        Claims::None => &Claims::Any,
        claims => claims,
    };
    let scope = Scope { claims, ..*scope };
    check_edits(&headers.response, &response, &scope, report);
    let mut refuse = |name: &str, at: &KeyPath| {
        let name = name.to_ascii_lowercase();
        let is_free = NEVER_SAID.iter().any(|own| same_but_for_underscores(&name, own.as_str()));
        if !is_free && is_asserted(&name, scope.file) {
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
