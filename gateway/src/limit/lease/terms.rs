//! The numbers of one limit that is leased.

/// The longest that a token may be spent after it was taken.
const LONGEST_LIFE_MICROS: u64 = 1_000_000;
/// Of the time in which a whole burst comes back, a lease lives this part: so at least 98 % of the burst are left.
const LIVES_PER_BURST: u64 = 50;
/// This part of its life a lease is not spent, so that a gateway's clock may be slower than Redis' by so much.
const DRIFT: u64 = 64;
/// Lives below this are of no use: calls would take a good part of them.
const SHORTEST_USEFUL_LIFE_MICROS: u64 = 20_000;
/// Bursts below this are of no use: there is nothing to take in batches.
const SMALLEST_USEFUL_BURST: u64 = 50;

/// One limit's numbers; all times are microseconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Terms {
    /// For each token.
    pub(super) interval: u64,
    /// How many tokens may be taken at once: the limit's burst, less what comes back in a life.
    pub(super) burst: u64,
    /// For how long after it was taken a token may be spent: `τ`.
    pub(super) life: u64,
}

impl Terms {
    /// Those of a limit of one request each `interval`, of which `burst` may come at once. None where nothing can be leased.
    pub(super) fn new(interval: u64, burst: u64) -> Option<Self> {
        let life = LONGEST_LIFE_MICROS.min(interval.saturating_mul(burst) / LIVES_PER_BURST);
        let comes_back = life.div_ceil(interval.max(1));
        let burst = burst.checked_sub(comes_back).filter(|burst| *burst > 0)?;
        (life > 0).then_some(Self { interval, burst, life })
    }

    /// For how long a gateway spends of a lease, by its own clock, from before it asked.
    pub(super) const fn spendable(self) -> u64 {
        (self.life - self.life / DRIFT).saturating_sub(1)
    }

    /// How old tokens are at most, by Redis' clock, that a gateway takes for `age` old.
    pub(super) const fn at_most(age: u64) -> u64 {
        age + age / DRIFT + 1
    }

    /// What a return of `tokens` of that age is worth, in microseconds of the key's quota.
    pub(super) const fn worth(self, tokens: u64, age: u64) -> u64 {
        tokens.saturating_mul(self.interval).saturating_sub(age)
    }

    /// Whether leases save calls.
    pub(super) const fn are_of_use(self) -> bool {
        self.life >= SHORTEST_USEFUL_LIFE_MICROS && self.burst >= SMALLEST_USEFUL_BURST - 1
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lease_lives_a_second_or_a_fiftieth_of_the_burst() {
        let minute = Terms::new(100_000, 600).expect("can be leased");
        assert_eq!(minute, Terms { interval: 100_000, burst: 590, life: 1_000_000 });
        let second = Terms::new(1_000, 1_000).expect("can be leased");
        assert_eq!(second, Terms { interval: 1_000, burst: 980, life: 20_000 });
    }

    #[test]
    fn of_the_burst_at_least_98_per_cent_are_left_or_all_but_one() {
        for (interval, burst) in [(1, 1_000_000), (7, 333), (1_000_000, 60), (333_334, 50), (86_400_000_000, 2)] {
            let terms = Terms::new(interval, burst).expect("can be leased");
            assert!(terms.burst >= (burst * 49 / 50).min(burst - 1), "{terms:?}");
            assert!(terms.burst + terms.life.div_ceil(interval) == burst, "{terms:?}");
        }
    }

    #[test]
    fn nothing_of_a_burst_of_one_can_be_leased() {
        assert_eq!(Terms::new(1_000_000, 1), None);
        assert_eq!(Terms::new(1, 49), None);
    }

    #[test]
    fn leases_are_of_use_where_they_live_long_enough_and_hold_enough() {
        let are_of_use = |interval, burst| Terms::new(interval, burst).expect("can be leased").are_of_use();
        assert!(are_of_use(1_000_000, 50) && are_of_use(1_000, 1_000));
        assert!(!are_of_use(1_000_000, 49), "a small burst");
        assert!(!are_of_use(1_000, 999), "a short life");
    }
}
