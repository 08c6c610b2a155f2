//! What runs on a request between its route and its upstream, and on the answer on its way back.
//!
//! A middleware sees the request's head and its context, never the socket, and lets the request pass or says what to
//! answer. When there is an answer, whoever gave it, those that see responses may change its head, the last of the list
//! first. Each is one file below, with its behaviour and its tests. People who build a gateway of their own implement
//! [`Middleware`] and hand it to [`crate::Options`].

mod api_key;
mod authorize;
mod basic_auth;
mod client_certificate;
mod compress;
mod cors;
mod forward_auth;
mod headers;
mod identity;
mod identity_token;
mod introspection;
mod jwt;
mod providers;
mod rate_limit;
mod redirect;
#[cfg(test)]
mod rehearsed;
mod respond;
mod rewrite;

use std::sync::Arc;

use futures::future::BoxFuture;
use http::{HeaderMap, StatusCode};
use pingora_http::RequestHeader;

pub(crate) use api_key::CLIENT;
pub(crate) use authorize::Authorize;
pub(crate) use compress::{Compress, Encoder, Prepared};
pub(crate) use cors::{Cors, preflight_method};
pub(crate) use forward_auth::{ForwardAuth, ForwardAuths};
pub(crate) use headers::Headers;
pub(crate) use identity::hidden;
pub(crate) use identity_token::IdentitySigners;
pub(crate) use jwt::KeysState;
pub use jwt::ProviderError;
pub(crate) use providers::IdentityProviders;
pub(crate) use rate_limit::{Counting, RateLimit, told_apart};
pub(crate) use redirect::Redirect;
pub(crate) use respond::Respond;
pub(crate) use rewrite::Rewrite;

use crate::ctx::RequestContext;
use crate::reply::{Answer, Rejection};

/// One step between a route and its upstream.
pub trait Middleware: Send + Sync {
    /// Looks at the request, and lets it pass or says what to answer.
    ///
    /// A step that need not wait returns [`Step::Done`] and costs no allocation.
    fn on_request<'a>(&'a self, head: &'a mut RequestHeader, ctx: &'a mut RequestContext) -> Step<'a>;

    /// Changes the head of the answer to `request`: the upstream's, or the gateway's own.
    ///
    /// Also called when a step before this one has answered, so that nothing that [`Self::on_request`] does can be relied
    /// upon. `request` is as the steps have left it.
    fn on_response(&self, request: &RequestHeader, head: &mut ResponseHead<'_>, ctx: &mut RequestContext) {
        let _ = (request, head, ctx);
    }

    /// Whether [`Self::on_response`] does anything. Asked once, when the route is compiled; a step that says `false` costs
    /// responses nothing.
    fn sees_responses(&self) -> bool {
        true
    }
}

/// The head of an answer.
#[derive(Debug)]
pub struct ResponseHead<'a> {
    /// What was answered; not for a step to change.
    pub status: StatusCode,
    /// Every header the client will get but for those of the connection.
    pub headers: &'a mut HeaderMap,
}

/// What a middleware comes to, now or later.
pub enum Step<'a> {
    /// It has decided.
    Done(Flow),
    /// It has to wait for something with a deadline of its own.
    Wait(BoxFuture<'a, Flow>),
}

/// Whether a request goes on.
#[derive(Debug, PartialEq, Eq)]
pub enum Flow {
    /// The next step may look at it.
    Continue,
    /// The gateway says what is wrong with it.
    Reply(Rejection),
    /// The gateway answers itself, and nothing is wrong.
    Answer(Box<Answer>),
}

/// The steps of one route.
pub(crate) struct Chain {
    steps: Box<[Arc<dyn Middleware>]>,
    /// Those of them that see responses, in the order in which they do.
    on_response: Box<[Arc<dyn Middleware>]>,
}

impl Chain {
    /// The chain of `steps`, in the order of the file.
    pub(crate) fn new(steps: Vec<Arc<dyn Middleware>>) -> Self {
        let on_response = steps.iter().rev().filter(|step| step.sees_responses()).cloned().collect();
        Self { steps: steps.into(), on_response }
    }

    /// Runs the steps until one answers or all have let the request pass.
    pub(crate) async fn run(&self, head: &mut RequestHeader, ctx: &mut RequestContext) -> Flow {
        for middleware in &self.steps {
            let flow = match middleware.on_request(head, ctx) {
                Step::Done(flow) => flow,
                Step::Wait(decision) => decision.await,
            };
            if !matches!(flow, Flow::Continue) {
                return flow;
            }
        }
        Flow::Continue
    }

    /// Whether any step sees responses.
    pub(crate) const fn sees_responses(&self) -> bool {
        !self.on_response.is_empty()
    }

    /// Shows the head of an answer to the steps that see responses.
    pub(crate) fn amend(&self, request: &RequestHeader, head: &mut ResponseHead<'_>, ctx: &mut RequestContext) {
        for middleware in &self.on_response {
            middleware.on_response(request, head, ctx);
        }
    }
}
