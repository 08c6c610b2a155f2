//! How many tokens of one key are asked for at this gateway.

/// Of what is asked for in a life, this part is leased at once: so that it is spent before its end, although traffic varies
/// and it is asked for ahead of need.
const LEASED: (u64, u64) = (5, 8);

/// Tokens that were asked for within the last life or so, whether or not they were there.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Demand {
    /// In a life, as of `since`; older ones count less and less.
    in_a_life: u64,
    /// Since then.
    seen: u64,
    since: u64,
}

impl Demand {
    pub(super) const fn starting(now: u64) -> Self {
        Self { in_a_life: 0, seen: 0, since: now }
    }

    pub(super) fn add(&mut self, tokens: u64) {
        self.seen = self.seen.saturating_add(tokens);
    }

    /// How many tokens should be leased now.
    pub(super) fn lease(&mut self, life: u64, now: u64) -> u64 {
        let span = now.saturating_sub(self.since);
        self.in_a_life = match span.checked_sub(life) {
            // Nothing of what was before counts, and it was spread over more than a life.
            Some(_) => share(self.seen, life, span),
            None => (self.in_a_life - share(self.in_a_life, span, life)).saturating_add(self.seen),
        };
        self.seen = 0;
        self.since = now;
        share(self.in_a_life, LEASED.0, LEASED.1)
    }
}

/// `number × part ÷ whole`, for a part that is not more than the whole.
fn share(number: u64, part: u64, whole: u64) -> u64 {
    let product = u128::from(number) * u128::from(part);
    u64::try_from(product / u128::from(whole.max(1))).unwrap_or(number)
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIFE: u64 = 1_000_000;

    #[test]
    fn a_steady_rate_leases_its_part_of_a_life_however_often_it_is_asked_for() {
        for every in [1_000, 10_000, 500_000, 3_000_000] {
            let mut demand = Demand::starting(0);
            let mut lease = 0;
            for now in (0..12_000_000).step_by(1_000) {
                demand.add(1);
                if now % every == 0 {
                    lease = demand.lease(LIFE, now);
                }
            }
            assert!((560..=690).contains(&lease), "{lease} every {every}");
        }
    }

    #[test]
    fn what_was_asked_for_long_ago_counts_no_more() {
        let mut demand = Demand::starting(0);
        demand.add(10_000);
        assert_eq!(demand.lease(LIFE, 1_000), 6_250);
        demand.add(1);
        assert_eq!(demand.lease(LIFE, 60_000_000), 0);
    }
}
