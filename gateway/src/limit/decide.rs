//! Asks all policies of a step together: if one refuses, nothing is taken from any.
//!
//! Those that count here are asked first, at once; what they gave is given back when a later one refuses. Those in Redis are
//! asked in one call, which itself takes from all or from none. A policy that only watches holds nobody back, and counts what
//! it would have let through.

use std::time::Instant;

use smallvec::SmallVec;

use super::policy::Ask;
use super::redis_link::NoAnswer;
use super::script::{self, Answer, Line};
use super::verdict::{AnsweredBy, Outcome, Verdict};

/// What policies answer, in the order in which they were asked; nothing from one that does not count the request, or was not
/// asked any more because another had refused.
pub type Verdicts = SmallVec<[Option<Verdict>; 4]>;

/// Takes what each of `asks` wants, or nothing. Where there is none, the policy does not count the request.
///
/// Answers at once unless a policy is in Redis, and then within the link's deadline, whatever Redis does.
pub async fn decide(asks: &[Option<Ask<'_>>]) -> Verdicts {
    let now = Instant::now();
    let mut pending = Pending { asks, verdicts: Verdicts::from_elem(None, asks.len()) };
    let verdicts = &mut pending.verdicts;
    let mut passes = ask_each(asks, verdicts, |ask| ask.take_here(now));
    if passes && asks.iter().flatten().any(|ask| ask.policy.is_shared()) {
        passes = match take_in_redis(asks).await {
            Ok(mut answers) => ask_each(asks, verdicts, |ask| ask.counted(&mut answers)),
            // The link has logged it, once for all requests, and the counters tell the rest.
            Err(_) => ask_each(asks, verdicts, |ask| ask.fall_back(Instant::now())),
        };
    }
    for (ask, verdict) in asks.iter().zip(verdicts) {
        let (Some(ask), Some(verdict)) = (ask, verdict) else { continue };
        ask.policy.metrics().count(verdict, passes, ask.policy.only_watches());
        let is_taken = verdict.outcome == Outcome::Allowed && verdict.answered_by == AnsweredBy::Local;
        if !passes && is_taken {
            verdict.quota = ask.settle_here(0, now, now);
        }
    }
    std::mem::take(&mut pending.verdicts)
}

/// What was said so far. If nobody waits for the rest any more, who has got a place among those in flight has ended.
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

/// Notes what `answer` says of each, until one holds the request back; false if one does.
fn ask_each(
    asks: &[Option<Ask<'_>>],
    verdicts: &mut [Option<Verdict>],
    mut answer: impl FnMut(&Ask<'_>) -> Option<Verdict>,
) -> bool {
    for (ask, verdict) in asks.iter().zip(verdicts) {
        let Some((ask, answer)) = ask.as_ref().and_then(|ask| Some((ask, answer(ask)?))) else { continue };
        *verdict = Some(answer);
        if answer.outcome != Outcome::Allowed && !ask.policy.only_watches() {
            return false;
        }
    }
    true
}

/// What Redis says to all that are asked there, in their order.
async fn take_in_redis(asks: &[Option<Ask<'_>>]) -> Result<impl Iterator<Item = Answer> + use<>, NoAnswer> {
    let lines: SmallVec<[Line; 4]> = asks.iter().flatten().filter_map(Ask::line).collect();
    let mut links = asks.iter().flatten().filter_map(|ask| ask.policy.shared()).map(|shared| shared.link());
    // All of one configuration have the same.
    let Some(link) = links.next() else { return Ok(Vec::new().into_iter()) };
    link.run::<Vec<Answer>>(&script::take(&lines)).await.map(Vec::into_iter)
}
