//! Checks the steps that are about the answer: those that give it, compress it, or say who may read it.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};
use std::time::Duration;

use bytes::Bytes;
use http::HeaderName;

use super::{Scope, is_in_a_route};
use crate::config::check::routes::repeats;
use crate::config::check::server::MOST_BODY as LARGEST;
use crate::config::check::{DAY, size_is_within, span_is_within};
use crate::config::file::{CompressFile, CorsFile, RespondFile};
use crate::config::pattern::OriginPattern;
use crate::config::problems::KeyPath;
use crate::config::report::Report;
use crate::config::values::{ByteSize, EditableHeader};

/// The largest body that a route answers by itself with.
const MOST_BODY: u64 = 1 << 20;

pub(super) fn check_respond(
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

pub(super) fn check_cors(cors: &CorsFile, at: &KeyPath, report: &mut Report<'_>) {
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

pub(super) fn check_compress(compress: &CompressFile, at: &KeyPath, report: &mut Report<'_>) {
    let (encodings, types) = (at.key("encodings"), at.key("types"));
    if compress.encodings.is_empty() {
        report.problem(&encodings, "there is no encoding; leave the key out for all of them");
    }
    if compress.types.is_empty() {
        report.problem(&types, "there is no media type; leave the key out for texts");
    }
    repeats(&compress.encodings, &encodings, report);
    repeats(&compress.types, &types, report);
    size_is_within(compress.min_size, ByteSize::from_kib(0), LARGEST, &at.key("min_size"), report);
}
