//! What the script in Redis does, in Rust, for the tests: with [`Gcra`](crate::limit::gcra::Gcra)'s idea of a TAT.

use super::batch::GiveBack;
use super::holding::{Ask, Reply};
use super::terms::Terms;

/// One key in Redis.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Bucket {
    tat: u64,
}

impl Bucket {
    pub(super) fn take(&mut self, terms: Terms, ask: Ask, now: u64) -> Reply {
        let (tat, free) = self.at(terms, now);
        let there = free / terms.interval;
        if let Some(wait) = (ask.need * terms.interval).checked_sub(free).filter(|wait| *wait > 0) {
            return Reply { tokens: 0, remaining: there, reset: tat - now, wait, at: now };
        }
        let tokens = ask.want.min(ask.need.max(there.div_ceil(2)));
        self.tat = tat + tokens * terms.interval;
        Reply { tokens, remaining: there - tokens, reset: self.tat - now, wait: 0, at: now }
    }

    pub(super) fn give_back(&mut self, terms: Terms, give_back: GiveBack, now: u64) -> u64 {
        let age = now.saturating_sub(give_back.granted_at).max(give_back.age);
        if give_back.granted_at > now {
            return 0;
        }
        self.move_back(terms, terms.worth(give_back.tokens, age), now)
    }

    pub(super) fn charge(&mut self, terms: Terms, tokens: u64, now: u64) -> u64 {
        let (tat, free) = self.at(terms, now);
        let moved = free.min(tokens * terms.interval);
        self.tat = tat + moved;
        moved
    }

    /// Takes so much back as is there of `worth`.
    pub(super) fn move_back(&mut self, terms: Terms, worth: u64, now: u64) -> u64 {
        let (tat, _) = self.at(terms, now);
        let worth = worth.min(tat - now);
        self.tat = tat - worth;
        worth
    }

    fn at(self, terms: Terms, now: u64) -> (u64, u64) {
        let capacity = terms.interval * terms.burst;
        let tat = self.tat.clamp(now, now + capacity);
        (tat, now + capacity - tat)
    }
}
