//! Counts what a limiter has let through against what it may.
//!
//! When it decided about a request nobody outside knows; but it was between the moment in which the request was due and the
//! one in which its answer was there. So only what is certain for every such moment is held against it: requests count as
//! within a span if the first was due and the last answered within it.

use std::time::Duration;

use anyhow::{Context, Result, bail};

use crate::open_loop::Answer;

/// A request that was let through.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Pass {
    pub(super) due: Duration,
    pub(super) answered: Duration,
}

/// What was let through, by the times at which they were due; everything else must have been refused.
///
/// # Errors
/// When a request was answered with anything but 200 and 429, or not at all.
pub(super) fn passes(answers: &[Answer]) -> Result<Vec<Pass>> {
    let mut passes = Vec::new();
    for answer in answers {
        match answer
            .status
            .context("a request was not answered: its connection failed, or this build cannot bear the load")?
        {
            200 => passes.push(Pass { due: answer.due, answered: answer.due + answer.took }),
            429 => {}
            other => bail!("a request was answered with {other}"),
        }
    }
    passes.sort_by_key(|pass| pass.due);
    Ok(passes)
}

/// The most of `passes`, in the order in which they were due, that certainly came within a time shorter than `span`.
pub(super) fn most_within(passes: &[Pass], span: Duration) -> usize {
    let (mut most, mut first, mut answered) = (0, 0, Duration::ZERO);
    for (last, pass) in passes.iter().enumerate() {
        answered = answered.max(pass.answered);
        while first <= last && passes.get(first).is_some_and(|first| answered.saturating_sub(first.due) >= span) {
            first += 1;
        }
        most = most.max((last + 1).saturating_sub(first));
    }
    most
}

/// The burst that a limiter of `rate` per second must have had to let `passes`, in the order in which they were due,
/// through: the most by which they certainly exceed in any span what the rate brings in it.
pub(super) fn burst_of(passes: &[Pass], rate: f64) -> f64 {
    let (mut burst, mut answered) = (0.0_f64, Duration::ZERO);
    let mut least_before = f64::INFINITY;
    for (number, pass) in passes.iter().enumerate() {
        answered = answered.max(pass.answered);
        // How many came before it, less what the rate has brought until then; the span begins where that is least.
        least_before = least_before.min(number as f64 - rate * pass.due.as_secs_f64());
        burst = burst.max((number + 1) as f64 - rate * answered.as_secs_f64() - least_before);
    }
    burst
}

/// Seconds, and how many have passed until then, in steps from the beginning to `end`.
pub(super) fn curve(passes: &[Pass], end: Duration) -> Vec<(f64, f64)> {
    let step = |(before, pass): (usize, &Pass)| {
        let at = pass.due.as_secs_f64();
        [(at, before as f64), (at, (before + 1) as f64)]
    };
    passes.iter().enumerate().flat_map(step).chain([(end.as_secs_f64(), passes.len() as f64)]).collect()
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::{Pass, burst_of, curve, most_within, passes};
    use crate::open_loop::Answer;

    const MS: fn(u64) -> Duration = Duration::from_millis;

    /// Each due at such a millisecond and answered so many later.
    fn all(of: &[(u64, u64)]) -> Vec<Pass> {
        of.iter().map(|(due, took)| Pass { due: MS(*due), answered: MS(due + took) }).collect()
    }

    #[test]
    fn only_good_answers_have_passed_and_others_than_refusals_are_no_result() {
        let answer = |due, status| Answer { due: MS(due), took: MS(2), status };
        let sorted = passes(&[answer(5, Some(200)), answer(1, Some(200)), answer(3, Some(429))]).expect("a result");
        assert_eq!(sorted, all(&[(1, 2), (5, 2)]));
        passes(&[answer(5, Some(503))]).expect_err("a failure");
        passes(&[answer(5, None)]).expect_err("no answer");
    }

    #[test]
    fn two_bursts_at_a_border_are_within_one_window() {
        let around = all(&[(0, 0), (990, 0), (991, 0), (992, 0), (1000, 0), (1001, 0), (1990, 0), (1992, 0)]);
        assert_eq!(most_within(&around, MS(1000)), 5);
        assert_eq!(most_within(&around, MS(1001)), 6);
        assert_eq!(most_within(&around, MS(10)), 3);
        assert_eq!(most_within(&[], MS(10)), 0);
    }

    #[test]
    fn slow_answer_that_may_have_been_decided_late_is_not_held_against_the_limiter() {
        // The second may have been let through at 1001 ms, a whole window behind the first.
        assert_eq!(most_within(&all(&[(1, 0), (900, 101)]), MS(1000)), 1);
        assert_eq!(most_within(&all(&[(1, 0), (900, 99)]), MS(1000)), 2);
    }

    #[test]
    fn burst_is_what_exceeds_the_rate() {
        // 100 per second bring one in 10 ms: five at once, then as they come back, are a burst of five.
        let steady = all(&[(0, 0), (0, 0), (0, 0), (0, 0), (0, 0), (10, 0), (20, 0), (30, 0)]);
        assert_eq!(burst_of(&steady, 100.0), 5.0);
        // One more in the middle is one too many, although the rest comes later.
        let mut over = steady.clone();
        over.insert(6, all(&[(15, 0)])[0]);
        assert_eq!(burst_of(&over, 100.0), 6.0);
        // After a pause the burst is there again.
        let again = all(&[(0, 0), (0, 0), (1000, 0), (1000, 0), (1000, 0)]);
        assert_eq!(burst_of(&again, 100.0), 3.0);
        assert_eq!(burst_of(&[], 100.0), 0.0);
    }

    #[test]
    fn burst_counts_no_request_that_may_have_been_decided_late() {
        assert_eq!(burst_of(&all(&[(0, 0), (0, 10)]), 100.0), 1.0);
        assert_eq!(burst_of(&all(&[(0, 0), (0, 5)]), 100.0), 1.5);
    }

    #[test]
    fn curve_goes_up_in_steps_and_on_to_the_end() {
        assert_eq!(curve(&all(&[(500, 1)]), MS(2000)), [(0.5, 0.0), (0.5, 1.0), (2.0, 1.0)]);
    }
}
