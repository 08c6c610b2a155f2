//! An exact sliding window: in no span of the window's length, wherever it begins, do requests of one key pass whose costs
//! come to more than the limit.
//!
//! A [`Log`] has when each request passed and what it cost, for one window. That is why a limit is at most [`MOST`]: each
//! request that passed takes 8 to 16 bytes until it leaves the window (some 100 in Redis), so a key takes up to 130 kB, and
//! Redis up to a megabyte. For more, `gcra` can have a burst that is as small a share of the limit as anybody wants.
//!
//! **What is given back** is taken from the oldest request that is not older than the one that it was taken for. So what a
//! log has is never less, and never older, than what has passed: of those that were logged since, each can be told apart
//! from an own one that passed no later. What may have left the window already gives nothing back.
//!
//! Time is a parameter: in Redis (`log/script.lua`) it is Redis' clock, in `log/table.rs` this process's.

mod table;

use std::collections::VecDeque;
use std::time::Duration;

use super::verdict::{Charge, Decision};

pub(super) use self::table::LogTable;

/// The highest limit.
pub(super) const MOST: u32 = 10_000;

/// One policy's window.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Window {
    micros: u64,
}

/// What has passed of one key within the last window.
#[derive(Clone, Debug, Default)]
pub(super) struct Log {
    /// The oldest first, one for each microsecond.
    entries: VecDeque<Entry>,
    /// That of all of them.
    cost: u32,
}

/// A time (microseconds since anything, for nearly nine years) above a cost, in one number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Entry(u64);

impl Window {
    /// None when it is longer than decades.
    pub(super) fn new(window: Duration) -> Option<Self> {
        u64::try_from(window.as_micros()).ok().filter(|micros| *micros < Entry::LATEST).map(|micros| Self { micros })
    }

    /// What the script is told: limit and microseconds.
    pub(super) const fn numbers(self, limit: u32) -> [u64; 3] {
        [limit as u64, self.micros, 0]
    }
}

impl Log {
    /// Takes `charge` at the moment `now` if there is room for all of it in the window that ends there.
    ///
    /// What costs more than the limit costs all of it. After a step back of the clock, what has passed has passed now.
    pub(super) fn take(&mut self, window: Window, charge: Charge, now: u64) -> Decision {
        let decision = self.look(window, charge, now);
        if decision.allowed {
            self.add(usual_cost(charge), now);
        }
        decision
    }

    /// What [`Self::take`] would say.
    fn look(&mut self, window: Window, charge: Charge, now: u64) -> Decision {
        self.forget(window, now);
        let wanted = self.cost + usual_cost(charge);
        match charge.limit.checked_sub(wanted) {
            Some(left) => Decision { allowed: true, remaining: u64::from(left), reset: window.micros, wait: 0 },
            None => {
                let wait = self.wait(window, wanted - charge.limit, now);
                Decision { wait, ..self.state(window, charge, now) }
            }
        }
    }

    /// What is there now that a request, which took `charge` at `since` or later, turns out to have cost `actual`.
    ///
    /// Whoever owes more than there is does so for one window, and owes no more than a second limit.
    pub(super) fn settle(&mut self, window: Window, charge: Charge, actual: u32, since: u64, now: u64) -> Decision {
        self.forget(window, now);
        let cost = usual_cost(charge);
        match actual.checked_sub(cost) {
            Some(more) => self.add(more.min(charge.limit.saturating_mul(2).saturating_sub(self.cost)), now),
            None if now < since.saturating_add(window.micros) => self.give_back(cost - actual, since),
            None => {}
        }
        self.state(window, charge, now)
    }

    /// Whether all that it had has left the window.
    fn is_at_rest(&self, window: Window, now: u64) -> bool {
        self.entries.back().is_none_or(|last| last.time() + window.micros <= now)
    }

    fn forget(&mut self, window: Window, now: u64) {
        let mut ahead = 0;
        while let Some(last) = self.entries.pop_back_if(|last| last.time() > now) {
            ahead += last.cost();
        }
        self.cost -= ahead;
        self.add(ahead, now);
        while let Some(first) = self.entries.pop_front_if(|first| first.time() + window.micros <= now) {
            self.cost -= first.cost();
        }
    }

    fn add(&mut self, cost: u32, now: u64) {
        if cost == 0 {
            return;
        }
        self.cost += cost;
        match self.entries.back_mut() {
            Some(last) if last.time() == now => *last = Entry::new(now, last.cost() + cost),
            _ => self.entries.push_back(Entry::new(now, cost)),
        }
    }

    fn give_back(&mut self, cost: u32, since: u64) {
        let first = self.entries.partition_point(|entry| entry.time() < since);
        let (mut left, mut emptied) = (cost, 0);
        for entry in self.entries.iter_mut().skip(first) {
            let given = left.min(entry.cost());
            left -= given;
            *entry = Entry::new(entry.time(), entry.cost() - given);
            emptied += usize::from(entry.cost() == 0);
            if left == 0 {
                break;
            }
        }
        self.entries.drain(first..first + emptied);
        self.cost -= cost - left;
    }

    /// Until so much of what is here has left the window; a whole one if there is not so much.
    fn wait(&self, window: Window, cost: u32, now: u64) -> u64 {
        let mut left = cost;
        let until = self.entries.iter().find(|entry| {
            left = left.saturating_sub(entry.cost());
            left == 0
        });
        until.map_or(window.micros, |entry| entry.time() + window.micros - now)
    }

    fn state(&self, window: Window, charge: Charge, now: u64) -> Decision {
        let remaining = u64::from(charge.limit.saturating_sub(self.cost));
        let reset = self.entries.back().map_or(0, |last| last.time() + window.micros - now);
        Decision { allowed: false, remaining, reset, wait: 0 }
    }
}

impl Entry {
    /// A debt is at most a second limit, so no cost is above `2 * MOST`.
    const COST_BITS: u32 = 15;
    /// Times are before this.
    const LATEST: u64 = 1 << (u64::BITS - Self::COST_BITS - 1);

    fn new(time: u64, cost: u32) -> Self {
        Self(time << Self::COST_BITS | u64::from(cost))
    }

    const fn time(self) -> u64 {
        self.0 >> Self::COST_BITS
    }

    const fn cost(self) -> u32 {
        (self.0 & ((1 << Self::COST_BITS) - 1)) as u32
    }
}

/// What a request takes before anything else is known of it.
fn usual_cost(charge: Charge) -> u32 {
    charge.cost.clamp(1, charge.limit.max(1))
}

#[cfg(test)]
mod tests;
