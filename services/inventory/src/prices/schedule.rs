//! When prices are refreshed next.

use std::time::Duration;

/// However long CoinGecko asks to be left alone, it is asked again after this.
const MAX_RETRY_AFTER: Duration = Duration::from_secs(3600);

/// How far a pause is drawn out at random, so that replicas that started together do not stay together.
const JITTER: f64 = 0.1;

/// Regular while all is well; after failures less and less often, down to the regular interval.
#[derive(Clone, Debug)]
pub(crate) struct Schedule {
    interval: Duration,
    first_retry: Duration,
    failures: u32,
}

impl Schedule {
    /// A refresh every `interval`, and `first_retry` after the first failure.
    pub(crate) const fn new(interval: Duration, first_retry: Duration) -> Self {
        Self { interval, first_retry, failures: 0 }
    }

    /// The pause after a refresh that did its work.
    pub(crate) fn after_success(&mut self) -> Duration {
        self.failures = 0;
        drawn_out(self.interval)
    }

    /// The pause after a refresh that failed; `retry_after` is what CoinGecko asked for, and the least it gets.
    pub(crate) fn after_failure(&mut self, retry_after: Option<Duration>) -> Duration {
        let doubled = self.first_retry.saturating_mul(2_u32.saturating_pow(self.failures));
        self.failures = self.failures.saturating_add(1);
        let asked = retry_after.unwrap_or_default().min(MAX_RETRY_AFTER);
        drawn_out(doubled.min(self.interval).max(asked))
    }
}

fn drawn_out(pause: Duration) -> Duration {
    pause.mul_f64(1.0 + JITTER * rand::random::<f64>())
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[track_caller]
    fn assert_about(pause: Duration, seconds: u32) {
        let least = SECOND * seconds;
        assert!(pause >= least && pause <= least.mul_f64(1.0 + JITTER), "{pause:?} is not about {seconds} s");
    }

    #[test]
    fn failures_double_the_pause_up_to_the_interval_and_a_success_ends_that() {
        let mut schedule = Schedule::new(SECOND * 60, SECOND * 5);
        for seconds in [5, 10, 20, 40, 60, 60] {
            assert_about(schedule.after_failure(None), seconds);
        }
        assert_about(schedule.after_success(), 60);
        assert_about(schedule.after_failure(None), 5);
    }

    #[test]
    fn retry_after_is_honoured_but_not_without_bound() {
        let mut schedule = Schedule::new(SECOND * 60, SECOND * 5);
        assert_about(schedule.after_failure(Some(SECOND * 90)), 90);
        assert_about(schedule.after_failure(Some(SECOND)), 10);
        assert_about(schedule.after_failure(Some(Duration::MAX)), 3600);
    }

    #[test]
    fn failures_without_end_do_not_overflow() {
        let mut schedule = Schedule { failures: u32::MAX - 1, ..Schedule::new(SECOND * 60, SECOND * 5) };
        for _ in 0..3 {
            assert_about(schedule.after_failure(None), 60);
        }
    }
}
