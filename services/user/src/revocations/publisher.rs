//! Publishes the feed in Redis, and fills a Redis that has lost what it had.

use std::sync::Arc;
use std::time::Duration;

use common::revocations::HEARTBEAT;
use common::revocations::redis::{Publisher, RedisFailure};
use common::telemetry::Chain;
use redis::Client;
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;

use super::Feed;
use super::feed::Heard;

const PAUSE: Duration = Duration::from_millis(250);

/// Publishes `feed` until `stop`.
pub(crate) async fn publish(feed: Arc<Feed>, client: Client, stop: CancellationToken) {
    let publishing = async {
        let mut has_failed = false;
        loop {
            match follow(&feed, &client, &mut has_failed).await {
                Ok(()) => return,
                Err(RedisFailure::Empty) => tracing::info!("Redis has lost the revocations, and gets them again"),
                Err(failure) if !has_failed => {
                    has_failed = true;
                    tracing::warn!(error = %Chain(&failure), "revocations cannot be published in Redis");
                }
                Err(_) => {}
            }
            sleep(PAUSE).await;
        }
    };
    tokio::select! {
        () = publishing => {}
        () = stop.cancelled() => {}
    }
}

/// Puts everything in, and then what is new; ends with the feed.
async fn follow(feed: &Feed, client: &Client, has_failed: &mut bool) -> Result<(), RedisFailure> {
    let mut changes = feed.changes();
    let mut publisher = Publisher::connect(client).await?;
    let mut place = None;
    loop {
        changes.mark_unchanged();
        match feed.since(place.as_ref()) {
            Heard::Closed => return Ok(()),
            Heard::NotReady => {}
            Heard::All(all, here) => {
                publisher.fill(&all).await?;
                place = Some(here);
                if std::mem::take(has_failed) {
                    tracing::info!("revocations are published in Redis again");
                }
            }
            // That this is all is told by a feed only that would know.
            Heard::Since(came, here) => {
                match (feed.is_fresh(), came.is_empty()) {
                    (true, _) => publisher.tell(&came).await?,
                    (false, false) => publisher.add(&came).await?,
                    (false, true) => {}
                }
                place = Some(here);
            }
        }
        // Whether something has happened or not, the next look tells.
        let _ = timeout(HEARTBEAT, changes.changed()).await;
    }
}
