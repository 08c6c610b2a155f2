//! Answers by itself, always the same.

use std::sync::Arc;

use bytes::Bytes;
use http::header::CONTENT_TYPE;
use http::{HeaderMap, HeaderValue, StatusCode};
use pingora_http::RequestHeader;

use super::{Flow, Middleware, Prepared, Step};
use crate::config::file::{CompressFile, RespondFile};
use crate::ctx::RequestContext;
use crate::reply::Answer;

/// The step that answers.
pub(crate) struct Respond {
    answer: Answer,
    /// Its body, compressed.
    prepared: Option<Arc<Prepared>>,
}

impl Respond {
    /// The step that `file` describes, with `body` if that is a file's; none when a header's name or the status is wrong,
    /// which the check finds first. The route's `compress` step, if it has one, finds its work done.
    pub(crate) fn new(file: &RespondFile, body: Option<&Bytes>, compress: Option<&CompressFile>) -> Option<Self> {
        let text = || file.body.as_ref().map(|text| Bytes::copy_from_slice(text.as_bytes()));
        let body = body.cloned().or_else(text).unwrap_or_default();
        let mut headers = HeaderMap::new();
        let plain = || HeaderValue::from_static("text/plain; charset=utf-8");
        let content_type = file.content_type.as_ref().map(|value| value.get().clone());
        headers.extend(content_type.or_else(|| (!body.is_empty()).then(plain)).map(|value| (CONTENT_TYPE, value)));
        for (name, value) in &file.headers {
            headers.insert(name.parse::<http::HeaderName>().ok()?, value.get().clone());
        }
        let status = StatusCode::from_u16(file.status).ok()?;
        let prepared = compress.and_then(|compress| Prepared::of(compress, status, &headers, &body)).map(Arc::new);
        Some(Self { answer: Answer { status, headers, body }, prepared })
    }
}

impl Middleware for Respond {
    fn on_request<'a>(&'a self, _head: &'a mut RequestHeader, ctx: &'a mut RequestContext) -> Step<'a> {
        ctx.prepared.clone_from(&self.prepared);
        Step::Done(Flow::Answer(Box::new(self.answer.clone())))
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
