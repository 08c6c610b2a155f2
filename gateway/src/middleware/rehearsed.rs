//! Runs requests through the steps of one route, for the tests of steps.

use std::net::IpAddr;
use std::path::Path;

use common::config::Env;
use http::HeaderMap;
use pingora_http::RequestHeader;

use super::ResponseHead;
use crate::config;
use crate::ctx::RequestContext;
use crate::rehearsal::Rehearsal;
use crate::reply::{Answer, Rejection};

/// A request and what has become of it.
pub(super) struct Rehearsed {
    pub(super) rehearsal: Rehearsal,
    pub(super) head: RequestHeader,
    pub(super) ctx: RequestContext,
    pub(super) outcome: Result<Option<Answer>, Rejection>,
}

/// Sends `GET target` with `headers` (and `Host: shop.example.com`) through the route that `route` describes.
pub(super) async fn get(route: &str, target: &str, headers: &[(&'static str, &str)]) -> Rehearsed {
    request("GET", route, target, headers).await
}

/// The same with another method.
pub(super) async fn request(method: &str, route: &str, target: &str, headers: &[(&'static str, &str)]) -> Rehearsed {
    let file = format!(
        "upstreams: {{ u: {{ targets: ['http://127.0.0.1:1'] }} }}\nroutes:\n  - {{ name: r, public: true, {route} }}\n"
    );
    let loaded = config::parse(&file, Path::new("f"), &Env::default()).unwrap_or_else(|problems| panic!("{problems}"));
    let rehearsal = Rehearsal::of(&loaded, Vec::new()).await.expect("compiles");
    let mut head = RequestHeader::build(method, target.as_bytes(), None).expect("a head");
    for (name, value) in [("host", "shop.example.com")].iter().chain(headers) {
        head.append_header(*name, (*value).to_owned()).expect("a header");
    }
    let mut ctx = rehearsal.request(IpAddr::from([192, 0, 2, 7]));
    let outcome = rehearsal.answer(&mut head, &mut ctx).await;
    Rehearsed { rehearsal, head, ctx, outcome }
}

impl Rehearsed {
    /// The values of the header `name` that the upstream gets.
    pub(super) fn header(&self, name: &str) -> Vec<String> {
        let mut forwarded = self.head.clone();
        self.rehearsal.forward(&mut forwarded, &self.ctx).expect("goes on");
        forwarded.headers.get_all(name).iter().map(|value| value.to_str().expect("ascii").to_owned()).collect()
    }

    /// The gateway's own answer as the client would get it, with what the steps add to it.
    pub(super) fn answer(mut self) -> Answer {
        let mut answer = self.outcome.expect("nothing wrong").expect("an answer");
        let mut head = ResponseHead { status: answer.status, headers: &mut answer.headers };
        self.rehearsal.amend(&self.head, &mut head, &mut self.ctx);
        answer
    }

    /// The headers that the client gets of an upstream's answer with `headers`.
    pub(super) fn answered_with(mut self, headers: HeaderMap) -> HeaderMap {
        assert_eq!(self.outcome, Ok(None), "goes on");
        let mut headers = headers;
        let mut head = ResponseHead { status: http::StatusCode::OK, headers: &mut headers };
        self.rehearsal.amend(&self.head, &mut head, &mut self.ctx);
        headers
    }
}
