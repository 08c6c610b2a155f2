//! What a failed call means to the caller: the one place where the SDK's errors become ours.

use std::error::Error;

use aws_sdk_dynamodb::config::http::HttpResponse;
use aws_sdk_dynamodb::error::{BuildError, ProvideErrorMetadata, SdkError};

use crate::repository::RepositoryError;

/// DynamoDB's codes for what passes by itself.
const PASSING: &[&str] = &[
    "InternalServerError",
    "LimitExceededException",
    "ProvisionedThroughputExceededException",
    "ReplicatedWriteConflictException",
    "RequestLimitExceeded",
    "ServiceUnavailable",
    "ThrottlingException",
    "TransactionConflictException",
    "TransactionInProgressException",
];

/// The meaning of a call that failed.
pub(super) fn failed<E>(error: SdkError<E, HttpResponse>) -> RepositoryError
where
    E: Error + ProvideErrorMetadata + Send + Sync + 'static,
{
    let passing = match &error {
        SdkError::ConstructionFailure(_) => false,
        SdkError::TimeoutError(_) | SdkError::DispatchFailure(_) | SdkError::ResponseError(_) => true,
        SdkError::ServiceError(answer) => {
            // An answer without a code is not DynamoDB's, but of something that stands before it.
            let by_code = answer.err().code().is_none_or(|code| PASSING.contains(&code));
            by_code || answer.raw().status().is_server_error()
        }
        _ => false,
    };
    // The source alone, without the raw answer: that holds items.
    let source = error.into_source().unwrap_or_else(Into::into);
    if passing { RepositoryError::Unavailable(source) } else { RepositoryError::Refused(source) }
}

/// A request that cannot be built is a mistake of ours.
pub(super) fn unbuilt(error: BuildError) -> RepositoryError {
    RepositoryError::Refused(error.into())
}
