//! Makes a request's head ready for the upstream.
//!
//! What the gateway asserts (who is asking, from where, under which id) is removed from the client's headers first, also
//! under the names that servers with CGI habits take for the same (`X_User_Id`). Hop-by-hop headers are gone already:
//! Pingora removes them, and refuses a `Connection` header that names a protected one.

use http::header::{AUTHORIZATION, FORWARDED, HOST};
use http::uri::PathAndQuery;
use http::{HeaderName, HeaderValue, Uri};
use pingora_core::{ErrorType, OrErr, Result};
use pingora_http::RequestHeader;

use crate::ctx::RequestContext;
use crate::reply::REQUEST_ID;

const FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
const FORWARDED_HOST: HeaderName = HeaderName::from_static("x-forwarded-host");
const FORWARDED_PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");

/// What only a trusted proxy may say, and no client is one.
static ABOUT_THE_CLIENT: [HeaderName; 7] = [
    FORWARDED,
    FORWARDED_FOR,
    FORWARDED_HOST,
    HeaderName::from_static("x-forwarded-port"),
    FORWARDED_PROTO,
    HeaderName::from_static("x-real-ip"),
    REQUEST_ID,
];

/// Turns `request`, a copy of what the client sent as `original`, into what the upstream gets.
///
/// # Errors
/// Never for a request that was routed: its path in normal form is a path.
pub(super) fn prepare(original: &RequestHeader, request: &mut RequestHeader, ctx: &RequestContext) -> Result<()> {
    for name in ABOUT_THE_CLIENT.iter().chain(&ctx.snapshot.asserted_headers) {
        request.remove_header(name);
    }
    for alias in aliases(request, &ctx.snapshot.asserted_headers) {
        request.remove_header(&alias);
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
    for (name, value) in &ctx.request_headers {
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

/// The headers that spell an asserted one with underscores.
fn aliases(request: &RequestHeader, asserted: &[HeaderName]) -> Vec<HeaderName> {
    let is_alias = |name: &&HeaderName| {
        let name = name.as_str();
        let all = || asserted.iter().chain(&ABOUT_THE_CLIENT);
        name.contains('_') && all().any(|asserted| same_but_for_underscores(name, asserted.as_str()))
    };
    request.headers.keys().filter(is_alias).cloned().collect()
}

fn same_but_for_underscores(name: &str, asserted: &str) -> bool {
    name.len() == asserted.len() && name.bytes().zip(asserted.bytes()).all(|(a, b)| a == b || (a == b'_' && b == b'-'))
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
    fn underscore_aliases_of_asserted_headers_are_found() {
        let request = request(&[("X_User-Id", "1"), ("x_user_id", "2"), ("x_other", "3"), ("X_Real_Ip", "4")]);
        let mut found: Vec<_> =
            aliases(&request, &[HeaderName::from_static("x-user-id")]).iter().map(ToString::to_string).collect();
        found.sort();
        assert_eq!(found, ["x_real_ip", "x_user-id", "x_user_id"]);
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
