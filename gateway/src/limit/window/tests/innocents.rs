//! From how many active keys a sketch refuses requests of those who keep to their limit.
//!
//! The table of `docs/rate-limits.md` is what this prints, with
//! `cargo test -p gateway --lib innocents -- --nocapture`.

use super::*;

const LIMIT: isize = 100;
/// Of all active keys, those whose next request is looked at.
const ASKED: usize = 2_000;

/// Of those who have sent `used` requests in this window, as all others have, the share whose next request is refused at its end.
/// There the previous window counts no more; in the middle both count half, and a key meets others in each, so that it is less.
fn refused(active: usize, used: isize) -> f64 {
    let window = SlidingWindow::new(LIMIT.unsigned_abs() as u64, SECOND);
    let now = window.origin + SECOND - Duration::from_micros(1);
    let [present, _] = &window.sketches;
    for key in 0..active {
        present.incr(window.hasher.hash_one(&key.to_be_bytes()[..]), used);
    }
    let asked = active.min(ASKED);
    let refused = (0..asked).filter(|key| !passes(window.take(&key.to_be_bytes(), now))).count();
    refused as f64 / asked as f64
}

/// The same by reckoning: in each row the key shares its counter with as many others as it takes to reach the limit. How many
/// others it meets is a Poisson variable.
fn reckoned(active: usize, used: isize) -> f64 {
    let others_wanted = (LIMIT - used).unsigned_abs().div_ceil(used.unsigned_abs());
    let mean = active as f64 / COUNTERS_PER_ROW as f64;
    let chances = std::iter::successors(Some((1_u64, (-mean).exp())), |(next, chance)| {
        Some((next + 1, chance * mean / *next as f64))
    });
    let fewer: f64 = chances.map(|(_, chance)| chance).take(others_wanted).sum();
    (1.0 - fewer).max(0.0).powi(i32::try_from(ROWS).expect("few"))
}

/// Keys that are active in one window's length.
const ACTIVE: [usize; 8] = [1_000, 3_000, 10_000, 20_000, 30_000, 50_000, 100_000, 200_000];
/// Of a hundred, how many requests each of them sends.
const USED: [isize; 4] = [4, 10, 20, 50];

#[test]
fn innocents_are_refused_from_as_many_active_keys_on_as_the_documentation_says() {
    for active in ACTIVE {
        let row = USED.map(|used| refused(active, used));
        println!("| {active} | {} |", row.map(|share| format!("{:.1} %", share * 100.0)).join(" | "));
        for (share, used) in row.into_iter().zip(USED) {
            let reckoned = reckoned(active, used);
            assert!(
                (share - reckoned).abs() < 0.05,
                "{active} keys with {used} requests each: {share}, not {reckoned}"
            );
        }
    }
}
