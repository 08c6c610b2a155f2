//! The body of a request: bounded in size and time, then JSON of one shape.

use std::sync::Arc;
use std::time::Duration;

use poem::error::ReadBodyError;
use poem::http::{StatusCode, header};
use poem::{Endpoint, IntoResponse, Request, RequestBody, Response, Result};
use poem_openapi::payload::{Json, Payload};
use poem_openapi::registry::{MetaMediaType, MetaRequest, MetaSchemaRef, Registry};
use poem_openapi::types::{ParseFromJSON, Type};
use poem_openapi::{ApiExtractor, ApiExtractorType, ExtractParamOptions};
use serde_json::Value;

use super::{FieldError, Fields, Problem};

/// A slower sender is not waiting for an answer but holding a connection.
const READ_DEADLINE: Duration = Duration::from_secs(10);

/// Reads the body whole before anything else is done with the request.
pub(super) async fn bounded<E: Endpoint>(next: Arc<E>, mut request: Request, limit: usize) -> Result<Response> {
    let announced = request.header(header::CONTENT_LENGTH).and_then(|length| length.parse::<u64>().ok());
    if announced.is_some_and(|length| length > limit as u64) {
        return Err(too_large(limit).into());
    }
    let reading = request.take_body().into_bytes_limit(limit);
    let body = match tokio::time::timeout(READ_DEADLINE, reading).await {
        Ok(Ok(body)) => body,
        Ok(Err(ReadBodyError::PayloadTooLarge)) => return Err(too_large(limit).into()),
        Ok(Err(error)) => {
            return Err(Problem::bad_request("broken_body", "The body ended early").caused_by(error).into());
        }
        Err(_elapsed) => {
            let detail = "The body did not arrive in time";
            return Err(Problem::new(StatusCode::REQUEST_TIMEOUT, "request_timeout", detail).into());
        }
    };
    request.set_body(body);
    Ok(next.call(request).await?.into_response())
}

fn too_large(limit: usize) -> Problem {
    let detail = format!("The body may have at most {limit} bytes");
    Problem::new(StatusCode::PAYLOAD_TOO_LARGE, "payload_too_large", detail)
}

/// A JSON body of the shape `T`: like [`Json`], but it says in our words what is wrong, and that at once.
///
/// `T` is an `Object` of [`Field`](super::Field)s with `deny_unknown_fields`.
pub struct Body<T> {
    known: T,
    unknown: Vec<FieldError>,
}

impl<T> Body<T> {
    /// What `read` makes of the body; it gathers in [`Fields`] what is wrong, where every unknown field is already.
    ///
    /// # Errors
    /// 422 with everything that is wrong.
    pub fn read<U>(self, read: impl FnOnce(T, Fields) -> Result<U, Problem>) -> Result<U, Problem> {
        read(self.known, Fields::with_unknown(self.unknown))
    }
}

impl<T: ParseFromJSON> Body<T> {
    fn parse(bytes: &[u8]) -> Result<Self, Problem> {
        let value: Value = serde_json::from_slice(bytes).map_err(|error| {
            let detail =
                if bytes.is_empty() { "The body is empty".into() } else { format!("The body is not JSON: {error}") };
            Problem::bad_request("malformed_json", detail)
        })?;
        let Value::Object(mut members) = value else {
            return Err(Problem::bad_request("malformed_json", "The body must be a JSON object"));
        };
        // Taken out, or they would be all that poem-openapi sees.
        let names = properties::<T>();
        let mut unknown = Vec::new();
        members.retain(|name, _| {
            let known = names.contains(&name.as_str());
            if !known {
                unknown.push(FieldError::unknown("field", name, &names));
            }
            known
        });
        let known = T::parse_from_json(Some(Value::Object(members))).map_err(|error| {
            Problem::bad_request("invalid_body", "The body has not the shape that the document shows")
                .caused_by(error.into_message())
        })?;
        Ok(Self { known, unknown })
    }
}

/// The fields that `T` has, by its schema.
fn properties<T: Type>() -> Vec<&'static str> {
    let mut registry = Registry::new();
    T::register(&mut registry);
    let schema = registry.schemas.remove(&*T::name());
    schema.into_iter().flat_map(|schema| schema.properties).map(|(name, _)| name).collect()
}

impl<'a, T: ParseFromJSON> ApiExtractor<'a> for Body<T> {
    const TYPES: &'static [ApiExtractorType] = &[ApiExtractorType::RequestObject];

    type ParamType = ();
    type ParamRawType = ();

    fn register(registry: &mut Registry) {
        T::register(registry);
    }

    fn request_meta() -> Option<MetaRequest> {
        let schema: MetaSchemaRef = T::schema_ref();
        let content = vec![MetaMediaType { content_type: "application/json", schema }];
        Some(MetaRequest { description: None, content, required: true })
    }

    async fn from_request(request: &'a Request, body: &mut RequestBody, _: ExtractParamOptions<()>) -> Result<Self> {
        if !request.content_type().is_some_and(Json::<T>::check_content_type) {
            return Err(Problem::unsupported_media_type().into());
        }
        let bytes = body.take()?.into_bytes().await?;
        Ok(Self::parse(&bytes)?)
    }
}
