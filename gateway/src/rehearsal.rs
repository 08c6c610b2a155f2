//! Tells what a configuration does with a request, without a listener and without sending anything on.
//!
//! For tests that stand beside a configuration (which route takes this, who is let in) and for tests of
//! [middleware](crate::middleware::Middleware) of one's own: both run the code of a gateway that serves.

use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::AtomicUsize;

use arc_swap::ArcSwap;
use pingora_http::RequestHeader;
use tokio::runtime::Handle;

use crate::client_addr::PeerAddr;
use crate::config::Loaded;
use crate::ctx::{InFlight, RequestContext};
use crate::forwarded;
use crate::middleware::{Middleware, ResponseHead};
use crate::proxy::{self, Admitted};
use crate::reply::{Answer, Rejection};
use crate::server::{ReloadError, StartError};
use crate::snapshot::{Snapshot, Workshop};

/// A configuration, compiled as a gateway compiles it.
///
/// Whatever runs beside a gateway's requests (health checks, name look-ups, the link to Redis) runs here too if the
/// configuration asks for it, on the runtime that the rehearsal was made on.
pub struct Rehearsal {
    snapshot: ArcSwap<Snapshot>,
    workshop: Workshop,
    in_flight: Arc<AtomicUsize>,
}

impl Rehearsal {
    /// Compiles `loaded`, with `middleware` of the caller's own before the steps of every route.
    ///
    /// # Panics
    /// Outside of a tokio runtime.
    ///
    /// # Errors
    /// When a gateway would not start with it either.
    pub async fn of(loaded: &Loaded, middleware: Vec<Arc<dyn Middleware>>) -> Result<Self, StartError> {
        let workshop = Workshop { control: Handle::current(), middleware };
        let snapshot = ArcSwap::from_pointee(Snapshot::compile(loaded, &workshop, None).await?);
        Ok(Self { snapshot, workshop, in_flight: Arc::default() })
    }

    /// Exchanges the configuration, as a reload does: what did not change keeps its state, and requests that have begun
    /// keep what they began with.
    ///
    /// # Errors
    /// The configuration before stays then.
    pub async fn reload(&self, loaded: &Loaded) -> Result<(), ReloadError> {
        let before = self.snapshot.load_full();
        self.snapshot.store(Arc::new(Snapshot::compile(loaded, &self.workshop, Some(&before)).await?));
        Ok(())
    }

    /// What is known of a request that begins now on a connection of `peer`.
    #[must_use]
    pub fn request(&self, peer: IpAddr) -> RequestContext {
        let mut ctx = RequestContext::new(self.snapshot.load_full(), InFlight::enter(&self.in_flight));
        ctx.came_from(PeerAddr::new(peer));
        ctx
    }

    /// Finds out who sent the request with this `head`, finds its route, and runs the route's middleware. What was found out
    /// stands in `ctx` then. What the gateway checks on the wire before this, like sizes and framing, is not rehearsed.
    ///
    /// # Errors
    /// What the gateway would say is wrong with it.
    pub async fn admit(&self, head: &mut RequestHeader, ctx: &mut RequestContext) -> Result<(), Rejection> {
        self.answer(head, ctx).await.map(drop)
    }

    /// The same, with what the gateway answers where the route needs no upstream for it.
    ///
    /// # Errors
    /// What the gateway would say is wrong with the request.
    pub async fn answer(
        &self,
        head: &mut RequestHeader,
        ctx: &mut RequestContext,
    ) -> Result<Option<Answer>, Rejection> {
        forwarded::believe(&head.headers, ctx)?;
        match proxy::admit(head, ctx).await? {
            Admitted::Forward => Ok(None),
            Admitted::Answer(answer) => Ok(Some(*answer)),
        }
    }

    /// Changes `response`, an answer to the request that `ctx` is about, as the gateway does before the client gets it: the
    /// steps of the route that see responses, the last of the list first.
    pub fn amend(&self, request: &RequestHeader, response: &mut ResponseHead<'_>, ctx: &mut RequestContext) {
        proxy::amend(request, response, ctx);
    }

    /// Turns `head`, of a request that was admitted, into what its upstream would get.
    ///
    /// # Errors
    /// Never for a request that was admitted.
    pub fn forward(&self, head: &mut RequestHeader, ctx: &RequestContext) -> Result<(), Rejection> {
        proxy::prepare(head, ctx).map_err(|_| Rejection::Internal)
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use common::config::Env;
    use http::Method;

    use super::*;
    use crate::config;
    use crate::middleware::{Flow, Step};

    const FILE: &str = "
rate_limits: { two: { scope: local, limit: 2, window: 1h, key: client_address } }
upstreams: { u: { targets: ['http://127.0.0.1:1'] } }
routes:
  - { name: items, match: { path: /items/* }, upstream: u, public: true, middleware: [{ rate_limit: { policies: [two] } }] }
";

    async fn rehearsal(text: &str, middleware: Vec<Arc<dyn Middleware>>) -> Rehearsal {
        Rehearsal::of(&loaded(text), middleware).await.unwrap_or_else(|error| panic!("{error}"))
    }

    fn loaded(text: &str) -> Loaded {
        config::parse(text, Path::new("test.yaml"), &Env::default()).unwrap_or_else(|problems| panic!("{problems}"))
    }

    async fn admitted(rehearsal: &Rehearsal, path: &str) -> Result<String, Rejection> {
        let mut head = RequestHeader::build(Method::GET, path.as_bytes(), None).expect("a head");
        let mut ctx = rehearsal.request(IpAddr::from([192, 0, 2, 7]));
        rehearsal.admit(&mut head, &mut ctx).await.map(|()| ctx.route_name().unwrap_or("none").to_owned())
    }

    #[tokio::test]
    async fn a_request_is_routed_limited_and_keeps_its_counts_over_a_reload() {
        let rehearsal = rehearsal(FILE, Vec::new()).await;
        assert_eq!(admitted(&rehearsal, "/items/1").await.as_deref(), Ok("items"));
        assert_eq!(admitted(&rehearsal, "/other").await, Err(Rejection::NoRoute));
        rehearsal.reload(&loaded(&FILE.replace("items", "things"))).await.expect("compiles");
        assert_eq!(admitted(&rehearsal, "/items/1").await, Err(Rejection::NoRoute));
        assert_eq!(admitted(&rehearsal, "/things/1").await.as_deref(), Ok("things"));
        assert_eq!(admitted(&rehearsal, "/things/1").await, Err(Rejection::QuotaExceeded("two".into())));
    }

    const INSIDE: &str = "
server: { trusted_proxies: [10.0.0.0/8] }
upstreams: { u: { targets: ['http://127.0.0.1:1'] } }
routes:
  - { name: all, match: { path: /* }, upstream: u, public: true }
  - { name: inside, match: { path: /*, client: [192.0.2.0/24] }, upstream: u, public: true }
  - { name: beta, match: { path: /* , headers: [{ name: X-Beta, present: true }] }, priority: 1, upstream: u, public: true }
";

    #[tokio::test]
    async fn who_asks_and_what_goes_on_are_shown() {
        let rehearsal = rehearsal(INSIDE, Vec::new()).await;
        for (header, value, peer, route, client, onward) in [
            ("x-forwarded-for", "192.0.2.7", [10, 0, 0, 1], "inside", [192, 0, 2, 7], "192.0.2.7, 10.0.0.1"),
            ("x-forwarded-for", "192.0.2.7", [11, 0, 0, 1], "all", [11, 0, 0, 1], "11.0.0.1"),
            ("x-beta", "", [192, 0, 2, 7], "beta", [192, 0, 2, 7], "192.0.2.7"),
        ] {
            let mut head = RequestHeader::build(Method::GET, b"/a", None).expect("a head");
            head.append_header(header, value).expect("a header");
            let mut ctx = rehearsal.request(peer.into());
            rehearsal.admit(&mut head, &mut ctx).await.expect("admitted");
            rehearsal.forward(&mut head, &ctx).expect("goes on");
            assert_eq!((ctx.route_name(), ctx.client.get()), (Some(route), IpAddr::from(client)));
            assert_eq!(head.headers["x-forwarded-for"], onward);
        }
    }

    struct Closed;

    impl Middleware for Closed {
        fn on_request<'a>(&'a self, _head: &'a mut RequestHeader, ctx: &'a mut RequestContext) -> Step<'a> {
            assert_eq!(ctx.route_name(), Some("items"));
            Step::Done(Flow::Reply(Rejection::TokenMissing))
        }
    }

    #[tokio::test]
    async fn middleware_of_ones_own_runs_before_that_of_the_route() {
        let rehearsal = rehearsal(FILE, vec![Arc::new(Closed)]).await;
        for _ in 0..3 {
            assert_eq!(admitted(&rehearsal, "/items/1").await, Err(Rejection::TokenMissing));
        }
    }
}
