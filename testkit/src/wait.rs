//! Waiting for something to become true, with a deadline instead of a hopeful sleep.

use std::time::Duration;

use anyhow::bail;

/// Pause between two looks at the condition.
const POLL_INTERVAL: Duration = Duration::from_millis(10);

/// Waits until `condition` holds, looking again every few milliseconds.
///
/// # Errors
/// Names `what` was waited for when it did not hold `within` that time.
pub async fn eventually(within: Duration, what: &str, condition: impl AsyncFn() -> bool) -> anyhow::Result<()> {
    let polling = async {
        while !condition().await {
            tokio::time::sleep(POLL_INTERVAL).await;
        }
    };
    if tokio::time::timeout(within, polling).await.is_err() {
        bail!("waited {within:?} in vain: {what}");
    }
    Ok(())
}
