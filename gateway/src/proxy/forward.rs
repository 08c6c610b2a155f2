//! Makes a request's head ready for the upstream.
//!
//! What the gateway asserts (who is asking, from where, under which id) is removed from the client's headers first.
//! Hop-by-hop headers are gone already: Pingora removes them, and refuses a `Connection` header that names a protected one.

use http::header::{AUTHORIZATION, CONNECTION, EXPECT, HOST, UPGRADE};
use http::uri::PathAndQuery;
use http::{HeaderMap, HeaderName, HeaderValue, Uri, Version};
use pingora_core::{ErrorType, OrErr, Result};
use pingora_http::RequestHeader;

use crate::client_addr::{self, PeerAddr};
use crate::config::values::same_but_for_underscores;
use crate::credential::Hidden;
use crate::ctx::{HeaderEdit, RequestContext};
use crate::forwarded::{FORWARDED_FOR, FORWARDED_HOST, FORWARDED_PROTO};
use crate::heads::change_request;
use crate::reply::REQUEST_ID;
use crate::screen::asks_for_websocket;

/// How many headers the gateway adds, but for those of an identity.
const ADDED: usize = 5;

/// Takes from `request`, which goes to the upstream, what `asked`, as it came, has not asked for in form: Pingora puts an
/// `Upgrade` that nothing in `Connection` names into both (RFC 9110, section 7.8), and one with a body, of which it would send
/// on what comes behind it unread. An expectation of HTTP/1.0 counts for nothing (section 10.1.1).
pub(crate) fn drop_unasked(request: &mut RequestHeader, asked: &RequestHeader) {
    let upgrades = request.headers.contains_key(UPGRADE) && !asks_for_websocket(asked);
    let expects = asked.version == Version::HTTP_10 && request.headers.contains_key(EXPECT);
    if upgrades || expects {
        change_request(request, |parts| {
            if upgrades {
                parts.headers.remove(UPGRADE);
                parts.headers.remove(CONNECTION);
            }
            if expects {
                parts.headers.remove(EXPECT);
            }
        });
    }
}

/// Turns `request`, a copy of what the client sent, into what the upstream gets.
///
/// # Errors
/// Never for a request that was routed: its path in normal form is a path.
pub(crate) fn prepare(request: &mut RequestHeader, ctx: &RequestContext) -> Result<()> {
    change_request(request, |parts| {
        let hidden = ctx.route.as_ref().and_then(|route| route.hidden.as_deref());
        assert_headers(&mut parts.headers, ctx, hidden)?;
        if let Some(target) = &ctx.rewritten {
            // Made of what may be shown; a parameter of the step's own may be called like a hidden one.
            parts.uri = Uri::from(target.clone());
            return Ok(());
        }
        let query = hidden.zip(parts.uri.query()).and_then(|(hidden, query)| hidden.shown_query(query));
        if ctx.path.is_some() || query.is_some() {
            parts.uri = with_path(&parts.uri, ctx.path.as_deref(), query.as_deref())?;
        }
        Ok(())
    })
}

fn assert_headers(headers: &mut HeaderMap, ctx: &RequestContext, hidden: Option<&Hidden>) -> Result<()> {
    let hidden = [hidden, ctx.unproven.as_deref()].into_iter().flatten();
    let secrets = hidden.clone().flat_map(Hidden::headers);
    let told = ctx.identity.iter().flat_map(|identity| &identity.headers).chain(&ctx.request_headers);
    let is_ours = |name: &&HeaderName| {
        let same = |(own, _): &(HeaderName, HeaderValue)| same_but_for_underscores(name.as_str(), own.as_str());
        ctx.snapshot.asserted_headers.covers(name.as_str())
            || told.clone().any(same)
            || secrets.clone().any(|own| same_but_for_underscores(name.as_str(), own.as_str()))
            || ctx.hide_authorization && **name == AUTHORIZATION
    };
    let forged: Vec<HeaderName> = headers.keys().filter(is_ours).cloned().collect();
    for name in forged {
        headers.remove(name);
    }
    if !ctx.header_edits.is_empty() {
        edit(headers, &ctx.header_edits);
    }
    // Behind the steps, of which one may have written a client's cookies again.
    hidden.for_each(|hidden| hidden.take_cookies(headers));
    headers.reserve(ADDED + told.clone().count());
    let forwarded = ctx.forwarded.as_deref();
    if let Some(host) = headers.get(HOST).cloned() {
        let told = forwarded.and_then(|forwarded| forwarded.host.clone());
        headers.insert(FORWARDED_HOST, told.unwrap_or(host));
        if let Some(host) = ctx.target.as_ref().and_then(|target| target.host()) {
            headers.insert(HOST, host.clone());
        }
    } else if let Some(target) = &ctx.target {
        // HTTP/1.0 need not name one, but what goes on is HTTP/1.1.
        let host = target.host().cloned().map_or_else(|| HeaderValue::from_str(target.authority()), Ok);
        headers.insert(HOST, host.or_err(INTERNAL, "a target is a host")?);
    }
    let chain = forwarded.map(|forwarded| Ok(forwarded.chain.clone()));
    headers.insert(FORWARDED_FOR, chain.unwrap_or_else(|| address(ctx.peer))?);
    headers.insert(FORWARDED_PROTO, HeaderValue::from_static(if ctx.is_https() { "https" } else { "http" }));
    headers.insert(REQUEST_ID, ctx.request_id.clone());
    for (name, value) in told {
        headers.insert(name.clone(), value.clone());
    }
    Ok(())
}

/// Changes `headers` as steps have said. What an upstream with CGI habits would read as a header that is set or removed goes
/// with it.
fn edit(headers: &mut HeaderMap, edits: &[HeaderEdit]) {
    let is_alias = |name: &&HeaderName| {
        let of = |edited: &HeaderName| edited != *name && same_but_for_underscores(name.as_str(), edited.as_str());
        let is_of = |edit: &HeaderEdit| match edit {
            HeaderEdit::Remove(edited) | HeaderEdit::Set(edited, _) => of(edited),
            HeaderEdit::Add(..) => false,
        };
        name.as_str().contains('_') && edits.iter().any(is_of)
    };
    let aliases: Vec<HeaderName> = headers.keys().filter(is_alias).cloned().collect();
    for alias in aliases {
        headers.remove(alias);
    }
    for edit in edits {
        match edit {
            HeaderEdit::Remove(name) => drop(headers.remove(name)),
            HeaderEdit::Set(name, value) => drop(headers.insert(name.clone(), value.clone())),
            HeaderEdit::Add(name, value) => drop(headers.append(name.clone(), value.clone())),
        }
    }
}

fn address(peer: PeerAddr) -> Result<HeaderValue> {
    let mut text = Vec::with_capacity(16);
    client_addr::write(peer.get(), &mut text);
    HeaderValue::from_bytes(&text).or_err(INTERNAL, "an address is digits and signs")
}

const INTERNAL: ErrorType = ErrorType::InternalError;

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

    #[test]
    fn the_query_stays_when_the_path_changes() {
        let uri = Uri::from_static("/a/../b?x=/../y");
        assert_eq!(with_path(&uri, Some("/b"), None).expect("a uri"), "/b?x=/../y");
        assert_eq!(with_path(&uri, Some("/b"), Some("z")).expect("a uri"), "/b?z");
        assert_eq!(with_path(&uri, None, Some("")).expect("a uri"), "/a/../b");
    }
}
