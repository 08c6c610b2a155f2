//! Many gateways and one Redis in a model of time: whatever happens to messages, gateways and clocks, no more is spent than
//! the limit allows.
//!
//! Each run is a world of its own, made from a seed: what it does is the same each time. All that was spent is afterwards held
//! against the limit's promise by [`reference`], which knows nothing of leases.

mod faults;
mod reference;
mod world;

use super::batch::GiveBack;
use super::bucket::Bucket;
use super::holding::{Answer, Ask, Holding};
use super::terms::Terms;

use self::faults::{Broken, Faults};
use self::reference::{Promise, Spent};
use self::world::World;

/// Seeds whose worlds are run.
const SEEDS: u64 = 400;

/// For what is played by hand: a token in ten microseconds.
const TERMS: Terms = Terms { interval: 10, burst: 100, overdraft: 0, life: 400 };
/// What they are to keep.
const PROMISE: Promise = Promise { interval: 10, burst: 140, life: 400 };

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

#[test]
fn where_answers_are_often_late_too() {
    let late = Faults { late_per_mille: 500, ..Faults::all() };
    assert!(worst(SEEDS / 2, late, Broken::Nothing) <= 0);
}

/// These three are caught, or the tests above would mean nothing.
#[test]
fn a_burst_that_is_not_smaller_by_what_is_out_would_be_too_much() {
    let is_caught = |seed| World::run(seed, Faults::none(), Broken::BurstIsWhole).over() > 0;
    assert!((0..SEEDS).any(is_caught));
}

/// A gateway that learns late of its lease, and is only asked for it when Redis has as much again.
#[test]
fn a_life_that_began_with_the_answer_would_be_too_long() {
    let excess = |from_the_answer: bool| {
        let (mut bucket, mut holding) = (Bucket::default(), Holding::new(TERMS, 1_000));
        let Answer::Ask(ask) = holding.request(1, 1_000) else { panic!("nothing is there") };
        let reply = bucket.take(TERMS, Ask { want: 60, ..ask }, 1_000);
        let mut spent = vec![Spent { at: 1_000, tokens: 1 }];
        let began = if from_the_answer { 1_390 } else { ask.at };
        assert!(holding.answered(Ask { at: began, ..ask }, reply, 1_390, 0).is_some());
        while let Answer::Pass { .. } = holding.request(1, 1_780) {
            spent.push(Spent { at: 1_780, tokens: 1 });
        }
        let all = Ask { at: 1_780, need: TERMS.burst, want: TERMS.burst, is_ahead: false };
        spent.push(Spent { at: 1_780, tokens: bucket.take(TERMS, all, 1_780).tokens });
        PROMISE.excess(&mut spent, &[])
    };
    assert!(excess(true) > 0);
    assert!(excess(false) <= 0);
}

/// Ten holders each have ten tokens, and change them for younger ones all the time; then everything is spent at once.
#[test]
fn to_give_back_all_that_was_taken_would_make_redis_forget_what_is_out() {
    let excess = |returns_all: bool| {
        let mut bucket = Bucket::default();
        let take = |bucket: &mut Bucket, now| {
            let ask = Ask { at: now, need: 10, want: 10, is_ahead: false };
            (bucket.take(TERMS, ask, now).tokens, now)
        };
        let mut held: Vec<(u64, u64)> = (0..10).map(|_| take(&mut bucket, 1_000)).collect();
        for now in (1_300..2_500).step_by(300) {
            for (tokens, granted_at) in &mut held {
                match returns_all {
                    true => bucket.move_back(TERMS, *tokens * TERMS.interval, now),
                    false => {
                        let give_back = GiveBack { tokens: *tokens, granted_at: *granted_at, age: 0 };
                        bucket.give_back(TERMS, give_back, now)
                    }
                };
                (*tokens, *granted_at) = take(&mut bucket, now);
            }
        }
        while let (tokens @ 1.., granted_at) = take(&mut bucket, 2_500) {
            held.push((tokens, granted_at));
        }
        let mut spent: Vec<_> = held.iter().map(|(tokens, _)| Spent { at: 2_500, tokens: *tokens }).collect();
        PROMISE.excess(&mut spent, &[])
    };
    assert!(excess(true) > 0);
    assert!(excess(false) <= 0);
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
    for (limit, window_seconds) in [(60_000, 60), (120_000, 60)] {
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
    for (limit, window_seconds) in [(60_000, 60), (120_000, 60)] {
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
