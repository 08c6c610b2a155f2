//! What a table asks of Redis: each call is a task on the control runtime, and goes on when the request that wanted it has gone.
//!
//! What an answer brings that nobody waits for is there for others, or goes back. So it does when the answer comes after the
//! deadline, as far as not too many are so late: to the link that is a failure all the same.

use std::sync::Arc;
use std::time::{Duration, Instant};

use futures::{StreamExt as _, stream};
use tokio::sync::oneshot;
use tokio::time::{Instant as Deadline, sleep};

use super::super::batch::{GiveBack, Stamp};
use super::super::holding::{Ask, Reply};
use super::super::terms::Terms;
use super::{Leases, Name, cost, entry_of, verdict};
use crate::limit::redis_link::NoAnswer;
use crate::limit::script::redis_key;
use crate::limit::verdict::{AnsweredBy, Charge, Outcome, Verdict};

/// Returns of a policy under way at once.
pub(super) const RETURNS_AT_ONCE: usize = 32;
/// Answers waited for that are late already; of any other what it brings is lost.
pub(super) const MOST_LATE: usize = 1_024;
/// For so long after its deadline, and for so long for Redis to be up again, that it may have back what it brings.
const LATE_BY: Duration = Duration::from_secs(10);
/// Between two looks at whether it is.
const UP_POLL: Duration = Duration::from_millis(100);

/// A call that is to be made.
pub(super) struct Call {
    pub(super) name: Name,
    pub(super) redis_key: Arc<str>,
    pub(super) terms: Terms,
    pub(super) ask: Ask,
}

/// Tokens that are to be given back.
pub(super) struct Return {
    pub(super) redis_key: Arc<str>,
    pub(super) terms: Terms,
    pub(super) give_back: GiveBack,
}

/// The request that waits for a call.
type Waits = oneshot::Sender<Option<Verdict>>;

impl Leases {
    /// Makes a call, and gives what it says to the request that `waits` for it.
    pub(super) fn make(self: &Arc<Self>, call: Call, mut waits: Option<Waits>) {
        let leases = Arc::clone(self);
        self.control.spawn(async move {
            let mut unheard = None;
            let answered = |reply: Option<Reply>| {
                // The link has logged why there is none.
                let verdict = leases.note(&call, reply);
                unheard = waits.take().and_then(|waits| waits.send(verdict).err()).flatten();
            };
            leases.ask(&call, answered).await;
            if let Some(verdict) = unheard {
                leases.unspend(&call, verdict).await;
            }
        });
    }

    /// As with scope `redis`: makes a call for one request, which is to wait for what it brings.
    pub(super) fn ask_alone(self: &Arc<Self>, key: &[u8], charge: Charge) -> oneshot::Receiver<Option<Verdict>> {
        let terms = Terms::of(self.quotas.of(charge.limit));
        let need = cost(charge, terms);
        let ask = Ask { at: self.micros(Instant::now()), need, want: need, is_ahead: false };
        let redis_key = redis_key(&self.key_prefix, key).into();
        let call = Call { name: self.name(key, charge), redis_key, terms, ask };
        let (waits, answer) = oneshot::channel();
        let (leases, mut waits) = (Arc::clone(self), Some(waits));
        self.control.spawn(async move {
            let mut unheard = None;
            let answered = |reply: Option<Reply>| {
                let verdict = reply.map(|reply| {
                    let spent = (reply.tokens > 0).then(|| call.stamp(reply));
                    taken(call.terms, spent, reply, (reply.remaining, reply.reset))
                });
                match waits.take().map(|waits| waits.send(verdict)) {
                    Some(Ok(())) => leases.note_alone(&call, reply),
                    _ => unheard = reply,
                }
            };
            leases.ask(&call, answered).await;
            if let Some(reply) = unheard {
                leases.give_back_unheard(&call, reply).await;
            }
        });
        answer
    }

    /// Has `answered` told what Redis says to `call`: nothing if nothing comes within the deadline. What comes then goes back.
    async fn ask(&self, call: &Call, mut answered: impl FnMut(Option<Reply>) + Send) {
        self.metrics.takes.inc();
        let (mut is_late, mut permit) = (false, None);
        let goes_on = || {
            is_late = true;
            answered(None);
            permit = self.late.try_acquire().ok();
            permit.is_some()
        };
        let script = call.terms.take(&call.redis_key, call.ask);
        let reply = self.link.run_past(&script, LATE_BY, goes_on).await.ok();
        match reply {
            reply if !is_late => answered(reply),
            Some(reply) => self.give_back_unheard(call, reply).await,
            None => {}
        }
        drop(permit);
    }

    fn note(&self, call: &Call, reply: Option<Reply>) -> Option<Verdict> {
        let time = Instant::now();
        let now = self.micros(time);
        let mut shard = self.shard(call.name).0.lock();
        let entry = entry_of(&mut shard, call.name)?;
        let verdict = match reply {
            Some(reply) => {
                let spent = entry.holding.answered(call.ask, reply, now, rand::random());
                Some(taken(call.terms, spent, reply, entry.holding.quota(now)))
            }
            None => {
                entry.holding.is_unanswered(now);
                None
            }
        };
        let tally = entry.holding.tally();
        let answered = Arc::clone(&entry.answered);
        drop(shard);
        answered.notify_waiters();
        self.metrics.add(tally);
        self.remember(call.name, tally.spent, time);
        verdict
    }

    /// The request for which alone `call` was made has heard of `reply`, and spent what it brought.
    fn note_alone(&self, call: &Call, reply: Option<Reply>) {
        let tokens = reply.map_or(0, |reply| reply.tokens);
        self.metrics.add_alone(tokens);
        self.remember(call.name, tokens, Instant::now());
    }

    /// Charges this gateway's share with what was spent, so that it is no second quota should Redis go away.
    pub(super) fn remember(&self, name: Name, tokens: u64, now: Instant) {
        if let Some(share) = self.share.as_ref().filter(|_| tokens > 0) {
            let charge = Charge { cost: u32::try_from(tokens).unwrap_or(u32::MAX), limit: name.limit };
            share.charge_share(name.hash, charge, self.link.live_gateways(), now);
        }
    }

    /// The request that had `call` made has gone before it heard of `verdict`: what it has spent is there for others.
    async fn unspend(&self, call: &Call, verdict: Verdict) {
        let (Outcome::Allowed, AnsweredBy::Lease(spent)) = (verdict.outcome, verdict.answered_by) else { return };
        let now = self.micros(Instant::now());
        let give_back = match entry_of(&mut self.shard(call.name).0.lock(), call.name) {
            Some(entry) => entry.holding.unspend(spent, call.ask.need, now),
            None => GiveBack::of_request(call.terms, spent, call.ask.need, now),
        };
        self.give_back(give_back.map(|give_back| call.give_back(give_back)).into_iter().collect()).await;
    }

    /// Nobody waits for what `reply` has brought: all of it goes back, once Redis can be asked, for who was late is down mostly. Many
    /// wait for that, and take turns then.
    async fn give_back_unheard(&self, call: &Call, reply: Reply) {
        self.metrics.add_unheard(reply.tokens);
        let now = self.micros(Instant::now());
        let Some(give_back) = GiveBack::of_request(call.terms, call.stamp(reply), reply.tokens, now) else {
            return self.metrics.lost.inc_by(reply.tokens);
        };
        let until = Deadline::now() + LATE_BY;
        while !self.link.is_up() && Deadline::now() < until {
            sleep(UP_POLL).await;
        }
        self.give_back(vec![call.give_back(give_back)]).await;
    }

    pub(super) fn settle_in_redis(
        self: &Arc<Self>,
        name: Name,
        key: &[u8],
        terms: Terms,
        give_back: Option<GiveBack>,
        owed: u64,
    ) {
        let Ok(permit) = Arc::clone(&self.settling).try_acquire_owned() else {
            // As if Redis were away.
            return self.metrics.lost.inc_by(give_back.map_or(0, |give_back| give_back.tokens));
        };
        let leases = Arc::clone(self);
        let redis_key: Arc<str> = redis_key(&self.key_prefix, key).into();
        self.control.spawn(async move {
            leases.remember(name, owed, Instant::now());
            if owed > 0 {
                leases.metrics.charges.inc();
                // If Redis is away it is not charged, as with scope `redis`.
                leases.link.run::<u64>(&terms.charge(&redis_key, owed)).await.ok();
            }
            let returns = give_back.map(|give_back| Return { redis_key, terms, give_back });
            leases.give_back(returns.into_iter().collect()).await;
            drop(permit);
        });
    }

    /// Sends each once, whatever becomes of it.
    pub(super) async fn give_back(&self, returns: Vec<Return>) {
        let give_back = |Return { redis_key, terms, give_back }| async move {
            // Nobody closes it.
            let _turn = self.returning.acquire().await;
            // Where a cluster is not whole, that is for the node to say which has the key.
            let answer = self.link.run::<u64>(&terms.give_back(&redis_key, give_back)).await;
            if !matches!(answer, Err(NoAnswer::Down(_))) {
                self.metrics.returns.inc();
            }
            let worth = answer.unwrap_or(0);
            // A token that is worth nearly all that it was is one.
            let returned = (worth + terms.interval / 2) / terms.interval.max(1);
            self.metrics.returned.inc_by(returned);
            self.metrics.lost.inc_by(give_back.tokens.saturating_sub(returned));
        };
        stream::iter(returns).for_each_concurrent(RETURNS_AT_ONCE, give_back).await;
    }
}

impl Call {
    /// What `reply` has granted.
    const fn stamp(&self, reply: Reply) -> Stamp {
        Stamp { asked_at: self.ask.at, granted_at: reply.at }
    }

    fn give_back(&self, give_back: GiveBack) -> Return {
        Return { redis_key: Arc::clone(&self.redis_key), terms: self.terms, give_back }
    }
}

fn taken(terms: Terms, spent: Option<Stamp>, reply: Reply, quota: (u64, u64)) -> Verdict {
    verdict(terms, spent, reply.wait.max(1), quota)
}

#[cfg(test)]
mod tests;
