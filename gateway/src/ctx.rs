//! What is known of one request, from its first byte to its log line.

use std::borrow::Cow;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use http::uri::PathAndQuery;
use http::{HeaderName, HeaderValue};
use serde_json::{Map, Value};
use uuid::{NoContext, Timestamp, Uuid};

use crate::claim::ClaimPath;
pub use crate::client_addr::{ClientAddr, PeerAddr};
use crate::config::file::ProofKind;
use crate::credential::Hidden;
use crate::forwarded::{Forwarded, Scheme};
use crate::limit::{self, Charged, Policy, Verdict};
use crate::middleware::{CLIENT, Encoder, Prepared};
use crate::mirror::RequestCopy;
use crate::peer_certificate::PeerCertificate;
use crate::reply::Rejection;
use crate::snapshot::{Route, Snapshot};
use crate::upstream::{Pool, Target};

/// What is known of one request.
pub struct RequestContext {
    /// The configuration it began with, and keeps.
    pub(crate) snapshot: Arc<Snapshot>,
    /// When its head was read.
    pub started: Instant,
    /// The same by the wall clock, which is read once for its id, its token and its log line.
    pub began: SystemTime,
    /// By which it is found again in every log: a UUIDv7.
    pub request_id: HeaderValue,
    /// Whose connection it came on.
    pub peer: PeerAddr,
    /// Whether that connection is encrypted.
    pub over_tls: bool,
    /// What its client has shown on that connection.
    pub(crate) certificate: Option<Arc<PeerCertificate>>,
    /// Who sent it: the peer, or whom a trusted proxy names.
    pub client: ClientAddr,
    /// What else a trusted proxy says of it.
    pub(crate) forwarded: Option<Box<Forwarded>>,
    /// The route that takes it.
    pub(crate) route: Option<Arc<Route>>,
    /// Its path in normal form, where that differs from what was sent.
    pub path: Option<String>,
    /// What its upstream is asked for, where a step has made that another than its own path and query.
    pub(crate) rewritten: Option<PathAndQuery>,
    /// Who sent it, once a middleware has proof.
    pub identity: Option<Arc<Identity>>,
    /// Who has checked that proof, if it was a step of the file.
    pub(crate) proven_by: Option<Arc<Prover>>,
    /// The program by whose key it was proven too, where something else says who it is.
    pub(crate) program: Option<Program>,
    /// What the gateway asserts to the upstream, in place of anything the client said under these names.
    pub request_headers: Vec<(HeaderName, HeaderValue)>,
    /// What steps have made of the request's other headers, in their order.
    pub(crate) header_edits: Vec<HeaderEdit>,
    /// What the gateway adds to the response.
    pub response_headers: Vec<(HeaderName, HeaderValue)>,
    /// Whether the upstream must not see the `Authorization` header.
    pub hide_authorization: bool,
    /// What it has beside the proof by which it was let in: a credential that was refused, or that nobody has looked at.
    pub(crate) unproven: Option<Box<Hidden>>,
    /// Why the gateway answered itself.
    pub(crate) rejection: Option<Rejection>,
    /// Whether its client was told in an answer of our own that it failed.
    pub(crate) failure_told: bool,
    /// Which rule of an `authorize` step it has not passed.
    pub(crate) denied_by: Option<Arc<str>>,
    /// The policy that has held it back.
    pub(crate) limited_by: Option<Arc<Policy>>,
    /// Which rate-limit mode answered, when it was not the usual one.
    pub(crate) limit_mode: Option<&'static str>,
    /// What the policies of its route have said so far, in the order of the route's list; nothing of those that do not count it.
    pub(crate) verdicts: Vec<Option<Verdict>>,
    /// What it was charged and only its answer makes final.
    pub(crate) charged: Vec<Charged>,
    /// Its places among the requests that are under way of one key each.
    pub(crate) in_flight: Vec<limit::InFlight>,
    /// The policy that would have held it back if it did more than watch.
    pub(crate) would_be_limited_by: Option<Arc<Policy>>,
    /// Which of several upstreams was chosen for it, where its route is split.
    pub(crate) chosen: Option<Arc<Pool>>,
    /// The cookie that keeps its client with that one, if it is new.
    pub(crate) cookie: Option<HeaderValue>,
    /// What goes to a second upstream, while the request goes by.
    pub(crate) copy: Option<Box<RequestCopy>>,
    /// Whether it was decided already that there is one, or none.
    pub(crate) sampled: bool,
    /// Where it was sent last.
    pub(crate) target: Option<Arc<Target>>,
    /// When its upstream was asked last: at first for a connection, and then, where one was made, for the answer.
    pub(crate) asked: Instant,
    /// How long that connection took to be made.
    pub(crate) connect: Option<Duration>,
    /// How long the head of the answer then took to come.
    pub(crate) upstream_time: Option<Duration>,
    /// Where sending it has failed.
    pub(crate) failed: Vec<Arc<Target>>,
    /// The body of its answer, compressed beforehand, if it is one that is always the same.
    pub(crate) prepared: Option<Arc<Prepared>>,
    /// What compresses the body of its answer.
    pub(crate) encoder: Option<Box<Encoder>>,
    /// Bytes of its body seen so far.
    pub(crate) body_bytes: u64,
    _in_flight: InFlight,
}

impl RequestContext {
    /// The context of a request whose head was just read.
    pub(crate) fn new(snapshot: Arc<Snapshot>, in_flight: InFlight) -> Self {
        let (began, started) = (SystemTime::now(), Instant::now());
        Self {
            snapshot,
            started,
            began,
            request_id: new_request_id(began),
            peer: PeerAddr::UNKNOWN,
            over_tls: false,
            certificate: None,
            client: PeerAddr::UNKNOWN.into(),
            forwarded: None,
            route: None,
            path: None,
            rewritten: None,
            identity: None,
            proven_by: None,
            program: None,
            request_headers: Vec::new(),
            header_edits: Vec::new(),
            response_headers: Vec::new(),
            hide_authorization: false,
            unproven: None,
            rejection: None,
            failure_told: false,
            denied_by: None,
            limited_by: None,
            limit_mode: None,
            verdicts: Vec::new(),
            charged: Vec::new(),
            in_flight: Vec::new(),
            would_be_limited_by: None,
            chosen: None,
            cookie: None,
            copy: None,
            sampled: false,
            target: None,
            asked: started,
            connect: None,
            upstream_time: None,
            failed: Vec::new(),
            prepared: None,
            encoder: None,
            body_bytes: 0,
            _in_flight: in_flight,
        }
    }

    /// Notes whose connection it came on; until a trusted proxy says otherwise, that is who sent it.
    pub(crate) fn came_from(&mut self, peer: PeerAddr) {
        self.peer = peer;
        self.client = peer.into();
    }

    /// Whether its client spoke TLS, with the gateway or with a trusted proxy.
    #[must_use]
    pub fn is_https(&self) -> bool {
        let told = self.forwarded.as_ref().and_then(|forwarded| forwarded.scheme);
        told.map_or(self.over_tls, |scheme| scheme == Scheme::Https)
    }

    /// When its head was read, in seconds since 1970. By a clock that stands before that, every token has expired.
    #[must_use]
    pub fn unix_time(&self) -> u64 {
        self.began.duration_since(UNIX_EPOCH).map_or(u64::MAX, |since| since.as_secs())
    }

    /// The targets that it may be sent to.
    pub(crate) fn pool(&self) -> Option<&Arc<Pool>> {
        self.chosen.as_ref().or_else(|| self.route.as_ref()?.pool.as_ref())
    }

    /// The name of the route that takes it, once that is known.
    #[must_use]
    pub fn route_name(&self) -> Option<&str> {
        self.route.as_ref().map(|route| &*route.name)
    }
}

/// A change of the headers that the upstream gets.
#[derive(Debug)]
pub(crate) enum HeaderEdit {
    /// Not at all.
    Remove(HeaderName),
    /// Once, with this value.
    Set(HeaderName, HeaderValue),
    /// Once more.
    Add(HeaderName, HeaderValue),
}

/// Who sent a request. Only a middleware that has checked a proof of it makes one.
#[derive(Debug)]
pub struct Identity {
    /// What the proof says.
    pub claims: Map<String, Value>,
    /// What the upstream is told of it, in place of anything the client said under these names.
    pub headers: Vec<(HeaderName, HeaderValue)>,
}

impl Identity {
    /// What it calls whoever it is of: the subject, or the program.
    #[must_use]
    pub fn name(&self) -> Option<Cow<'_, str>> {
        self.claim("sub").or_else(|| self.claim(CLIENT))
    }

    /// The claim `name` as text, if it is a text, a number or a truth value.
    #[must_use]
    pub fn claim(&self, name: &str) -> Option<Cow<'_, str>> {
        text_of(self.claims.get(name)?)
    }

    /// The same for a claim that may stand inside of another.
    pub(crate) fn claim_at(&self, path: &ClaimPath) -> Option<Cow<'_, str>> {
        text_of(path.find(&self.claims)?)
    }
}

fn text_of(claim: &Value) -> Option<Cow<'_, str>> {
    match claim {
        Value::String(text) => Some(text.as_str().into()),
        Value::Number(number) => Some(number.to_string().into()),
        Value::Bool(truth) => Some(if *truth { "true" } else { "false" }.into()),
        Value::Null | Value::Array(_) | Value::Object(_) => None,
    }
}

/// Who has checked a proof of who is there. What one of them calls `ann` need not be whom another calls so.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Prover {
    /// What kind of proof it was.
    pub kind: ProofKind,
    /// The name of the provider in the file.
    pub provider: Box<str>,
}

/// A program that has shown its key.
#[derive(Debug)]
pub(crate) struct Program {
    /// Its own, with its name.
    pub identity: Arc<Identity>,
    /// The name of the provider in the file.
    pub provider: Arc<str>,
}

/// Counts a request as under way until it is dropped, so that a stop can wait for it.
pub(crate) struct InFlight(Arc<AtomicUsize>);

impl InFlight {
    /// Counts one more in `counter`.
    pub(crate) fn enter(counter: &Arc<AtomicUsize>) -> Self {
        counter.fetch_add(1, Ordering::Relaxed);
        Self(Arc::clone(counter))
    }
}

impl Drop for InFlight {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Release);
    }
}

/// UUIDv7 from the clock and random bits alone: the sequence counter of `Uuid::now_v7` is behind a lock.
pub(crate) fn new_request_id(now: SystemTime) -> HeaderValue {
    let since = now.duration_since(UNIX_EPOCH).unwrap_or_default();
    let id = Uuid::new_v7(Timestamp::from_unix(NoContext, since.as_secs(), since.subsec_nanos()));
    let mut buffer = Uuid::encode_buffer();
    let text: &str = id.hyphenated().encode_lower(&mut buffer);
    HeaderValue::from_str(text).unwrap_or_else(|_| HeaderValue::from_static("none"))
}
