//! Remembers what has come of the last call to a service, so that operators see it and an outage is told once.

use std::sync::atomic::{AtomicU8, Ordering};

/// What has come of the last call to a service.
#[derive(Debug)]
pub(crate) struct LastCall(AtomicU8);

const NEVER: u8 = 0;
const ANSWERED: u8 = 1;
const FAILED: u8 = 2;

impl LastCall {
    /// There was none yet.
    pub(crate) const fn never() -> Self {
        Self(AtomicU8::new(NEVER))
    }

    /// Notes whether the call that has just ended has `failed`, and says whether the one before it had.
    pub(crate) fn note(&self, failed: bool) -> bool {
        self.0.swap(if failed { FAILED } else { ANSWERED }, Ordering::Relaxed) == FAILED
    }

    /// Whether it was answered; none before the first.
    pub(crate) fn was_answered(&self) -> Option<bool> {
        match self.0.load(Ordering::Relaxed) {
            NEVER => None,
            state => Some(state == ANSWERED),
        }
    }
}
