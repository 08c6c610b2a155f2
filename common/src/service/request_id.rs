//! Gives each request an id, which is in every line logged for it and in its answer.

use std::sync::Arc;

use poem::http::{HeaderName, HeaderValue, header};
use poem::{Endpoint, IntoResponse, Request, Response, Result};
use tracing::Instrument;
use uuid::Uuid;

const HEADER: HeaderName = HeaderName::from_static("x-request-id");
const MAX_LENGTH: usize = 128;

/// The id of one request: the caller's if it is sound, else a new UUIDv7.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RequestId(HeaderValue);

impl RequestId {
    fn of(request: &Request) -> Self {
        let sound =
            |id: &&HeaderValue| (1..=MAX_LENGTH).contains(&id.len()) && id.as_bytes().iter().all(u8::is_ascii_graphic);
        let own = || HeaderValue::try_from(Uuid::now_v7().to_string()).expect("a UUID is visible ASCII");
        Self(request.headers().get(HEADER).filter(sound).cloned().unwrap_or_else(own))
    }

    /// The id as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        self.0.to_str().unwrap_or_default()
    }
}

/// Opens the request's span, and marks the answer with the id and as nothing to keep or to guess the type of.
pub(super) async fn identified<E: Endpoint>(next: Arc<E>, mut request: Request) -> Result<Response> {
    let id = RequestId::of(&request);
    request.set_data(id.clone());
    let span = tracing::info_span!("request", request_id = id.as_str());
    let mut response = next.call(request).instrument(span).await?.into_response();
    let headers = response.headers_mut();
    headers.insert(HEADER, id.0);
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    // Tokens and personal data must not be kept by anybody on the way; what may be, says so itself.
    headers.entry(header::CACHE_CONTROL).or_insert(HeaderValue::from_static("no-store"));
    Ok(response)
}
