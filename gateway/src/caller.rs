//! Calls to a service that is asked about requests: bounded in number, time and size, and never led elsewhere.

use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, Method, StatusCode};
use reqwest::redirect::Policy;
use reqwest::{Certificate, Client, Request};
use tokio::sync::Semaphore;
use tokio::time::timeout;

use crate::config::RemoteService;

/// Connections that are kept for the next calls.
const MOST_IDLE: usize = 32;

/// Calls one service.
pub(crate) struct Caller {
    client: Client,
    service: RemoteService,
    timeout: Duration,
    permits: Semaphore,
}

/// What a service has answered.
pub(crate) struct Answered {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
}

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub(crate) enum CallFailure {
    #[error("no answer came within {0:?}")]
    TimedOut(Duration),
    #[error("the service could not be asked")]
    Unreachable(#[source] reqwest::Error),
    #[error("the answer has more than {0} bytes")]
    TooLarge(usize),
}

impl CallFailure {
    /// What metrics call it.
    pub(crate) const fn outcome(&self) -> &'static str {
        match self {
            Self::TimedOut(_) => "timed_out",
            Self::Unreachable(_) => "unreachable",
            Self::TooLarge(_) => "too_large",
        }
    }
}

impl Caller {
    /// Calls `service`, at most so many times `at_once`, each with so much time, in which it also waits for its turn.
    ///
    /// # Errors
    /// When the settings cannot be used by the client library.
    pub(crate) fn new(service: &RemoteService, timeout: Duration, at_once: usize) -> reqwest::Result<Self> {
        let client = Client::builder()
            .user_agent(concat!("gateway/", env!("CARGO_PKG_VERSION")))
            .redirect(Policy::none())
            // It is a part of this system, and hears of credentials: not for a proxy that the environment names.
            .no_proxy()
            .pool_max_idle_per_host(MOST_IDLE);
        let client = if service.authorities.is_empty() {
            client
        } else {
            let authorities = service.authorities.iter().map(|der| Certificate::from_der(der));
            client.tls_certs_only(authorities.collect::<reqwest::Result<Vec<_>>>()?)
        };
        Ok(Self { client: client.build()?, service: service.clone(), timeout, permits: Semaphore::new(at_once) })
    }

    /// Asks with these `headers` and this `body`. Of the answer at most so many bytes are read; where it `matters` by its status
    /// what they say, more are a failure.
    pub(crate) async fn ask(
        &self,
        method: Method,
        headers: HeaderMap,
        body: Option<String>,
        most: usize,
        matters: impl Fn(StatusCode) -> bool,
    ) -> Result<Answered, CallFailure> {
        let mut request = Request::new(method, self.service.url.clone());
        *request.headers_mut() = headers;
        *request.body_mut() = body.map(Into::into);
        let asked = async {
            // It is never closed.
            let _turn = self.permits.acquire().await;
            let mut answer = self.client.execute(request).await.map_err(unreachable)?;
            let (status, mut body) = (answer.status(), Vec::new());
            // Read to its end also where it does not matter, for the connection is then used again.
            while let Some(part) = answer.chunk().await.map_err(unreachable)? {
                if body.len() + part.len() > most {
                    if matters(status) {
                        return Err(CallFailure::TooLarge(most));
                    }
                    break;
                }
                body.extend_from_slice(&part);
            }
            Ok(Answered { status, headers: std::mem::take(answer.headers_mut()), body: body.into() })
        };
        timeout(self.timeout, asked).await.unwrap_or(Err(CallFailure::TimedOut(self.timeout)))
    }
}

/// The URL may have a password in its query, and the log line names the service.
fn unreachable(error: reqwest::Error) -> CallFailure {
    CallFailure::Unreachable(error.without_url())
}
