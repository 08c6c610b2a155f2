//! The Generic Cell Rate Algorithm: how many requests of one key may pass, exactly.
//!
//! GCRA (ITU-T I.371, "virtual scheduling") keeps one number per key, the theoretical arrival time (TAT): the moment at
//! which the quota is whole again. A request moves it on by one interval (`window / limit`) and is allowed if that leaves
//! it at most `burst` intervals ahead. There are no windows, so there is no border at which two quotas meet. The variant
//! with a burst and the four numbers returned is described at <https://brandur.org/rate-limiting>.
//!
//! Time is a parameter: [`script`] takes Redis' clock, `local` this process's.

mod script;

use std::time::Duration;

use super::verdict::{Counted, Outcome, Quota};

pub(super) use self::script::redis_key;

/// One policy's numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Gcra {
    interval_micros: u64,
    burst: u64,
}

/// What became of one request, at one moment; times in microseconds from then.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Decision {
    allowed: bool,
    remaining: u64,
    /// Until the whole quota is there: the key's TAT, from now.
    reset: u64,
    /// Until one request would fit; 0 if this one did.
    wait: u64,
}

impl Gcra {
    /// The longest time a full quota may take to come back: some 31 years, so that an epoch in microseconds and this
    /// stay below 2^53 together.
    const MAX_CAPACITY_MICROS: u128 = 1_000_000_000_000_000;

    /// `limit` requests per `window`, of which `burst` may come at once. None when a request would take less than a
    /// microsecond, or the whole burst decades.
    pub(super) fn new(limit: u32, window: Duration, burst: u32) -> Option<Self> {
        // Rounded up, so that never more than the limit passes: by less than a microsecond per request.
        let interval = window.as_micros().div_ceil(u128::from(limit));
        let fits = window.as_micros() >= u128::from(limit) && interval * u128::from(burst) <= Self::MAX_CAPACITY_MICROS;
        let interval_micros = u64::try_from(interval).ok().filter(|_| fits)?;
        Some(Self { interval_micros, burst: u64::from(burst) })
    }

    /// Takes one request of a key whose quota is whole at `tat`, at the moment `now` (microseconds since anything).
    ///
    /// A `tat` in the past is a whole quota; one further ahead than a full bucket, as a step back of the clock leaves
    /// behind, is an empty one.
    pub(super) fn take(self, tat: u64, now: u64) -> Decision {
        let capacity = self.interval_micros * self.burst;
        let tat = tat.clamp(now, now + capacity);
        let next = tat + self.interval_micros;
        match (now + capacity).checked_sub(next) {
            Some(left) => {
                Decision { allowed: true, remaining: left / self.interval_micros, reset: next - now, wait: 0 }
            }
            None => Decision { allowed: false, remaining: 0, reset: tat - now, wait: next - capacity - now },
        }
    }

    /// A decision in the words of all limiters.
    pub(super) const fn counted(self, decision: Decision) -> Counted {
        let outcome = match decision.allowed {
            true => Outcome::Allowed,
            false => Outcome::Refused { retry_after: Duration::from_micros(decision.wait) },
        };
        let reset = Duration::from_micros(decision.reset);
        Counted { outcome, quota: Quota { limit: self.burst, remaining: decision.remaining, reset } }
    }
}

impl Decision {
    /// The key's TAT from now on, if this changed it.
    pub(super) fn moved_to(self, now: u64) -> Option<u64> {
        self.allowed.then(|| now + self.reset)
    }
}

#[cfg(test)]
mod tests;
