//! Several writes, all or none.

use aws_sdk_dynamodb::Client;
use aws_sdk_dynamodb::error::SdkError;
use aws_sdk_dynamodb::operation::transact_write_items::TransactWriteItemsError;
use aws_sdk_dynamodb::types::{CancellationReason, Delete, Put, TransactWriteItem, Update};

use super::item::Item;
use super::{connection, contention, error};
use crate::repository::RepositoryError;

/// More than for other calls: transactions on one hot item queue up behind each other.
const ATTEMPTS: u32 = 10;

/// Why nothing was written.
pub(super) enum NotWritten {
    /// Some of the writes' conditions did not hold.
    Conditions(FailedConditions),
    /// The store failed.
    Store(RepositoryError),
}

/// Which of a transaction's writes had a condition that did not hold, by their place in it.
pub(super) struct FailedConditions(Vec<CancellationReason>);

impl FailedConditions {
    /// Whether the condition of the write at `place` did not hold.
    pub(super) fn at(&self, place: usize) -> bool {
        self.0.get(place).is_some_and(condition_failed)
    }

    /// The item that the write at `place` found, if it asked for it and there is one.
    pub(super) fn found_at(&self, place: usize) -> Option<&Item> {
        self.0.get(place)?.item()
    }
}

/// Writes all of `writes`, or none.
///
/// The SDK sends one and the same `ClientRequestToken` with each attempt, so that an attempt whose answer was lost is not
/// done twice.
pub(super) async fn write(client: &Client, writes: Vec<TransactWriteItem>) -> Result<(), NotWritten> {
    let patient = aws_sdk_dynamodb::Config::builder().retry_config(connection::retries(ATTEMPTS));
    let sent =
        client.transact_write_items().set_transact_items(Some(writes)).customize().config_override(patient).send();
    match sent.await {
        Ok(_) => Ok(()),
        Err(failure) => Err(not_written(failure)),
    }
}

/// A put as part of a transaction.
pub(super) fn put(put: aws_sdk_dynamodb::types::builders::PutBuilder) -> Result<TransactWriteItem, RepositoryError> {
    let put: Put = put.build().map_err(error::unbuilt)?;
    Ok(TransactWriteItem::builder().put(put).build())
}

/// An update as part of a transaction.
pub(super) fn update(
    update: aws_sdk_dynamodb::types::builders::UpdateBuilder,
) -> Result<TransactWriteItem, RepositoryError> {
    let update: Update = update.build().map_err(error::unbuilt)?;
    Ok(TransactWriteItem::builder().update(update).build())
}

/// A deletion as part of a transaction.
pub(super) fn delete(
    delete: aws_sdk_dynamodb::types::builders::DeleteBuilder,
) -> Result<TransactWriteItem, RepositoryError> {
    let delete: Delete = delete.build().map_err(error::unbuilt)?;
    Ok(TransactWriteItem::builder().delete(delete).build())
}

fn not_written(failure: SdkError<TransactWriteItemsError, aws_sdk_dynamodb::config::http::HttpResponse>) -> NotWritten {
    let reasons = match failure.as_service_error() {
        Some(TransactWriteItemsError::TransactionCanceledException(cancelled)) => cancelled.cancellation_reasons(),
        _ => return NotWritten::Store(error::failed(failure)),
    };
    // A conflict first: beside one, the other conditions were not checked against a settled state.
    if reasons.iter().any(contention::passes) {
        NotWritten::Store(RepositoryError::Unavailable(failure.into_source().unwrap_or_else(Into::into)))
    } else if reasons.iter().any(condition_failed) {
        NotWritten::Conditions(FailedConditions(reasons.to_vec()))
    } else {
        NotWritten::Store(error::failed(failure))
    }
}

fn condition_failed(reason: &CancellationReason) -> bool {
    reason.code() == Some("ConditionalCheckFailed")
}

impl From<RepositoryError> for NotWritten {
    fn from(error: RepositoryError) -> Self {
        Self::Store(error)
    }
}
