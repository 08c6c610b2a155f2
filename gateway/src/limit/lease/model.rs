//! Many gateways and one Redis in a model of time: whatever happens to messages, gateways and clocks, no more is spent than
//! the limit allows.
//!
//! Each run is a world of its own, made from a seed: what it does is the same each time. All that was spent is afterwards held
//! against the limit's promise by [`reference`], which knows nothing of leases.

mod reference;
mod world;

use self::world::{Broken, Faults, World};

/// Seeds whose worlds are run.
const SEEDS: u64 = 600;

fn worst(seeds: u64, faults: Faults, broken: Broken) -> i128 {
    (0..seeds).map(|seed| World::run(seed, faults, broken).over()).max().unwrap_or(i128::MIN)
}

#[test]
fn never_is_more_spent_than_the_limit_allows() {
    for (seed, ran) in (0..SEEDS).map(|seed| (seed, World::run(seed, Faults::all(), Broken::Nothing))) {
        assert!(ran.over() <= 0, "by {} us in the world of seed {seed}: {ran:?}", ran.over());
    }
}

#[test]
fn without_any_fault_too() {
    assert!(worst(SEEDS / 4, Faults::none(), Broken::Nothing) <= 0);
}

/// Each of these is caught, or the test above would mean nothing.
#[test]
fn what_is_left_out_of_the_protocol_is_noticed() {
    for broken in [Broken::BurstIsWhole, Broken::LifeBeginsWithTheAnswer, Broken::ReturnsAreWorthAll] {
        assert!(worst(SEEDS, Faults::all(), broken) > 0, "{broken:?}");
    }
}

/// Clocks may differ in rate by 1 part in 64. By more, it costs what comes back in the part of a life that is too long.
#[test]
fn a_slow_clock_costs_no_more_than_what_comes_back_meanwhile() {
    let faults = Faults { drift_ppm: 100_000, ..Faults::all() };
    for seed in 0..SEEDS / 2 {
        let ran = World::run(seed, faults, Broken::Nothing);
        assert!(ran.over() <= i128::from(ran.life() / 8), "{} us of {} us", ran.over(), ran.life());
    }
}

#[test]
fn a_world_is_the_same_each_time() {
    let run = || format!("{:?}", World::run(7, Faults::all(), Broken::Nothing));
    assert_eq!(run(), run());
}

/// Four gateways that are asked for five times the limit for a minute.
#[test]
fn a_key_over_its_limit_uses_98_per_cent_of_it_at_a_call_in_a_hundred_requests() {
    for (limit, window_seconds) in [(60_000, 60), (600_000, 60), (30_000, 300)] {
        let ran = World::steady(limit, window_seconds, 5.0, 60);
        let allowed = limit + limit * 60 / window_seconds;
        assert!(ran.over() <= 0, "{ran:?}");
        assert!(ran.spent() * 100 >= allowed * 98, "{} of {allowed}: {ran:?}", ran.spent());
        assert!(ran.calls() * 100 < ran.requests(), "{ran:?}");
    }
}

/// Four gateways that are asked for four fifths of the limit.
#[test]
fn a_busy_key_below_its_limit_is_never_refused_and_wastes_little() {
    for (limit, window_seconds) in [(60_000, 60), (600_000, 60)] {
        let ran = World::steady(limit, window_seconds, 0.8, 60);
        assert_eq!(ran.spent(), ran.requests(), "{ran:?}");
        assert!(ran.calls() * 100 < ran.requests(), "{ran:?}");
        assert!(ran.leased() * 9 <= ran.spent() * 10, "{ran:?}");
    }
}

#[test]
fn without_redis_nothing_is_spent_but_what_was_there() {
    let faults = Faults { lost_per_mille: 1_000, ..Faults::none() };
    for seed in 0..20 {
        let ran = World::run(seed, faults, Broken::Nothing);
        assert_eq!((ran.spent(), ran.refused()), (0, 0), "{ran:?}");
    }
}
