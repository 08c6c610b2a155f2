//! Asks all policies of a step together: if one refuses, nothing is taken from any.
//!
//! Those that count here are asked first, at once, then those that are leased; what they gave is given back when a later one
//! refuses. Those in Redis are asked in one call, which itself takes from all or from none. A policy that only watches holds
//! nobody back, and counts what it would have let through. Between taking and giving back, others may find less than there is;
//! never more.

use std::time::Instant;

use smallvec::SmallVec;

use super::lease::AtOnce;
use super::policy::Ask;
use super::redis_link::NoAnswer;
use super::script::{self, Line};
use super::verdict::{AnsweredBy, Decision, Outcome, Verdict};

/// What policies answer, in the order in which they were asked; nothing from one that does not count the request, or was not
/// asked any more because another had refused.
pub type Verdicts = SmallVec<[Option<Verdict>; 4]>;

/// Takes what each of `asks` wants, or nothing. Where there is none, the policy does not count the request.
///
/// Answers at once unless a policy is in Redis, and then within the link's deadline, whatever Redis does.
pub async fn decide(asks: &[Option<Ask<'_>>]) -> Verdicts {
    let now = Instant::now();
    let mut verdicts = Verdicts::from_elem(None, asks.len());
    let mut passes = ask_each(asks, &mut verdicts, |ask| ask.take_here(now));
    for (ask, verdict) in asks.iter().zip(&mut verdicts) {
        let Some(ask) = ask.as_ref().filter(|ask| passes && ask.policy.is_leased()) else { continue };
        *verdict = ask.take_lease().await;
        passes = !verdict.is_some_and(|verdict| holds_back(ask, verdict));
    }
    if passes && asks.iter().flatten().any(|ask| ask.policy.shared().is_some()) {
        passes = match take_in_redis(asks).await {
            Ok(mut decisions) => ask_each(asks, &mut verdicts, |ask| ask.counted(&mut decisions)),
            // The link has logged it, once for all requests, and the counters tell the rest.
            Err(_) => {
                ask_each(asks, &mut verdicts, |ask| ask.policy.shared().and_then(|_| ask.fall_back(Instant::now())))
            }
        };
    }
    conclude(asks, &mut verdicts, passes, now);
    verdicts
}

/// The same, if it can be said without waiting: no policy is in Redis, and of those that are leased something is here.
#[must_use]
pub fn decide_at_once(asks: &[Option<Ask<'_>>]) -> Option<Verdicts> {
    if asks.iter().flatten().any(|ask| ask.policy.shared().is_some()) {
        return None;
    }
    let now = Instant::now();
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
        let is_here = matches!(verdict.answered_by, AnsweredBy::Local | AnsweredBy::Lease(_));
        if is_here && verdict.outcome == Outcome::Allowed {
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
    for (ask, verdict) in asks.iter().zip(verdicts) {
        let Some((ask, answer)) = ask.as_ref().and_then(|ask| Some((ask, answer(ask)?))) else { continue };
        *verdict = Some(answer);
        if holds_back(ask, answer) {
            return false;
        }
    }
    true
}

/// What Redis says to all that are asked there, in their order.
async fn take_in_redis(asks: &[Option<Ask<'_>>]) -> Result<impl Iterator<Item = Decision> + use<>, NoAnswer> {
    let lines: SmallVec<[Line; 4]> = asks.iter().flatten().filter_map(Ask::line).collect();
    let mut links = asks.iter().flatten().filter_map(|ask| ask.policy.shared()).map(|shared| shared.link());
    // All of one configuration have the same.
    let Some(link) = links.next() else { return Ok(Vec::new().into_iter()) };
    link.run::<Vec<Decision>>(&script::take(&lines)).await.map(Vec::into_iter)
}
