//! The algorithm beside a list of everything that passed.

use proptest::prelude::*;

use super::*;

#[test]
fn an_interval_is_rounded_so_that_the_limit_is_never_exceeded() {
    let gcra = |limit, micros, burst| Gcra::new(limit, Duration::from_micros(micros), burst);
    assert_eq!(gcra(3, 1_000_000, 3), Some(Gcra { interval_micros: 333_334, burst: 3 }));
    assert_eq!(gcra(1_000_000, 1_000_000, 1), Some(Gcra { interval_micros: 1, burst: 1 }));
    assert_eq!(gcra(1_000_001, 1_000_000, 1), None);
    assert_eq!(gcra(1, 31_536_000_000_000, u32::MAX), None);
}

/// The key's requests, one after the other.
struct Key {
    gcra: Gcra,
    tat: u64,
}

impl Key {
    fn take(&mut self, now: u64) -> Decision {
        let decision = self.gcra.take(self.tat, now);
        self.tat = decision.moved_to(now).unwrap_or(self.tat);
        decision
    }
}

proptest! {
    #[test]
    fn in_any_span_there_pass_no_more_than_the_rate_and_one_burst(
        (limit, burst) in (1_u32..50, 1_u32..80),
        steps in prop::collection::vec(0_u64..400_000, 1..300),
    ) {
        let gcra = Gcra::new(limit, Duration::from_secs(1), burst).expect("expressible");
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
        let mut key = Key { gcra: Gcra::new(limit, Duration::from_secs(1), burst).expect("expressible"), tat: 0 };
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
        let mut key = Key { gcra: Gcra::new(limit, Duration::from_secs(1), burst).expect("expressible"), tat: 0 };
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

#[test]
fn a_step_back_of_the_clock_leaves_at_most_an_empty_quota() {
    let gcra = Gcra::new(10, Duration::from_secs(1), 10).expect("expressible");
    let decision = gcra.take(1_000_000_000, 5);
    assert_eq!(decision, Decision { allowed: false, remaining: 0, reset: 1_000_000, wait: 100_000 });
}
