//! Follows the source of revocations, for ever.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use common::revocations::redis::RedisFailure;
use common::telemetry::Chain;
use http::StatusCode;
use tokio::time::sleep;

use super::http_source::HttpSource;
use super::redis_source::RedisSource;
use super::{RevocationError, Shared, SourceSettings};
use crate::limit::LinkSettings;

/// Between two attempts to follow a source that was lost.
const PAUSE: Duration = Duration::from_millis(250);
/// The same while there are too many revocations.
const LONG_PAUSE: Duration = Duration::from_secs(2);
/// How often it is asked whether the source has been lost for too long.
const LOOK: Duration = Duration::from_millis(100);
/// How often what has expired is looked for.
const PURGE: Duration = Duration::from_secs(30);

/// Who follows.
pub(super) struct Keeper {
    source: Source,
    shared: Arc<Shared>,
}

enum Source {
    Redis(Box<RedisSource>),
    Services(HttpSource),
}

/// Why a source is not followed any more.
#[derive(Debug, thiserror::Error)]
pub(super) enum SourceFailure {
    #[error(transparent)]
    Redis(#[from] RedisFailure),
    #[error("the user service cannot be asked")]
    Http(#[from] reqwest::Error),
    #[error("the user service answered {0}")]
    Status(StatusCode),
    #[error("nothing was heard for {0:?}")]
    Silent(Duration),
    #[error("the user service has ended its answer")]
    Ended,
    #[error("what the user service tells is no revocation")]
    NoLine(#[source] serde_json::Error),
    #[error("the user service tells a line without end")]
    LongLine,
    #[error("there are more revocations than max_entries ({0})")]
    TooMany(usize),
}

impl Keeper {
    pub(super) fn new(settings: &SourceSettings, shared: Arc<Shared>) -> Result<Self, RevocationError> {
        let source = match settings {
            SourceSettings::Redis(link) => {
                link.check().map_err(RevocationError::Redis)?;
                Source::Redis(Box::new(RedisSource::new(LinkSettings::clone(link))))
            }
            SourceSettings::Services { targets, secret } => {
                Source::Services(HttpSource::new(targets, secret).map_err(RevocationError::Client)?)
            }
        };
        Ok(Self { source, shared })
    }

    /// Follows until it is aborted.
    pub(super) async fn keep(mut self) {
        let shared = Arc::clone(&self.shared);
        tokio::join!(self.follow(), look(&shared), purge(&shared));
    }

    async fn follow(&mut self) {
        loop {
            let followed: Result<Infallible, SourceFailure> = match &mut self.source {
                Source::Redis(source) => source.follow(&self.shared).await,
                Source::Services(source) => source.follow(&self.shared).await,
            };
            let Err(failure) = followed;
            self.shared.lose(&Chain(&failure).to_string());
            // Reading all of them again is work, and until some have expired it is in vain.
            sleep(if matches!(failure, SourceFailure::TooMany(_)) { LONG_PAUSE } else { PAUSE }).await;
        }
    }
}

/// Sees to it that a set that is too old is told to be.
async fn look(shared: &Shared) {
    loop {
        sleep(LOOK).await;
        shared.decide();
    }
}

async fn purge(shared: &Shared) {
    loop {
        sleep(PURGE).await;
        shared.purge();
    }
}
