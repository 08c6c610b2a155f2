//! The table of what is under way, beside a plain count.

use std::collections::HashMap;

use proptest::prelude::*;

use super::*;

fn table(max_keys: usize) -> InFlightTable {
    InFlightTable::new(max_keys, IntCounter::new("no_room", "without a place").expect("legal"))
}

fn one_of(limit: u32) -> Charge {
    Charge { cost: 1, limit }
}

fn begins(table: &InFlightTable, key: &[u8], charge: Charge) -> bool {
    table.take(key, charge).outcome == Outcome::Allowed
}

fn known(table: &InFlightTable) -> usize {
    table.shards.iter().map(|Shard(shard)| shard.lock().len()).sum()
}

#[test]
fn as_many_as_the_limit_begin_and_each_end_lets_one_more() {
    let table = table(10);
    for remaining in [1, 0] {
        let quota = Quota { limit: 2, remaining, reset: RETRY_AFTER };
        assert_eq!(table.take(b"key", one_of(2)), Counted { outcome: Outcome::Allowed, quota });
    }
    let refused = Counted {
        outcome: Outcome::Refused { retry_after: RETRY_AFTER },
        quota: Quota { limit: 2, remaining: 0, reset: RETRY_AFTER },
    };
    assert_eq!(table.take(b"key", one_of(2)), refused);
    assert!(begins(&table, b"another", one_of(2)));
    assert_eq!(table.give_back(b"key", one_of(2)).remaining, 1);
    assert!(begins(&table, b"key", one_of(2)));
    assert!(!begins(&table, b"key", one_of(2)));
    assert!(begins(&table, b"key", one_of(3)), "by a larger plan");
}

#[test]
fn a_new_key_is_refused_while_there_is_room_for_no_more_and_the_others_are_counted_as_ever() {
    let table = table(2);
    assert!(begins(&table, b"a", one_of(2)) && begins(&table, b"b", one_of(2)));
    assert!(!begins(&table, b"c", one_of(2)));
    assert_eq!(table.no_room.get(), 1);
    assert!(begins(&table, b"a", one_of(2)));
    table.give_back(b"a", one_of(2));
    assert!(!begins(&table, b"c", one_of(2)), "one of `a` is still under way");
    table.give_back(b"a", one_of(2));
    assert!(begins(&table, b"c", one_of(2)));
    assert_eq!(table.no_room.get(), 2);
}

#[test]
fn what_costs_more_than_the_limit_goes_alone() {
    let table = table(1);
    let heavy = Charge { cost: 9, limit: 3 };
    assert!(begins(&table, b"key", heavy));
    assert!(!begins(&table, b"key", one_of(3)));
    table.give_back(b"key", heavy);
    assert_eq!(known(&table), 0);
    assert!(begins(&table, b"key", one_of(3)));
    assert!(!begins(&table, b"key", heavy));
}

#[test]
fn threads_never_have_more_than_the_limit_under_way_and_leave_nothing_behind() {
    let table = table(1000);
    let under_way: Vec<AtomicUsize> = (0..10).map(|_| AtomicUsize::new(0)).collect();
    std::thread::scope(|scope| {
        for thread in 0..8_usize {
            let (table, under_way) = (&table, &under_way);
            scope.spawn(move || {
                for turn in 0..5000 {
                    let key = (thread + turn) % 10;
                    if begins(table, &[key as u8], one_of(3)) {
                        assert!(under_way[key].fetch_add(1, Ordering::SeqCst) < 3);
                        under_way[key].fetch_sub(1, Ordering::SeqCst);
                        table.give_back(&[key as u8], one_of(3));
                    }
                }
            });
        }
    });
    assert_eq!((known(&table), table.keys.load(Ordering::SeqCst)), (0, 0));
}

proptest! {
    #[test]
    fn it_counts_as_a_plain_map_does(
        max_keys in 1_usize..12,
        steps in prop::collection::vec((0_u8..12, 1_u32..5, 1_u32..9, prop::option::of(0_usize..8)), 1..300),
    ) {
        let table = table(max_keys);
        let mut counts: HashMap<u8, u32> = HashMap::new();
        let mut under_way = Vec::new();
        for (key, cost, limit, ends) in steps {
            let charge = Charge { cost, limit };
            let wanted = cost.min(limit);
            let count = counts.get(&key).copied().unwrap_or(0);
            let fits = count + wanted <= limit && (count > 0 || counts.len() < max_keys);
            prop_assert_eq!(begins(&table, &[key], charge), fits);
            if fits {
                *counts.entry(key).or_default() += wanted;
                under_way.push((key, charge, wanted));
            }
            if let Some(which) = ends.filter(|_| !under_way.is_empty()) {
                let (key, charge, wanted) = under_way.swap_remove(which % under_way.len());
                let count = counts.get_mut(&key).expect("counted");
                *count -= wanted;
                let remaining = u64::from(charge.limit.saturating_sub(*count));
                counts.retain(|_, count| *count > 0);
                prop_assert_eq!(table.give_back(&[key], charge).remaining, remaining);
            }
            prop_assert_eq!(known(&table), counts.len());
        }
    }
}
