//! Asks CoinGecko what assets cost (`GET /api/v3/coins/markets`), and believes no more of the answer than is sound.

mod markets;

use std::time::Duration;

use chrono::{DateTime, Utc};
use common::entities::AssetId;
use reqwest::header::{ACCEPT, HeaderMap, HeaderName, HeaderValue, RETRY_AFTER};
use reqwest::{Client, Response, StatusCode, Url, redirect};
use secrecy::{ExposeSecret, SecretString};

pub(crate) use self::markets::{Markets, Quote, Rejection};

/// Assets per call; CoinGecko gives no more on one page.
pub(crate) const MAX_IDS: usize = 250;

/// Ten times what 250 assets need.
const MAX_BODY_BYTES: usize = 2 * 1024 * 1024;

/// The host of the paid plans, whose key goes into a header of its own.
const PRO_HOST: &str = "pro-api.coingecko.com";

/// How CoinGecko is reached.
#[derive(Clone, Debug)]
pub struct CoinGeckoSettings {
    /// Scheme and host, with or without `/api/v3`.
    pub base_url: Url,
    /// Key of the demo plan, or of a paid plan if the host is that of the paid plans.
    pub api_key: Option<SecretString>,
    /// How long a connection may take to be made.
    pub connect_timeout: Duration,
    /// How long a call may take in all.
    pub timeout: Duration,
}

/// A client of CoinGecko.
pub(crate) struct CoinGecko {
    http: Client,
    markets: Url,
}

/// The client cannot be made of these settings.
#[derive(Debug, thiserror::Error)]
pub enum CoinGeckoError {
    /// The key has characters that no header may have.
    #[error("COINGECKO_API_KEY has characters that cannot be sent")]
    Key,
    /// The HTTP client could not be made.
    #[error("the HTTP client for CoinGecko could not be made")]
    Client(#[source] reqwest::Error),
}

/// Why there are no prices.
#[derive(Debug, thiserror::Error)]
pub(crate) enum FetchError {
    /// CoinGecko did not answer, or not to the end, or not in time.
    #[error("CoinGecko did not answer")]
    Transport(#[source] reqwest::Error),
    /// CoinGecko answered with an error.
    #[error("CoinGecko answered {status}")]
    Refused {
        /// The answer's status.
        status: StatusCode,
        /// How long it asks to be left alone.
        retry_after: Option<Duration>,
    },
    /// The answer is larger than any sound one.
    #[error("CoinGecko's answer is larger than {MAX_BODY_BYTES} bytes")]
    TooLarge,
    /// The answer is no JSON array.
    #[error("CoinGecko's answer cannot be read")]
    Malformed(#[source] serde_json::Error),
}

impl CoinGecko {
    /// A client with these settings; connects to nothing yet.
    ///
    /// # Errors
    /// When the key cannot be sent or the HTTP client cannot be made.
    pub(crate) fn new(settings: &CoinGeckoSettings) -> Result<Self, CoinGeckoError> {
        let mut headers = HeaderMap::new();
        headers.insert(ACCEPT, HeaderValue::from_static("application/json"));
        if let Some(key) = &settings.api_key {
            let mut value = HeaderValue::from_str(key.expose_secret()).map_err(|_| CoinGeckoError::Key)?;
            value.set_sensitive(true);
            headers.insert(key_header(&settings.base_url), value);
        }
        let http = Client::builder()
            .user_agent(concat!("cloud-native-order-processor/", env!("CARGO_PKG_VERSION")))
            .default_headers(headers)
            .connect_timeout(settings.connect_timeout)
            .timeout(settings.timeout)
            // A redirect would carry the key to whomever it names.
            .redirect(redirect::Policy::none())
            .build()
            .map_err(CoinGeckoError::Client)?;
        Ok(Self { http, markets: markets_url(&settings.base_url) })
    }

    /// The prices of up to [`MAX_IDS`] assets, in dollars.
    ///
    /// # Errors
    /// When there is no answer that can be read. An entry that is not sound is no error, but set aside.
    pub(crate) async fn markets(&self, ids: &[AssetId]) -> Result<Markets, FetchError> {
        let joined = ids.iter().map(AssetId::as_str).collect::<Vec<_>>().join(",");
        let mut url = self.markets.clone();
        url.query_pairs_mut()
            .append_pair("vs_currency", "usd")
            .append_pair("ids", &joined)
            .append_pair("per_page", &MAX_IDS.to_string());
        let response = self.http.get(url).send().await.map_err(transport)?;
        let status = response.status();
        if status != StatusCode::OK {
            return Err(FetchError::Refused { status, retry_after: retry_after(response.headers(), Utc::now()) });
        }
        let body = bounded_body(response).await?;
        Markets::read(&body, ids, Utc::now()).map_err(FetchError::Malformed)
    }
}

fn markets_url(base: &Url) -> Url {
    let mut url = base.clone();
    let root = base.path().trim_end_matches('/').trim_end_matches("/api/v3").to_owned();
    url.set_path(&format!("{root}/api/v3/coins/markets"));
    url
}

fn key_header(base: &Url) -> HeaderName {
    let name = if base.host_str() == Some(PRO_HOST) { "x-cg-pro-api-key" } else { "x-cg-demo-api-key" };
    HeaderName::from_static(name)
}

async fn bounded_body(mut response: Response) -> Result<Vec<u8>, FetchError> {
    let mut body = Vec::new();
    while let Some(chunk) = response.chunk().await.map_err(transport)? {
        if body.len() + chunk.len() > MAX_BODY_BYTES {
            return Err(FetchError::TooLarge);
        }
        body.extend_from_slice(&chunk);
    }
    Ok(body)
}

/// The address is left out of the error: it lists every asset's id.
fn transport(error: reqwest::Error) -> FetchError {
    FetchError::Transport(error.without_url())
}

/// Seconds or a date (RFC 9110, section 10.2.3).
fn retry_after(headers: &HeaderMap, now: DateTime<Utc>) -> Option<Duration> {
    let text = headers.get(RETRY_AFTER)?.to_str().ok()?.trim();
    if let Ok(seconds) = text.parse() {
        return Some(Duration::from_secs(seconds));
    }
    let date = DateTime::parse_from_rfc2822(text).ok()?;
    Some((date.with_timezone(&Utc) - now).to_std().unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn url(text: &str) -> Url {
        text.parse().expect("url")
    }

    #[test]
    fn the_base_url_may_or_may_not_have_the_version() {
        for base in ["https://api.coingecko.com", "https://api.coingecko.com/", "https://api.coingecko.com/api/v3/"] {
            assert_eq!(markets_url(&url(base)).as_str(), "https://api.coingecko.com/api/v3/coins/markets", "{base}");
        }
        let behind_a_proxy = markets_url(&url("http://proxy:3000/coingecko"));
        assert_eq!(behind_a_proxy.as_str(), "http://proxy:3000/coingecko/api/v3/coins/markets");
    }

    #[test]
    fn the_key_goes_into_the_header_of_its_plan() {
        assert_eq!(key_header(&url("https://api.coingecko.com")), "x-cg-demo-api-key");
        assert_eq!(key_header(&url("https://pro-api.coingecko.com/api/v3")), "x-cg-pro-api-key");
    }

    #[test]
    fn retry_after_is_seconds_or_a_date() {
        let now = DateTime::parse_from_rfc3339("2026-11-22T10:00:00Z").expect("time").to_utc();
        let read = |text: &'static str| {
            retry_after(&HeaderMap::from_iter([(RETRY_AFTER, HeaderValue::from_static(text))]), now)
        };
        assert_eq!(read("30"), Some(Duration::from_secs(30)));
        assert_eq!(read("Sun, 22 Nov 2026 10:01:00 GMT"), Some(Duration::from_secs(60)));
        assert_eq!(read("Sun, 22 Nov 2026 09:00:00 GMT"), Some(Duration::ZERO), "a date that is past");
        for bad in ["", "soon", "-1", "1.5"] {
            assert_eq!(read(bad), None, "{bad:?}");
        }
    }
}
