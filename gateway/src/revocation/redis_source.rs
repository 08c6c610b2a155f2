//! Follows revocations in Redis.

use std::convert::Infallible;
use std::time::Duration;

use common::revocations::redis::{Place, Reader, RedisFailure};
use tokio::time::sleep;

use super::Shared;
use super::keeper::SourceFailure;
use super::set::Builder;
use crate::limit::LinkSettings;

/// While nobody publishes.
const PAUSE: Duration = Duration::from_millis(250);

/// A Redis, and how far it was followed.
pub(super) struct RedisSource {
    link: LinkSettings,
    place: Option<Place>,
}

impl RedisSource {
    pub(super) const fn new(link: LinkSettings) -> Self {
        Self { link, place: None }
    }

    /// Follows over one connection, from where the one before ended. Which server it leads to is asked anew each time: of a
    /// Sentinel set or a cluster another one may have the revocations by now.
    pub(super) async fn follow(&mut self, shared: &Shared) -> Result<Infallible, SourceFailure> {
        let mut reader = Reader::connect_by(self.link.connect_for(Reader::KEY)).await?;
        loop {
            let mut place = match self.place.take() {
                Some(place) => place,
                None => {
                    let mut built = Builder::new(shared.max_entries);
                    let place = reader.snapshot(|revocation| built.add(&revocation)).await?;
                    shared.replace(built);
                    shared.has_room()?;
                    place
                }
            };
            let came = reader.next(&mut place).await;
            match came {
                Ok(came) => {
                    shared.add(&came);
                    shared.has_room()?;
                    shared.heard();
                    self.place = Some(place);
                }
                Err(RedisFailure::FellBehind | RedisFailure::BegunAnew) => {}
                // Whoever publishes again goes on at the same place, if there is no other place.
                Err(failure @ RedisFailure::NobodyTells(_)) if self.link.has_one_place() => {
                    self.place = Some(place);
                    shared.lose(&failure.to_string());
                    sleep(PAUSE).await;
                }
                Err(failure) => {
                    self.place = Some(place);
                    return Err(failure.into());
                }
            }
        }
    }
}
