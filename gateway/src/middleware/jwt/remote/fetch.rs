//! One fetch of the keys that an issuer publishes.

use std::time::Duration;

use http::StatusCode;
use http::header::CACHE_CONTROL;
use reqwest::redirect::{Action, Attempt, Policy};
use reqwest::{Certificate, Client, Response, Url};
use serde_json::Value;
use tokio::time::timeout;

use crate::config::file::JwtAlgorithm;
use crate::config::values::{BadJwks, Jwks};
use crate::config::{RemoteJwks, is_trustworthy};

/// The most bytes of a set.
const MOST_BYTES: usize = 1 << 20;
const MOST_REDIRECTS: usize = 3;

/// What an issuer may say of the time in which its set is fresh.
const LEAST_FRESH: Duration = Duration::from_secs(30);
pub(super) const MOST_FRESH: Duration = Duration::from_secs(24 * 3600);

/// Fetches from one place.
pub(super) struct Fetcher {
    client: Client,
    url: Url,
    timeout: Duration,
    algorithms: Vec<JwtAlgorithm>,
}

/// A set that was fetched.
pub(super) struct Fetched {
    /// Its keys.
    pub(super) jwks: Jwks,
    /// The same as it was published.
    pub(super) document: Value,
    /// How long it is fresh, if the issuer says so.
    pub(super) fresh_for: Option<Duration>,
}

/// Why there is no new set.
#[derive(Debug, thiserror::Error)]
pub(crate) enum FetchFailure {
    #[error("the issuer did not answer within {0:?}")]
    TimedOut(Duration),
    #[error("the issuer could not be asked")]
    Unreachable(#[source] reqwest::Error),
    #[error("the issuer answered {0}")]
    Status(StatusCode),
    #[error("the answer has more than {MOST_BYTES} bytes")]
    TooLarge,
    #[error("the answer cannot be used")]
    BadSet(#[from] BadJwks),
}

impl FetchFailure {
    /// What metrics call it.
    pub(in crate::middleware::jwt) const fn outcome(&self) -> &'static str {
        match self {
            Self::TimedOut(_) => "timed_out",
            Self::Unreachable(_) => "unreachable",
            Self::Status(_) => "bad_status",
            Self::TooLarge => "too_large",
            Self::BadSet(_) => "bad_set",
        }
    }
}

impl Fetcher {
    /// # Errors
    /// When the settings cannot be used by the client library.
    pub(super) fn new(settings: &RemoteJwks) -> reqwest::Result<Self> {
        let allowed = settings.allow_insecure_http;
        let client = Client::builder()
            .user_agent(concat!("gateway/", env!("CARGO_PKG_VERSION")))
            .redirect(Policy::custom(move |attempt| redirect(attempt, allowed)))
            // Minutes pass between two fetches; the issuer need not hold a connection meanwhile.
            .pool_max_idle_per_host(0);
        let client = if settings.authorities.is_empty() {
            client
        } else {
            let authorities = settings.authorities.iter().map(|der| Certificate::from_der(der));
            client.tls_certs_only(authorities.collect::<reqwest::Result<Vec<_>>>()?)
        };
        // What is on this machine, or asked for in the clear, is not for a proxy that the environment names.
        let client = if settings.url.scheme() == "http" { client.no_proxy() } else { client };
        Ok(Self {
            client: client.build()?,
            url: settings.url.clone(),
            timeout: settings.timeout,
            algorithms: settings.algorithms.clone(),
        })
    }

    /// Fetches the set, within the deadline and the bounds.
    pub(super) async fn fetch(&self) -> Result<Fetched, FetchFailure> {
        timeout(self.timeout, self.ask()).await.unwrap_or(Err(FetchFailure::TimedOut(self.timeout)))
    }

    async fn ask(&self) -> Result<Fetched, FetchFailure> {
        let answer = self.client.get(self.url.clone()).send().await.map_err(unreachable)?;
        if answer.status() != StatusCode::OK {
            return Err(FetchFailure::Status(answer.status()));
        }
        let fresh_for =
            answer.headers().get_all(CACHE_CONTROL).iter().filter_map(|value| max_age(value.to_str().ok()?));
        let fresh_for = fresh_for.min();
        let body = body(answer).await?;
        let jwks = Jwks::parse(&body, &self.algorithms)?;
        let document = serde_json::from_slice(&body).map_err(BadJwks::NoSet)?;
        Ok(Fetched { jwks, document, fresh_for })
    }
}

async fn body(mut answer: Response) -> Result<Vec<u8>, FetchFailure> {
    let mut body = Vec::new();
    while let Some(part) = answer.chunk().await.map_err(unreachable)? {
        if body.len() + part.len() > MOST_BYTES {
            return Err(FetchFailure::TooLarge);
        }
        body.extend_from_slice(&part);
    }
    Ok(body)
}

/// The URL may have a password in its query, and the log line names the provider.
fn unreachable(error: reqwest::Error) -> FetchFailure {
    FetchFailure::Unreachable(error.without_url())
}

/// Goes on only where the first place might have been: by the same scheme, and never in the clear to another machine.
fn redirect(attempt: Attempt<'_>, allow_insecure_http: bool) -> Action {
    let same_scheme = attempt.previous().first().is_some_and(|first| first.scheme() == attempt.url().scheme());
    let trusted = allow_insecure_http || is_trustworthy(attempt.url());
    if attempt.previous().len() <= MOST_REDIRECTS && same_scheme && trusted {
        attempt.follow()
    } else {
        attempt.error("the issuer leads to a place where its keys must not come from")
    }
}

/// How long an answer with this `Cache-Control` is fresh (RFC 9111, section 5.2.2), within our own bounds.
fn max_age(cache_control: &str) -> Option<Duration> {
    let seconds = cache_control.split(',').find_map(|directive| {
        let (name, value) = directive.trim().split_once('=')?;
        name.eq_ignore_ascii_case("max-age").then(|| value.trim_matches('"').parse::<u64>().ok())?
    })?;
    Some(Duration::from_secs(seconds).clamp(LEAST_FRESH, MOST_FRESH))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_issuer_says_within_bounds_how_long_its_set_is_fresh() {
        let secs = |text| max_age(text).map(|age| age.as_secs());
        assert_eq!(secs("public, max-age=600, must-revalidate"), Some(600));
        assert_eq!(secs("MAX-AGE=\"600\""), Some(600));
        assert_eq!(secs("max-age=0"), Some(30));
        assert_eq!(secs("max-age=99999999"), Some(24 * 3600));
        for none in ["", "no-store", "max-age", "max-age=-1", "s-maxage=5", "max-age=x"] {
            assert_eq!(secs(none), None, "{none}");
        }
    }
}
