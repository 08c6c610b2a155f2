//! Lets web pages of other origins use a route: the CORS protocol of the Fetch standard (<https://fetch.spec.whatwg.org/>,
//! section 3.2).
//!
//! A browser asks first whether a page may make a request (a preflight: `OPTIONS` with `Origin` and
//! `Access-Control-Request-Method`). That is answered before every other step, for it carries no token, and it is answered
//! for the route of the request that would follow. A page that may not is told so by the absence of headers, with 204 too;
//! and a request that comes without a preflight goes on whoever sends it, for it is the browser that keeps the answer from
//! the page.

use bytes::Bytes;
use http::header::{
    ACCESS_CONTROL_ALLOW_CREDENTIALS, ACCESS_CONTROL_ALLOW_HEADERS, ACCESS_CONTROL_ALLOW_METHODS,
    ACCESS_CONTROL_ALLOW_ORIGIN, ACCESS_CONTROL_EXPOSE_HEADERS, ACCESS_CONTROL_MAX_AGE, ACCESS_CONTROL_REQUEST_METHOD,
    ORIGIN,
};
use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode};
use pingora_http::RequestHeader;

use super::{Flow, Middleware, ResponseHead, Step};
use crate::config::file::{CorsFile, RouteFile};
use crate::config::pattern::OriginPattern;
use crate::ctx::RequestContext;
use crate::heads::vary_by;
use crate::reply::Answer;
use crate::router::MethodSet;

/// What only the gateway says on a route with this step.
const OWN: [HeaderName; 6] = [
    ACCESS_CONTROL_ALLOW_ORIGIN,
    ACCESS_CONTROL_ALLOW_CREDENTIALS,
    ACCESS_CONTROL_EXPOSE_HEADERS,
    ACCESS_CONTROL_ALLOW_METHODS,
    ACCESS_CONTROL_ALLOW_HEADERS,
    ACCESS_CONTROL_MAX_AGE,
];

/// The step that lets web pages in.
pub(crate) struct Cors {
    /// None when every origin is taken, and told so.
    origins: Option<Box<[OriginPattern]>>,
    credentials: bool,
    exposed: Option<HeaderValue>,
    /// What the answer to a preflight has for those who may.
    granted: HeaderMap,
}

impl Cors {
    /// The step that `file` describes, on `route`; none when a name is none, which the check finds first.
    pub(crate) fn new(file: &CorsFile, route: &RouteFile) -> Option<Self> {
        let methods = if file.allow_methods.is_empty() { &route.matches.methods } else { &file.allow_methods };
        let methods: Vec<String> =
            MethodSet::of(methods.iter().map(|method| method.get())).iter().map(|method| method.to_string()).collect();
        let mut granted = HeaderMap::new();
        granted.insert(ACCESS_CONTROL_ALLOW_METHODS, HeaderValue::try_from(methods.join(", ")).ok()?);
        granted.extend(listed(&file.allow_headers)?.map(|value| (ACCESS_CONTROL_ALLOW_HEADERS, value)));
        granted.extend(file.max_age.map(|age| (ACCESS_CONTROL_MAX_AGE, HeaderValue::from(age.get().as_secs()))));
        let takes_all = file.allow_origins.contains(&OriginPattern::Any);
        Some(Self {
            origins: (!takes_all).then(|| file.allow_origins.as_slice().into()),
            credentials: file.allow_credentials,
            exposed: listed(&file.expose_headers)?,
            granted,
        })
    }

    /// The answer to a preflight, but for what [`Middleware::on_response`] says to every request.
    pub(crate) fn preflight(&self, request: &RequestHeader) -> Answer {
        let mut headers = match self.allowed(request) {
            Some(_) => self.granted.clone(),
            None => HeaderMap::new(),
        };
        vary_by(&mut headers, "Access-Control-Request-Method");
        vary_by(&mut headers, "Access-Control-Request-Headers");
        Answer { status: StatusCode::NO_CONTENT, headers, body: Bytes::new() }
    }

    /// What `Access-Control-Allow-Origin` says to the page that `request` comes from; none when it may not.
    fn allowed(&self, request: &RequestHeader) -> Option<HeaderValue> {
        let Some(origins) = &self.origins else { return Some(HeaderValue::from_static("*")) };
        let mut sent = request.headers.get_all(ORIGIN).iter();
        let (origin, None) = (sent.next()?, sent.next()) else { return None };
        origins.iter().any(|pattern| pattern.takes(origin.as_bytes())).then(|| origin.clone())
    }
}

impl Middleware for Cors {
    fn on_request<'a>(&'a self, _head: &'a mut RequestHeader, _ctx: &'a mut RequestContext) -> Step<'a> {
        Step::Done(Flow::Continue)
    }

    fn on_response(&self, request: &RequestHeader, head: &mut ResponseHead<'_>, _ctx: &mut RequestContext) {
        let answers_preflight = preflight_method(request).is_some() && head.status == StatusCode::NO_CONTENT;
        for name in OWN.iter().filter(|name| !answers_preflight || !self.granted.contains_key(*name)) {
            head.headers.remove(name);
        }
        if self.origins.is_some() {
            // Also for requests that name no origin: what a cache keeps of them is not for those that do.
            vary_by(head.headers, "Origin");
        }
        let Some(origin) = self.allowed(request) else { return };
        head.headers.insert(ACCESS_CONTROL_ALLOW_ORIGIN, origin);
        if self.credentials {
            head.headers.insert(ACCESS_CONTROL_ALLOW_CREDENTIALS, HeaderValue::from_static("true"));
        }
        if let Some(exposed) = self.exposed.as_ref().filter(|_| !answers_preflight) {
            head.headers.insert(ACCESS_CONTROL_EXPOSE_HEADERS, exposed.clone());
        }
    }
}

/// The method of the request that a preflight asks about; none for every other request.
pub(crate) fn preflight_method(request: &RequestHeader) -> Option<Method> {
    if request.method != Method::OPTIONS || !request.headers.contains_key(ORIGIN) {
        return None;
    }
    Method::from_bytes(request.headers.get(ACCESS_CONTROL_REQUEST_METHOD)?.as_bytes()).ok()
}

/// A list of header names as one value; no value for an empty one.
fn listed(names: &[String]) -> Option<Option<HeaderValue>> {
    if names.is_empty() { Some(None) } else { HeaderValue::try_from(names.join(", ")).ok().map(Some) }
}

#[cfg(test)]
mod tests {
    use http::header::VARY;

    use super::super::rehearsed::{get, request};
    use super::*;

    const LISTED: &str = "allow_origins: ['https://shop.example.com', 'https://*.partner.example'], allow_credentials: true, \
                          allow_headers: [X-A, Authorization], expose_headers: [X-B], max_age: 10m";

    fn route(cors: &str) -> String {
        format!("match: {{ path: /x, methods: [GET, PUT] }}, upstream: u, middleware: [{{ cors: {{ {cors} }} }}]")
    }

    async fn preflight(cors: &str, origin: &str, method: &str) -> HeaderMap {
        let asked = [("origin", origin), ("access-control-request-method", method)];
        let answer = request("OPTIONS", &route(cors), "/x", &asked).await.answer();
        assert_eq!((answer.status, answer.body.len()), (StatusCode::NO_CONTENT, 0));
        answer.headers
    }

    async fn actual(cors: &str, origin: Option<&str>, said: &[(&'static str, &'static str)]) -> HeaderMap {
        let upstream =
            said.iter().map(|(name, value)| (HeaderName::from_static(name), HeaderValue::from_static(value)));
        let origin: Vec<_> = origin.map(|origin| ("origin", origin)).into_iter().collect();
        get(&route(cors), "/x", &origin).await.answered_with(upstream.collect())
    }

    fn vary(headers: &HeaderMap) -> Vec<&str> {
        headers.get_all(VARY).iter().map(|value| value.to_str().expect("ascii")).collect()
    }

    #[tokio::test]
    async fn a_preflight_of_a_listed_origin_is_told_what_it_may() {
        for origin in ["https://shop.example.com", "https://a.b.partner.example"] {
            let headers = preflight(LISTED, origin, "PUT").await;
            assert_eq!(headers["access-control-allow-origin"], origin);
            assert_eq!(headers["access-control-allow-credentials"], "true");
            assert_eq!(headers["access-control-allow-methods"], "GET, HEAD, PUT");
            assert_eq!(headers["access-control-allow-headers"], "X-A, Authorization");
            assert_eq!(headers["access-control-max-age"], "600");
            assert!(!headers.contains_key("access-control-expose-headers"));
            assert_eq!(vary(&headers), ["Access-Control-Request-Method", "Access-Control-Request-Headers", "Origin"]);
        }
    }

    #[tokio::test]
    async fn a_preflight_of_another_origin_is_granted_nothing() {
        for origin in ["https://evil.example", "http://shop.example.com", "https://partner.example", "null"] {
            let headers = preflight(LISTED, origin, "PUT").await;
            assert!(headers.keys().all(|name| !name.as_str().starts_with("access-control-")), "{origin} {headers:?}");
            assert!(vary(&headers).contains(&"Origin"));
        }
    }

    #[tokio::test]
    async fn everybody_is_told_the_same_where_every_origin_is_taken() {
        let headers = preflight("allow_origins: ['*'], allow_methods: [DELETE]", "null", "GET").await;
        assert_eq!(headers["access-control-allow-origin"], "*");
        assert_eq!(headers["access-control-allow-methods"], "DELETE");
        assert!(!headers.contains_key("access-control-allow-headers"));
        let headers = actual("allow_origins: ['*']", None, &[]).await;
        assert_eq!(headers["access-control-allow-origin"], "*");
        assert!(vary(&headers).is_empty());
    }

    #[tokio::test]
    async fn only_what_asks_for_a_method_that_the_route_takes_is_a_preflight() {
        let refused = async |headers: &[(&'static str, &str)]| {
            request("OPTIONS", &route(LISTED), "/x", headers).await.outcome.expect_err("no preflight").code()
        };
        let origin = ("origin", "https://shop.example.com");
        assert_eq!(refused(&[origin]).await, "method_not_allowed");
        assert_eq!(refused(&[("access-control-request-method", "PUT")]).await, "method_not_allowed");
        assert_eq!(refused(&[origin, ("access-control-request-method", "DELETE")]).await, "method_not_allowed");
        assert_eq!(refused(&[origin, ("access-control-request-method", "")]).await, "method_not_allowed");
    }

    #[tokio::test]
    async fn an_answer_says_what_the_gateway_says_and_nothing_of_the_upstreams() {
        let said = [
            ("access-control-allow-origin", "*"),
            ("access-control-allow-methods", "PURGE"),
            ("access-control-expose-headers", "X-Secret"),
            ("vary", "Accept-Encoding"),
        ];
        let headers = actual(LISTED, Some("https://shop.example.com"), &said).await;
        assert_eq!(headers["access-control-allow-origin"], "https://shop.example.com");
        assert_eq!(headers["access-control-allow-credentials"], "true");
        assert_eq!(headers["access-control-expose-headers"], "X-B");
        assert!(!headers.contains_key("access-control-allow-methods"));
        assert_eq!(vary(&headers), ["Accept-Encoding", "Origin"]);
        for other in [None, Some("https://evil.example")] {
            let headers = actual(LISTED, other, &said).await;
            assert!(headers.keys().all(|name| !name.as_str().starts_with("access-control-")), "{headers:?}");
            assert_eq!(vary(&headers), ["Accept-Encoding", "Origin"], "a cache must know");
        }
    }
}
