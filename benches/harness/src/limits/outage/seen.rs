//! What clients and gateways have seen of an outage, second by second.

use std::time::Duration;

use crate::latency::percentile;
use crate::open_loop::Answer;

/// For how long failure modes must have answered next to nothing, so that the outage is taken to be over.
const CALM: Duration = Duration::from_secs(1);

/// When what happened, from the beginning on.
#[derive(Clone, Copy, Debug)]
pub(super) struct Times {
    pub(super) killed: Duration,
    /// When it was begun to be started anew.
    pub(super) begun_anew: Duration,
    pub(super) end: Duration,
}

/// Requests that failure modes have answered until a moment.
#[derive(Clone, Copy, Debug)]
pub(super) struct Look {
    pub(super) at: Duration,
    pub(super) degraded: f64,
}

/// All that was seen.
#[derive(Clone, Debug)]
pub(super) struct Outage {
    pub(super) answers: Vec<Answer>,
    pub(super) looks: Vec<Look>,
    pub(super) times: Times,
}

/// From when until before when.
pub(super) type Span = (Duration, Duration);

/// What clients saw in a span.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Seen {
    pub(super) passed: usize,
    pub(super) refused: usize,
    pub(super) failed: usize,
    /// Not answered, or with another status.
    pub(super) lost: usize,
    /// How long answers took, sorted.
    took: Vec<Duration>,
}

impl Outage {
    /// Of the requests that were due in the span.
    pub(super) fn seen_in(&self, (from, to): Span) -> Seen {
        let mut seen = Seen::default();
        for answer in self.answers.iter().filter(|answer| (from..to).contains(&answer.due)) {
            match answer.status {
                Some(200) => seen.passed += 1,
                Some(429) => seen.refused += 1,
                Some(500..) => seen.failed += 1,
                Some(_) | None => seen.lost += 1,
            }
            seen.took.push(answer.took);
        }
        seen.took.sort_unstable();
        seen
    }

    /// How many certainly passed in the span: they were due and answered in it.
    pub(super) fn passed_within(&self, (from, to): Span) -> usize {
        let within = |answer: &&Answer| answer.due >= from && answer.due + answer.took <= to;
        self.answers.iter().filter(within).filter(|answer| answer.status == Some(200)).count()
    }

    /// In each whole second of the span.
    pub(super) fn by_second(&self, (from, to): Span) -> Vec<Seen> {
        let second = |number| from + Duration::from_secs(number);
        let whole = 0..to.saturating_sub(from).as_secs();
        whole.map(|number| self.seen_in((second(number), second(number + 1)))).collect()
    }

    /// The p99 of the slowest second of the span, in milliseconds.
    pub(super) fn slowest_second(&self, span: Span) -> f64 {
        self.by_second(span).iter().map(|seen| seen.milliseconds(0.99)).fold(0.0, f64::max)
    }

    /// How many requests failure modes have answered.
    pub(super) fn degraded(&self) -> f64 {
        let of = |look: Option<&Look>| look.map_or(0.0, |look| look.degraded);
        of(self.looks.last()) - of(self.looks.first())
    }

    /// How long after Redis was started anew failure modes answered no more than `allowed` requests in the second that
    /// followed; none if that was never so.
    pub(super) fn back_after(&self, allowed: f64) -> Option<Duration> {
        let begun_anew = self.times.begun_anew;
        let is_calm = |look: &&Look| {
            let later = self.looks.iter().find(|later| later.at >= look.at + CALM);
            later.is_some_and(|later| later.degraded - look.degraded <= allowed)
        };
        let first = self.looks.iter().filter(|look| look.at >= begun_anew).find(is_calm)?;
        Some(first.at.saturating_sub(begun_anew))
    }
}

impl Seen {
    /// How long the fastest `share` of the answers took at most.
    pub(super) fn milliseconds(&self, share: f64) -> f64 {
        percentile(&self.took, share).as_secs_f64() * 1e3
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::{Look, Outage, Times};
    use crate::open_loop::Answer;

    const MS: fn(u64) -> Duration = Duration::from_millis;

    fn outage(answers: &[(u64, u64, u16)], looks: &[(u64, f64)]) -> Outage {
        let answer = |(due, took, status): &(u64, u64, u16)| Answer {
            due: MS(*due),
            took: MS(*took),
            status: (*status > 0).then_some(*status),
        };
        Outage {
            answers: answers.iter().map(answer).collect(),
            looks: looks.iter().map(|(at, degraded)| Look { at: MS(*at), degraded: *degraded }).collect(),
            times: Times { killed: MS(4000), begun_anew: MS(6000), end: MS(10_000) },
        }
    }

    #[test]
    fn answers_are_told_apart_by_status_and_span() {
        let all = [(1, 1, 200), (2, 3, 429), (3, 2, 503), (4, 1, 404), (5, 1, 0), (9, 9, 200)];
        let seen = outage(&all, &[]).seen_in((MS(1), MS(9)));
        assert_eq!((seen.passed, seen.refused, seen.failed, seen.lost), (1, 1, 1, 2));
        assert_eq!(seen.milliseconds(1.0), 3.0);
    }

    #[test]
    fn only_what_was_due_and_answered_in_a_span_has_certainly_passed_in_it() {
        let all = [(0, 2, 200), (1, 1, 200), (2, 1, 429), (3, 6, 200), (4, 6, 200), (5, 1, 0)];
        assert_eq!(outage(&all, &[]).passed_within((MS(1), MS(9))), 2);
    }

    #[test]
    fn one_slow_second_shows() {
        let all: Vec<_> = (0..30).map(|number| (number * 100, if number < 20 { 1 } else { 40 }, 200)).collect();
        let outage = outage(&all, &[]);
        assert_eq!(outage.slowest_second((MS(0), MS(2000))), 1.0);
        assert_eq!(outage.slowest_second((MS(0), MS(3000))), 40.0);
    }

    #[test]
    fn limits_are_shared_again_when_failure_modes_answer_no_more() {
        let back = |looks: &[(u64, f64)]| outage(&[], looks).back_after(12.0);
        let looks =
            [(3000, 1.0), (5900, 50.0), (6100, 100.0), (6500, 190.0), (7100, 200.0), (7600, 200.0), (8200, 201.0)];
        assert_eq!(back(&looks), Some(MS(500)));
        assert_eq!(outage(&[], &looks).degraded(), 200.0);
        assert_eq!(back(&[(8000, 100.0), (9000, 200.0), (9900, 300.0)]), None, "to the very end");
        assert_eq!(back(&[(4000, 50.0), (5500, 50.0), (6000, 50.0), (7000, 50.0)]), Some(MS(0)));
    }
}
