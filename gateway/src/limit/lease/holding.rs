//! What one gateway holds of one key: when it spends, asks, waits, refuses and gives back.
//!
//! No I/O, no clock and no chance in here: times are parameters (microseconds since anything, of one clock that only goes
//! forward), and so is what is random. Whoever drives it sends each [`Ask`] to Redis and reports the answer, or that there was
//! none, exactly once.

use super::batch::{Batch, GiveBack, Stamp};
use super::demand::Demand;
use super::pace::Pace;
use super::terms::Terms;

/// Requests of one key that wait for the same call.
const MOST_WAITING: u32 = 1_024;
/// As soon as so little of a lease is left, the next one is asked for.
const LOW: u64 = 4;
/// After this part of a life without a request, what is left is given back.
const QUIET: u64 = 4;
/// After so many lives without a request, nothing is worth remembering.
const FORGOTTEN: u64 = 2;

/// One key at one gateway.
#[derive(Clone, Debug)]
pub(super) struct Holding {
    terms: Terms,
    /// Spent first, because it ends first.
    older: Batch,
    newer: Batch,
    demand: Demand,
    pace: Pace,
    is_asking: bool,
    waiting: u32,
    last_request: u64,
    /// As of its last answer.
    redis: Seen,
    tally: Tally,
}

/// What becomes of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Answer {
    /// It passes. What is asked for besides is for those who come later.
    Pass { spent: Stamp, ask: Option<Ask> },
    /// It waits for this call, which brings what it needs.
    Ask(Ask),
    /// It waits for the call that is under way, and then comes again.
    Wait,
    /// There is nothing, and nobody asks for a while.
    Refuse { retry_after: u64 },
    /// Redis did not answer just now.
    Unanswered,
}

/// What Redis is to be asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Ask {
    /// Before it is sent.
    pub(super) at: u64,
    /// With less than this it gives nothing.
    pub(super) need: u64,
    pub(super) want: u64,
    /// Whether nobody waits for `need`.
    pub(super) is_ahead: bool,
}

/// Redis' answer, in microseconds from then, but for `at`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Reply {
    /// How many tokens are granted; 0 is a refusal.
    pub(super) tokens: u64,
    /// How many are left for others.
    pub(super) remaining: u64,
    /// Until the whole quota is there.
    pub(super) reset: u64,
    /// Until what was needed would be there; 0 if it was.
    pub(super) wait: u64,
    /// Redis' clock.
    pub(super) at: u64,
}

/// What became of tokens since it was last asked for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Tally {
    pub(super) leased: u64,
    pub(super) spent: u64,
    /// Of those that were spent, and are spent or lost again.
    unspent: u64,
    /// Neither spent nor given back in time.
    pub(super) lost: u64,
}

#[derive(Clone, Copy, Debug, Default)]
struct Seen {
    remaining: u64,
    /// By this gateway's clock.
    whole_at: u64,
}

impl Holding {
    /// Nothing yet.
    pub(super) fn new(terms: Terms, now: u64) -> Self {
        Self {
            terms,
            older: Batch::default(),
            newer: Batch::default(),
            demand: Demand::starting(now),
            pace: Pace::default(),
            is_asking: false,
            waiting: 0,
            last_request: now,
            redis: Seen::default(),
            tally: Tally::default(),
        }
    }

    /// A request that takes `cost` tokens.
    pub(super) fn request(&mut self, cost: u64, now: u64) -> Answer {
        self.demand.add(cost);
        self.pace.count();
        self.last_request = now;
        self.again(cost, now)
    }

    /// Whether a request that takes `cost` tokens would have to wait for a call.
    pub(super) fn would_wait(&mut self, cost: u64, now: u64) -> bool {
        self.end_what_is_over(now);
        // This one counts too: it may be the one for which it is worth asking again.
        let mut pace = self.pace;
        pace.count();
        let is_refused = match self.is_asking {
            true => self.waiting >= MOST_WAITING,
            false => pace.may_ask_from(cost) > now,
        };
        self.left() < cost && !is_refused
    }

    /// A request that has waited and was told to come again.
    pub(super) fn again(&mut self, cost: u64, now: u64) -> Answer {
        self.end_what_is_over(now);
        if let Some(spent) = self.spend(cost) {
            let ask = self.is_low() && !self.is_asking && self.pace.may_ask_from(1) <= now;
            return Answer::Pass { spent, ask: ask.then(|| self.ask(1, true, now)) };
        }
        let from = self.pace.may_ask_from(cost);
        match self.is_asking {
            true if self.waiting < MOST_WAITING => {
                self.waiting += 1;
                Answer::Wait
            }
            true => Answer::Refuse { retry_after: self.terms.interval },
            false if from <= now => Answer::Ask(self.ask(cost, false, now)),
            false if self.pace.has_no_answer() => Answer::Unanswered,
            false => Answer::Refuse { retry_after: from - now },
        }
    }

    /// Redis has answered `ask`. Gives what the request that waits for it has spent, unless it is refused. All who wait come
    /// again.
    pub(super) fn answered(&mut self, ask: Ask, reply: Reply, now: u64, random: u32) -> Option<Stamp> {
        self.is_asking = false;
        self.waiting = 0;
        self.redis = Seen { remaining: reply.remaining, whole_at: now + reply.reset };
        let life = self.terms.life;
        if reply.tokens == 0 {
            self.pace.has_refused(ask.need, reply.wait, life, now, random);
            return None;
        }
        // What comes back within a life is what there always is of a key that is used up.
        if reply.tokens < ask.want && reply.remaining <= life.div_ceil(self.terms.interval) {
            self.pace.has_little(life, now, random);
        } else {
            self.pace.has_enough();
        }
        self.tally.leased += reply.tokens;
        let stamp = Stamp { asked_at: ask.at, granted_at: reply.at };
        let mut granted = Batch::new(stamp, reply.tokens);
        let spent = if ask.is_ahead { 0 } else { granted.take(ask.need) };
        self.tally.spent += spent;
        self.end_what_is_over(now);
        self.older = self.older.merged(self.newer);
        self.newer = granted;
        self.end_what_is_over(now);
        Some(stamp)
    }

    /// Redis has not answered, and no answer to that call will be heeded.
    pub(super) fn is_unanswered(&mut self, now: u64) {
        self.is_asking = false;
        self.waiting = 0;
        self.pace.is_unanswered(self.terms.life, now);
    }

    /// What to give back because nobody asks for it any more; to be asked for until there is none.
    pub(super) fn tick(&mut self, now: u64) -> Option<GiveBack> {
        self.end_what_is_over(now);
        let is_quiet = now.saturating_sub(self.last_request) >= self.terms.life / QUIET;
        if is_quiet { self.give_back(now) } else { None }
    }

    /// What to give back because it ends; to be asked for until there is none.
    pub(super) fn give_back(&mut self, now: u64) -> Option<GiveBack> {
        [&mut self.older, &mut self.newer].into_iter().find_map(|batch| {
            let give_back = GiveBack::worthwhile(self.terms, batch.stamp, batch.left, now)?;
            batch.left = 0;
            Some(give_back)
        })
    }

    /// Whether there is nothing in it that anybody would miss.
    pub(super) fn is_forgettable(&self, now: u64) -> bool {
        !self.is_asking && self.left() == 0 && now.saturating_sub(self.last_request) >= FORGOTTEN * self.terms.life
    }

    /// `tokens` of what was `spent` have not been spent after all. What cannot be spent here any more is for Redis.
    pub(super) fn unspend(&mut self, spent: Stamp, tokens: u64, now: u64) -> Option<GiveBack> {
        self.end_what_is_over(now);
        self.tally.unspent += tokens;
        match [&mut self.older, &mut self.newer].into_iter().find(|batch| batch.size > 0 && batch.stamp == spent) {
            Some(batch) => {
                batch.left += tokens;
                None
            }
            None => {
                let give_back = GiveBack::of_request(self.terms, spent, tokens, now);
                self.tally.lost += if give_back.is_none() { tokens } else { 0 };
                give_back
            }
        }
    }

    /// Spends up to `tokens` for a request that has passed already, and says how many of them are not there.
    pub(super) fn spend_more(&mut self, tokens: u64, now: u64) -> u64 {
        self.end_what_is_over(now);
        self.demand.add(tokens);
        let taken = self.older.take(tokens);
        let taken = taken + self.newer.take(tokens - taken);
        self.tally.spent += taken;
        tokens - taken
    }

    /// How many requests would pass, as far as is known here, and in how long the whole quota is there.
    pub(super) fn quota(&self, now: u64) -> (u64, u64) {
        let remaining = (self.redis.remaining + self.left()).min(self.terms.burst);
        (remaining, self.redis.whole_at.saturating_sub(now))
    }

    pub(super) const fn terms(&self) -> Terms {
        self.terms
    }

    /// What became of tokens since this was last asked.
    pub(super) fn tally(&mut self) -> Tally {
        let unspent = self.tally.unspent;
        let tally = std::mem::take(&mut self.tally);
        // Counters of others do not go back.
        self.tally.unspent = unspent.saturating_sub(tally.spent);
        Tally { spent: tally.spent.saturating_sub(unspent), unspent: 0, ..tally }
    }

    fn left(&self) -> u64 {
        self.older.left + self.newer.left
    }

    fn is_low(&self) -> bool {
        let size = self.older.size.max(self.newer.size);
        size >= LOW && self.left() <= size / LOW
    }

    fn spend(&mut self, cost: u64) -> Option<Stamp> {
        if self.left() < cost {
            return None;
        }
        let spent = if self.older.left > 0 { self.older.stamp } else { self.newer.stamp };
        let taken = self.older.take(cost);
        self.newer.take(cost - taken);
        self.tally.spent += cost;
        Some(spent)
    }

    fn ask(&mut self, need: u64, is_ahead: bool, now: u64) -> Ask {
        self.is_asking = true;
        let lease = self.demand.lease(self.terms.life, now).min(self.terms.burst);
        // What never fits is refused whatever it is.
        let need = need.min(self.terms.burst + 1);
        Ask { at: now, need, want: lease.max(need), is_ahead }
    }

    fn end_what_is_over(&mut self, now: u64) {
        for batch in [&mut self.older, &mut self.newer] {
            if batch.size > 0 && batch.is_over(self.terms, now) {
                self.tally.lost += batch.left;
                *batch = Batch::default();
            }
        }
    }
}

#[cfg(test)]
mod tests;
