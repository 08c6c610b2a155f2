//! What runs on a request between its route and its upstream.
//!
//! A middleware sees the request's head and its context, never the socket, and either lets the request pass or says what
//! to answer. Each is one file below, with its typed settings, its behaviour and its tests. People who build a gateway of
//! their own implement [`Middleware`] and hand it to [`crate::Options`].

mod api_key;
mod authorize;
mod basic_auth;
mod identity;
mod jwt;
mod providers;
mod rate_limit;

use std::sync::Arc;

use futures::future::BoxFuture;
use pingora_http::RequestHeader;

pub(crate) use authorize::Authorize;
pub(crate) use identity::hidden;
pub use jwt::ProviderError;
pub(crate) use providers::IdentityProviders;
pub(crate) use rate_limit::RateLimit;

use crate::ctx::RequestContext;
use crate::reply::Rejection;

/// One step between a route and its upstream.
pub trait Middleware: Send + Sync {
    /// Looks at the request, and lets it pass or says what to answer.
    ///
    /// A step that need not wait returns [`Step::Done`] and costs no allocation.
    fn on_request<'a>(&'a self, head: &'a mut RequestHeader, ctx: &'a mut RequestContext) -> Step<'a>;
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
    /// The gateway answers itself.
    Reply(Rejection),
}

/// The steps of one route, in order.
pub type Chain = Box<[Arc<dyn Middleware>]>;

/// Runs `chain` until a step replies or all have let the request pass.
pub(crate) async fn run(chain: &Chain, head: &mut RequestHeader, ctx: &mut RequestContext) -> Flow {
    for middleware in chain {
        let flow = match middleware.on_request(head, ctx) {
            Step::Done(flow) => flow,
            Step::Wait(decision) => decision.await,
        };
        if let Flow::Reply(_) = flow {
            return flow;
        }
    }
    Flow::Continue
}
