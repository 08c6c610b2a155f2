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
        let tat = self.tat_at(terms, now);
        let free = (now + terms.interval * terms.burst).saturating_sub(tat);
        let there = free / terms.interval;
        let wait = (tat + ask.need * terms.interval).saturating_sub(now + terms.interval * terms.burst);
        if wait > 0 {
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
        let tat = self.tat_at(terms, now);
        let moved = (tokens * terms.interval).min(now + Self::most(terms) - tat);
        if moved > 0 {
            self.tat = tat + moved;
        }
        moved
    }

    /// Takes so much back as is there of `worth`.
    pub(super) fn move_back(&mut self, terms: Terms, worth: u64, now: u64) -> u64 {
        let tat = self.tat_at(terms, now);
        let worth = worth.min(tat - now);
        if worth > 0 {
            // A whole quota leaves nothing behind.
            self.tat = if worth < tat - now { tat - worth } else { 0 };
        }
        worth
    }

    fn tat_at(self, terms: Terms, now: u64) -> u64 {
        self.tat.clamp(now, now + Self::most(terms))
    }

    const fn most(terms: Terms) -> u64 {
        terms.interval * (terms.burst + terms.overdraft)
    }
}
