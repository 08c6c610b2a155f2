//! When Redis may be asked again for a key of which it has had too little.
//!
//! Until then requests are refused here, so that a key over its limit costs few calls: one in [`ENOUGH_REQUESTS`] requests,
//! or one in a life where fewer come. What comes back meanwhile is not lost: it stays in Redis.

/// So many requests are worth a call.
const ENOUGH_REQUESTS: u32 = 256;
/// However many requests there are, two calls have this part of a life between them.
const FLOOR: u64 = 16;

#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Pace {
    /// Nobody asks before.
    not_before: u64,
    /// Before this, a life after the answer, only for many requests' sake.
    not_before_many: u64,
    /// Those who need so much need not ask before `refused_until`.
    refused: u64,
    refused_until: u64,
    /// Since Redis answered.
    requests: u32,
    has_no_answer: bool,
}

impl Pace {
    pub(super) fn count(&mut self) {
        self.requests = self.requests.saturating_add(1);
    }

    /// From when on somebody who needs `tokens` may ask.
    pub(super) fn may_ask_from(&self, tokens: u64) -> u64 {
        let mut from = self.not_before;
        if self.requests < ENOUGH_REQUESTS {
            from = from.max(self.not_before_many);
        }
        if self.refused > 0 && tokens >= self.refused {
            from = from.max(self.refused_until);
        }
        from
    }

    /// Whether Redis gave no answer when it was last asked.
    pub(super) const fn has_no_answer(&self) -> bool {
        self.has_no_answer
    }

    /// Redis has given all that was asked for, or has more.
    pub(super) fn has_enough(&mut self) {
        *self = Self::default();
    }

    /// Redis has given all that it had.
    pub(super) fn has_little(&mut self, life: u64, now: u64, random: u32) {
        let floor = life / FLOOR;
        // Gateways must not ask in step: who is always second would always get the less.
        let not_before = now + floor + floor * u64::from(random) / u64::from(u32::MAX);
        *self = Self { not_before, not_before_many: now + life, ..Self::default() };
    }

    /// Redis has not given `tokens`, and will have them after `wait`.
    pub(super) fn has_refused(&mut self, tokens: u64, wait: u64, life: u64, now: u64, random: u32) {
        self.has_little(life, now, random);
        self.refused = tokens;
        self.refused_until = now + wait;
    }

    /// Redis has not answered.
    pub(super) fn is_unanswered(&mut self, life: u64, now: u64) {
        *self = Self { not_before: now + life / FLOOR, has_no_answer: true, ..Self::default() };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIFE: u64 = 1_600;

    #[test]
    fn many_requests_ask_sooner_and_never_at_once() {
        let mut pace = Pace::default();
        assert_eq!(pace.may_ask_from(1), 0);
        pace.has_little(LIFE, 10_000, 0);
        assert_eq!(pace.may_ask_from(1), 11_600);
        (0..ENOUGH_REQUESTS).for_each(|_| pace.count());
        assert_eq!(pace.may_ask_from(1), 10_100);
        pace.has_little(LIFE, 20_000, u32::MAX);
        (0..ENOUGH_REQUESTS).for_each(|_| pace.count());
        assert_eq!(pace.may_ask_from(1), 20_200);
        pace.has_enough();
        assert_eq!(pace.may_ask_from(1), 0);
    }

    #[test]
    fn who_needs_less_than_was_refused_does_not_wait_for_it() {
        let mut pace = Pace::default();
        pace.has_refused(5, 60_000, LIFE, 10_000, 0);
        assert_eq!(pace.may_ask_from(5), 70_000);
        assert_eq!(pace.may_ask_from(9), 70_000);
        assert_eq!(pace.may_ask_from(4), 11_600);
    }

    #[test]
    fn a_redis_that_does_not_answer_is_asked_again_soon() {
        let mut pace = Pace::default();
        pace.is_unanswered(LIFE, 10_000);
        assert!(pace.has_no_answer());
        assert_eq!(pace.may_ask_from(1), 10_100);
        pace.has_enough();
        assert!(!pace.has_no_answer());
    }
}
