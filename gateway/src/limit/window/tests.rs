//! The sliding window: never too many, and how seldom too few.

mod innocents;

use proptest::prelude::*;

use super::*;

const SECOND: Duration = Duration::from_secs(1);

fn passes(counted: Counted) -> bool {
    counted.outcome == Outcome::Allowed
}

/// How many of `tries` requests pass at one moment.
fn burst(window: &SlidingWindow, tries: usize, now: Instant) -> usize {
    (0..tries).filter(|_| passes(window.take(b"key", now))).count()
}

#[test]
fn the_quota_passes_at_once_and_counts_down() {
    let window = SlidingWindow::new(3, SECOND);
    let now = window.origin + SECOND / 4;
    for remaining in [2, 1, 0] {
        let quota = Quota { limit: 3, remaining, reset: SECOND * 3 / 4 };
        assert_eq!(window.take(b"key", now), Counted { outcome: Outcome::Allowed, quota });
    }
    assert!(!passes(window.take(b"key", now)));
    assert!(passes(window.take(b"another key", now)));
}

#[test]
fn no_second_burst_passes_at_the_border_of_two_windows() {
    let window = SlidingWindow::new(100, SECOND);
    assert_eq!(burst(&window, 200, window.origin + SECOND - Duration::from_micros(1)), 100);
    assert_eq!(burst(&window, 200, window.origin + SECOND), 0);
    assert_eq!(burst(&window, 200, window.origin + SECOND + SECOND / 10), 10);
}

#[test]
fn a_key_is_forgotten_after_two_idle_windows() {
    let window = SlidingWindow::new(5, SECOND);
    assert_eq!(burst(&window, 9, window.origin), 5);
    assert_eq!(burst(&window, 9, window.origin + SECOND * 2), 5);
    assert_eq!(burst(&window, 9, window.origin + SECOND * 9), 5);
}

#[test]
fn a_client_that_keeps_trying_still_gets_the_limit() {
    let window = SlidingWindow::new(10, SECOND);
    let tries = (0..10_000_u64).map(|milli| window.origin + Duration::from_millis(milli));
    let passed = tries.filter(|now| passes(window.take(b"key", *now))).count();
    assert!((95..=110).contains(&passed), "{passed} in ten windows of ten");
}

#[test]
fn threads_never_pass_more_than_the_limit_together() {
    let window = SlidingWindow::new(1000, SECOND * 3600);
    let now = window.origin;
    let passed: usize = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..8).map(|_| scope.spawn(|| burst(&window, 500, now))).collect();
        threads.into_iter().map(|thread| thread.join().expect("no panic")).sum()
    });
    // Two threads that compete for the last request may both be refused; nobody may be refused for good.
    assert!(passed <= 1000, "{passed}");
    assert_eq!(passed + burst(&window, 1000, now), 1000);
}

#[test]
fn threads_that_meet_at_a_border_lose_no_count() {
    let window = SlidingWindow::new(1000, Duration::from_millis(1));
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                for micro in 0..20_000 {
                    window.take(b"key", window.origin + Duration::from_micros(micro));
                }
            });
        }
    });
    assert_eq!(window.present.load(Ordering::Relaxed), 19);
}

#[test]
fn over_counting_begins_where_the_documentation_says() {
    for (active, expected) in [(950, 0..=1), (6_200, 20..=140), (16_384, 2_000..=3_200)] {
        let sketch = Estimator::new(ROWS, COUNTERS_PER_ROW);
        for key in 0..active {
            sketch.incr(key, 1);
        }
        assert!((0..active).all(|key| sketch.get(key) >= 1), "never under-counted");
        let over_counted = (0..active).filter(|key| sketch.get(key) > 1).count();
        assert!(expected.contains(&over_counted), "{over_counted} of {active} keys");
    }
}

proptest! {
    // Each case clears a megabyte many times, unoptimised.
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn in_no_span_of_a_window_more_than_twice_the_limit_passes(
        limit in 1_u64..20,
        gaps in prop::collection::vec(0_u64..400_000, 1..300),
    ) {
        let window = SlidingWindow::new(limit, SECOND);
        let mut now = window.origin;
        let mut passed: Vec<Instant> = Vec::new();
        for gap in gaps {
            now += Duration::from_micros(gap);
            if passes(window.take(b"key", now)) {
                passed.push(now);
            }
            let in_span = passed.iter().filter(|at| now.duration_since(**at) < SECOND).count();
            prop_assert!(in_span as u64 <= 2 * limit, "{in_span} with a limit of {limit}");
        }
    }

    #[test]
    fn remaining_and_retry_after_are_exact(
        limit in 1_u64..20,
        gaps in prop::collection::vec(0_u64..700_000, 1..100),
    ) {
        let window = SlidingWindow::new(limit, SECOND);
        let mut now = window.origin;
        for gap in gaps {
            now += Duration::from_micros(gap);
            let counted = window.take(b"key", now);
            match counted.outcome {
                Outcome::Allowed => {
                    let more = burst(&window, limit as usize + 1, now);
                    prop_assert_eq!(counted.quota.remaining, more as u64);
                }
                Outcome::Refused { retry_after } => {
                    prop_assert!(!passes(window.take(b"key", now + retry_after - Duration::from_micros(1))));
                    now += retry_after;
                    prop_assert!(passes(window.take(b"key", now)));
                }
                Outcome::Unavailable => prop_assert!(false, "a local count is always there"),
            }
        }
    }
}
