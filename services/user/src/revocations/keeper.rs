//! Reads from the store what other processes have revoked.

use std::sync::Arc;
use std::time::Duration;

use chrono::{TimeDelta, Utc};
use common::repository::{RepositoryError, RevocationLog};
use common::telemetry::Chain;
use tokio::time::{Instant, sleep};
use tokio_util::sync::CancellationToken;

use super::Feed;

/// Between two looks at the log.
const POLL_INTERVAL: Duration = Duration::from_millis(400);
/// How far before the last look the next one begins: longer than a write may take from its moment until it can be read, and
/// than clocks differ.
const OVERLAP: TimeDelta = TimeDelta::seconds(30);
/// After how long everything is read again, for whatever took longer than that.
const REREAD_AFTER: Duration = Duration::from_secs(5 * 60);

/// Keeps `feed` up to date until `stop`, and closes it then.
pub(crate) async fn keep(feed: Arc<Feed>, log: Arc<dyn RevocationLog>, stop: CancellationToken) {
    let keeping = async {
        loop {
            // Tried again from the beginning after an outage, which may have been longer than the log is kept.
            let Err(error) = follow(&feed, &*log).await;
            tracing::warn!(error = %Chain(&error), "revocations of other processes cannot be read");
            sleep(POLL_INTERVAL).await;
        }
    };
    tokio::select! {
        () = keeping => {}
        () = stop.cancelled() => {}
    }
    feed.close();
}

async fn follow(feed: &Feed, log: &dyn RevocationLog) -> Result<std::convert::Infallible, RepositoryError> {
    loop {
        let mut since = Utc::now() - OVERLAP;
        let read_all = Instant::now();
        feed.begin();
        feed.add(log.all().await?);
        feed.complete();
        while read_all.elapsed() < REREAD_AFTER {
            sleep(POLL_INTERVAL).await;
            let now = Utc::now();
            feed.add(log.written_since(since).await?);
            feed.seen();
            since = now - OVERLAP;
        }
    }
}
