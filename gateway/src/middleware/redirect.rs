//! Sends clients to another place.
//!
//! The place is the file's, or on the host that was asked where the route names its hosts: nobody can write a link to this
//! gateway that leads to a host of his own. Paths keep their normal form, so none of them begins with the two slashes that a
//! browser reads as a host.

use bytes::Bytes;
use http::header::LOCATION;
use http::{HeaderMap, HeaderValue, StatusCode};
use pingora_http::RequestHeader;

use super::{Flow, Middleware, Step};
use crate::config::file::{RedirectFile, RedirectStatus, RouteFile, Scheme};
use crate::config::pattern::{Gap, Part};
use crate::credential::shown_query;
use crate::ctx::RequestContext;
use crate::path::BadPath;
use crate::reply::{Answer, Rejection};
use crate::template::{Template, made_path, normal_path};

/// The step that sends clients elsewhere.
pub(crate) struct Redirect {
    status: StatusCode,
    /// Scheme and authority; empty where the client stays.
    origin: Template,
    /// The path; the request's own when there is none.
    path: Option<Template>,
    /// With its `?`.
    query: Box<str>,
    keeps_query: bool,
}

impl Redirect {
    /// The step that `file` describes, on `route`; none when a parameter is wrong, which the check finds first.
    pub(crate) fn new(file: &RedirectFile, route: &RouteFile) -> Option<Self> {
        let status = match file.status {
            RedirectStatus::MovedPermanently => StatusCode::MOVED_PERMANENTLY,
            RedirectStatus::Found => StatusCode::FOUND,
            RedirectStatus::SeeOther => StatusCode::SEE_OTHER,
            RedirectStatus::Temporary => StatusCode::TEMPORARY_REDIRECT,
            RedirectStatus::Permanent => StatusCode::PERMANENT_REDIRECT,
        };
        Some(match &file.to {
            Some(target) => Self {
                status,
                origin: Template::compile(&target.origin, route)?,
                path: Some(Template::compile(&target.path, route)?),
                query: target.query.as_ref().map(|query| format!("?{query}")).unwrap_or_default().into(),
                keeps_query: target.keeps_query,
            },
            None => Self {
                status,
                origin: Template::compile(&origin(file), route)?,
                path: file
                    .path
                    .as_ref()
                    .map(|path| Template::compile(path.parts(), route).ok_or(()))
                    .transpose()
                    .ok()?,
                query: Box::default(),
                keeps_query: true,
            },
        })
    }

    fn location(&self, request: &RequestHeader, ctx: &RequestContext) -> Result<HeaderValue, Rejection> {
        let no_path = Rejection::BadPath(BadPath::NotAbsolute);
        let mut location = Vec::with_capacity(128);
        // Without a `Host` no route with hosts takes the request, and only such a one asks for it.
        self.origin.fill(request, ctx, &mut location).ok_or_else(|| no_path.clone())?;
        match &self.path {
            None => location.extend_from_slice(normal_path(request, ctx).as_bytes()),
            Some(template) => {
                let mut path = Vec::with_capacity(128);
                template.fill(request, ctx, &mut path).ok_or(no_path)?;
                let path = str::from_utf8(&path).map_err(|_| Rejection::BadPath(BadPath::ForbiddenByte))?;
                location.extend_from_slice(made_path(path, ctx).map_err(Rejection::BadPath)?.as_bytes());
            }
        }
        location.extend_from_slice(self.query.as_bytes());
        if let Some(query) = shown_query(request, ctx).filter(|_| self.keeps_query) {
            location.push(if self.query.is_empty() { b'?' } else { b'&' });
            location.extend_from_slice(query.as_bytes());
        }
        HeaderValue::from_maybe_shared(Bytes::from(location)).map_err(|_| Rejection::BadPath(BadPath::ForbiddenByte))
    }
}

/// What of a place's scheme, host and port `file` says, and the request's own for the rest.
fn origin(file: &RedirectFile) -> Vec<Part> {
    if file.scheme.is_none() && file.host.is_none() && file.port.is_none() {
        return Vec::new();
    }
    let scheme = match file.scheme {
        Some(Scheme::Http) => Part::Text("http".to_owned()),
        Some(Scheme::Https) => Part::Text("https".to_owned()),
        None => Part::Gap(Gap::Scheme),
    };
    let host = file.host.as_ref().map_or(Part::Gap(Gap::Host), |host| Part::Text(host.to_string()));
    let port = file.port.map(|port| format!(":{port}")).unwrap_or_default();
    vec![scheme, Part::Text("://".to_owned()), host, Part::Text(port)]
}

impl Middleware for Redirect {
    fn on_request<'a>(&'a self, head: &'a mut RequestHeader, ctx: &'a mut RequestContext) -> Step<'a> {
        Step::Done(match self.location(head, ctx) {
            Ok(location) => {
                let headers = HeaderMap::from_iter([(LOCATION, location)]);
                Flow::Answer(Box::new(Answer { status: self.status, headers, body: Bytes::new() }))
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

    async fn location(path: &str, redirect: &str, target: &str) -> (u16, String) {
        let route = format!(
            "match: {{ path: '{path}', hosts: ['*.example.com'] }}, middleware: [{{ redirect: {{ {redirect} }} }}]"
        );
        let answer = get(&route, target, &[]).await.answer();
        (answer.status.as_u16(), answer.headers[LOCATION].to_str().expect("ascii").to_owned())
    }

    #[tokio::test]
    async fn clients_are_sent_to_the_place_that_the_file_names() {
        for (path, redirect, target, place) in [
            (
                "/old/*",
                "to: 'https://{host}/new/{path}{query}'",
                "/old/a/b?c=d",
                "https://shop.example.com/new/a/b?c=d",
            ),
            ("/old/*", "to: 'https://{host}/new/{path}{query}'", "/old", "https://shop.example.com/new/"),
            (
                "/old/*",
                "to: 'https://other.example:8443/?from=old{query}'",
                "/old?a",
                "https://other.example:8443/?from=old&a",
            ),
            ("/old/*", "to: https://other.example", "/old/x?y", "https://other.example/"),
            ("/u/{id}", "to: '/users/{id}'", "/u/7?a", "/users/7"),
            ("/*", "scheme: https", "/a/../b?c", "https://shop.example.com/b?c"),
            ("/*", "host: Other.example", "/a?c", "http://other.example/a?c"),
            ("/*", "port: 8443, scheme: https", "/a", "https://shop.example.com:8443/a"),
            ("/u/{id}", "path: '/users/{id}'", "/u/7?a", "/users/7?a"),
        ] {
            assert_eq!(location(path, redirect, target).await, (308, place.to_owned()), "{redirect} {target}");
        }
    }

    #[tokio::test]
    async fn the_kind_of_redirect_is_the_files() {
        for status in [301, 302, 303, 307, 308] {
            assert_eq!(location("/*", &format!("to: /x, status: {status}"), "/").await.0, status);
        }
    }

    #[tokio::test]
    async fn no_path_leads_to_another_host() {
        // Without the normal form this were `//evil.example`, which a browser reads as a host.
        assert_eq!(location("/{a}/*", "path: '/{path}/{a}'", "/evil.example").await.1, "/evil.example");
        assert_eq!(location("/old/*", "to: '/{path}'", "/old//evil.example/").await.1, "/evil.example/");
        let encoded =
            get("match: { path: /* }, middleware: [{ redirect: { path: '/{path}' } }]", "/%5cevil.example", &[]);
        assert!(encoded.await.outcome.is_err());
    }
}
