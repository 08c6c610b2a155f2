//! Fills the gaps of a template from a request.
//!
//! What a parameter is, stands in the route's pattern: the number of a segment. So a request's parameters are looked up in
//! its path when a step asks for them, and cost nothing where none does.

use std::borrow::Cow;

use http::HeaderName;
use pingora_http::RequestHeader;

use crate::claim::ClaimPath;
use crate::client_addr;
use crate::config::file::RouteFile;
use crate::config::pattern::{Gap, Part, Segment};
use crate::credential::shown_query;
use crate::ctx::RequestContext;
use crate::host;
use crate::path::{self, BadPath, SlashPolicy};

/// A text with gaps, for one route.
#[derive(Debug)]
pub(crate) struct Template(Box<[Piece]>);

#[derive(Debug)]
enum Piece {
    Text(Box<str>),
    ClientIp,
    RequestId,
    Scheme,
    Host,
    Path,
    /// What stands behind so many segments, without the slash before it.
    Rest(usize),
    Segment(usize),
    Query,
    Claim(ClaimPath),
    Header(HeaderName),
}

impl Template {
    /// The template of `parts` for requests of `route`; none when that has no such parameter, which the check finds first.
    pub(crate) fn compile(parts: &[Part], route: &RouteFile) -> Option<Self> {
        let segments = route.matches.path.segments();
        let mut pieces: Vec<Piece> = Vec::with_capacity(parts.len());
        for part in parts {
            let piece = match part {
                Part::Text(text) => Piece::Text(text.as_str().into()),
                Part::Gap(Gap::Route) => Piece::Text(route.name.as_str().into()),
                Part::Gap(Gap::ClientIp) => Piece::ClientIp,
                Part::Gap(Gap::RequestId) => Piece::RequestId,
                Part::Gap(Gap::Scheme) => Piece::Scheme,
                Part::Gap(Gap::Host) => Piece::Host,
                Part::Gap(Gap::Path) => Piece::Path,
                Part::Gap(Gap::Rest) => Piece::Rest(segments.len()),
                Part::Gap(Gap::Query) => Piece::Query,
                Part::Gap(Gap::Claim(name)) => Piece::Claim(ClaimPath::new(name)),
                Part::Gap(Gap::Header(name)) => Piece::Header(name.clone()),
                Part::Gap(Gap::Param(name)) => {
                    let is_it = |segment: &Segment| matches!(segment, Segment::Parameter(own) if own == name);
                    Piece::Segment(segments.iter().position(is_it)?)
                }
            };
            match (pieces.last_mut(), piece) {
                (Some(Piece::Text(before)), Piece::Text(text)) => *before = format!("{before}{text}").into(),
                (_, piece) => pieces.push(piece),
            }
        }
        Some(Self(pieces.into()))
    }

    /// The text when it is the same for every request.
    pub(crate) fn fixed(&self) -> Option<&str> {
        match &*self.0 {
            [] => Some(""),
            [Piece::Text(text)] => Some(text),
            _ => None,
        }
    }

    /// Puts the text for this request behind `out`; none when it has nothing for one of the gaps.
    pub(crate) fn fill(&self, request: &RequestHeader, ctx: &RequestContext, out: &mut Vec<u8>) -> Option<()> {
        for piece in &self.0 {
            match piece {
                Piece::Text(text) => out.extend_from_slice(text.as_bytes()),
                Piece::ClientIp => client_addr::write(ctx.client.get(), out),
                Piece::RequestId => out.extend_from_slice(ctx.request_id.as_bytes()),
                Piece::Scheme => out.extend_from_slice(if ctx.is_https() { b"https" } else { b"http" }),
                Piece::Host => out.extend_from_slice(host::named(request)?.as_bytes()),
                Piece::Path => out.extend_from_slice(normal_path(request, ctx).as_bytes()),
                Piece::Rest(behind) => {
                    out.extend_from_slice(rest(normal_path(request, ctx), *behind).unwrap_or_default().as_bytes());
                }
                Piece::Segment(index) => {
                    let path = normal_path(request, ctx);
                    out.extend_from_slice(path.strip_prefix('/')?.split('/').nth(*index)?.as_bytes());
                }
                Piece::Query => {
                    if let Some(query) = shown_query(request, ctx) {
                        out.push(b'?');
                        out.extend_from_slice(query.as_bytes());
                    }
                }
                Piece::Claim(path) => out.extend_from_slice(ctx.identity.as_ref()?.claim_at(path)?.as_bytes()),
                Piece::Header(name) => out.extend_from_slice(request.headers.get(name)?.as_bytes()),
            }
        }
        Some(())
    }
}

/// The path that the request was matched by.
pub(crate) fn normal_path<'a>(request: &'a RequestHeader, ctx: &'a RequestContext) -> &'a str {
    ctx.path.as_deref().unwrap_or_else(|| request.uri.path())
}

/// A `path` that a step has made, in normal form. Encoded slashes and backslashes may stand in it only where the route keeps them: what
/// it decodes is decoded already.
pub(crate) fn made_path<'p>(path: &'p str, ctx: &RequestContext) -> Result<Cow<'p, str>, BadPath> {
    let kept = |policy: SlashPolicy| if policy == SlashPolicy::Keep { policy } else { SlashPolicy::Reject };
    let policies = ctx.route.as_ref().map(|route| (kept(route.encoded_slash), kept(route.backslash)));
    let (encoded_slash, backslash) = policies.unwrap_or_default();
    let view = path::view(path)?;
    let path = view.path.clone();
    view.under(encoded_slash, backslash).map(|_| path)
}

/// What stands in `path` behind so many `segments`, without the slash before it; none when the path ends with them.
pub(crate) fn rest(path: &str, segments: usize) -> Option<&str> {
    let mut rest = path.strip_prefix('/')?;
    for _ in 0..segments {
        rest = rest.split_once('/')?.1;
    }
    Some(rest)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_rest_begins_behind_the_slash() {
        for (path, segments, behind) in [
            ("/a/b/c", 1, Some("b/c")),
            ("/a/b/", 1, Some("b/")),
            ("/a/", 1, Some("")),
            ("/a", 1, None),
            ("/a", 0, Some("a")),
            ("/", 0, Some("")),
            ("/a", 2, None),
        ] {
            assert_eq!(rest(path, segments), behind, "{path}");
        }
    }
}
