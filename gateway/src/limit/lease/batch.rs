//! The tokens of one grant.

use super::terms::Terms;

/// Which lease something was spent of.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Stamp {
    /// This gateway's clock before it asked.
    pub(super) asked_at: u64,
    /// Redis' clock when it granted.
    pub(super) granted_at: u64,
}

/// What of one grant may still be spent here.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Batch {
    pub(super) stamp: Stamp,
    pub(super) left: u64,
    /// How many there were.
    pub(super) size: u64,
}

/// Tokens that were taken from what may be spent here, for Redis to have them back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::limit) struct GiveBack {
    pub(super) tokens: u64,
    pub(super) granted_at: u64,
    /// At most, when it was decided.
    pub(super) age: u64,
}

impl Batch {
    pub(super) const fn new(stamp: Stamp, tokens: u64) -> Self {
        Self { stamp, left: tokens, size: tokens }
    }

    /// Whether its life is over.
    pub(super) const fn is_over(&self, terms: Terms, now: u64) -> bool {
        now.saturating_sub(self.stamp.asked_at) >= terms.spendable()
    }

    /// Takes up to `tokens` of it, and says how many.
    pub(super) fn take(&mut self, tokens: u64) -> u64 {
        let taken = self.left.min(tokens);
        self.left -= taken;
        taken
    }

    /// Of two, one that ends with the first of them.
    pub(super) fn merged(self, younger: Self) -> Self {
        if self.left == 0 {
            return younger;
        }
        Self { stamp: self.stamp, left: self.left + younger.left, size: self.size + younger.size }
    }
}

impl GiveBack {
    /// The return of `tokens` of a grant, if it is worth a token at least.
    pub(super) fn worthwhile(terms: Terms, stamp: Stamp, tokens: u64, now: u64) -> Option<Self> {
        let give_back = Self::of(stamp, tokens, now);
        (terms.worth(tokens, give_back.age) >= terms.interval).then_some(give_back)
    }

    /// The return of `tokens` that were taken for one request, if at least half of what they were comes back: even one of a
    /// quota that comes back slowly is dear to who is refused for want of it.
    pub(super) fn of_request(terms: Terms, stamp: Stamp, tokens: u64, now: u64) -> Option<Self> {
        let give_back = Self::of(stamp, tokens, now);
        let half = terms.worth(tokens, 0).div_ceil(2).max(1);
        (terms.worth(tokens, give_back.age) >= half).then_some(give_back)
    }

    const fn of(stamp: Stamp, tokens: u64, now: u64) -> Self {
        let age = Terms::at_most(now.saturating_sub(stamp.asked_at));
        Self { tokens, granted_at: stamp.granted_at, age }
    }
}
