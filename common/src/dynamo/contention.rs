//! Tells the SDK's retry policy that losing a race for an item is worth another attempt.
//!
//! DynamoDB cancels a transaction, or refuses a write, that meets another transaction on the same item. The SDK takes
//! that for final; it is not: the other one is over within milliseconds.

use aws_sdk_dynamodb::config::interceptors::InterceptorContext;
use aws_sdk_dynamodb::config::retry::{ClassifyRetry, RetryAction};
use aws_sdk_dynamodb::operation::transact_write_items::TransactWriteItemsError;
use aws_sdk_dynamodb::operation::update_item::UpdateItemError;
use aws_sdk_dynamodb::types::CancellationReason;

/// Asks for another attempt where the last one lost a race.
#[derive(Debug)]
pub(super) struct Contention;

impl ClassifyRetry for Contention {
    fn classify_retry(&self, context: &InterceptorContext) -> RetryAction {
        let Some(Err(error)) = context.output_or_error() else { return RetryAction::NoActionIndicated };
        let Some(error) = error.as_operation_error() else { return RetryAction::NoActionIndicated };
        let lost_race = if let Some(error) = error.downcast_ref::<TransactWriteItemsError>() {
            matches!(error, TransactWriteItemsError::TransactionCanceledException(cancelled)
                if cancelled.cancellation_reasons().iter().any(passes))
        } else if let Some(error) = error.downcast_ref::<UpdateItemError>() {
            error.is_transaction_conflict_exception()
        } else {
            false
        };
        if lost_race { RetryAction::throttling_error() } else { RetryAction::NoActionIndicated }
    }

    fn name(&self) -> &'static str {
        "lost race for an item"
    }
}

/// Whether a transaction was cancelled for a reason that passes by itself.
pub(super) fn passes(reason: &CancellationReason) -> bool {
    matches!(reason.code(), Some("TransactionConflict" | "ThrottlingError" | "ProvisionedThroughputExceeded"))
}
