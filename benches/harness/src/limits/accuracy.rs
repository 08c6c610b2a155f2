//! Four gateways, one Redis, one client who asks for five times his limit: how many of his requests pass in all.

use std::time::Duration;

use anyhow::Result;

use super::gateway::{Deadline, Gateway, Policy, known, passed_over};
use super::passes::{burst_of, passes};
use super::redis::Redis;
use super::target::Target;
use super::{Shown, together};
use crate::bench::Bench;
use crate::open_loop::Answer;
use crate::table::{table, whole};

const GATEWAYS: usize = 4;
/// Requests per second that the limit brings back.
const RATE: f64 = 500.0;
/// And how many may come at once: what comes back in ten seconds.
const BURST: f64 = 5000.0;
/// How many times as many are asked for.
const OFFERED: f64 = 5.0;

/// What adding up seconds may add to a burst.
const ROUNDING: f64 = 1e-6;

/// A way to count in Redis, and how much of the limit it has to let through at least and at most.
struct Way {
    policy: Policy,
    least: f64,
    most: f64,
}

/// What one way has shown.
#[derive(Clone, Debug, PartialEq)]
struct Counted {
    offered: usize,
    passed: usize,
    /// From when the first request was due until the last was answered.
    seconds: f64,
    /// The most that has certainly passed beyond what the rate brings, in any span.
    burst: f64,
    script_calls: u64,
    /// Requests that a failure mode has answered.
    degraded: f64,
}

pub(super) fn measure(bench: &Bench, seconds: u32) -> Result<Shown> {
    let ways = [way("redis", 0.999, 1.001), way("leased", 0.98, 1.0)];
    let (known, skipped) = known(bench, ways.iter().map(|way| way.policy.clone()).collect())?;
    let (mut rows, mut targets) = (Vec::new(), Vec::new());
    for way in ways.iter().filter(|way| known.contains(&way.policy)) {
        let counted = count(bench, &way.policy, seconds)?;
        eprintln!("    {:14} {:.3} % of the limit passed", way.policy.title, counted.share() * 100.0);
        rows.push(counted.row(&way.policy.title));
        targets.extend(counted.targets(way));
    }
    let text = format!(
        "{GATEWAYS} gateways, one Redis, one client with a limit of {} requests in 10 s ({} may come at once), who asks all gateways \
         together for {} times as much for {seconds} s. May pass: the burst and what the rate has brought until the last answer. Requests wait for Redis \
         for 50 ms at most. The burst that was seen is the most that has certainly passed in any span beyond what the rate brings in it. Calls are \
         the scripts that Redis has run, those among them by which each gateway makes itself known once a second.\n\n{}{}",
        whole(RATE * 10.0),
        whole(BURST),
        whole(OFFERED),
        table(
            &[
                "scope",
                "asked",
                "passed",
                "may pass",
                "passed ÷ may pass",
                "burst that was seen",
                "calls of Redis per request",
                "answered without Redis"
            ],
            &rows
        ),
        passed_over(&skipped)
    );
    Ok(Shown { text, targets, picture: None })
}

fn way(scope: &str, least: f64, most: f64) -> Way {
    let settings = format!("scope: {scope}, limit: {:.0}, window: 10s, burst: {BURST:.0}", RATE * 10.0);
    Way { policy: Policy::new(&format!("`{scope}`"), settings), least, most }
}

fn count(bench: &Bench, policy: &Policy, seconds: u32) -> Result<Counted> {
    let redis = Redis::start(bench)?;
    let gateways = (0..GATEWAYS)
        .map(|_| Gateway::start(bench, policy, Some(redis.shared(Deadline::Long))))
        .collect::<Result<Vec<_>>>()?;
    let calls_before = redis.script_calls()?;
    let duration = Duration::from_secs(u64::from(seconds));
    let all = together::ask(bench.cores.load, &gateways, RATE * OFFERED, duration, together::soon())?;
    let script_calls = redis.script_calls()?.saturating_sub(calls_before);
    let degraded = gateways.iter().map(Gateway::degraded).sum::<Result<f64>>()?;
    Ok(Counted { script_calls, degraded, ..Counted::of(&all)? })
}

impl Counted {
    /// Of what was answered; what Redis has to do with it is not known from that.
    fn of(all: &[Answer]) -> Result<Self> {
        let passes = passes(all)?;
        let end = all.iter().map(|answer| answer.due + answer.took).max().unwrap_or_default();
        Ok(Self {
            offered: all.len(),
            passed: passes.len(),
            seconds: end.as_secs_f64(),
            burst: burst_of(&passes, RATE),
            script_calls: 0,
            degraded: 0.0,
        })
    }

    /// What a limit with this burst and rate lets through in the time.
    fn may_pass(&self) -> f64 {
        BURST + (RATE * self.seconds).floor()
    }

    fn share(&self) -> f64 {
        self.passed as f64 / self.may_pass()
    }

    fn row(&self, title: &str) -> Vec<String> {
        vec![
            title.to_owned(),
            whole(self.offered as f64),
            whole(self.passed as f64),
            whole(self.may_pass()),
            format!("{:.3} %", self.share() * 100.0),
            format!("{} of {}", whole(self.burst), whole(BURST)),
            format!("{:.4}", self.script_calls as f64 / self.offered.max(1) as f64),
            whole(self.degraded),
        ]
    }

    fn targets(&self, way: &Way) -> [Target; 2] {
        let title = &way.policy.title;
        [
            Target {
                what: format!("{title}: passed ÷ may pass"),
                to_reach: format!("{:.1} to {:.1} %", way.least * 100.0, way.most * 100.0),
                measured: format!("{:.3} %", self.share() * 100.0),
                is_met: (way.least..=way.most).contains(&self.share()),
            },
            Target {
                what: format!("{title}: burst that was seen"),
                to_reach: format!("≤ {}", whole(BURST)),
                measured: format!("{:.1}", self.burst),
                is_met: self.burst <= BURST + ROUNDING,
            },
        ]
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::{BURST, Counted, RATE, way};
    use crate::open_loop::Answer;

    fn answer(due: f64, status: u16) -> Answer {
        Answer { due: Duration::from_secs_f64(due), took: Duration::ZERO, status: Some(status) }
    }

    /// A burst, and one more whenever the rate brings it, for so many seconds.
    fn exact(seconds: u32) -> Vec<Answer> {
        let steady = (1..=(RATE as u32 * seconds)).map(|number| answer(f64::from(number) / RATE, 200));
        (0..BURST as usize).map(|_| answer(0.0, 200)).chain(steady).collect()
    }

    fn met(all: &[Answer], least: f64, most: f64) -> [bool; 2] {
        Counted::of(all).expect("a result").targets(&way("redis", least, most)).map(|target| target.is_met)
    }

    #[test]
    fn exact_limiter_lets_through_what_may_pass() {
        let counted = Counted::of(&exact(10)).expect("a result");
        assert_eq!((counted.passed as f64, counted.may_pass()), (10_000.0, 10_000.0));
        assert!((counted.burst - BURST).abs() < 1e-6, "{}", counted.burst);
        assert!(counted.row("`redis`").contains(&"100.000 %".to_owned()), "{:?}", counted.row("`redis`"));
    }

    #[test]
    fn too_many_are_missed_in_all_and_in_the_span_in_which_they_came() {
        let more = [exact(10), vec![answer(10.0, 200); 20]].concat();
        assert_eq!(met(&more, 0.999, 1.001), [false, false]);
        // Twenty of the next second have passed in this one: the sum is right, but not the limit.
        let early = exact(10).into_iter().map(|one| match one.due.as_secs_f64() {
            due if due > 5.0 && due < 5.041 => answer(5.0, 200),
            due => answer(due, 200),
        });
        assert_eq!(met(&early.collect::<Vec<_>>(), 0.999, 1.001), [true, false]);
    }

    #[test]
    fn too_few_are_missed_although_none_has_passed_too_early() {
        let one_in_forty_less: Vec<_> =
            exact(10).into_iter().enumerate().filter(|(number, _)| number % 40 != 0).collect();
        let all: Vec<_> = one_in_forty_less.into_iter().map(|(_, answer)| answer).collect();
        assert_eq!(met(&all, 0.98, 1.0), [false, true]);
        // Nothing more after half of the time, in which refusals came.
        let all = [exact(5), vec![answer(10.0, 429)]].concat();
        assert_eq!(met(&all, 0.98, 1.0), [false, true]);
    }

    #[test]
    fn failures_are_no_result() {
        Counted::of(&[answer(1.0, 503)]).expect_err("neither passed nor refused");
    }
}
