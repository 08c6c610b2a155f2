//! Asks all policies of a step together: if one refuses, nothing is taken from any.
//!
//! Those that count here are asked first, at once, then those that are leased; what they gave is given back when a later one
//! refuses. Those in Redis are asked in one call, which itself takes from all or from none; in a cluster, in one call for each
//! slot, first only to look. Between taking and giving back, others may find less than there is; never more. A policy that only
//! watches holds nobody back, and counts what it would have let through.

use std::time::Instant;

use futures::future::join_all;
use smallvec::SmallVec;

use super::lease::AtOnce;
use super::policy::Ask;
use super::redis_link::NoAnswer;
use super::script::{self, Answer, Line};
use super::verdict::{Decision, Outcome, Verdict};

/// What policies answer, in the order in which they were asked; nothing from one that does not count the request, or was not
/// asked any more because another had refused.
pub type Verdicts = SmallVec<[Option<Verdict>; 4]>;

/// Takes what each of `asks` wants, or nothing. Where there is none, the policy does not count the request.
///
/// Answers at once unless a policy is in Redis, and then within the link's deadline, whatever Redis does; where some are leased and
/// others not, within two, and in a cluster with policies in several slots within one more.
pub async fn decide(asks: &[Option<Ask<'_>>]) -> Verdicts {
    let now = Instant::now();
    let mut pending = Pending { asks, verdicts: Verdicts::from_elem(None, asks.len()) };
    let verdicts = &mut pending.verdicts;
    let mut passes = ask_each(asks, verdicts, |ask| ask.take_here(now));
    let leased = |ask: &&Ask<'_>| ask.policy.is_leased();
    if passes && asks.iter().flatten().any(|ask| leased(&ask)) {
        let leases = join_all(asks.iter().flatten().filter(leased).map(Ask::take_lease)).await;
        let mut next = leases.into_iter();
        passes = ask_each_to_the_end(asks, verdicts, |ask| Some(ask).filter(leased).and_then(|_| next.next()?));
    }
    if passes && asks.iter().flatten().any(|ask| ask.policy.shared().is_some()) {
        let said = take_in_redis(asks).await;
        let mut next = said.iter();
        passes = ask_each(asks, verdicts, |ask| match ask.policy.shared().and_then(|_| next.next())? {
            Some(said) => {
                ask.remember(said.is_taken, now);
                ask.counted(said.answer)
            }
            // The link has logged it, once for all requests, and the counters tell the rest.
            None => ask.fall_back(Instant::now()),
        });
        if !passes {
            give_back_in_redis(asks, verdicts, &said);
        }
    }
    conclude(asks, verdicts, passes, now);
    std::mem::take(&mut pending.verdicts)
}

/// The same at `now`, if it can be said without waiting: no policy is in Redis, and of those that are leased something is here.
#[must_use]
pub fn decide_at_once(asks: &[Option<Ask<'_>>], now: Instant) -> Option<Verdicts> {
    if asks.iter().flatten().any(|ask| ask.policy.shared().is_some()) {
        return None;
    }
    let mut verdicts = Verdicts::from_elem(None, asks.len());
    let mut passes = ask_each(asks, &mut verdicts, |ask| ask.take_here(now));
    let mut waits = false;
    if passes {
        passes = ask_each(asks, &mut verdicts, |ask| match ask.take_lease_at_once(now)? {
            AtOnce::Answer(verdict) => Some(verdict),
            AtOnce::Unanswered => ask.fall_back(now),
            AtOnce::Waits => {
                waits = true;
                None
            }
        });
    }
    // One that refuses makes up for others of which nothing is known.
    if waits && passes {
        give_back(asks, &mut verdicts, now);
        return None;
    }
    conclude(asks, &mut verdicts, passes, now);
    Some(verdicts)
}

/// What was said so far. If nobody waits for the rest any more, who has got a place among those in flight has ended. Nothing else
/// that was taken is given back: the request was made.
struct Pending<'a, 'r> {
    asks: &'a [Option<Ask<'r>>],
    verdicts: Verdicts,
}

impl Drop for Pending<'_, '_> {
    fn drop(&mut self) {
        for (ask, verdict) in self.asks.iter().zip(&self.verdicts) {
            let (Some(ask), Some(verdict)) = (ask, verdict) else { continue };
            if verdict.outcome == Outcome::Allowed
                && let Some(table) = ask.policy.in_flight()
            {
                table.give_back(ask.key, ask.charge);
            }
        }
    }
}

/// Counts what came of it, and gives back what was taken of a request that is held back.
fn conclude(asks: &[Option<Ask<'_>>], verdicts: &mut [Option<Verdict>], passes: bool, now: Instant) {
    for (ask, verdict) in asks.iter().zip(&*verdicts) {
        let (Some(ask), Some(verdict)) = (ask, verdict) else { continue };
        ask.policy.metrics().count(verdict, passes, ask.policy.only_watches());
    }
    if !passes {
        give_back(asks, verdicts, now);
    }
}

/// Gives back what was taken here. Redis takes from all or from none.
fn give_back(asks: &[Option<Ask<'_>>], verdicts: &mut [Option<Verdict>], now: Instant) {
    for (ask, verdict) in asks.iter().zip(verdicts) {
        let (Some(ask), Some(verdict)) = (ask, verdict) else { continue };
        if verdict.answered_by.is_here() && verdict.outcome == Outcome::Allowed {
            verdict.quota = ask.settle_here(verdict.answered_by, 0, now, now);
        }
    }
}

fn holds_back(ask: &Ask<'_>, verdict: Verdict) -> bool {
    verdict.outcome != Outcome::Allowed && !ask.policy.only_watches()
}

/// Notes what `answer` says of each, until one holds the request back; false if one does.
fn ask_each(
    asks: &[Option<Ask<'_>>],
    verdicts: &mut [Option<Verdict>],
    mut answer: impl FnMut(&Ask<'_>) -> Option<Verdict>,
) -> bool {
    asks.iter().zip(verdicts).all(|(ask, verdict)| {
        let Some((ask, answer)) = ask.as_ref().and_then(|ask| Some((ask, answer(ask)?))) else { return true };
        *verdict = Some(answer);
        !holds_back(ask, answer)
    })
}

/// The same of those who have answered already, so that nothing that was taken is missed.
fn ask_each_to_the_end(
    asks: &[Option<Ask<'_>>],
    verdicts: &mut [Option<Verdict>],
    mut answer: impl FnMut(&Ask<'_>) -> Option<Verdict>,
) -> bool {
    asks.iter().zip(verdicts).fold(true, |passes, (ask, verdict)| {
        let Some((ask, answer)) = ask.as_ref().and_then(|ask| Some((ask, answer(ask)?))) else { return passes };
        *verdict = Some(answer);
        passes && !holds_back(ask, answer)
    })
}

/// What Redis says to one that is asked there.
#[derive(Clone, Copy)]
struct Said {
    answer: Answer,
    /// Whether the call has taken it.
    is_taken: bool,
}

/// What Redis says to each that is asked there, in their order; nothing where it did not answer.
async fn take_in_redis(asks: &[Option<Ask<'_>>]) -> SmallVec<[Option<Said>; 4]> {
    let lines: SmallVec<[Line; 4]> = asks.iter().flatten().filter_map(Ask::line).collect();
    let mut links = asks.iter().flatten().filter_map(|ask| ask.policy.shared()).map(|shared| shared.link());
    // All of one configuration have the same.
    let Some(link) = links.next() else { return SmallVec::new() };
    let Some(groups) = link.groups(lines.iter().map(|line| line.key.as_bytes())) else {
        return said(&lines, link.run(&script::take(&lines)).await).collect();
    };
    let groups: Vec<Slot> = groups.into_iter().map(|places| Slot::of(places, &lines)).collect();
    // What is taken and given back is worth less by then; of a quota that comes back fast it would be nothing. So all are looked
    // at before any is taken from, and only who loses a race gives back.
    let look = async |slot: &Slot| link.run::<Vec<Answer>>(&script::look(&slot.lines)).await;
    let looks = join_all(groups.iter().map(look)).await;
    let is_refused = groups.iter().zip(&looks).any(|(slot, looks)| {
        let refuses = |(line, look): (&Line, &Answer)| !line.only_watches && !look.decision.allowed;
        slot.lines.iter().zip(looks.iter().flatten()).any(refuses)
    });
    let mut all = SmallVec::from_elem(None, lines.len());
    let mut note = |slot: &Slot, said: &mut dyn Iterator<Item = Option<Said>>| {
        for (place, said) in slot.places.iter().zip(said) {
            if let Some(own) = all.get_mut(*place) {
                *own = said;
            }
        }
    };
    if is_refused {
        for (slot, looks) in groups.iter().zip(looks) {
            let untaken = |said: Option<Said>| said.map(|said| Said { is_taken: false, ..said });
            note(slot, &mut said(&slot.lines, looks).map(untaken));
        }
        return all;
    }
    let take = async |slot: &Slot| link.run(&script::take(&slot.lines)).await;
    let answers = join_all(groups.iter().map(take)).await;
    groups.iter().zip(answers).for_each(|(slot, answers)| note(slot, &mut said(&slot.lines, answers)));
    all
}

/// What goes into one call of a cluster.
struct Slot {
    /// Among all lines.
    places: Vec<usize>,
    lines: Vec<Line>,
}

impl Slot {
    fn of(places: Vec<usize>, lines: &[Line]) -> Self {
        let lines = places.iter().filter_map(|place| lines.get(*place)).cloned().collect();
        Self { places, lines }
    }
}

/// What one call says to each of its lines.
fn said(lines: &[Line], answers: Result<Vec<Answer>, NoAnswer>) -> impl Iterator<Item = Option<Said>> {
    // One that Redis owes is no permission.
    const OWED: Decision = Decision { allowed: false, remaining: 0, reset: 0, wait: 1 };
    let answers = answers.ok();
    let of = move |place: usize| {
        let owed = Answer { decision: OWED, at: 0 };
        Some(answers.as_ref()?.get(place).copied().unwrap_or(owed))
    };
    let is_allowed = |place: usize| of(place).is_some_and(|own| own.decision.allowed);
    let passes = lines.iter().enumerate().all(|(place, line)| line.only_watches || is_allowed(place));
    let said = move |answer: Answer| Said { answer, is_taken: passes && answer.decision.allowed };
    (0..lines.len()).map(move |place| of(place).map(said))
}

/// Gives back what was taken in Redis although somebody else holds the request back.
fn give_back_in_redis(asks: &[Option<Ask<'_>>], verdicts: &mut [Option<Verdict>], said: &[Option<Said>]) {
    let asked = asks.iter().zip(verdicts).filter_map(|(ask, verdict)| Some((ask.as_ref()?, verdict)));
    for ((ask, verdict), said) in asked.filter(|(ask, _)| ask.policy.shared().is_some()).zip(said) {
        let Some(said) = said.filter(|said| said.is_taken) else { continue };
        ask.settle_in_redis(0, said.answer.at);
        if let Some(quota) = verdict.as_mut().and_then(|verdict| verdict.quota.as_mut()) {
            quota.remaining = (quota.remaining + u64::from(ask.charge.cost)).min(quota.limit);
        }
    }
}
