//! What each of several gateways lets pass by itself.

use std::time::Duration;

use prometheus::IntCounter;

use super::super::exact::Exact;
use super::super::log::Window;
use super::super::verdict::Outcome;
use super::*;

/// How many requests of one key, each of `cost`, pass of the share that each of `gateways` has of a window's `limit`.
fn passed(limit: u32, gateways: u32, cost: u32) -> usize {
    let window = Window::new(Duration::from_secs(3600)).expect("expressible");
    let no_room = IntCounter::new("no_room", "Requests without a place.").expect("a counter");
    let here = Exact::SlidingWindow(window).table(8, &no_room);
    let (charge, now) = (Charge { cost, limit }, Instant::now());
    let passes = || here.take_share(b"key", charge, gateways, now).outcome == Outcome::Allowed;
    std::iter::repeat_with(passes).take_while(|passes| *passes).count()
}

#[test]
fn the_shares_of_a_sliding_window_are_its_limit_together_and_never_nothing() {
    for (limit, gateways, expected) in [(9, 0, 9), (9, 1, 9), (9, 2, 4), (9, 9, 1), (9, 10, 1), (9, u32::MAX, 1)] {
        assert_eq!(passed(limit, gateways, 1), expected, "{limit} by {gateways}");
    }
    assert_eq!(passed(9, 3, 2), 1);
    assert_eq!(passed(9, 3, 8), 1, "what costs more than the share costs all of it");
}

#[test]
fn what_was_taken_of_a_share_of_a_sliding_window_is_given_back_to_it() {
    let window = Window::new(Duration::from_secs(3600)).expect("expressible");
    let no_room = IntCounter::new("no_room", "Requests without a place.").expect("a counter");
    let here = Exact::SlidingWindow(window).table(8, &no_room);
    let (charge, now) = (Charge { cost: 5, limit: 6 }, Instant::now());
    let taken = here.take_share(b"key", charge, 2, now);
    assert_eq!((taken.outcome, taken.quota.limit, taken.quota.remaining), (Outcome::Allowed, 3, 0));
    let left = here.settle_share(b"key", charge, 1, 2, now, now);
    assert_eq!((left.limit, left.remaining), (3, 2));
    assert_eq!(here.settle_share(b"key", charge, 0, 2, now, now).remaining, 3, "no more than there was");
}
