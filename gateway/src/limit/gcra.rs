//! The Generic Cell Rate Algorithm: how many requests of one key may pass, exactly.
//!
//! GCRA (ITU-T I.371, "virtual scheduling") keeps one number per key, the theoretical arrival time (TAT): the moment at
//! which the quota is whole again. A request moves it on by one interval (`window / limit`) and is allowed if that leaves
//! it at most `burst` intervals ahead. There are no windows, so there is no border at which two quotas meet. The variant
//! with a burst and the four numbers returned is described at <https://brandur.org/rate-limiting>.
//!
//! Time is a parameter: in Redis (`gcra/script.lua`) it is Redis' clock, in `local` this process's.

use std::time::Duration;

use super::verdict::Decision;

/// One quota's numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Gcra {
    interval_micros: u64,
    burst: u64,
    /// By how many requests more than the burst a key may be in debt, which only those get into whose cost is known late.
    overdraft: u64,
}

/// One policy's numbers: the quota is the same for all, or as large as each request's limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Quotas {
    window: Duration,
    burst: Option<u32>,
    overdrawn: bool,
    limit: u32,
    /// That of `limit`, which nearly all requests have.
    usual: Gcra,
}

impl Quotas {
    /// `limit` requests per `window`, unless a request has another limit, of which `burst` may come at once, or the limit. None
    /// when that cannot be expressed. `overdrawn` keys may owe as much again.
    pub(super) fn new(limit: u32, window: Duration, burst: Option<u32>, overdrawn: bool) -> Option<Self> {
        let usual = Gcra::new(limit, window, burst.unwrap_or(limit), overdrawn)?;
        Some(Self { window, burst, overdrawn, limit, usual })
    }

    /// The quota that nearly all requests have.
    pub(super) const fn usual(&self) -> Gcra {
        self.usual
    }

    /// The limit that nearly all requests have.
    #[cfg(test)]
    pub(super) const fn limit(&self) -> u32 {
        self.limit
    }

    /// The quota of a request whose limit is `limit`. One that cannot be expressed is the usual one.
    pub(super) fn of(&self, limit: u32) -> Gcra {
        if limit == self.limit {
            return self.usual;
        }
        Gcra::new(limit, self.window, self.burst.unwrap_or(limit), self.overdrawn).unwrap_or(self.usual)
    }
}

impl Gcra {
    /// Proves that the script may run and write; its key is gone after a millisecond.
    pub(super) const PROBE: Self = Self { interval_micros: 1, burst: 1, overdraft: 0 };

    /// The longest time a full quota may take to come back: some 31 years, so that an epoch in microseconds and twice this
    /// stay below 2^53 together.
    const MAX_CAPACITY_MICROS: u128 = 1_000_000_000_000_000;

    /// `limit` requests per `window`, of which `burst` may come at once. None when a request would take less than a
    /// microsecond, or the whole burst decades.
    pub(super) fn new(limit: u32, window: Duration, burst: u32, overdrawn: bool) -> Option<Self> {
        // Rounded up, so that never more than the limit passes: by less than a microsecond per request.
        let interval = window.as_micros().div_ceil(u128::from(limit.max(1)));
        let fits = limit > 0
            && window.as_micros() >= u128::from(limit)
            && interval * u128::from(burst) <= Self::MAX_CAPACITY_MICROS;
        let interval_micros = u64::try_from(interval).ok().filter(|_| fits)?;
        let burst = u64::from(burst);
        Some(Self { interval_micros, burst, overdraft: if overdrawn { burst } else { 0 } })
    }

    /// What each of `gateways` may let pass by itself, so that it is this quota together, of requests that cost `cost`: as much
    /// less often, and as much less at once, but never less than one such request.
    pub(super) fn share(self, gateways: u32, cost: u32) -> Self {
        if gateways <= 1 {
            return self;
        }
        let cost = u64::from(cost).clamp(1, self.burst.max(1));
        // So that times stay as short as they have to be.
        let most = Self::MAX_CAPACITY_MICROS / (u128::from(self.interval_micros) * u128::from(cost)).max(1);
        let gateways = u64::from(gateways).min(u64::try_from(most).unwrap_or(u64::MAX)).max(1);
        let burst = (self.burst / gateways).max(cost);
        let overdraft = if self.overdraft > 0 { burst } else { 0 };
        Self { interval_micros: self.interval_micros * gateways, burst, overdraft }
    }

    /// Takes a request that costs `cost` of a key whose quota is whole at `tat`, at the moment `now` (microseconds since
    /// anything).
    ///
    /// A `tat` in the past is a whole quota; one further ahead than can be, as a step back of the clock leaves behind, is the
    /// emptiest there is. What costs more than the whole quota costs all of it.
    pub(super) fn take(self, tat: u64, cost: u32, now: u64) -> Decision {
        let tat = self.clamp(tat, now);
        let next = tat + self.span(cost, self.burst);
        match (now + self.capacity()).checked_sub(next) {
            Some(left) => {
                Decision { allowed: true, remaining: left / self.interval_micros, reset: next - now, wait: 0 }
            }
            None => Decision { wait: next - self.capacity() - now, ..self.look(tat, now) },
        }
    }

    /// A key whose quota was whole at `tat`, `now` that a request that took `cost`, `age` microseconds ago at most, turns out to
    /// have cost `actual`.
    ///
    /// What is given back is worth less by its age: as much of it has come back by itself, if nothing else was used. Else
    /// requests that are slow and cost nothing in the end would wipe out others that do.
    pub(super) fn settle(self, tat: u64, cost: u32, actual: u32, age: u64, now: u64) -> Decision {
        let (taken, used) = (self.span(cost, self.burst), self.span(actual, self.burst + self.overdraft));
        let tat = self.clamp(tat, now);
        let given_back = taken.saturating_sub(used).saturating_sub(age);
        self.look(tat.saturating_sub(given_back) + used.saturating_sub(taken), now)
    }

    /// A key whose quota was whole at `tat`, now that `cost` of it was used elsewhere: as much of that as was there.
    pub(super) fn use_up(self, tat: u64, cost: u32, now: u64) -> Decision {
        let tat = self.clamp(tat, now);
        let used_up = tat.max(now + self.capacity());
        self.look((tat + self.span(cost, self.burst)).min(used_up), now)
    }

    /// In how long `cost` comes back, or `most` if that is less.
    fn span(self, cost: u32, most: u64) -> u64 {
        self.interval_micros * u64::from(cost).min(most)
    }

    /// A key whose quota is whole at `tat`, as it is.
    fn look(self, tat: u64, now: u64) -> Decision {
        let tat = self.clamp(tat, now);
        let left = (now + self.capacity()).saturating_sub(tat);
        Decision { allowed: false, remaining: left / self.interval_micros, reset: tat - now, wait: 0 }
    }

    fn clamp(self, tat: u64, now: u64) -> u64 {
        tat.clamp(now, now + self.interval_micros * (self.burst + self.overdraft))
    }

    const fn capacity(self) -> u64 {
        self.interval_micros * self.burst
    }

    /// The most requests that may come at once.
    pub(super) const fn burst(self) -> u64 {
        self.burst
    }

    /// What the script is told: microseconds per request, burst, overdraft.
    pub(super) const fn numbers(self) -> [u64; 3] {
        [self.interval_micros, self.burst, self.overdraft]
    }
}

#[cfg(test)]
mod tests;
