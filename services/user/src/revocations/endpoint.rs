//! Tells of revocations over HTTP: all that count, and then each as it happens, in an answer that does not end.
//!
//! Only for those who know the secret: what is revoked tells who was here.

use std::sync::Arc;

use bytes::Bytes;
use common::auth::SigningSecret;
use common::revocations::{HEARTBEAT, Position, Revocation, Told};
use common::service::Problem;
use futures::Stream;
use poem::http::{StatusCode, header};
use poem::{Body, Endpoint, Request, Response, Result};
use subtle::ConstantTimeEq as _;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};
use tokio::time::timeout;

use super::Feed;
use super::feed::Heard;

/// Who may follow at once: each keeps a connection.
const MOST_FOLLOWERS: usize = 256;
/// Lines that are sent at once.
const LINES_AT_ONCE: usize = 1000;

/// `GET /internal/revocations?since=<position>`.
pub(crate) struct Follow {
    feed: Arc<Feed>,
    secret: SigningSecret,
    places: Arc<Semaphore>,
}

impl Follow {
    pub(crate) fn new(feed: Arc<Feed>, secret: SigningSecret) -> Self {
        Self { feed, secret, places: Arc::new(Semaphore::new(MOST_FOLLOWERS)) }
    }

    fn is_known(&self, request: &Request) -> bool {
        let told = request.header(header::AUTHORIZATION).and_then(|value| value.strip_prefix("Bearer "));
        told.is_some_and(|told| told.as_bytes().ct_eq(self.secret.expose()).into())
    }
}

impl Endpoint for Follow {
    type Output = Response;

    async fn call(&self, request: Request) -> Result<Response> {
        if !self.is_known(&request) {
            return Err(Problem::unauthorized("unauthorized", "Send the secret as `Authorization: Bearer`").into());
        }
        // One that cannot be read is as good as none: all is told.
        let since = request.uri().query().and_then(|query| query.strip_prefix("since=")?.parse().ok());
        let unavailable =
            |detail: &str| Problem::new(StatusCode::SERVICE_UNAVAILABLE, "revocations_unavailable", detail);
        if !self.feed.has_something_for(since.as_ref()) {
            return Err(unavailable("Not all revocations are known at this moment").into());
        }
        let place = Arc::clone(&self.places).try_acquire_owned();
        let place = place.map_err(|_| unavailable("Too many follow already"))?;
        let changes = self.feed.changes();
        let follower = Follower { feed: Arc::clone(&self.feed), changes, since, rest: Rest::default(), _place: place };
        let answer = Response::builder().content_type("application/x-ndjson").header(header::CACHE_CONTROL, "no-store");
        Ok(answer.body(Body::from_bytes_stream(follower.lines())))
    }
}

/// One who follows.
struct Follower {
    feed: Arc<Feed>,
    changes: watch::Receiver<()>,
    since: Option<Position>,
    rest: Rest,
    _place: OwnedSemaphorePermit,
}

/// What is to be sent before the next look.
#[derive(Default)]
struct Rest {
    revocations: Option<Arc<[Revocation]>>,
    /// How many of them were sent.
    sent: usize,
    /// The place after them; told once nothing can have been missed.
    position: Option<Position>,
}

impl Follower {
    fn lines(self) -> impl Stream<Item = Result<Bytes, std::io::Error>> + Send + 'static {
        futures::stream::unfold(self, |mut follower| async move {
            let part = follower.next().await?;
            Some((Ok::<_, std::io::Error>(part), follower))
        })
    }

    /// The next lines; none when the feed has ended.
    async fn next(&mut self) -> Option<Bytes> {
        loop {
            if let Some(part) = self.part_of_rest() {
                return Some(part);
            }
            self.changes.mark_unchanged();
            match self.feed.since(self.since.as_ref()) {
                // A follower hears the end of its connection, and comes back.
                Heard::Closed | Heard::NotReady => return None,
                Heard::All(all, here) => {
                    self.begin(all, here);
                    return Some(line(&Told::Reset {}));
                }
                Heard::Since(came, here) if !came.is_empty() => self.begin(came.into(), here),
                Heard::Since(..) => {
                    if timeout(HEARTBEAT, self.changes.changed()).await.is_err() && self.feed.is_fresh() {
                        return Some(line(&Told::Alive {}));
                    }
                }
            }
        }
    }

    fn begin(&mut self, revocations: Arc<[Revocation]>, here: Position) {
        self.rest = Rest { revocations: Some(revocations), sent: 0, position: Some(here.clone()) };
        self.since = Some(here);
    }

    fn part_of_rest(&mut self) -> Option<Bytes> {
        let rest = &mut self.rest;
        let mut part = Vec::new();
        if let Some(revocations) = &rest.revocations {
            let unsent = revocations.get(rest.sent..).unwrap_or_default();
            for revocation in unsent.iter().take(LINES_AT_ONCE) {
                part.extend_from_slice(&line(&Told::Revoked(revocation.clone())));
            }
            rest.sent += LINES_AT_ONCE;
            if rest.sent >= revocations.len() {
                rest.revocations = None;
            }
        }
        if rest.revocations.is_none()
            && self.feed.is_fresh()
            && let Some(position) = rest.position.take()
        {
            part.extend_from_slice(&line(&Told::Complete { position }));
        }
        (!part.is_empty()).then(|| part.into())
    }
}

fn line(told: &Told) -> Bytes {
    // Never fails: texts and numbers alone.
    let mut line = serde_json::to_vec(told).unwrap_or_default();
    line.push(b'\n');
    line.into()
}
