//! Sends copies of some requests to a second upstream, whose answers nobody waits for and nobody sees.
//!
//! A copy is what the first upstream gets, with a header that says that it is one. Its parts are put aside as they pass, without
//! being copied, and when the last has gone on, it is handed to a thread that does nothing else. Whatever that comes to, the
//! request itself knows nothing of it: there is no room for a copy, it is too large, or its upstream hangs or is away. It is
//! sent once, and never again.

mod metrics;

use std::io;
use std::sync::{Arc, LazyLock};
use std::time::{Duration, Instant};

use bytes::Bytes;
use http::header::{CONNECTION, CONTENT_LENGTH, EXPECT, HOST, TE, TRANSFER_ENCODING, UPGRADE};
use http::{HeaderMap, HeaderName, HeaderValue, Method};
use pingora_core::upstreams::peer::Peer as _;
use pingora_http::RequestHeader;
use reqwest::redirect::Policy;
use reqwest::{Client, Request, Url, retry};
use tokio::runtime::{Builder, Runtime};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::timeout;

pub(crate) use metrics::MirrorMetrics;

use crate::config::file::MirrorFile;
use crate::config::values::{IDENTITY_TOKEN, IS_COPY};
use crate::upstream::Pool;

/// What is of one connection and no part of a request (RFC 9110, section 7.6.1), or is written anew.
const OF_THE_CONNECTION: [HeaderName; 6] = [CONNECTION, CONTENT_LENGTH, EXPECT, TE, TRANSFER_ENCODING, UPGRADE];

/// Parts of less bytes are put together.
const SMALL: usize = 1024;

/// Where copies of a route's requests go.
pub(crate) struct Mirror {
    pool: Arc<Pool>,
    /// Of a hundred thousand requests, how many.
    sample: u32,
    max_body: usize,
    timeout: Duration,
    places: Arc<Semaphore>,
    client: Client,
    thread: &'static Runtime,
    metrics: MirrorMetrics,
}

/// A copy while its request goes by.
pub(crate) struct RequestCopy {
    begun: Instant,
    _place: OwnedSemaphorePermit,
    method: Method,
    target: Box<str>,
    headers: HeaderMap,
    parts: Vec<Bytes>,
    /// Small parts behind those, which would take more room each for itself.
    tail: Vec<u8>,
    bytes: usize,
}

/// Why copies cannot be made.
#[derive(Debug, thiserror::Error)]
pub enum MirrorError {
    /// There is no thread for them.
    #[error("no thread to send copies from")]
    Thread(#[source] io::Error),
    /// The client library cannot be used.
    #[error("no client to send copies with")]
    Client(#[source] reqwest::Error),
}

impl Mirror {
    /// The mirror that `file` describes, whose upstream is `pool`.
    ///
    /// # Errors
    /// See [`MirrorError`].
    pub(crate) fn new(file: &MirrorFile, pool: Arc<Pool>, metrics: MirrorMetrics) -> Result<Self, MirrorError> {
        let timeout = file.timeout.get();
        let client = Client::builder()
            .no_proxy()
            .http1_only()
            .redirect(Policy::none())
            .retry(retry::never())
            .connect_timeout(timeout)
            .pool_max_idle_per_host(file.max_in_flight);
        Ok(Self {
            pool,
            sample: file.sample.of_hundred_thousand(),
            max_body: usize::try_from(file.max_body.bytes()).unwrap_or(usize::MAX),
            timeout,
            places: Arc::new(Semaphore::new(file.max_in_flight)),
            client: client.build().map_err(MirrorError::Client)?,
            thread: thread().map_err(MirrorError::Thread)?,
            metrics,
        })
    }

    /// Begins a copy of the request with this `head`, as its upstream gets it, if it is in the sample and there is room. Only
    /// its host is that of the request as it was `asked`, for each upstream may be told another.
    pub(crate) fn begin(&self, head: &RequestHeader, asked: &RequestHeader) -> Option<Box<RequestCopy>> {
        if rand::random_range(0..100_000) >= self.sample || head.headers.contains_key(UPGRADE) {
            return None;
        }
        let Ok(place) = Arc::clone(&self.places).try_acquire_owned() else {
            self.metrics.no_room.inc();
            return None;
        };
        let mut headers = head.headers.clone();
        OF_THE_CONNECTION.iter().for_each(|name| drop(headers.remove(name)));
        // It would let the second upstream speak to the first for whoever asks.
        headers.remove(IDENTITY_TOKEN);
        headers.insert(IS_COPY, HeaderValue::from_static("true"));
        if let Some(host) = asked.headers.get(HOST) {
            headers.insert(HOST, host.clone());
        }
        let target = head.uri.path_and_query().map_or("/", |target| target.as_str()).into();
        Some(Box::new(RequestCopy {
            begun: Instant::now(),
            _place: place,
            method: head.method.clone(),
            target,
            headers,
            parts: Vec::new(),
            tail: Vec::new(),
            bytes: 0,
        }))
    }

    /// Puts the next part of the body aside, and sends the copy when it was the last; gives it back when it was not.
    pub(crate) fn push(
        &self,
        mut copy: Box<RequestCopy>,
        part: Option<&Bytes>,
        is_last: bool,
    ) -> Option<Box<RequestCopy>> {
        // Who sends slowly has a place for no longer than who answers slowly.
        if copy.begun.elapsed() > self.timeout {
            self.metrics.timed_out.inc();
            return None;
        }
        if let Some(part) = part.filter(|part| !part.is_empty()) {
            copy.bytes += part.len();
            if copy.bytes > self.max_body {
                self.metrics.too_large.inc();
                return None;
            }
            if part.len() < SMALL {
                copy.tail.extend_from_slice(part);
            } else {
                copy.close_tail();
                copy.parts.push(part.clone());
            }
        }
        if !is_last {
            return Some(copy);
        }
        copy.close_tail();
        self.send(*copy);
        None
    }

    fn send(&self, mut copy: RequestCopy) {
        let target = self.pool.pick(&[]).and_then(|target| {
            if let Some(host) = target.host() {
                copy.headers.insert(HOST, host.clone());
            }
            // A certificate is for a name; else the address that was looked up and probed is as good, and the one that was chosen.
            let (scheme, place) =
                if target.peer().tls() { ("https", target.authority()) } else { ("http", target.label()) };
            Url::parse(&format!("{scheme}://{place}{}", copy.target)).ok()
        });
        let Some(url) = target else {
            self.metrics.failed.inc();
            return;
        };
        let (client, metrics, deadline) = (self.client.clone(), self.metrics.clone(), self.timeout);
        self.thread.spawn(async move {
            match timeout(deadline, deliver(client, url, copy)).await {
                Ok(Ok(())) => metrics.sent.inc(),
                Ok(Err(_)) => metrics.failed.inc(),
                Err(_) => metrics.timed_out.inc(),
            }
        });
    }
}

impl RequestCopy {
    /// Begins anew, for the request does.
    pub(crate) fn restart(&mut self) {
        self.parts.clear();
        self.tail.clear();
        self.bytes = 0;
    }

    fn close_tail(&mut self) {
        if !self.tail.is_empty() {
            self.parts.push(std::mem::take(&mut self.tail).into());
        }
    }
}

/// Sends `copy` to `url`, and lets the answer run out.
async fn deliver(client: Client, url: Url, copy: RequestCopy) -> reqwest::Result<()> {
    let RequestCopy { _place, method, headers, mut parts, .. } = copy;
    let mut request = Request::new(method, url);
    *request.headers_mut() = headers;
    let body = if parts.len() > 1 { Bytes::from(parts.concat()) } else { parts.pop().unwrap_or_default() };
    if !body.is_empty() {
        *request.body_mut() = Some(body.into());
    }
    let mut answer = client.execute(request).await?;
    while answer.chunk().await?.is_some() {}
    Ok(())
}

/// The one thread from which every copy in this process is sent.
fn thread() -> io::Result<&'static Runtime> {
    static THREAD: LazyLock<io::Result<Runtime>> = LazyLock::new(|| {
        Builder::new_multi_thread().worker_threads(1).thread_name("gateway-mirror").enable_all().build()
    });
    THREAD.as_ref().map_err(|error| error.kind().into())
}
