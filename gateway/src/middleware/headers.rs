//! Changes headers of requests on their way to the upstream, and of responses on their way to the client.
//!
//! Values are made of what the client has sent, whatever other steps make of it. A value that cannot be made, because the
//! request has nothing for one of its gaps or because the result is no header value, leaves its header out; a client's own
//! header of a name that is set never takes its place.

use std::mem;

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue};
use pingora_http::RequestHeader;

use super::{Flow, Middleware, ResponseHead, Step};
use crate::config::file::{EditsFile, HeadersFile, RouteFile};
use crate::config::pattern::ValueTemplate;
use crate::ctx::{HeaderEdit, RequestContext};
use crate::template::Template;

/// The step that changes headers.
pub(crate) struct Headers {
    request: Edits,
    response: Edits,
}

struct Edits {
    remove: Box<[HeaderName]>,
    set: Box<[(HeaderName, Value)]>,
    add: Box<[(HeaderName, Value)]>,
}

enum Value {
    Fixed(HeaderValue),
    Made(Template),
}

impl Headers {
    /// The step that `file` describes, on `route`; none when a name or a parameter is wrong, which the check finds first.
    pub(crate) fn new(file: &HeadersFile, route: &RouteFile) -> Option<Self> {
        Some(Self { request: Edits::new(&file.request, route)?, response: Edits::new(&file.response, route)? })
    }
}

impl Middleware for Headers {
    fn on_request<'a>(&'a self, head: &'a mut RequestHeader, ctx: &'a mut RequestContext) -> Step<'a> {
        if !self.request.is_empty() {
            self.request.note(head, ctx);
        }
        Step::Done(Flow::Continue)
    }

    fn on_response(&self, request: &RequestHeader, head: &mut ResponseHead<'_>, ctx: &mut RequestContext) {
        self.response.apply(request, ctx, head.headers);
    }

    fn sees_responses(&self) -> bool {
        !self.response.is_empty()
    }
}

impl Edits {
    fn new(file: &EditsFile, route: &RouteFile) -> Option<Self> {
        let value = |(name, value): (&String, &ValueTemplate)| {
            Some((name.parse().ok()?, Value::new(Template::compile(value.parts(), route)?)?))
        };
        Some(Self {
            remove: file.remove.iter().map(|name| name.get().clone()).collect(),
            set: file.set.iter().map(value).collect::<Option<_>>()?,
            add: file.add.iter().map(value).collect::<Option<_>>()?,
        })
    }

    fn is_empty(&self) -> bool {
        self.remove.is_empty() && self.set.is_empty() && self.add.is_empty()
    }

    /// Notes what is to become of the request's headers when it is sent on. The client's own stay as they are, for they are
    /// what the steps behind this one, and those that see the response, go by.
    fn note(&self, request: &RequestHeader, ctx: &mut RequestContext) {
        let mut edits = mem::take(&mut ctx.header_edits);
        edits.reserve(self.remove.len() + self.set.len() + self.add.len());
        edits.extend(self.remove.iter().cloned().map(HeaderEdit::Remove));
        edits.extend(self.set.iter().map(|(name, value)| match value.of(request, ctx) {
            Some(value) => HeaderEdit::Set(name.clone(), value),
            None => HeaderEdit::Remove(name.clone()),
        }));
        let added = |(name, value): &(HeaderName, Value)| Some(HeaderEdit::Add(name.clone(), value.of(request, ctx)?));
        edits.extend(self.add.iter().filter_map(added));
        ctx.header_edits = edits;
    }

    fn apply(&self, request: &RequestHeader, ctx: &RequestContext, headers: &mut HeaderMap) {
        for name in &self.remove {
            headers.remove(name);
        }
        for (name, value) in &self.set {
            match value.of(request, ctx) {
                Some(value) => drop(headers.insert(name.clone(), value)),
                None => drop(headers.remove(name)),
            }
        }
        for (name, value) in &self.add {
            if let Some(value) = value.of(request, ctx) {
                headers.append(name.clone(), value);
            }
        }
    }
}

impl Value {
    fn new(template: Template) -> Option<Self> {
        match template.fixed() {
            Some(text) => HeaderValue::from_str(text).ok().map(Self::Fixed),
            None => Some(Self::Made(template)),
        }
    }

    fn of(&self, request: &RequestHeader, ctx: &RequestContext) -> Option<HeaderValue> {
        match self {
            Self::Fixed(value) => Some(value.clone()),
            Self::Made(template) => {
                let mut text = Vec::with_capacity(64);
                template.fill(request, ctx, &mut text)?;
                HeaderValue::from_maybe_shared(Bytes::from(text)).ok()
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use serde_json::json;

    use super::super::rehearsed::{Rehearsed, get};
    use super::*;
    use crate::ctx::Identity;

    async fn edited(edits: &str, target: &str, headers: &[(&'static str, &str)]) -> Rehearsed {
        let route =
            format!("match: {{ path: '/u/{{id}}/*' }}, upstream: u, middleware: [{{ headers: {{ {edits} }} }}]");
        get(&route, target, headers).await
    }

    #[tokio::test]
    async fn a_request_gets_what_is_set_and_added_and_loses_what_is_removed() {
        let request = edited(
            "request: { set: { X-A: fixed, X-B: '{header.x-b}!' }, add: { X-C: '2' }, remove: [Cookie] }",
            "/u/1",
            &[("x-a", "client"), ("x-a", "twice"), ("x-b", "b"), ("x-c", "1"), ("cookie", "c")],
        )
        .await;
        assert_eq!(request.header("x-a"), ["fixed"]);
        assert_eq!(request.header("x-b"), ["b!"]);
        assert_eq!(request.header("x-c"), ["1", "2"]);
        assert!(request.header("cookie").is_empty());
    }

    #[tokio::test]
    async fn each_gap_is_filled_by_the_request() {
        for (template, value) in [
            ("{client_ip}", "192.0.2.7"),
            ("{host}", "shop.example.com"),
            ("{path}", "/u/1%2C2/x"),
            ("{route}", "r"),
            ("{param.id}", "1%2C2"),
            ("{header.accept}", "a/b"),
            ("<{param.id}> {route}", "<1%2C2> r"),
        ] {
            let edits = format!("request: {{ set: {{ X-A: '{template}' }} }}");
            assert_eq!(
                edited(&edits, "//u/1%2c2/x?q", &[("accept", "a/b")]).await.header("x-a"),
                [value],
                "{template}"
            );
        }
        let request = edited("request: { set: { X-A: '{request_id}' } }", "/u/1", &[]).await;
        assert_eq!(request.header("x-a"), [request.ctx.request_id.to_str().expect("ascii")]);
    }

    #[tokio::test]
    async fn a_value_that_cannot_be_made_leaves_its_header_out_and_never_the_clients_in_its_place() {
        let request = edited(
            "request: { set: { X-A: 'v{header.x-none}' }, add: { X-B: '{header.x-none}' } }",
            "/u/1",
            &[("x-a", "forged"), ("x-b", "kept")],
        )
        .await;
        assert!(request.header("x-a").is_empty());
        assert_eq!(request.header("x-b"), ["kept"]);
    }

    #[tokio::test]
    async fn a_claim_that_is_no_header_is_left_out() {
        let name = async |name: &str| {
            let mut request = edited("response: { set: { X-Name: '{claim.name}' } }", "/u/1", &[]).await;
            let claims = json!({"name": name}).as_object().expect("claims").clone();
            request.ctx.identity = Some(Arc::new(Identity { claims, headers: Vec::new() }));
            request.answered_with(HeaderMap::new()).get("x-name").cloned()
        };
        assert_eq!(name("ann").await, Some(HeaderValue::from_static("ann")));
        assert_eq!(name("ann\r\nX-Admin: 1").await, None);
    }

    #[tokio::test]
    async fn what_an_upstream_could_take_for_a_header_that_is_set_is_removed() {
        let request = edited(
            "request: { set: { X-My-Team: ours }, remove: [X-Gone] }",
            "/u/1",
            &[("x_my_team", "forged"), ("x-my_team", "forged"), ("x_gone", "forged"), ("x_other", "kept")],
        )
        .await;
        assert_eq!(request.header("x-my-team"), ["ours"]);
        assert!(["x_my_team", "x-my_team", "x_gone"].iter().all(|alias| request.header(alias).is_empty()));
        assert_eq!(request.header("x_other"), ["kept"]);
    }

    #[tokio::test]
    async fn values_are_made_of_what_the_client_has_sent() {
        let request = edited(
            "request: { set: { X-Was: '{header.authorization}' }, remove: [Authorization] }",
            "/u/1",
            &[("authorization", "Basic x")],
        )
        .await;
        assert_eq!(request.header("x-was"), ["Basic x"]);
        assert!(request.header("authorization").is_empty());
    }

    #[tokio::test]
    async fn a_response_is_edited_too() {
        let edits = "response: { set: { X-A: '{param.id}' }, add: { Vary: Accept }, remove: [Server] }";
        let mut answered = HeaderMap::new();
        for (name, value) in [("x-a", "upstream"), ("server", "s"), ("vary", "Origin")] {
            answered.insert(name, HeaderValue::from_static(value));
        }
        let headers = edited(edits, "/u/7", &[]).await.answered_with(answered);
        assert_eq!(headers["x-a"], "7");
        assert_eq!(headers.get_all("vary").iter().collect::<Vec<_>>(), ["Origin", "Accept"]);
        assert!(!headers.contains_key("server"));
    }
}
