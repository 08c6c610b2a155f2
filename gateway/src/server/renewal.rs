//! Has the files of certificates looked at again, so that renewed ones are used without a reload.

use std::sync::Arc;
use std::time::Duration;

use tokio::runtime::Handle;
use tokio::task::spawn_blocking;
use tokio::time::{Instant, sleep};

use super::Shared;

/// How long to wait at most before seeing whether the configuration wants something else by now.
const LONGEST_NAP: Duration = Duration::from_secs(10);

/// Looks at the files of whatever configuration is in force, as often as it wants it.
pub(super) fn watch(control: &Handle, shared: Arc<Shared>) {
    control.spawn(async move {
        let mut last = Instant::now();
        loop {
            let interval = shared.snapshot.load().reload_interval();
            sleep(interval.unwrap_or(LONGEST_NAP).min(LONGEST_NAP)).await;
            let snapshot = shared.snapshot.load_full();
            if snapshot.reload_interval().is_none_or(|interval| last.elapsed() < interval) {
                continue;
            }
            last = Instant::now();
            if let Err(error) = spawn_blocking(move || snapshot.renew()).await {
                tracing::error!(%error, "the files of certificates could not be looked at");
            }
        }
    });
}
