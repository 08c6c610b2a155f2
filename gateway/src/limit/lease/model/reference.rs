//! What a limit promises, checked over everything that was spent.

/// Something that passed.
#[derive(Clone, Copy, Debug)]
pub(super) struct Spent {
    pub(super) at: u64,
    pub(super) tokens: u64,
}

/// A limit's promise: within any `[s, t]` no more than `burst + (t − s) ÷ interval`.
#[derive(Clone, Copy, Debug)]
pub(super) struct Promise {
    pub(super) interval: u64,
    pub(super) burst: u64,
    /// How much later a step forward of Redis' clock may be felt.
    pub(super) life: u64,
}

impl Promise {
    /// By how many microseconds of the quota more was spent than promised, in the worst span; negative if there was room
    /// left. `steps` are those by which Redis' clock was put forward, and when.
    ///
    /// `burst + (t − s) ÷ interval` is exceeded by what was spent from `i` to `j` if
    /// `(Cⱼ₊₁ − Cᵢ) × interval − burst × interval > tⱼ − sᵢ`, with `C` what had been spent before; so the largest
    /// `sᵢ − Cᵢ × interval` so far is all that has to be known of what was before.
    pub(super) fn excess(self, spent: &mut [Spent], steps: &[(u64, u64)]) -> i128 {
        spent.sort_by_key(|spent| spent.at);
        let forward = |until: u64, including: bool| -> i128 {
            let counts = |at: u64| at < until || (including && at == until);
            steps.iter().filter(|(at, _)| counts(*at)).map(|(_, by)| i128::from(*by)).sum()
        };
        let interval = i128::from(self.interval);
        let (mut before, mut latest, mut worst) = (0_i128, i128::MIN / 2, i128::MIN / 2);
        for Spent { at, tokens } in spent.iter().copied() {
            let (begins, ends) = (at.saturating_sub(self.life), at);
            latest = latest.max(i128::from(at) + forward(begins, false) - before * interval);
            before += i128::from(tokens);
            let used = (before - i128::from(self.burst)) * interval + latest;
            worst = worst.max(used - i128::from(at) - forward(ends, true));
        }
        worst
    }
}

#[test]
fn the_reference_knows_what_is_too_much() {
    let promise = Promise { interval: 10, burst: 3, life: 5 };
    let excess = |times: &[u64]| {
        let mut spent: Vec<_> = times.iter().map(|at| Spent { at: *at, tokens: 1 }).collect();
        promise.excess(&mut spent, &[])
    };
    assert!(excess(&[0, 0, 0, 10, 20, 30]) <= 0);
    assert_eq!(excess(&[0, 0, 0, 9]), 1);
    assert_eq!(excess(&[0, 100, 100, 100, 105]), 5);
    assert_eq!(excess(&[0, 0, 0, 0]), 10);
}

#[test]
fn the_reference_is_that_of_the_definition() {
    use rand::{Rng as _, SeedableRng as _};
    let mut random = rand::rngs::StdRng::seed_from_u64(1);
    for _ in 0..500 {
        let promise = Promise { interval: random.random_range(1..20), burst: random.random_range(1..6), life: 0 };
        let mut spent: Vec<_> = (0..random.random_range(1..20))
            .map(|_| Spent { at: random.random_range(0..200), tokens: random.random_range(1..3) })
            .collect();
        let excess = promise.excess(&mut spent, &[]);
        let mut worst = i128::MIN;
        for first in 0..spent.len() {
            for last in first..spent.len() {
                let tokens: u64 = spent[first..=last].iter().map(|spent| spent.tokens).sum();
                let most = i128::from(promise.burst * promise.interval + spent[last].at - spent[first].at);
                worst = worst.max(i128::from(tokens * promise.interval) - most);
            }
        }
        assert_eq!(excess, worst);
    }
}
