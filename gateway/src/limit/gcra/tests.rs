//! The algorithm beside a list of everything that passed.

use proptest::prelude::*;

use super::super::verdict::Decision;
use super::*;

#[test]
fn an_interval_is_rounded_so_that_the_limit_is_never_exceeded() {
    let gcra = |limit, micros, burst| Gcra::new(limit, Duration::from_micros(micros), burst, false);
    assert_eq!(gcra(3, 1_000_000, 3), Some(Gcra { interval_micros: 333_334, burst: 3, overdraft: 0 }));
    assert_eq!(gcra(1_000_000, 1_000_000, 1), Some(Gcra { interval_micros: 1, burst: 1, overdraft: 0 }));
    assert_eq!(gcra(1_000_001, 1_000_000, 1), None);
    assert_eq!(gcra(1, 31_536_000_000_000, u32::MAX), None);
}

#[test]
fn what_is_used_up_elsewhere_is_no_more_than_was_there() {
    let gcra = Gcra::new(10, Duration::from_secs(1), 5, true).expect("expressible");
    let left = |tat, cost| gcra.use_up(tat, cost, 1_000_000).remaining;
    assert_eq!([left(0, 0), left(0, 2), left(1_200_000, 2), left(1_200_000, 9)], [5, 3, 1, 0]);
    let tat = |tat, cost| 1_000_000 + gcra.use_up(tat, cost, 1_000_000).reset;
    assert_eq!([tat(0, 100), tat(1_400_000, 100)], [1_500_000; 2], "and no debt comes of it");
    assert_eq!(tat(1_700_000, 1), 1_700_000, "one that there is stays");
}

/// The key's requests, one after the other.
struct Key {
    gcra: Gcra,
    tat: u64,
}

impl Key {
    fn take(&mut self, now: u64) -> Decision {
        self.take_some(1, now)
    }

    fn take_some(&mut self, cost: u32, now: u64) -> Decision {
        let decision = self.gcra.take(self.tat, cost, now);
        if decision.allowed {
            self.tat = now + decision.reset;
        }
        decision
    }

    fn settle(&mut self, cost: u32, actual: u32, age: u64, now: u64) {
        self.tat = now + self.gcra.settle(self.tat, cost, actual, age, now).reset;
    }
}

proptest! {
    #[test]
    fn in_any_span_there_pass_no_more_than_the_rate_and_one_burst(
        (limit, burst) in (1_u32..50, 1_u32..80),
        steps in prop::collection::vec(0_u64..400_000, 1..300),
    ) {
        let gcra = Gcra::new(limit, Duration::from_secs(1), burst, false).expect("expressible");
        let mut key = Key { gcra, tat: 0 };
        let mut now = 0;
        let mut passed = Vec::new();
        for step in steps {
            now += step;
            if key.take(now).allowed {
                passed.push(now);
            }
        }
        for (first, from) in passed.iter().enumerate() {
            for (last, to) in passed.iter().enumerate().skip(first) {
                let span = to - from;
                let most = u64::from(burst) + span / gcra.interval_micros;
                prop_assert!((last - first + 1) as u64 <= most, "{} of {most} in {span} us", last - first + 1);
            }
        }
    }

    #[test]
    fn whoever_waits_as_told_passes_and_no_sooner(
        (limit, burst) in (1_u32..50, 1_u32..80),
        steps in prop::collection::vec(0_u64..200_000, 1..200),
    ) {
        let mut key = Key { gcra: Gcra::new(limit, Duration::from_secs(1), burst, false).expect("expressible"), tat: 0 };
        let mut now = 0;
        for step in steps {
            now += step;
            let decision = key.take(now);
            if !decision.allowed {
                prop_assert!(!key.take(now + decision.wait - 1).allowed);
                now += decision.wait;
                prop_assert!(key.take(now).allowed);
            }
        }
    }

    #[test]
    fn remaining_requests_pass_and_one_more_does_not(
        (limit, burst, taken) in (1_u32..50, 1_u32..80, 0_u64..80),
        now in 0_u64..5_000_000,
    ) {
        let mut key = Key { gcra: Gcra::new(limit, Duration::from_secs(1), burst, false).expect("expressible"), tat: 0 };
        let mut left = u64::from(burst);
        for _ in 0..taken {
            let decision = key.take(now);
            left = left.saturating_sub(1);
            prop_assert_eq!(decision.remaining, left);
        }
        for _ in 0..left {
            prop_assert!(key.take(now).allowed);
        }
        prop_assert!(!key.take(now).allowed);
    }
}

proptest! {
    /// A bucket of whole requests that fills with time says the same.
    #[test]
    fn costs_are_taken_whole_or_not_at_all(
        (limit, burst) in (1_u32..50, 1_u32..80),
        steps in prop::collection::vec((0_u64..400_000, 1_u32..20), 1..200),
    ) {
        let gcra = Gcra::new(limit, Duration::from_secs(1), burst, false).expect("expressible");
        let mut key = Key { gcra, tat: 0 };
        let (mut now, mut level) = (0, gcra.capacity());
        for (step, cost) in steps {
            now += step;
            level = (level + step).min(gcra.capacity());
            let wanted = gcra.interval_micros * u64::from(cost.min(burst));
            let decision = key.take_some(cost, now);
            prop_assert_eq!(decision.allowed, level >= wanted);
            level -= if decision.allowed { wanted } else { 0 };
            prop_assert_eq!(decision.remaining, level / gcra.interval_micros);
            prop_assert_eq!(decision.wait, if decision.allowed { 0 } else { wanted - level });
        }
    }

    #[test]
    fn what_is_given_back_at_once_was_never_taken(
        (limit, burst, cost) in (1_u32..50, 1_u32..80, 1_u32..20),
        steps in prop::collection::vec((0_u64..200_000, 1_u32..5), 1..40),
    ) {
        let gcra = Gcra::new(limit, Duration::from_secs(1), burst, false).expect("expressible");
        let (mut key, mut other) = (Key { gcra, tat: 0 }, Key { gcra, tat: 0 });
        let mut now = 0;
        for (step, next) in steps {
            now += step;
            if key.take_some(cost, now).allowed {
                key.settle(cost, 0, 0, now);
            }
            prop_assert_eq!(key.take_some(next, now), other.take_some(next, now));
        }
    }

    /// Many requests that turn out late to cost less, beside one that knows from the beginning what each costs in the end.
    #[test]
    fn requests_that_are_slow_and_cost_nothing_let_no_others_through(
        (limit, burst) in (1_u32..50, 1_u32..40),
        steps in prop::collection::vec((0_u64..200_000, 1_u32..5, 0_u32..5, 0_u64..3_000_000), 1..200),
    ) {
        let gcra = Gcra::new(limit, Duration::from_secs(1), burst, false).expect("expressible");
        let (mut key, mut exact) = (Key { gcra, tat: 0 }, Key { gcra, tat: 0 });
        let mut now = 0;
        let mut under_way: Vec<(u64, u64, u32, u32)> = Vec::new();
        for (step, cost, actual, lasts) in steps {
            now += step;
            let (cost, actual) = (cost.min(burst), actual.min(cost).min(burst));
            under_way.sort_unstable();
            while let Some((_, since, cost, actual)) = under_way.first().copied().filter(|(end, ..)| *end <= now) {
                key.settle(cost, actual, now - since, now);
                under_way.remove(0);
            }
            if key.take_some(cost, now).allowed {
                prop_assert!(exact.take_some(actual, now).allowed, "{actual} at {now}");
                under_way.push((now + lasts, now, cost, actual));
            }
        }
    }

    #[test]
    fn what_costs_more_in_the_end_holds_later_requests_back_for_as_long(
        (limit, burst, cost) in (1_u32..50, 1_u32..80, 1_u32..200),
    ) {
        let gcra = Gcra::new(limit, Duration::from_secs(1), burst, true).expect("expressible");
        let mut key = Key { gcra, tat: 0 };
        prop_assert!(key.take(0).allowed);
        key.settle(1, cost, 0, 0);
        let owed = u64::from(cost.min(2 * burst)) + 1;
        let wait = (owed * gcra.interval_micros).saturating_sub(gcra.capacity());
        if wait > 0 {
            prop_assert_eq!(key.take(0).wait, wait);
            prop_assert!(!key.take(wait - 1).allowed);
        }
        prop_assert!(key.take(wait).allowed);
    }
}

#[test]
fn a_step_back_of_the_clock_leaves_at_most_an_empty_quota() {
    let gcra = Gcra::new(10, Duration::from_secs(1), 10, false).expect("expressible");
    let decision = gcra.take(1_000_000_000, 1, 5);
    assert_eq!(decision, Decision { allowed: false, remaining: 0, reset: 1_000_000, wait: 100_000 });
}

proptest! {
    /// Each of several gateways lets its share pass, whatever comes to it: together that is no more than the one quota, but for
    /// the one request that each may have where there are more gateways than requests at once.
    #[test]
    fn shares_of_a_quota_are_together_no_more_than_the_quota(
        (limit, burst, cost) in (1_u32..50, 1_u32..80, 1_u32..8),
        gateways in 1_usize..20,
        steps in prop::collection::vec((0_u64..400_000, 0_usize..20), 1..300),
    ) {
        let whole = Gcra::new(limit, Duration::from_secs(1), burst, false).expect("expressible");
        let share = whole.share(gateways as u32, cost);
        let cost = u64::from(cost).min(u64::from(burst));
        prop_assert!(share.burst >= cost && share.burst <= (u64::from(burst) / gateways as u64).max(cost));
        let mut tats = vec![0; gateways];
        let (begun, mut now, mut passed) = (1_000_000, 1_000_000, 0);
        for (step, gateway) in steps {
            now += step;
            let tat = &mut tats[gateway % gateways];
            let decision = share.take(*tat, cost as u32, now);
            if let Some(moved) = decision.allowed.then(|| now + decision.reset) {
                *tat = moved;
                passed += cost;
            }
        }
        let come_back = (now - begun) / whole.interval_micros + gateways as u64;
        prop_assert!(passed <= share.burst * gateways as u64 + come_back, "{passed} passed");
    }
}

#[test]
fn a_share_of_less_than_one_request_comes_back_as_many_times_as_slowly() {
    let whole = Gcra::new(2, Duration::from_secs(10), 2, false).expect("expressible");
    let share = whole.share(4, 1);
    assert_eq!(share, Gcra { interval_micros: 20_000_000, burst: 1, overdraft: 0 });
    let taken = share.take(0, 1, 1);
    assert!(taken.allowed);
    assert_eq!(
        share.take(1 + taken.reset, 1, 1).wait,
        20_000_000,
        "two in ten seconds are, for four, one each in twenty"
    );
    assert_eq!(whole.share(1, 1), whole);
    let most = Gcra::new(1, Duration::from_secs(24 * 60 * 60), 11_000, true).expect("expressible");
    let share = most.share(10_000, 11_000);
    assert!(u128::from(share.interval_micros) * u128::from(share.burst) <= Gcra::MAX_CAPACITY_MICROS);
}
