//! What of one request a part of a key is.
//!
//! What a client writes itself (headers, cookies, the path) is believed only as far as it can be read in one way: of a header
//! or a cookie that is there twice, upstreams differ in which they read, so it counts as none. Otherwise whoever is known by
//! it would have another quota with each second value.

use std::borrow::Cow;

use http::{HeaderMap, HeaderName, Method};
use pingora_http::RequestHeader;
use sha2::{Digest as _, Sha256};

use super::network::network;
use super::{CountsAs, NO_TEXT};
use crate::claim::ClaimPath;
use crate::config::file::{ProofKind, RouteFile};
use crate::config::pattern::{Expression, KeyPart, Segment, Variable};
use crate::config::values::same_but_for_underscores;
use crate::cookies;
use crate::ctx::RequestContext;
use crate::expression::{self, Doubt, Offer, Params};
use crate::host;
use crate::middleware::CLIENT;
use crate::template::normal_path;

/// Longer texts are counted by their hash, so that nobody chooses how much memory a key takes.
const MOST_BYTES: usize = 128;

/// Methods that HTTP does not know are one: there is no end of them.
const OTHER_METHOD: &str = "_OTHER";

/// One part, ready to be read of requests of one route.
pub(super) enum Part {
    Address {
        ipv6_prefix: u8,
    },
    /// A claim, and who says it where several may.
    Claim {
        path: ClaimPath,
        told_apart: bool,
    },
    Program,
    Header(HeaderName),
    Cookie(Box<str>),
    /// Number of the segment that the parameter is.
    Param(usize),
    /// The same for every request of the route.
    Fixed(Box<[u8]>),
    Host,
    Method,
    Expression {
        expression: Expression,
        params: Params,
        told_apart: bool,
    },
}

impl Part {
    /// What `part` is on `route`; none when that has no such parameter, which the check finds first.
    pub(super) fn new(part: &KeyPart, told_apart: bool, route: &RouteFile) -> Option<Self> {
        Some(match part {
            KeyPart::ClientAddress { ipv6_prefix } => Self::Address { ipv6_prefix: *ipv6_prefix },
            KeyPart::Claim(name) => Self::Claim { path: ClaimPath::new(name), told_apart },
            KeyPart::ApiKey => Self::Program,
            KeyPart::Header(name) => Self::Header(name.clone()),
            KeyPart::Cookie(name) => Self::Cookie(name.as_str().into()),
            KeyPart::Param(name) => {
                let is_it = |segment: &Segment| matches!(segment, Segment::Parameter(own) if own == name);
                Self::Param(route.matches.path.segments().iter().position(is_it)?)
            }
            KeyPart::Route => Self::Fixed(route.name.as_bytes().into()),
            KeyPart::Host => Self::Host,
            KeyPart::Method => Self::Method,
            KeyPart::Expression(expression) => Self::Expression {
                expression: expression.clone(),
                params: Params::of(&route.matches.path),
                told_apart: told_apart
                    && expression.references().iter().any(|asked| asked.variable == Variable::Claims),
            },
        })
    }

    /// Puts behind `out` what the part is of the request with this `head`; none when it has no such part, or an empty one.
    ///
    /// No two values look the same there, and none of them is longer than 254 bytes.
    pub(super) fn put(&self, head: &RequestHeader, ctx: &RequestContext, out: &mut CountsAs) -> Option<()> {
        match self {
            Self::Address { ipv6_prefix } => {
                put_address(ctx, *ipv6_prefix, out);
                Some(())
            }
            Self::Claim { path, told_apart } => {
                put_text(ctx.identity.as_ref()?.claim_at(path)?.as_bytes(), out)?;
                if *told_apart {
                    put_prover(ctx, out);
                }
                Some(())
            }
            Self::Program => put_program(ctx, out),
            Self::Header(name) => put_text(only_header(&head.headers, name)?, out),
            Self::Cookie(name) => put_text(&only_cookie(&head.headers, name)?, out),
            Self::Param(index) => {
                let path = normal_path(head, ctx);
                put_text(path.strip_prefix('/')?.split('/').nth(*index)?.as_bytes(), out)
            }
            Self::Fixed(text) => {
                out.extend_from_slice(text);
                Some(())
            }
            Self::Host => put_text(lower_case(host::named(head)?).as_bytes(), out),
            Self::Method => put_text(method(&head.method).as_bytes(), out),
            Self::Expression { expression, params, told_apart } => {
                let text = expression::text(expression, &Offer::of(head, ctx, params));
                if let Err(Doubt) = text {
                    ctx.route.iter().for_each(|route| route.metrics.expression_doubts().inc());
                }
                put_text(text.ok()?.as_bytes(), out)?;
                if *told_apart {
                    put_prover(ctx, out);
                }
                Some(())
            }
        }
    }
}

/// The client's network behind a byte that no text has, so that no text can be made to count as somebody's address.
pub(super) fn put_address(ctx: &RequestContext, ipv6_prefix: u8, out: &mut CountsAs) {
    out.push(NO_TEXT);
    out.extend_from_slice(&network(ctx.client, ipv6_prefix));
}

/// A text as it is; the hash of one that is too long or no text at all, in a form that no text has and no address.
fn put_text(text: &[u8], out: &mut CountsAs) -> Option<()> {
    if text.is_empty() {
        return None;
    }
    if text.len() <= MOST_BYTES && std::str::from_utf8(text).is_ok() {
        out.extend_from_slice(text);
    } else {
        out.extend_from_slice(&[NO_TEXT, NO_TEXT]);
        out.extend_from_slice(&Sha256::digest(text));
    }
    Some(())
}

/// By whom it was said, behind what was said.
fn put_prover(ctx: &RequestContext, out: &mut CountsAs) {
    if let Some(prover) = &ctx.proven_by {
        out.push(NO_TEXT);
        out.extend_from_slice(prover.kind.name().as_bytes());
        out.push(b'.');
        out.extend_from_slice(prover.provider.as_bytes());
    }
}

/// The program whose key was shown, and who knows it, whatever else was shown beside it.
fn put_program(ctx: &RequestContext, out: &mut CountsAs) -> Option<()> {
    let first = ctx.proven_by.as_ref().filter(|prover| prover.kind == ProofKind::ApiKey);
    let (identity, provider) = match (first, &ctx.program) {
        (Some(prover), _) => (ctx.identity.as_ref()?, &*prover.provider),
        (None, Some(program)) => (&program.identity, &*program.provider),
        (None, None) => return None,
    };
    put_text(identity.claim(CLIENT)?.as_bytes(), out)?;
    out.push(NO_TEXT);
    out.extend_from_slice(provider.as_bytes());
    Some(())
}

/// The value of the only header `name`, which no other header is taken for either.
fn only_header<'h>(headers: &'h HeaderMap, name: &HeaderName) -> Option<&'h [u8]> {
    let mut values = headers.get_all(name).iter();
    let value = values.next()?.as_bytes().trim_ascii();
    let is_alias = |other: &HeaderName| other != name && same_but_for_underscores(other.as_str(), name.as_str());
    let is_only = values.next().is_none() && !headers.keys().any(is_alias);
    is_only.then_some(value)
}

/// The value of the only cookie `name`, without the quotes that some upstreams take away and others do not. What stands in them
/// with a backslash, as upstreams read it, nobody knows.
fn only_cookie<'h>(headers: &'h HeaderMap, name: &str) -> Option<Cow<'h, [u8]>> {
    let mut values = cookies::named(headers, name);
    let value = values.next()?;
    if values.next().is_some() {
        return None;
    }
    let Cow::Borrowed([b'"', quoted @ .., b'"']) = value else { return Some(value) };
    (!quoted.contains(&b'\\')).then_some(Cow::Borrowed(quoted))
}

fn lower_case(host: &str) -> Cow<'_, str> {
    let is_lower = !host.bytes().any(|byte| byte.is_ascii_uppercase());
    if is_lower { host.into() } else { host.to_ascii_lowercase().into() }
}

/// As routes know it: `GET` includes `HEAD`.
fn method(method: &Method) -> &str {
    match *method {
        Method::GET | Method::HEAD => "GET",
        Method::POST | Method::PUT | Method::PATCH | Method::DELETE | Method::OPTIONS | Method::TRACE => {
            method.as_str()
        }
        _ => OTHER_METHOD,
    }
}
