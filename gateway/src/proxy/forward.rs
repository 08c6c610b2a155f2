//! Makes a request's head ready for the upstream.
//!
//! What the gateway asserts (who is asking, from where, under which id) is removed from the client's headers first.
//! Hop-by-hop headers are gone already: Pingora removes them, and refuses a `Connection` header that names a protected one.

use std::net::IpAddr;

use http::header::{AUTHORIZATION, HOST};
use http::uri::PathAndQuery;
use http::{HeaderMap, HeaderName, HeaderValue, Uri};
use memchr::memrchr;
use pingora_core::{ErrorType, OrErr, Result};
use pingora_http::RequestHeader;

use super::asserted::same_but_for_underscores;
use crate::client_addr;
use crate::credential::Hidden;
use crate::ctx::RequestContext;
use crate::heads::change_request;
use crate::reply::REQUEST_ID;

const FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
const FORWARDED_HOST: HeaderName = HeaderName::from_static("x-forwarded-host");
const FORWARDED_PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");

/// How many headers the gateway adds, but for those of an identity.
const ADDED: usize = 5;

/// Turns `request`, a copy of what the client sent, into what the upstream gets.
///
/// # Errors
/// Never for a request that was routed: its path in normal form is a path.
pub(super) fn prepare(request: &mut RequestHeader, ctx: &RequestContext) -> Result<()> {
    change_request(request, |parts| {
        let hidden = ctx.route.as_ref().and_then(|route| route.hidden.as_deref());
        assert_headers(&mut parts.headers, ctx, hidden)?;
        let query = hidden.zip(parts.uri.query()).and_then(|(hidden, query)| hidden.shown_query(query));
        if ctx.path.is_some() || query.is_some() {
            parts.uri = with_path(&parts.uri, ctx.path.as_deref(), query.as_deref())?;
        }
        Ok(())
    })
}

fn assert_headers(headers: &mut HeaderMap, ctx: &RequestContext, hidden: Option<&Hidden>) -> Result<()> {
    if let Some(hidden) = hidden {
        hidden.take_cookies(headers);
    }
    let secrets = hidden.map_or(&[][..], Hidden::headers);
    let told = ctx.identity.iter().flat_map(|identity| &identity.headers).chain(&ctx.request_headers);
    let is_ours = |name: &&HeaderName| {
        let same = |(own, _): &(HeaderName, HeaderValue)| same_but_for_underscores(name.as_str(), own.as_str());
        ctx.snapshot.asserted_headers.covers(name.as_str())
            || told.clone().any(same)
            || secrets.iter().any(|own| same_but_for_underscores(name.as_str(), own.as_str()))
            || ctx.hide_authorization && **name == AUTHORIZATION
    };
    let forged: Vec<HeaderName> = headers.keys().filter(is_ours).cloned().collect();
    for name in forged {
        headers.remove(name);
    }
    headers.reserve(ADDED + told.clone().count());
    if let Some(host) = headers.get(HOST).cloned() {
        headers.insert(FORWARDED_HOST, host);
    } else if let Some(target) = &ctx.target {
        // HTTP/1.0 need not name one, but what goes on is HTTP/1.1.
        headers.insert(HOST, HeaderValue::from_str(target.authority()).or_err(INTERNAL, "a target is a host")?);
    }
    headers.insert(FORWARDED_FOR, address(ctx.client)?);
    headers.insert(FORWARDED_PROTO, HeaderValue::from_static(if ctx.over_tls { "https" } else { "http" }));
    headers.insert(REQUEST_ID, ctx.request_id.clone());
    for (name, value) in told {
        headers.insert(name.clone(), value.clone());
    }
    Ok(())
}

fn address(client: IpAddr) -> Result<HeaderValue> {
    let mut text = Vec::with_capacity(16);
    client_addr::write(client, &mut text);
    HeaderValue::from_bytes(&text).or_err(INTERNAL, "an address is digits and signs")
}

const INTERNAL: ErrorType = ErrorType::InternalError;

/// The host the client named, without its port; none in an HTTP/1.0 request without `Host`.
pub(super) fn host(request: &RequestHeader) -> Option<&str> {
    let authority = request.headers.get(HOST)?.to_str().ok()?;
    let colon = memrchr(b':', authority.as_bytes());
    let host = match colon.and_then(|colon| authority.split_at_checked(colon)) {
        // The colons of `[::1]` are no port's.
        Some((host, port)) if port.bytes().skip(1).all(|byte| byte.is_ascii_digit()) => host,
        _ => authority,
    };
    Some(host.strip_suffix('.').unwrap_or(host))
}

/// `uri` with another path or another query; one that is empty is none.
fn with_path(uri: &Uri, path: Option<&str>, query: Option<&str>) -> Result<Uri> {
    let path = path.unwrap_or_else(|| uri.path());
    let query = match query {
        Some(query) => Some(query).filter(|query| !query.is_empty()),
        None => uri.query(),
    };
    let target = match query {
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
        let uri = Uri::from_static("/a/../b?x=/../y");
        assert_eq!(with_path(&uri, Some("/b"), None).expect("a uri"), "/b?x=/../y");
        assert_eq!(with_path(&uri, Some("/b"), Some("z")).expect("a uri"), "/b?z");
        assert_eq!(with_path(&uri, None, Some("")).expect("a uri"), "/a/../b");
    }
}
