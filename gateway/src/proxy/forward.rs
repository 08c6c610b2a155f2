//! Makes a request's head ready for the upstream.
//!
//! What the gateway asserts (who is asking, from where, under which id) is removed from the client's headers first.
//! Hop-by-hop headers are gone already: Pingora removes them, and refuses a `Connection` header that names a protected one.

use http::header::{AUTHORIZATION, HOST};
use http::uri::PathAndQuery;
use http::{HeaderName, HeaderValue, Uri};
use pingora_core::{ErrorType, OrErr, Result};
use pingora_http::RequestHeader;

use super::asserted::same_but_for_underscores;
use crate::ctx::RequestContext;

// As text that is never copied: Pingora keeps each name in the case in which it is given too.
const FORWARDED_FOR: &str = "X-Forwarded-For";
const FORWARDED_HOST: &str = "X-Forwarded-Host";
const FORWARDED_PROTO: &str = "X-Forwarded-Proto";
const REQUEST_ID: &str = "X-Request-Id";

/// Turns `request`, a copy of what the client sent as `original`, into what the upstream gets.
///
/// # Errors
/// Never for a request that was routed: its path in normal form is a path.
pub(super) fn prepare(original: &RequestHeader, request: &mut RequestHeader, ctx: &RequestContext) -> Result<()> {
    let told = ctx.identity.iter().flat_map(|identity| &identity.headers).chain(&ctx.request_headers);
    let covered = |name: &&HeaderName| {
        let same = |(own, _): &(HeaderName, HeaderValue)| same_but_for_underscores(name.as_str(), own.as_str());
        ctx.snapshot.asserted_headers.covers(name.as_str()) || told.clone().any(same)
    };
    let claimed: Vec<HeaderName> = request.headers.keys().filter(covered).cloned().collect();
    for name in claimed {
        request.remove_header(&name);
    }
    if ctx.hide_authorization {
        request.remove_header(&AUTHORIZATION);
    }
    if let Some(host) = original.headers.get(HOST) {
        request.insert_header(FORWARDED_HOST, host.clone())?;
    } else if let Some(target) = &ctx.target {
        // HTTP/1.0 need not name one, but what goes on is HTTP/1.1.
        request.insert_header(HOST, target.authority())?;
    }
    request.insert_header(FORWARDED_FOR, ctx.client.to_string())?;
    request.insert_header(FORWARDED_PROTO, HeaderValue::from_static("http"))?;
    request.insert_header(REQUEST_ID, ctx.request_id.clone())?;
    for (name, value) in told {
        request.insert_header(name.clone(), value.clone())?;
    }
    if let Some(path) = &ctx.path {
        request.set_uri(with_path(&request.uri, path)?);
    }
    Ok(())
}

/// The host the client named, without its port; none in an HTTP/1.0 request without `Host`.
pub(super) fn host(request: &RequestHeader) -> Option<&str> {
    let authority = request.headers.get(HOST)?.to_str().ok()?;
    let host = match authority.rsplit_once(':') {
        // The colons of `[::1]` are no port's.
        Some((host, port)) if port.bytes().all(|byte| byte.is_ascii_digit()) => host,
        _ => authority,
    };
    Some(host.strip_suffix('.').unwrap_or(host))
}

fn with_path(uri: &Uri, path: &str) -> Result<Uri> {
    let target = match uri.query() {
        Some(query) => format!("{path}?{query}"),
        None => path.to_owned(),
    };
    let target = PathAndQuery::try_from(target).or_err(ErrorType::InternalError, "a normal path is a path")?;
    Ok(Uri::from(target))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request(headers: &[(&'static str, &str)]) -> RequestHeader {
        let mut request = RequestHeader::build("GET", b"/", None).expect("a request");
        for (name, value) in headers {
            request.append_header(*name, *value).expect("a header");
        }
        request
    }

    #[test]
    fn the_host_is_named_without_port_and_final_dot() {
        for (sent, named) in [("a.b:80", "a.b"), ("a.b.", "a.b"), ("[::1]:80", "[::1]"), ("[::1]", "[::1]"), ("a", "a")]
        {
            assert_eq!(host(&request(&[("Host", sent)])), Some(named));
        }
        assert_eq!(host(&request(&[])), None);
    }

    #[test]
    fn the_query_stays_when_the_path_changes() {
        let uri = with_path(&Uri::from_static("/a/../b?x=/../y"), "/b").expect("a uri");
        assert_eq!(uri, "/b?x=/../y");
    }
}
