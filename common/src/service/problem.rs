//! The answer to a request that was not fulfilled: a problem document (RFC 9457).

use std::error::Error;
use std::time::Duration;

use poem::error::ResponseError;
use poem::http::{HeaderName, HeaderValue, StatusCode, header};
use poem::{IntoResponse, Response};
use poem_openapi::registry::{MetaMediaType, MetaResponse, MetaResponses, Registry};
use poem_openapi::types::{ToJSON, Type};
use poem_openapi::{ApiResponse, Object};

use super::RequestId;
use crate::auth::PasswordError;
use crate::names::suggestion;
use crate::repository::RepositoryError;

const CONTENT_TYPE: &str = "application/problem+json";

/// More wrong fields help nobody, and make of a small request a large answer.
const MAX_ERRORS: usize = 16;

/// How much of an unknown name is repeated to its sender.
const MAX_NAME_CHARS: usize = 64;

/// Why a request was not fulfilled: what its sender is told, and the cause that only the log sees.
#[derive(Debug, thiserror::Error)]
#[error("{code}: {detail}")]
pub struct Problem {
    status: StatusCode,
    code: &'static str,
    detail: String,
    errors: Vec<FieldError>,
    headers: Vec<(HeaderName, HeaderValue)>,
    #[source]
    cause: Option<Box<dyn Error + Send + Sync>>,
}

/// What is wrong with one field of a request.
#[derive(Clone, Debug, PartialEq, Eq, Object)]
pub struct FieldError {
    /// The field or parameter.
    pub field: String,
    /// What is wrong with it.
    pub detail: String,
}

/// A problem document (RFC 9457).
#[derive(Object)]
#[oai(rename = "Problem", skip_serializing_if_is_none)]
struct Document {
    /// Always `about:blank`: the code says which problem it is.
    #[oai(rename = "type")]
    kind: String,
    /// The status in words.
    title: String,
    /// The HTTP status.
    status: u16,
    /// What is wrong, for people.
    detail: String,
    /// What is wrong, for programs; never changes.
    code: String,
    /// The request's id, by which its log lines are found.
    request_id: String,
    /// What is wrong with each field.
    errors: Option<Vec<FieldError>>,
}

impl FieldError {
    /// `name` is none of the `known` ones; `kind` says of what.
    #[must_use]
    pub fn unknown(kind: &str, name: &str, known: &[&str]) -> Self {
        let detail = format!("is an unknown {kind}; {}", suggestion(name, known));
        Self { field: name.chars().take(MAX_NAME_CHARS).collect(), detail }
    }
}

impl Problem {
    /// A problem with `status`; `code` is stable and in snake case, `detail` is a sentence for the sender.
    #[must_use]
    pub fn new(status: StatusCode, code: &'static str, detail: impl Into<String>) -> Self {
        let (errors, headers) = (Vec::new(), Vec::new());
        Self { status, code, detail: detail.into(), errors, headers, cause: None }
    }

    /// 400: the request cannot be understood.
    #[must_use]
    pub fn bad_request(code: &'static str, detail: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, code, detail)
    }

    /// 401: the request says not who sends it, or nobody that we know.
    #[must_use]
    pub fn unauthorized(code: &'static str, detail: impl Into<String>) -> Self {
        let challenge = HeaderValue::from_static(r#"Bearer realm="order-processor""#);
        Self::new(StatusCode::UNAUTHORIZED, code, detail).with_header(header::WWW_AUTHENTICATE, challenge)
    }

    /// 401: the request bears a token that is not to be believed (RFC 6750, section 3.1).
    #[must_use]
    pub fn invalid_token(detail: impl Into<String>) -> Self {
        let challenge = HeaderValue::from_static(r#"Bearer realm="order-processor", error="invalid_token""#);
        Self::new(StatusCode::UNAUTHORIZED, "invalid_token", detail).with_header(header::WWW_AUTHENTICATE, challenge)
    }

    /// 404: there is no such thing, or not for this caller.
    #[must_use]
    pub fn not_found(code: &'static str, detail: impl Into<String>) -> Self {
        Self::new(StatusCode::NOT_FOUND, code, detail)
    }

    /// 409: what is there already stands against it.
    #[must_use]
    pub fn conflict(code: &'static str, detail: impl Into<String>) -> Self {
        Self::new(StatusCode::CONFLICT, code, detail)
    }

    /// 415: the body is no JSON, or does not say so.
    pub(super) fn unsupported_media_type() -> Self {
        let detail = "The body must be JSON and say so: Content-Type: application/json";
        Self::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, "unsupported_media_type", detail)
    }

    /// 422: the request is understood, but these fields are wrong.
    #[must_use]
    pub fn invalid_fields(errors: Vec<FieldError>) -> Self {
        let detail = match errors.as_slice() {
            [error] => format!("{} {}", error.field, error.detail),
            _ => format!("{} fields are wrong", errors.len()),
        };
        Self::new(StatusCode::UNPROCESSABLE_ENTITY, "invalid_fields", detail).with_errors(errors)
    }

    /// 500: a mistake of ours; the sender learns nothing but the request's id.
    #[must_use]
    pub fn internal(cause: impl Into<Box<dyn Error + Send + Sync>>) -> Self {
        let detail = "Something went wrong on our side; name the request id when you report it";
        Self::new(StatusCode::INTERNAL_SERVER_ERROR, "internal_error", detail).caused_by(cause)
    }

    /// 503: the same request may succeed after `retry_after`.
    #[must_use]
    pub fn unavailable(code: &'static str, detail: impl Into<String>, retry_after: Duration) -> Self {
        Self::new(StatusCode::SERVICE_UNAVAILABLE, code, detail)
            .with_header(header::RETRY_AFTER, HeaderValue::from(retry_after.as_secs().max(1)))
    }

    /// The same with a header of its answer.
    #[must_use]
    pub fn with_header(mut self, name: HeaderName, value: HeaderValue) -> Self {
        self.headers.push((name, value));
        self
    }

    /// The same with what is wrong with each field; of very many, the first.
    #[must_use]
    pub fn with_errors(mut self, mut errors: Vec<FieldError>) -> Self {
        errors.truncate(MAX_ERRORS);
        self.errors = errors;
        self
    }

    /// The same with the cause that the log shows.
    #[must_use]
    pub fn caused_by(mut self, cause: impl Into<Box<dyn Error + Send + Sync>>) -> Self {
        self.cause = Some(cause.into());
        self
    }

    /// The HTTP status.
    #[must_use]
    pub const fn status(&self) -> StatusCode {
        self.status
    }

    /// The answer to the request with this id.
    pub(super) fn to_response(&self, id: Option<&RequestId>) -> Response {
        let document = Document {
            kind: "about:blank".to_owned(),
            title: self.status.canonical_reason().unwrap_or_default().to_owned(),
            status: self.status.as_u16(),
            detail: self.detail.clone(),
            code: self.code.to_owned(),
            request_id: id.map(RequestId::as_str).unwrap_or_default().to_owned(),
            errors: (!self.errors.is_empty()).then(|| self.errors.clone()),
        };
        let mut response = document.to_json_string().with_content_type(CONTENT_TYPE).into_response();
        response.set_status(self.status);
        response.headers_mut().extend(self.headers.iter().cloned());
        response
    }
}

impl ResponseError for Problem {
    fn status(&self) -> StatusCode {
        self.status
    }

    fn as_response(&self) -> Response {
        self.to_response(None)
    }
}

/// In the API's document every operation can end in a problem.
impl ApiResponse for Problem {
    fn meta() -> MetaResponses {
        let content = vec![MetaMediaType { content_type: CONTENT_TYPE, schema: Document::schema_ref() }];
        let description = "Not fulfilled; `code` says why";
        let response = MetaResponse { description, status: None, status_range: None, content, headers: vec![] };
        MetaResponses { responses: vec![response] }
    }

    fn register(registry: &mut Registry) {
        Document::register(registry);
    }
}

impl From<RepositoryError> for Problem {
    fn from(error: RepositoryError) -> Self {
        if error.is_retryable() {
            let detail = "The store does not answer at present; try again";
            Self::unavailable("store_unavailable", detail, Duration::from_secs(1)).caused_by(error)
        } else {
            Self::internal(error)
        }
    }
}

impl From<PasswordError> for Problem {
    fn from(error: PasswordError) -> Self {
        match error {
            PasswordError::Busy => {
                let detail = "Too many people are logging in at present; try again";
                Self::unavailable("busy", detail, Duration::from_secs(1))
            }
            PasswordError::Hash(_) | PasswordError::NoThread(_) | PasswordError::Aborted(_) => Self::internal(error),
        }
    }
}
