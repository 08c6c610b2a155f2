//! The table: exact while there is room, never forgetful when there is not.

use std::collections::HashMap;
use std::time::Duration;

use proptest::prelude::*;

use super::super::verdict::Outcome;
use super::*;

const SECOND: Duration = Duration::from_secs(1);

fn no_room() -> IntCounter {
    IntCounter::new("no_room", "without a place").expect("legal")
}

fn table(limit: u32, burst: u32, max_keys: usize) -> LocalTable {
    LocalTable::new(Quotas::new(limit, SECOND, Some(burst), false).expect("expressible"), max_keys, no_room())
}

/// One request of as many as most are allowed.
fn one(table: &LocalTable) -> Charge {
    Charge { cost: 1, limit: table.quotas.limit() }
}

fn passes(table: &LocalTable, key: &[u8], now: Instant) -> bool {
    table.take(key, one(table), now).outcome == Outcome::Allowed
}

#[test]
fn a_burst_passes_at_once_and_counts_down_for_each_key() {
    let table = table(10, 3, 100);
    let now = table.origin + SECOND;
    for remaining in [2, 1, 0] {
        let quota = Quota { limit: 3, remaining, reset: SECOND / 10 * (3 - remaining as u32) };
        assert_eq!(table.take(b"key", one(&table), now), Counted { outcome: Outcome::Allowed, quota });
    }
    let refused = Outcome::Refused { retry_after: SECOND / 10 };
    assert_eq!(table.take(b"key", one(&table), now).outcome, refused);
    assert!(passes(&table, b"another key", now));
    assert!(passes(&table, b"key", now + SECOND / 10));
}

#[test]
fn what_was_spent_elsewhere_is_used_up_of_the_share_of_the_key_with_that_hash() {
    let table = table(10, 8, 100);
    let now = table.origin + SECOND;
    let left = |key: &[u8]| table.take_share(key, one(&table), 2, now).quota.remaining;
    table.charge_share(table.hasher().hash_one(b"key".as_slice()), Charge { cost: 2, ..one(&table) }, 2, now);
    assert_eq!((left(b"key"), left(b"another key")), (1, 3));
    table.charge_share(table.hasher().hash_one(b"key".as_slice()), Charge { cost: 100, ..one(&table) }, 2, now);
    assert_eq!(table.take_share(b"key", one(&table), 2, now).outcome, Outcome::Refused { retry_after: SECOND / 5 });
}

#[test]
fn threads_never_pass_more_than_the_burst_together() {
    let table = table(1, 1000, 10);
    let now = table.origin + SECOND;
    let passed: usize = std::thread::scope(|scope| {
        let count = || (0..500).filter(|_| passes(&table, b"key", now)).count();
        let threads: Vec<_> = (0..8).map(|_| scope.spawn(count)).collect();
        threads.into_iter().map(|thread| thread.join().expect("no panic")).sum()
    });
    assert_eq!(passed, 1000);
}

#[test]
fn as_many_keys_as_expected_are_nearly_all_counted_exactly() {
    let table = table(1, 5, 100_000);
    let now = table.origin + SECOND;
    let early: usize =
        (0..100_000_u32).filter(|key| (0..5).filter(|_| passes(&table, &key.to_be_bytes(), now)).count() < 5).count();
    // A full bucket's newcomers have one request less for each that the most moderate of its keys has made.
    assert!(early < 1000, "{early} of 100,000 keys were refused early");
}

#[test]
fn a_flood_of_other_keys_frees_nobody_who_is_over_the_limit() {
    // Ten thousand times as many keys as there is room for.
    let table = table(1, 10, 100);
    let now = table.origin + SECOND;
    while passes(&table, b"offender", now) {}
    for key in 0..1_000_000_u32 {
        passes(&table, &key.to_be_bytes(), now);
        if key % 1000 == 0 {
            assert!(!passes(&table, b"offender", now), "after {key} others");
        }
    }
    assert!(table.no_room.get() > 0);
}

#[test]
fn a_key_with_no_room_of_its_own_is_told_also_when_it_is_refused() {
    let table = table(1, 1, 1);
    let now = table.origin + SECOND;
    let passed = (0..PLACES).filter(|key| passes(&table, &key.to_be_bytes(), now)).count();
    assert_eq!((passed, table.no_room.get()), (PLACES, 0), "there is room for each");
    assert!(!passes(&table, b"one more", now));
    assert_eq!(table.no_room.get(), 1);
    assert!(!passes(&table, &0_usize.to_be_bytes(), now), "over its own limit");
    assert_eq!(table.no_room.get(), 1);
}

#[test]
fn what_was_taken_is_given_back_and_what_was_put_out_gives_nothing_to_its_successor() {
    let table = table(1, 10, 1);
    let now = table.origin + SECOND;
    let nine = Charge { cost: 9, limit: 1 };
    assert_eq!(table.take(b"key", nine, now).quota.remaining, 1);
    assert_eq!(table.settle(b"key", nine, 4, now, now).remaining, 6);
    assert_eq!(table.settle(b"key", Charge { cost: 4, ..nine }, 0, now, now).remaining, 10);
    // Keys that have used more, until this one has lost its place.
    assert!(passes(&table, b"key", now));
    for key in 0..PLACES {
        table.take(&key.to_be_bytes(), nine, now);
    }
    let before = *table.buckets[0].0.lock();
    table.settle(b"key", one(&table), 0, now, now);
    assert_eq!(table.buckets[0].0.lock().tats, before.tats);
}

#[test]
fn another_limit_is_another_rate_of_the_same_quota() {
    let table = LocalTable::new(Quotas::new(10, SECOND, None, false).expect("expressible"), 10, no_room());
    let now = table.origin + SECOND;
    let with = |limit| Charge { cost: 1, limit };
    assert_eq!(table.take(b"key", with(10), now).quota, Quota { limit: 10, remaining: 9, reset: SECOND / 10 });
    // A tenth of the time is used, of which a hundredth is a request.
    assert_eq!(table.take(b"key", with(100), now).quota, Quota { limit: 100, remaining: 89, reset: SECOND / 100 * 11 });
}

proptest! {
    /// Beside an exact map without bounds, in a table of one bucket that is always full.
    #[test]
    fn no_key_ever_passes_more_than_its_limit(
        (limit, burst) in (1_u32..20, 1_u32..10),
        steps in prop::collection::vec((0_u64..300_000, 0_u8..20), 1..400),
    ) {
        let table = table(limit, burst, 1);
        let gcra = Gcra::new(limit, SECOND, burst, false).expect("expressible");
        let mut exact: HashMap<u8, u64> = HashMap::new();
        let mut now = 0;
        for (step, key) in steps {
            now += step;
            let passed = passes(&table, &[key], table.origin + Duration::from_micros(now));
            let tat = exact.entry(key).or_default();
            let decision = gcra.take(*tat, 1, now);
            // Only what passed counts, so the two part where the table refuses more.
            if passed {
                prop_assert!(decision.allowed, "the exact limiter refuses key {key} at {now}");
                *tat = now + decision.reset;
            }
        }
    }
}

#[test]
fn a_share_counts_down_to_nothing_and_what_is_given_back_is_there_again() {
    let table = table(10, 6, 100);
    let now = table.origin + SECOND;
    let take = || table.take_share(b"key", one(&table), 3, now);
    assert_eq!([take(), take()].map(|counted| (counted.quota.limit, counted.quota.remaining)), [(2, 1), (2, 0)]);
    assert_eq!(take().outcome, Outcome::Refused { retry_after: SECOND * 3 / 10 });
    assert_eq!(table.settle_share(b"key", one(&table), 0, 3, now, now).remaining, 1);
    assert_eq!(take().outcome, Outcome::Allowed);
}
