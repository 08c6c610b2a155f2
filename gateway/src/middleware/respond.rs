//! Answers by itself, always the same.

use bytes::Bytes;
use http::header::CONTENT_TYPE;
use http::{HeaderMap, HeaderValue, StatusCode};
use pingora_http::RequestHeader;

use super::{Flow, Middleware, Step};
use crate::config::file::RespondFile;
use crate::ctx::RequestContext;
use crate::reply::Answer;

/// The step that answers.
pub(crate) struct Respond(Answer);

impl Respond {
    /// The step that `file` describes, with `body` if that is a file's; none when a header's name or the status is wrong,
    /// which the check finds first.
    pub(crate) fn new(file: &RespondFile, body: Option<&Bytes>) -> Option<Self> {
        let text = || file.body.as_ref().map(|text| Bytes::copy_from_slice(text.as_bytes()));
        let body = body.cloned().or_else(text).unwrap_or_default();
        let mut headers = HeaderMap::new();
        let plain = || HeaderValue::from_static("text/plain; charset=utf-8");
        let content_type = file.content_type.as_ref().map(|value| value.get().clone());
        headers.extend(content_type.or_else(|| (!body.is_empty()).then(plain)).map(|value| (CONTENT_TYPE, value)));
        for (name, value) in &file.headers {
            headers.insert(name.parse::<http::HeaderName>().ok()?, value.get().clone());
        }
        Some(Self(Answer { status: StatusCode::from_u16(file.status).ok()?, headers, body }))
    }
}

impl Middleware for Respond {
    fn on_request<'a>(&'a self, _head: &'a mut RequestHeader, _ctx: &'a mut RequestContext) -> Step<'a> {
        Step::Done(Flow::Answer(Box::new(self.0.clone())))
    }

    fn sees_responses(&self) -> bool {
        false
    }
}

#[cfg(test)]
mod tests {
    use super::super::rehearsed::get;

    #[tokio::test]
    async fn the_answer_is_the_files() {
        let answer = async |respond: &str| {
            let route = format!("match: {{ path: /* }}, middleware: [{{ respond: {{ {respond} }} }}]");
            get(&route, "/", &[]).await.answer()
        };
        let plain = answer("body: hello").await;
        assert_eq!((plain.status.as_u16(), &*plain.body), (200, &b"hello"[..]));
        assert_eq!(plain.headers["content-type"], "text/plain; charset=utf-8");
        let json =
            answer("status: 503, content_type: application/json, body: '{}', headers: { Retry-After: '60' }").await;
        assert_eq!((json.status.as_u16(), &*json.body), (503, &b"{}"[..]));
        assert_eq!(json.headers["content-type"], "application/json");
        assert_eq!(json.headers["retry-after"], "60");
        let empty = answer("status: 204").await;
        assert!(empty.headers.is_empty() && empty.body.is_empty());
    }
}
