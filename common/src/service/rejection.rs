//! Turns every way in which a request can fail into one problem document, and logs what the sender must not see.

use std::any::Any;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;

use futures::FutureExt;
use poem::error::{MethodNotAllowedError, NotFoundError};
use poem::http::{StatusCode, header};
use poem::{Endpoint, IntoResponse, PathPattern, Request, Response, Result};
use poem_openapi::error::{
    AuthorizationError, ContentTypeError, ParseParamError, ParsePathError, ParseRequestPayloadError,
};

use super::routes::Routes;
use super::{FieldError, Problem, RequestId};
use crate::telemetry::Chain;

/// Answers with a problem document when `next` fails or panics.
pub(super) async fn answered<E: Endpoint>(next: Arc<E>, request: Request, routes: Arc<Routes>) -> Result<Response> {
    let id = request.data::<RequestId>().cloned();
    let (problem, pattern) = match AssertUnwindSafe(next.call(request)).catch_unwind().await {
        Ok(Ok(response)) => return Ok(response.into_response()),
        Ok(Err(error)) => {
            let pattern = error.data::<PathPattern>().cloned();
            (problem(error, &routes), pattern)
        }
        Err(panic) => (Problem::internal(Panicked(message(&*panic))), None),
    };
    if problem.status().is_server_error() {
        tracing::error!(error = %Chain(&problem), "request not fulfilled");
    } else {
        tracing::debug!(error = %Chain(&problem), "request refused");
    }
    let mut response = problem.to_response(id.as_ref());
    if let Some(pattern) = pattern {
        response.set_data(pattern);
    }
    Ok(response)
}

/// The problem that an error of ours, of poem or of poem-openapi is.
fn problem(error: poem::Error, routes: &Routes) -> Problem {
    let error = match error.downcast::<Problem>() {
        Ok(problem) => return problem,
        Err(error) => error,
    };
    if error.is::<NotFoundError>() {
        return Problem::not_found("no_route", "There is nothing at this path");
    }
    if error.is::<MethodNotAllowedError>() {
        let problem = Problem::new(
            StatusCode::METHOD_NOT_ALLOWED,
            "method_not_allowed",
            "This path has no such method; the Allow header lists the ones it has",
        );
        return match routes.allow(error.data()) {
            Some(methods) => problem.with_header(header::ALLOW, methods),
            None => problem,
        };
    }
    if error.is::<AuthorizationError>() {
        return Problem::unauthorized("missing_token", "A bearer token is needed");
    }
    if error.is::<ContentTypeError>() {
        return Problem::unsupported_media_type();
    }
    if let Some(ParseParamError { name, reason }) = error.downcast_ref() {
        return parameter(name, reason);
    }
    if let Some(ParsePathError { name, reason }) = error.downcast_ref() {
        return parameter(name, reason);
    }
    if let Some(ParseRequestPayloadError { reason }) = error.downcast_ref() {
        return Problem::bad_request("invalid_body", without_type_name(reason));
    }
    match error.status() {
        StatusCode::BAD_REQUEST => Problem::bad_request("bad_request", "The request cannot be understood"),
        _ => Problem::internal(Unforeseen(error)),
    }
}

fn parameter(name: &str, reason: &str) -> Problem {
    let detail = without_type_name(reason).to_owned();
    let problem = Problem::bad_request("invalid_parameter", format!("{name}: {detail}"));
    problem.with_errors(vec![FieldError { field: name.to_owned(), detail }])
}

/// poem-openapi puts the name of our type before what is wrong: `failed to parse "NewUser": …`.
fn without_type_name(reason: &str) -> &str {
    reason.strip_prefix("failed to parse \"").and_then(|rest| rest.split_once("\": ")).map_or(reason, |(_, rest)| rest)
}

fn message(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().map(|text| (*text).to_owned());
    text.or_else(|| panic.downcast_ref::<String>().cloned()).unwrap_or_default()
}

#[derive(Debug, thiserror::Error)]
#[error("the handler panicked: {0}")]
struct Panicked(String);

#[derive(Debug, thiserror::Error)]
#[error("an error that we do not foresee")]
struct Unforeseen(#[source] poem::Error);
