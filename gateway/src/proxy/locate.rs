//! Finds the route of a request, by the one form of its path that is matched, authorised and forwarded.

use std::borrow::Cow;
use std::sync::Arc;

use http::Method;
use pingora_http::RequestHeader;

use crate::ctx::RequestContext;
use crate::host;
use crate::path::{self, BadPath, Taken, View};
use crate::reply::Rejection;
use crate::router::{Asked, RouteMatch};
use crate::snapshot::Route;

/// Brings the request's path into normal form and finds its route, were it made with `method`.
pub(super) fn find_route(
    request: &RequestHeader,
    method: &Method,
    ctx: &mut RequestContext,
) -> Result<Arc<Route>, Rejection> {
    let view = path::view(request.uri.path()).map_err(Rejection::BadPath)?;
    let host = host::named(request).unwrap_or_default();
    let lower;
    let host = if host.bytes().any(|byte| byte.is_ascii_uppercase()) {
        lower = host.to_ascii_lowercase();
        &lower
    } else {
        host
    };
    let (router, client) = (&ctx.snapshot.router, ctx.client);
    let find = |path: &str| {
        let asked = Asked { host, path, method, query: request.uri.query(), headers: &request.headers, client };
        match router.find(&asked) {
            RouteMatch::Route(route) => Ok(Arc::clone(route)),
            RouteMatch::OtherMethods(methods) => Err(Rejection::MethodNotAllowed(methods)),
            RouteMatch::None => Err(Rejection::NoRoute),
        }
    };
    if view.has_encoded_slash || view.has_backslash {
        let (route, path) = find_slashed(view, find)?;
        ctx.path = Some(path);
        return Ok(route);
    }
    let route = find(&view.path)?;
    if let Cow::Owned(path) = view.path {
        ctx.path = Some(path);
    }
    Ok(route)
}

const ELSEWHERE: Rejection = Rejection::BadPath(BadPath::LeadsElsewhere);

/// The route that takes a path with encoded slashes or backslashes, and the path that it is there. Where no route says what they
/// are, they are a mistake.
fn find_slashed(
    view: View<'_>,
    find: impl Fn(&str) -> Result<Arc<Route>, Rejection>,
) -> Result<(Arc<Route>, String), Rejection> {
    let bad = Rejection::BadPath(if view.has_encoded_slash { BadPath::EncodedSlash } else { BadPath::Backslash });
    let (has_encoded_slash, has_backslash) = (view.has_encoded_slash, view.has_backslash);
    let Ok(route) = find(&view.path) else { return Err(bad) };
    let path = view.path.clone().into_owned();
    let (route, path) = match view.under(route.encoded_slash, route.backslash).map_err(Rejection::BadPath)? {
        Taken::AsItIs => (route, path),
        Taken::Anew(path) => {
            let anew = find(&path)?;
            // The other route says what they are, too; of two that do not agree, one would be walked around.
            let agree = (!has_encoded_slash || anew.encoded_slash == route.encoded_slash)
                && (!has_backslash || anew.backslash == route.backslash);
            if !agree {
                return Err(ELSEWHERE);
            }
            (anew, path)
        }
    };
    // An upstream may decode what is kept, and must not get to where this route does not lead.
    for decoded in path::decodings(&path) {
        let leads_here = match find(&decoded.map_err(Rejection::BadPath)?) {
            Ok(other) => Arc::ptr_eq(&other, &route),
            Err(rejection) => rejection == Rejection::NoRoute,
        };
        if !leads_here {
            return Err(ELSEWHERE);
        }
    }
    Ok((route, path))
}
