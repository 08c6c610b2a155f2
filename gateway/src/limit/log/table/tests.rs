//! The table of logs: exact while there is room, never forgetful when there is not.

use std::collections::HashMap;
use std::time::Duration;

use proptest::prelude::*;

use super::*;
use crate::limit::verdict::Outcome;

const SECOND: Duration = Duration::from_secs(1);

fn table(max_keys: usize) -> LogTable {
    let no_room = IntCounter::new("no_room", "without a place").expect("legal");
    LogTable::new(Window::new(SECOND).expect("expressible"), max_keys, no_room)
}

fn passes(table: &LogTable, key: &[u8], limit: u32, now: Instant) -> bool {
    table.take(key, Charge { cost: 1, limit }, now).outcome == Outcome::Allowed
}

#[test]
fn a_quota_counts_down_for_each_key_and_comes_back_when_its_requests_leave_the_window() {
    let table = table(100);
    let now = table.origin + SECOND;
    let charge = Charge { cost: 2, limit: 5 };
    let quota = |remaining, reset| Quota { limit: 5, remaining, reset };
    let allowed = |remaining| Counted { outcome: Outcome::Allowed, quota: quota(remaining, SECOND) };
    assert_eq!(table.take(b"key", charge, now), allowed(3));
    assert_eq!(table.take(b"key", charge, now + SECOND / 4), allowed(1));
    let refused = Outcome::Refused { retry_after: SECOND / 2 };
    let late = now + SECOND / 2;
    assert_eq!(table.take(b"key", charge, late), Counted { outcome: refused, quota: quota(1, SECOND * 3 / 4) });
    assert_eq!(table.take(b"another key", charge, late), allowed(3));
    assert_eq!(table.take(b"key", charge, now + SECOND), allowed(1));
}

#[test]
fn threads_never_pass_more_than_the_limit_together() {
    let table = table(10);
    let now = table.origin + SECOND;
    let passed: usize = std::thread::scope(|scope| {
        let count = || (0..500).filter(|turn| passes(&table, b"key", 1000, now + Duration::from_micros(*turn))).count();
        let threads: Vec<_> = (0..8).map(|_| scope.spawn(count)).collect();
        threads.into_iter().map(|thread| thread.join().expect("no panic")).sum()
    });
    assert_eq!(passed, 1000);
}

#[test]
fn who_comes_late_with_an_early_time_passes_when_he_comes() {
    let table = table(1);
    let now = table.origin + SECOND;
    assert!(passes(&table, b"key", 1, now));
    assert!(passes(&table, b"another", 1, now + SECOND), "the first has left the window by then");
    assert!(passes(&table, b"key", 1, now + SECOND / 2));
    assert!(!passes(&table, b"key", 1, now + 2 * SECOND - Duration::from_micros(1)));
    assert!(passes(&table, b"key", 1, now + 2 * SECOND));
}

#[test]
fn a_flood_of_other_keys_frees_nobody_who_is_over_the_limit() {
    let table = table(100);
    let now = table.origin + SECOND;
    while passes(&table, b"offender", 10, now) {}
    for key in 0..200_000_u32 {
        passes(&table, &key.to_be_bytes(), 10, now + Duration::from_micros(u64::from(key)));
        if key % 1000 == 0 {
            assert!(
                !passes(&table, b"offender", 10, now + Duration::from_micros(u64::from(key))),
                "after {key} others"
            );
        }
    }
    assert!(table.no_room.get() > 0);
}

#[test]
fn keys_without_room_are_counted_together_and_told_until_there_is_room_again() {
    let table = table(1);
    let now = table.origin + SECOND;
    let fits = (0..PLACES).filter(|key| passes(&table, &key.to_be_bytes(), 2, now)).count();
    assert_eq!((fits, table.no_room.get()), (PLACES, 0), "there is room for each");
    assert!(passes(&table, b"one more", 2, now));
    assert!(passes(&table, b"and one", 2, now + SECOND / 2));
    assert!(!passes(&table, b"and one", 2, now + SECOND / 2), "both have used it");
    assert_eq!(table.no_room.get(), 3);
    assert!(passes(&table, &0_usize.to_be_bytes(), 2, now), "who has a place is counted alone");
    // All places are free by now, and what those without one did half a window ago is still known of each.
    let later = now + SECOND + SECOND / 4;
    assert!(passes(&table, b"and one", 2, later));
    assert!(!passes(&table, b"and one", 2, later));
    assert!(passes(&table, b"and one", 2, now + SECOND + SECOND / 2), "alone, in a place of its own");
    assert!(passes(&table, b"somebody new", 2, now + SECOND + SECOND / 2), "nothing is left of the others");
}

#[test]
fn what_is_at_rest_leaves_no_memory_behind_once_somebody_new_comes() {
    let table = table(1);
    let now = table.origin + SECOND;
    for _ in 0..100 {
        assert!(passes(&table, b"key", 1000, now));
    }
    passes(&table, b"another", 1000, now + 2 * SECOND);
    let bucket = table.buckets[0].lock();
    let kept: usize = bucket.logs.iter().chain([&bucket.others]).map(|log| log.entries.capacity()).sum();
    assert!(kept <= 8, "{kept}");
}

/// The costs of what has passed, by key and time.
type Passed = HashMap<u8, Vec<(u64, u32)>>;

proptest! {
    /// With keys for which there is room, and with three times as many.
    #[test]
    fn no_key_ever_passes_more_than_its_limit_and_none_less_while_there_is_room(
        (keys, limit) in (prop::sample::select(vec![7_u8, 20]), 1_u32..6),
        steps in prop::collection::vec((0_u64..200_000, 0_u8..20, 1_u32..4, prop::bool::ANY), 1..400),
    ) {
        let table = table(1);
        let mut passed = Passed::new();
        let mut now = 0;
        for (step, key, cost, is_given_back) in steps {
            now += step;
            let (key, cost) = (key % keys, cost.min(limit));
            let charge = Charge { cost, limit };
            let at = table.origin + Duration::from_micros(now);
            let outcome = table.take(&[key], charge, at).outcome;
            let log = passed.entry(key).or_default();
            let live = log.iter().filter(|(time, _)| time + 1_000_000 > now).map(|(_, cost)| cost).sum::<u32>();
            let fits = live + cost <= limit;
            prop_assert!(fits || outcome != Outcome::Allowed, "key {key} at {now}: {live} and {cost} of {limit}");
            prop_assert!(keys > 7 || fits == (outcome == Outcome::Allowed), "key {key} at {now} is alone");
            if outcome == Outcome::Allowed && !is_given_back {
                log.push((now, cost));
            } else if outcome == Outcome::Allowed {
                table.settle(&[key], charge, 0, at, at + Duration::from_micros(1));
            }
        }
    }
}
