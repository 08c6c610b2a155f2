//! A request's way through the gateway, in the order in which Pingora calls.
//!
//! Head read and screened (`server/front.rs`) → [`admit`](Proxy::admit): routed, through the route's middleware → a target
//! picked → head made ready for it → body counted on its way → response amended → one log line, whatever happened.

mod asserted;
mod failure;
mod forward;
mod linger;
mod locate;

use std::os::fd::RawFd;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use async_trait::async_trait;
use bytes::Bytes;
use http::header::{
    CONTENT_ENCODING, CONTENT_LENGTH, EXPECT, HOST, SET_COOKIE, STRICT_TRANSPORT_SECURITY, TRANSFER_ENCODING,
};
use http::{HeaderMap, HeaderValue, Method, StatusCode, Version};
use pingora_core::modules::http::HttpModules;
use pingora_core::protocols::Digest;
use pingora_core::upstreams::peer::HttpPeer;
use pingora_core::{Error, ErrorType, OrErr, Result};
use pingora_http::{RequestHeader, ResponseHeader};
use pingora_proxy::{FailToProxy, ProxyHttp, Session};

pub(crate) use asserted::AssertedHeaders;
use failure::BadBody;
pub(crate) use forward::prepare;
use locate::find_route;

use crate::access_log::{Line, Timestamp};
use crate::client_addr::PeerAddr;
use crate::ctx::{InFlight, RequestContext};
use crate::forwarded;
use crate::heads::{change_request, change_response};
use crate::host;
use crate::limit::Policy;
use crate::middleware::{Flow, ResponseHead, preflight_method};
use crate::peer_certificate::PeerCertificate;
use crate::reply::{self, Answer, REQUEST_ID, Rejection};
use crate::screen::screen_h2;
use crate::server::{Shared, quiet};

/// Answered on every listener, unless a route takes it.
const HEALTH_PATH: &str = "/health";

/// How many headers a response of a limited route gets: its quota, its request's id, and Pingora's own. Where the route has no
/// limit there is nearly always room for them.
const MOST_ADDED: usize = 8;

/// The gateway as Pingora sees it.
pub(crate) struct Proxy {
    shared: Arc<Shared>,
}

impl Proxy {
    /// A proxy that serves whatever snapshot `shared` holds.
    #[must_use]
    pub(crate) const fn new(shared: Arc<Shared>) -> Self {
        Self { shared }
    }

    /// Makes sure that the body keeps within its bounds with its next `part`.
    fn measure(part: Option<&Bytes>, session: &mut Session, ctx: &mut RequestContext) -> Result<()> {
        let Some(part) = part else { return Ok(()) };
        ctx.body_bytes += part.len() as u64;
        if ctx.route.as_ref().is_some_and(|route| ctx.body_bytes > route.max_body) {
            // Only a chunked body comes this far; the part that is too much is never sent on.
            ctx.rejection = Some(Rejection::BodyTooLarge);
            return Err(failure::bad_body(BadBody::TooLarge));
        }
        let is_late = ctx.started.elapsed() > ctx.snapshot.client_timeouts.body;
        if is_late && !session.is_body_done() && !may_take_long(session.req_header(), ctx) {
            // A part came within the read time-out each time, and still there is no end.
            ctx.rejection = Some(Rejection::ClientTimedOut);
            return Err(failure::bad_body(BadBody::TooSlow));
        }
        Ok(())
    }

    /// Decides whether the request goes on: its path, its route, and what the route's middleware says.
    async fn admit(&self, session: &mut Session, ctx: &mut RequestContext) -> Result<Admitted, Rejection> {
        if let Some(tls) = ctx.snapshot.tls.as_ref().filter(|_| ctx.over_tls) {
            tls.admit(ctx.certificate.as_deref(), ctx.unix_time())?;
        }
        let request = session.req_header_mut();
        forwarded::believe(&request.headers, ctx)?;
        // One of HTTP/1 was screened before it was a request.
        let is_h2 = request.version == Version::HTTP_2;
        let host = if is_h2 { Some(screen_h2(request, &ctx.snapshot.limits)?) } else { None };
        change_request(request, |parts| host.map(|host| parts.headers.insert(HOST, host)));
        if let Some(to_https) = ctx.snapshot.to_https.as_ref().filter(|_| !ctx.is_https() && !is_health_check(request))
        {
            return to_https.answer(request).map(|answer| Admitted::Answer(Box::new(answer)));
        }
        admit(request, ctx).await
    }
}

/// What happens to a request with which nothing is wrong.
pub(crate) enum Admitted {
    /// Its upstream is asked.
    Forward,
    /// Its route answers by itself.
    Answer(Box<Answer>),
}

/// Decides whether a request that is in form goes on: its route, and what the route's middleware says.
pub(crate) async fn admit(request: &mut RequestHeader, ctx: &mut RequestContext) -> Result<Admitted, Rejection> {
    if let Some(method) = preflight_method(request)
        && let Ok(route) = find_route(request, &method, ctx)
        && let Some(cors) = &route.cors
    {
        let answer = cors.preflight(request);
        ctx.route = Some(route);
        return Ok(Admitted::Answer(Box::new(answer)));
    }
    let route = find_route(request, &request.method, ctx)?;
    ctx.route = Some(Arc::clone(&route));
    if declared_length(request) > route.max_body {
        return Err(Rejection::BodyTooLarge);
    }
    match route.chain.run(request, ctx).await {
        Flow::Continue => {
            if let Some(split) = &route.split {
                split.choose(request, ctx);
            }
            Ok(Admitted::Forward)
        }
        Flow::Answer(answer) => Ok(Admitted::Answer(answer)),
        Flow::Reply(rejection) => Err(rejection),
    }
}

#[async_trait]
impl ProxyHttp for Proxy {
    /// On the heap: Pingora hands it from one stage to the next by value.
    type CTX = Box<RequestContext>;

    fn new_ctx(&self) -> Self::CTX {
        Box::new(RequestContext::new(self.shared.snapshot.load_full(), InFlight::enter(&self.shared.in_flight)))
    }

    /// None: what the gateway does to a response stands in [`Self::response_filter`].
    fn init_downstream_modules(&self, _modules: &mut HttpModules) {}

    async fn early_request_filter(&self, session: &mut Session, ctx: &mut Self::CTX) -> Result<()> {
        let timeouts = &ctx.snapshot.client_timeouts;
        session.set_read_timeout(Some(timeouts.read));
        session.set_write_timeout(Some(timeouts.write));
        session.set_total_drain_timeout(Some(timeouts.read));
        // RFC 9110, section 15.2: an HTTP/1.0 client knows no interim answers.
        let is_http_1_0 = session.req_header().version == Version::HTTP_10;
        session.set_ignore_info_resp(is_http_1_0);
        if self.shared.draining.load(Ordering::Relaxed) {
            // So that its client comes back on another gateway, and not on this connection at the moment it is closed.
            session.set_keepalive(None);
        }
        if let Some(tls) = session.digest().and_then(|digest| digest.ssl_digest.as_ref()) {
            ctx.over_tls = true;
            ctx.certificate = tls.extension.get::<Arc<PeerCertificate>>().map(Arc::clone);
        }
        if let Some(addr) = session.client_addr().and_then(|addr| addr.as_inet()) {
            ctx.came_from(PeerAddr::new(addr.ip()));
        }
        Ok(())
    }

    async fn request_filter(&self, session: &mut Session, ctx: &mut Self::CTX) -> Result<bool> {
        // `true` stops here: the answer is sent.
        match self.admit(session, ctx).await {
            Ok(Admitted::Forward) => Ok(false),
            // In boxes of their own, so that requests that go on do not carry the room for them.
            Err(Rejection::NoRoute) if is_health_check(session.req_header()) => {
                Box::pin(reply::json(session, r#"{"status":"ok"}"#, &ctx.request_id)).await.map(|()| true)
            }
            Ok(Admitted::Answer(answer)) => {
                let request_id = ctx.request_id.clone();
                Box::pin(reply::answer(session, *answer, &request_id, amending(ctx))).await.map(|()| true)
            }
            Err(rejection) => {
                if matches!(rejection, Rejection::CertificateInvalid(_) | Rejection::CertificateMissing) {
                    // On another connection its client may show another one.
                    session.set_keepalive(None);
                }
                let request_id = ctx.request_id.clone();
                Box::pin(reply::reject(session, &rejection, &request_id, amending(ctx))).await?;
                ctx.rejection = Some(rejection);
                Ok(true)
            }
        }
    }

    async fn upstream_peer(&self, session: &mut Session, ctx: &mut Self::CTX) -> Result<Box<HttpPeer>> {
        let Some(target) = ctx.pool().and_then(|pool| pool.pick(&ctx.failed)) else {
            ctx.rejection = Some(Rejection::NoHealthyTarget);
            return Error::e_explain(ErrorType::ConnectNoRoute, "no healthy target");
        };
        let mut peer = Box::new((**target.peer()).clone());
        if let Some(quiet) = quiet(session).filter(|_| ctx.pool().is_some_and(|pool| pool.may_speak_http1())) {
            // Pingora knows one time for the answer and for what comes behind it, which may be a WebSocket.
            quiet.answer_within(peer.options.read_timeout.take());
        }
        ctx.target = Some(target);
        // Each attempt sends the body from its beginning.
        ctx.body_bytes = 0;
        ctx.asked = Instant::now();
        Ok(peer)
    }

    async fn connected_to_upstream(
        &self,
        _session: &mut Session,
        reused: bool,
        _peer: &HttpPeer,
        _fd: RawFd,
        _digest: Option<&Digest>,
        ctx: &mut Self::CTX,
    ) -> Result<()> {
        if !reused {
            let now = Instant::now();
            let took = now.saturating_duration_since(ctx.asked);
            (ctx.asked, ctx.connect) = (now, Some(took));
            ctx.pool().inspect(|pool| pool.metrics().connected(took));
        }
        Ok(())
    }

    fn fail_to_connect(
        &self,
        _session: &mut Session,
        _peer: &HttpPeer,
        ctx: &mut Self::CTX,
        error: Box<Error>,
    ) -> Box<Error> {
        // Nothing was sent, so any request may be tried elsewhere.
        failure::retry_elsewhere(error, ctx, true)
    }

    async fn upstream_request_filter(
        &self,
        session: &mut Session,
        request: &mut RequestHeader,
        ctx: &mut Self::CTX,
    ) -> Result<()> {
        forward::drop_unasked(request, session.req_header());
        prepare(request, ctx)?;
        if let Some(mirror) = ctx.route.as_ref().and_then(|route| route.mirror.as_ref()) {
            match &mut ctx.copy {
                Some(copy) => copy.restart(),
                None if std::mem::replace(&mut ctx.sampled, true) => {}
                None => ctx.copy = mirror.begin(request, session.req_header()),
            }
        }
        // What an HTTP/2 upstream says before its answer gets lost on the way (h2 knows no interim answers).
        if request.version == Version::HTTP_2 && request.headers.contains_key(EXPECT) {
            change_request(request, |parts| parts.headers.remove(EXPECT));
            session.write_continue_response().await?;
        }
        Ok(())
    }

    async fn request_body_filter(
        &self,
        session: &mut Session,
        body: &mut Option<Bytes>,
        end_of_stream: bool,
        ctx: &mut Self::CTX,
    ) -> Result<()> {
        if session.was_upgraded() {
            return Ok(());
        }
        Self::measure(body.as_ref(), session, ctx)?;
        if let Some(copy) = ctx.copy.take() {
            let mirror = ctx.route.as_ref().and_then(|route| route.mirror.as_ref());
            ctx.copy = mirror.and_then(|mirror| mirror.push(copy, body.as_ref(), end_of_stream));
        }
        Ok(())
    }

    async fn response_filter(
        &self,
        session: &mut Session,
        response: &mut ResponseHeader,
        ctx: &mut Self::CTX,
    ) -> Result<()> {
        if response.status == StatusCode::SWITCHING_PROTOCOLS {
            // No request any more: what comes either way counts.
            session.set_read_timeout(None);
            if let Some((quiet, pool)) = quiet(session).zip(ctx.pool()) {
                quiet.be_tunnel(pool.tunnel_timeout());
            }
        } else if response.status.is_informational() {
            return Ok(());
        }
        let took = ctx.asked.elapsed();
        ctx.pool().inspect(|pool| pool.metrics().answered(took));
        ctx.upstream_time = Some(took);
        // Of an attempt whose answer came no further.
        ctx.encoder = None;
        // However long the body takes: what is given back late is worth less.
        for mut charged in ctx.charged.drain(..) {
            charged.read(&response.headers);
            charged.settle(Some(response.status));
        }
        let (status, is_http_1_0) = (response.status, session.req_header().version == Version::HTTP_10);
        let is_open_ended = change_response(response, |headers| {
            if !ctx.verdicts.is_empty() {
                headers.reserve(MOST_ADDED + ctx.response_headers.len());
            }
            headers.insert(REQUEST_ID, ctx.request_id.clone());
            amend(session.req_header(), &mut ResponseHead { status, headers }, ctx);
            if session.req_header().method == Method::HEAD {
                // It is told how the body would be, and there is none.
                ctx.encoder = None;
            } else if ctx.encoder.is_some() {
                // How long it will be, nobody knows any more.
                headers.insert(TRANSFER_ENCODING, HeaderValue::from_static("chunked"));
            }
            is_http_1_0 && headers.remove(TRANSFER_ENCODING).is_some()
        });
        if is_open_ended {
            // It knows no chunks (RFC 9112, section 6.1): the end of the connection is the end of the body.
            session.set_keepalive(None);
        }
        if response.version == Version::HTTP_10 {
            // The gateway's own, whatever the upstream speaks (RFC 9110, section 2.5): a client would close its connection.
            response.set_version(Version::HTTP_11);
        }
        Ok(())
    }

    fn response_body_filter(
        &self,
        _session: &mut Session,
        body: &mut Option<Bytes>,
        end_of_stream: bool,
        ctx: &mut Self::CTX,
    ) -> Result<Option<Duration>> {
        if let Some(encoder) = &mut ctx.encoder {
            let encoded = encoder.push(body.as_ref(), end_of_stream);
            *body = encoded.or_err(ErrorType::InternalError, "no memory to compress with")?;
        }
        Ok(None)
    }

    async fn response_trailer_filter(
        &self,
        _session: &mut Session,
        _trailers: &mut HeaderMap,
        ctx: &mut Self::CTX,
    ) -> Result<Option<Bytes>> {
        // The end of a compressed body goes where the trailers would; there is room for one of the two. Whoever announces
        // trailers, and every gRPC service, is not compressed.
        let Some(mut encoder) = ctx.encoder.take() else { return Ok(None) };
        encoder.push(None, true).or_err(ErrorType::InternalError, "no memory to compress with")
    }

    fn error_while_proxy(
        &self,
        _peer: &HttpPeer,
        session: &mut Session,
        error: Box<Error>,
        ctx: &mut Self::CTX,
        _client_reused: bool,
    ) -> Box<Error> {
        let repeatable = failure::is_repeatable(session, &error, ctx);
        failure::retry_elsewhere(error, ctx, repeatable)
    }

    async fn fail_to_proxy(&self, session: &mut Session, error: &Error, ctx: &mut Self::CTX) -> FailToProxy {
        let gone = FailToProxy { error_code: 0, can_reuse_downstream: false };
        let Some(rejection) = ctx.rejection.take().or_else(|| failure::rejection(error)) else { return gone };
        let (status, ..) = rejection.describe();
        // Pingora ends the connection after a failure; the client has to know, or its next request meets a closed one.
        session.set_keepalive(None);
        let request_id = ctx.request_id.clone();
        let answered = reply::answered(session).is_none()
            && reply::reject(session, &rejection, &request_id, amending(ctx)).await.is_ok();
        ctx.rejection = Some(rejection);
        ctx.failure_told = answered;
        if answered { FailToProxy { error_code: status.as_u16(), can_reuse_downstream: false } } else { gone }
    }

    /// Everything worth saying of a failure stands in the request's one log line.
    fn suppress_error_log(&self, _session: &Session, _ctx: &Self::CTX, _error: &Error) -> bool {
        true
    }

    async fn logging(&self, session: &mut Session, error: Option<&Error>, ctx: &mut Self::CTX) {
        let elapsed = ctx.started.elapsed();
        let status = reply::answered(session);
        let route = ctx.route.as_ref();
        let metrics = route.map_or(&self.shared.metrics.unrouted, |route| &route.metrics);
        metrics.answered(status, elapsed.as_secs_f64());
        // What it means, not what stands on the wire: a refusal of ours may be told in another form (gRPC has 200 for all).
        let outcome = ctx.rejection.as_ref().map(|rejection| rejection.describe().0).or(status);
        ctx.charged.iter().for_each(|charged| charged.settle(outcome));
        if let Some(rejection) = &ctx.rejection {
            metrics.rejected(rejection.code());
            self.shared.metrics.because(rejection.code(), rejection.reason());
        }
        if !self.shared.access_log.is_enabled() {
            return linger::over(session, error, ctx).await;
        }
        let request = session.req_header();
        let user = ctx.identity.as_ref().and_then(|identity| identity.name());
        self.shared.access_log.write(&Line {
            timestamp: Timestamp::of(ctx.began),
            request_id: ctx.request_id.to_str().unwrap_or_default(),
            client: ctx.client,
            method: request.method.as_str(),
            host: host::named(request).unwrap_or_default(),
            path: ctx.path.as_deref().unwrap_or_else(|| request.uri.path()),
            route: route.map_or("none", |route| &route.name),
            status: status.map(|status| status.as_u16()),
            rejected: ctx.rejection.as_ref().map(Rejection::code),
            reason: ctx.rejection.as_ref().and_then(Rejection::reason),
            rule: ctx.denied_by.as_deref(),
            limited_by: ctx.limited_by.as_deref().map(Policy::name),
            limit_mode: ctx.limit_mode,
            would_be_limited_by: ctx.would_be_limited_by.as_deref().map(Policy::name),
            user: user.as_deref(),
            upstream: ctx.chosen.as_ref().map(|pool| pool.name()),
            target: ctx.target.as_ref().map(|target| target.label()),
            retries: ctx.failed.len(),
            connect: ctx.connect,
            upstream_time: ctx.upstream_time,
            bytes_in: session.body_bytes_read() as u64,
            bytes_out: session.body_bytes_sent() as u64,
            duration: elapsed,
            error: error.map(failure::told),
        });
        // Behind the line, which tells how long the answer took.
        linger::over(session, error, ctx).await;
    }
}

/// Amends an answer of our own.
fn amending(ctx: &mut RequestContext) -> impl FnOnce(&RequestHeader, &mut ResponseHead<'_>, &mut Bytes) + Send {
    move |request, head, body| {
        ctx.encoder = None;
        amend(request, head, ctx);
        let Some(mut encoder) = ctx.encoder.take() else { return };
        match encoder.push(Some(body), true) {
            Ok(encoded) => *body = encoded.unwrap_or_default(),
            // There was no memory for it. The answer is then sent as it is.
            Err(_) => drop(head.headers.remove(CONTENT_ENCODING)),
        }
    }
}

/// Adds to an answer, the upstream's or our own, what the route's middleware has to say.
pub(crate) fn amend(request: &RequestHeader, head: &mut ResponseHead<'_>, ctx: &mut RequestContext) {
    for (name, value) in &ctx.response_headers {
        head.headers.insert(name.clone(), value.clone());
    }
    if let Some(cookie) = &ctx.cookie {
        head.headers.append(SET_COOKIE, cookie.clone());
    }
    if let Some(hsts) = ctx.snapshot.hsts.as_ref().filter(|_| ctx.is_https()) {
        head.headers.insert(STRICT_TRANSPORT_SECURITY, hsts.clone());
    }
    if let Some(route) = ctx.route.as_ref().filter(|_| !ctx.verdicts.is_empty()) {
        route.quota.write(&ctx.verdicts, |name, value| {
            head.headers.insert(name, value);
        });
    }
    if let Some(route) = ctx.route.as_ref().filter(|route| route.chain.sees_responses()).map(Arc::clone) {
        route.chain.amend(request, head, ctx);
    }
}

/// Whether the body may come for hours: that of a gRPC call, which is one of HTTP/2 on both sides.
fn may_take_long(request: &RequestHeader, ctx: &RequestContext) -> bool {
    request.version == Version::HTTP_2
        && reply::is_grpc(request)
        && ctx.pool().is_some_and(|pool| pool.may_speak_http2())
}

/// What `Content-Length` says: the screen has made sure that it is one number, so what cannot be read is a very large one.
fn declared_length(request: &RequestHeader) -> u64 {
    let Some(length) = request.headers.get(CONTENT_LENGTH) else { return 0 };
    length.to_str().ok().and_then(|text| text.parse().ok()).unwrap_or(u64::MAX)
}

fn is_health_check(request: &RequestHeader) -> bool {
    matches!(request.method, Method::GET | Method::HEAD) && request.uri.path() == HEALTH_PATH
}
