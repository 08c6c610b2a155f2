//! The log beside a list of everything that passed.

use proptest::prelude::*;

use super::*;

const WINDOW: Duration = Duration::from_secs(1);
const MICROS: u64 = 1_000_000;

fn window() -> Window {
    Window::new(WINDOW).expect("expressible")
}

/// What passed and what it has cost in the end; what that was more than expected came later.
#[derive(Default)]
struct Exact {
    passed: Vec<(u64, u32)>,
}

impl Exact {
    fn cost_at(&self, now: u64) -> u32 {
        self.passed.iter().filter(|(time, _)| time + MICROS > now).map(|(_, cost)| cost).sum()
    }

    /// What one is told who asks for `cost` of `limit`, which is not above that.
    fn look(&self, limit: u32, cost: u32, now: u64) -> Decision {
        let fits = |at| self.cost_at(at) + cost <= limit;
        let left = |time: &u64| time + MICROS - now;
        let live = self.passed.iter().filter(|(time, cost)| time + MICROS > now && *cost > 0).map(|(time, _)| time);
        if fits(now) {
            let remaining = u64::from(limit - cost - self.cost_at(now));
            return Decision { allowed: true, remaining, reset: MICROS, wait: 0 };
        }
        let mut times: Vec<_> = live.clone().map(left).collect();
        times.sort_unstable();
        Decision {
            allowed: false,
            remaining: u64::from(limit.saturating_sub(self.cost_at(now))),
            reset: live.map(left).max().unwrap_or(0),
            wait: times.into_iter().find(|wait| fits(now + wait)).expect("nothing is for ever"),
        }
    }

    /// What the request at `place`, which was expected to cost `cost` of `limit`, has cost.
    fn settle(&mut self, place: usize, (cost, limit): (u32, u32), actual: u32, now: u64) {
        if let Some(more) = actual.checked_sub(cost) {
            let owed = more.min((2 * limit).saturating_sub(self.cost_at(now)));
            self.passed.push((now, owed));
        } else if self.passed[place].0 + MICROS > now {
            self.passed[place].1 = actual;
        }
    }
}

/// A request some time after the last: its cost and limit; and what has become of one before it, if it is told now.
type OneStep = (u64, u32, u32, Option<(usize, u32)>);

fn steps() -> impl Strategy<Value = Vec<OneStep>> {
    let told = prop::option::of((0_usize..8, 0_u32..25));
    let step = prop_oneof![3 => 0_u64..250_000, 1 => Just(0), 1 => 900_000_u64..1_100_000];
    prop::collection::vec((step, 1_u32..6, 6_u32..16, told), 1..150)
}

proptest! {
    #[test]
    fn it_decides_as_a_list_of_everything_that_passed(steps in steps()) {
        let (mut log, mut exact) = (Log::default(), Exact::default());
        let mut open = Vec::new();
        let mut now = 0;
        for (step, cost, limit, told) in steps {
            now += step;
            let charge = Charge { cost, limit };
            let decision = log.take(window(), charge, now);
            prop_assert_eq!(decision, exact.look(limit, cost, now));
            if decision.allowed {
                open.push((exact.passed.len(), charge, now));
                exact.passed.push((now, cost));
            }
            if let Some((which, actual)) = told.filter(|_| !open.is_empty()) {
                let (place, charge, since) = open.swap_remove(which % open.len());
                let state = log.settle(window(), charge, actual, since, now);
                exact.settle(place, (charge.cost, charge.limit), actual, now);
                prop_assert_eq!(state.remaining, u64::from(charge.limit.saturating_sub(exact.cost_at(now))));
            }
        }
    }

    #[test]
    fn in_no_window_passes_more_than_the_limit_however_vaguely_it_is_said_what_is_given_back(
        steps in prop::collection::vec((0_u64..300_000, 1_u32..4, prop::option::of((0_usize..8, 0_u32..4, 0_u64..400_000))), 1..150),
    ) {
        const LIMIT: u32 = 8;
        let mut log = Log::default();
        let mut passed: Vec<(u64, u32)> = Vec::new();
        let mut open = Vec::new();
        let mut now = 1_000_000;
        for (step, cost, told) in steps {
            now += step;
            let charge = Charge { cost, limit: LIMIT };
            if log.take(window(), charge, now).allowed {
                open.push((passed.len(), charge));
                passed.push((now, cost));
            }
            if let Some((which, actual, vague)) = told.filter(|_| !open.is_empty()) {
                let (place, charge) = open.swap_remove(which % open.len());
                let (since, actual) = (passed[place].0 - vague, actual.min(charge.cost));
                log.settle(window(), charge, actual, since, now);
                passed[place].1 = actual;
            }
            let live = |(time, cost): &(u64, u32)| if time + MICROS > now { *cost } else { 0 };
            prop_assert!(passed.iter().map(live).sum::<u32>() <= LIMIT);
        }
    }

    #[test]
    fn a_step_back_of_the_clock_lets_no_more_through(
        steps in prop::collection::vec((0_u64..300_000, prop::option::weighted(0.1, 0_u64..5_000_000)), 1..150),
    ) {
        const LIMIT: u32 = 5;
        let mut log = Log::default();
        let mut passed: Vec<u64> = Vec::new();
        // By a clock that is never set, and how much later it is by the one that is.
        let (mut real, mut ahead) = (0, 1_000_000_000);
        for (step, back) in steps {
            real += step;
            ahead -= back.unwrap_or(0);
            if log.take(window(), Charge { cost: 1, limit: LIMIT }, real + ahead).allowed {
                passed.push(real);
            }
            let live = passed.iter().filter(|time| **time + MICROS > real).count();
            prop_assert!(live <= LIMIT as usize, "{live}");
        }
    }
}

#[test]
fn a_request_that_costs_more_than_the_limit_costs_all_of_it() {
    let mut log = Log::default();
    let charge = Charge { cost: 50, limit: 3 };
    assert!(log.take(window(), charge, 0).allowed);
    let one = Charge { cost: 1, limit: 3 };
    assert_eq!(
        log.take(window(), one, 10),
        Decision { allowed: false, remaining: 0, reset: MICROS - 10, wait: MICROS - 10 }
    );
    assert_eq!(log.settle(window(), charge, 0, 0, 20).remaining, 3);
}

#[test]
fn times_and_costs_of_every_size_are_kept_as_they_are() {
    for (time, cost) in [(0, 1), (Entry::LATEST + 86_400_000_000, 2 * MOST), (1, 0)] {
        let entry = Entry::new(time, cost);
        assert_eq!((entry.time(), entry.cost()), (time, cost));
    }
    assert_eq!(Window::new(Duration::MAX), None);
}
