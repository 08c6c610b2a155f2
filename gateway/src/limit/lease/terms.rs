//! The numbers of one limit that is leased.

use crate::limit::gcra::Gcra;

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
    /// By how many tokens more a key may be in debt, which only those get into whose cost is known late.
    pub(super) overdraft: u64,
    /// For how long after it was taken a token may be spent: `τ`. Where nothing can be leased, 0.
    pub(super) life: u64,
}

impl Terms {
    /// Those of a quota.
    pub(super) fn of(gcra: Gcra) -> Self {
        let [interval, burst, overdraft] = gcra.numbers();
        let life = LONGEST_LIFE_MICROS.min(interval.saturating_mul(burst) / LIVES_PER_BURST);
        let comes_back = life.div_ceil(interval.max(1));
        match burst.checked_sub(comes_back).filter(|burst| *burst > 0 && life > 0) {
            Some(burst) => Self { interval, burst, overdraft, life },
            None => Self { interval, burst, overdraft, life: 0 },
        }
    }

    /// Whether anything can be leased. Where not, each request asks for itself.
    pub(super) const fn can_be_leased(self) -> bool {
        self.life > 0
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
    use std::time::Duration;

    use super::*;

    fn terms(limit: u32, window_seconds: u64, burst: u32) -> Terms {
        Terms::of(Gcra::new(limit, Duration::from_secs(window_seconds), burst, false).expect("expressible"))
    }

    #[test]
    fn a_lease_lives_a_second_or_a_fiftieth_of_the_burst() {
        let minute = Terms { interval: 100_000, burst: 590, overdraft: 0, life: 1_000_000 };
        assert_eq!(terms(600, 60, 600), minute);
        let second = Terms { interval: 1_000, burst: 980, overdraft: 0, life: 20_000 };
        assert_eq!(terms(1_000, 1, 1_000), second);
    }

    #[test]
    fn of_the_burst_at_least_98_per_cent_are_left_or_all_but_one() {
        for (limit, window, burst) in
            [(1_000_000, 1, 1_000_000), (333, 60, 777), (60, 60, 60), (3, 1, 50), (2, 86_400, 2)]
        {
            let terms = terms(limit, window, burst);
            assert!(terms.can_be_leased(), "{terms:?}");
            let burst = u64::from(burst);
            assert!(terms.burst >= (burst * 49 / 50).min(burst - 1), "{terms:?}");
            assert_eq!(terms.burst + terms.life.div_ceil(terms.interval), burst, "{terms:?}");
        }
    }

    #[test]
    fn nothing_of_a_burst_of_one_can_be_leased() {
        for (limit, window, burst) in [(60, 60, 1), (1_000_000, 1, 49)] {
            let terms = terms(limit, window, burst);
            assert!(!terms.can_be_leased());
            assert_eq!(terms.burst, u64::from(burst), "and nothing is kept back for it");
        }
    }

    #[test]
    fn leases_are_of_use_where_they_live_long_enough_and_hold_enough() {
        assert!(terms(60, 60, 50).are_of_use() && terms(1_000, 1, 1_000).are_of_use());
        assert!(!terms(60, 60, 49).are_of_use(), "a small burst");
        assert!(!terms(1_000, 1, 999).are_of_use(), "a short life");
    }
}
