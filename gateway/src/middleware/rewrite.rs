//! Changes the path and the query that the upstream is asked for.
//!
//! Routes, identity and limits go by the path that the client asked for; what the upstream gets is made of that path by the
//! route's own rule, and brought into normal form again. Parameters keep their percent-encoding, so that none of them can
//! bring a `/` or a `?` with it.

use http::uri::PathAndQuery;
use pingora_http::RequestHeader;

use super::{Flow, Middleware, Step};
use crate::config::file::{RewriteFile, RouteFile};
use crate::config::pattern::ValueTemplate;
use crate::credential::shown_query;
use crate::ctx::RequestContext;
use crate::path::BadPath;
use crate::reply::Rejection;
use crate::template::{Template, made_path, normal_path, rest};

/// The step that changes what an upstream is asked for.
pub(crate) struct Rewrite {
    path: Path,
    query: Query,
}

enum Path {
    /// Another front: so many segments away, and these before.
    Front {
        strip: usize,
        add: Box<str>,
    },
    Whole(Template),
}

struct Query {
    /// Names that are taken away, those that are set among them.
    remove: Box<[Box<str>]>,
    /// `name=` as it is written in a query, and the value.
    set: Box<[(Box<str>, Template)]>,
}

impl Rewrite {
    /// The step that `file` describes, on `route`; none when a parameter is wrong, which the check finds first.
    pub(crate) fn new(file: &RewriteFile, route: &RouteFile) -> Option<Self> {
        let path = match &file.path {
            Some(template) => Path::Whole(Template::compile(template.parts(), route)?),
            None => Path::Front {
                strip: file.strip_prefix.as_ref().map_or(0, |prefix| prefix.segments().len()),
                add: file.add_prefix.as_ref().map(ToString::to_string).unwrap_or_default().into(),
            },
        };
        let (set, remove) = file.query.iter().fold((Vec::new(), Vec::new()), |(mut set, mut remove), query| {
            set.extend(&query.set);
            remove.extend(query.remove.iter().chain(query.set.keys()).map(|name| name.as_str().into()));
            (set, remove)
        });
        let value = |(name, value): (&String, &ValueTemplate)| {
            let mut written: String = form_urlencoded::byte_serialize(name.as_bytes()).collect();
            written.push('=');
            Some((written.into(), Template::compile(value.parts(), route)?))
        };
        let set = set.into_iter().map(value).collect::<Option<_>>()?;
        Some(Self { path, query: Query { remove: remove.into(), set } })
    }

    fn target(&self, request: &RequestHeader, ctx: &RequestContext) -> Result<PathAndQuery, Rejection> {
        let mut path = Vec::with_capacity(128);
        match &self.path {
            Path::Whole(template) => {
                template.fill(request, ctx, &mut path).ok_or(Rejection::BadPath(BadPath::NotAbsolute))?;
            }
            Path::Front { strip, add } => {
                path.extend_from_slice(add.as_bytes());
                if let Some(rest) = rest(normal_path(request, ctx), *strip) {
                    path.push(b'/');
                    path.extend_from_slice(rest.as_bytes());
                } else if path.is_empty() {
                    path.push(b'/');
                }
            }
        }
        let path = str::from_utf8(&path).map_err(|_| Rejection::BadPath(BadPath::ForbiddenByte))?;
        let mut target = made_path(path, ctx).map_err(Rejection::BadPath)?.into_owned();
        self.query.write(request, ctx, &mut target);
        PathAndQuery::try_from(target).map_err(|_| Rejection::UriTooLong)
    }
}

impl Query {
    /// Puts the query of the request, changed, behind `target`.
    fn write(&self, request: &RequestHeader, ctx: &RequestContext, target: &mut String) {
        let sent = shown_query(request, ctx);
        if self.remove.is_empty() {
            if let Some(query) = sent {
                target.push('?');
                target.push_str(&query);
            }
            return;
        }
        let mut separator = '?';
        let kept = |part: &&str| {
            let name = form_urlencoded::parse(part.as_bytes()).next().map(|(name, _)| name).unwrap_or_default();
            !part.is_empty() && !self.remove.iter().any(|removed| **removed == name)
        };
        for part in sent.as_deref().unwrap_or_default().split('&').filter(kept) {
            target.push(std::mem::replace(&mut separator, '&'));
            target.push_str(part);
        }
        let mut value = Vec::new();
        for (name, template) in &self.set {
            value.clear();
            if template.fill(request, ctx, &mut value).is_some() {
                target.push(std::mem::replace(&mut separator, '&'));
                target.push_str(name);
                target.extend(form_urlencoded::byte_serialize(&value));
            }
        }
    }
}

impl Middleware for Rewrite {
    fn on_request<'a>(&'a self, head: &'a mut RequestHeader, ctx: &'a mut RequestContext) -> Step<'a> {
        Step::Done(match self.target(head, ctx) {
            Ok(target) => {
                ctx.rewritten = Some(target);
                Flow::Continue
            }
            Err(rejection) => Flow::Reply(rejection),
        })
    }

    fn sees_responses(&self) -> bool {
        false
    }
}

#[cfg(test)]
mod tests {
    use super::super::rehearsed::get;
    use super::*;

    async fn forwarded(path: &str, rewrite: &str, target: &str) -> Result<String, Rejection> {
        let route = format!("match: {{ path: '{path}' }}, upstream: u, middleware: [{{ rewrite: {{ {rewrite} }} }}]");
        let rehearsed = get(&route, target, &[("x-team", "a&b")]).await;
        rehearsed.outcome.map(|_| rehearsed.ctx.rewritten.map(|target| target.to_string()).unwrap_or_default())
    }

    #[tokio::test]
    async fn what_the_upstream_is_asked_for_is_made_of_the_matched_path() {
        for (path, rewrite, target, asked) in [
            ("/api/*", "strip_prefix: /api", "/api/users/1?a=b", "/users/1?a=b"),
            ("/api/*", "strip_prefix: /api", "/api", "/"),
            ("/api/*", "strip_prefix: /api", "/api/", "/"),
            ("/api/*", "strip_prefix: /api, add_prefix: /v1", "/api", "/v1"),
            ("/api/*", "strip_prefix: /api, add_prefix: /v1", "/api/", "/v1/"),
            ("/api/v2/*", "strip_prefix: /api", "//api/./v2/x/", "/v2/x/"),
            ("/*", "add_prefix: /v1/x", "/users", "/v1/x/users"),
            ("/u/{id}", "path: '/users/{id}/profile'", "/u/7?a", "/users/7/profile?a"),
            ("/u/{id}/*", "path: '/{path}/of/{id}'", "/u/7/a/b", "/a/b/of/7"),
            ("/u/{id}/*", "path: '/{path}/of/{id}'", "/u/7", "/of/7"),
            ("/u/*", "path: /all", "/u/7", "/all"),
        ] {
            assert_eq!(forwarded(path, rewrite, target).await.as_deref(), Ok(asked), "{rewrite} {target}");
        }
    }

    #[tokio::test]
    async fn a_parameter_brings_no_slash_and_no_query_with_it() {
        let path = async |target| forwarded("/u/{id}", "path: '/users/{id}/x'", target).await;
        assert_eq!(path("/u/a%3Fb%23c").await.as_deref(), Ok("/users/a%3Fb%23c/x"));
        assert_eq!(path("/u/a%2Fb").await, Err(Rejection::BadPath(BadPath::EncodedSlash)));
        assert_eq!(path("/u/%2e%2e").await, Err(Rejection::NoRoute));
        // What only becomes a dot segment when put together is resolved like any other, and never leaves the root.
        assert_eq!(forwarded("/u/*", "path: '/a/..{path}'", "/u").await.as_deref(), Ok("/"));
    }

    #[tokio::test]
    async fn a_target_that_is_too_long_is_refused() {
        let long = format!("/u/{}", "x".repeat(40_000));
        assert_eq!(forwarded("/u/{id}", "path: '/{id}/{id}'", &long).await, Err(Rejection::UriTooLong));
    }

    #[tokio::test]
    async fn parts_of_the_query_are_set_and_taken_away_in_every_spelling() {
        for (query, target, asked) in [
            ("remove: [token]", "/?token=1&a=b&%74oken=2&tokens=3", "/?a=b&tokens=3"),
            ("remove: [token]", "/?token", "/"),
            ("remove: ['a b']", "/?a+b=1&a%20b=2&c", "/?c"),
            ("set: { team: '{header.x-team}' }", "/?team=forged&x=%2F", "/?x=%2F&team=a%26b"),
            ("set: { team: '{header.x-none}' }", "/?team=forged", "/"),
            ("set: { 'a b': '1 2', c: d }", "/", "/?a+b=1+2&c=d"),
        ] {
            let found = forwarded("/*", &format!("query: {{ {query} }}"), target).await;
            assert_eq!(found.as_deref(), Ok(asked), "{query} {target}");
        }
    }
}
