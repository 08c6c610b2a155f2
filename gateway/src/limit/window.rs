//! Counts requests per key in this process: a sliding window over two count-min sketches, in constant memory.
//!
//! Time is cut into windows. A request is allowed while
//! `previous window's count × share of it that the last window's length still covers + this window's count < limit`,
//! the estimate of <https://blog.cloudflare.com/counting-things-a-lot-of-different-things/>. So a key that used its whole
//! quota at the end of a window gets one request at a time back after the border, not a second full quota at once: what
//! passes in any span of one window's length is at most `2 × limit`, and at most `limit` of it as a burst. Refused
//! requests are not counted, so a client that keeps trying is served at the limit's rate, not locked out.
//!
//! The sketches are `pingora_limits::estimator::Estimator`. `pingora_limits::rate::Rate` wraps the same sketches, but reads
//! the clock itself, and when two threads meet at a border it can subtract a later instant from an earlier one (0.9.1),
//! which panics in debug builds and forgets both windows in release builds.
//!
//! **When it counts too much.** A sketch has 4 rows of 16,384 counters. A key shares its counter of one row with one of the
//! `n` other keys active in the same window with probability `1 − e^(−n/16384)`, and is over-counted only when that
//! happens in all four rows: 1 key in 100,000 at 950 active keys, 1 in 1,000 at 3,200, 1 in 100 at 6,200, 1 in 6 at
//! 16,384. An over-counted key is refused early only if what it shares adds up to its limit. It is never under-counted.
//! For more active keys per window there is [`super::local`], which is exact.

use std::hash::{BuildHasher as _, RandomState};
use std::sync::atomic::{AtomicU64, Ordering, fence};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use pingora_limits::estimator::Estimator;

use super::verdict::{Counted, Outcome, Quota};

const ROWS: usize = 4;
/// 512 KiB a sketch, 1 MiB a policy.
const COUNTERS_PER_ROW: usize = 16_384;

/// At most so many requests per key and window.
pub(super) struct SlidingWindow {
    limit: u64,
    window_micros: u64,
    origin: Instant,
    /// The present window's sketch and the previous one's, in turns.
    sketches: [Estimator; 2],
    /// Number of the present window since `origin`.
    present: AtomicU64,
    /// Keys are hashed once by this, and their hashes again by each row: to say which keys meet takes its seed.
    hasher: RandomState,
    /// Held for the microseconds in which a sketch is cleared for a new window.
    turning: Mutex<()>,
}

/// What counts against a key's limit at one moment, in requests × microseconds to stay exact.
#[derive(Clone, Copy)]
struct Load {
    previous: u128,
    present: u128,
    elapsed: u128,
}

impl SlidingWindow {
    /// `limit` and `window` are not zero.
    pub(super) fn new(limit: u64, window: Duration) -> Self {
        Self {
            limit,
            window_micros: micros(window),
            origin: Instant::now(),
            sketches: [(); 2].map(|()| Estimator::new(ROWS, COUNTERS_PER_ROW)),
            present: AtomicU64::new(0),
            hasher: RandomState::default(),
            turning: Mutex::new(()),
        }
    }

    /// Counts a request of `key` at `now` if it may pass.
    pub(super) fn take(&self, key: &[u8], now: Instant) -> Counted {
        let key = self.hasher.hash_one(key);
        let at = micros(now.saturating_duration_since(self.origin));
        let wanted = at / self.window_micros;
        let present = self.turn_to(wanted);
        // Who read the clock just before another thread began the next window counts at that window's beginning.
        let elapsed = if present == wanted { at % self.window_micros } else { 0 };
        let [present, previous] =
            if present.is_multiple_of(2) { [0, 1] } else { [1, 0] }.map(|turn| &self.sketches[turn]);

        // Counted first and read afterwards, with a fence for the sketch's relaxed counters: of two threads that compete
        // for the last request at least one sees both. A look before counting, or the minimum over the rows that `incr`
        // returns, does not guarantee that.
        present.incr(key, 1);
        fence(Ordering::SeqCst);
        let load = Load {
            previous: previous.get(key).max(0).unsigned_abs() as u128,
            present: (present.get(key) - 1).max(0).unsigned_abs() as u128,
            elapsed: u128::from(elapsed),
        };
        let reset = Duration::from_micros(self.window_micros - elapsed);
        match self.wait(load) {
            None => {
                let remaining = self.remaining(Load { present: load.present + 1, ..load });
                Counted { outcome: Outcome::Allowed, quota: Quota { limit: self.limit, remaining, reset } }
            }
            Some(retry_after) => {
                present.decr(key, 1);
                let quota = Quota { limit: self.limit, remaining: 0, reset: reset.max(retry_after) };
                Counted { outcome: Outcome::Refused { retry_after }, quota }
            }
        }
    }

    /// Takes back a request of `key` that was counted at `now`, unless a new window has begun since, and says what is left.
    pub(super) fn give_back(&self, key: &[u8], now: Instant) -> Quota {
        let key = self.hasher.hash_one(key);
        let at = micros(now.saturating_duration_since(self.origin));
        let (wanted, elapsed) = (at / self.window_micros, at % self.window_micros);
        let present = self.turn_to(wanted);
        let [counted, previous] =
            if wanted.is_multiple_of(2) { [0, 1] } else { [1, 0] }.map(|turn| &self.sketches[turn]);
        if present == wanted {
            counted.decr(key, 1);
        }
        let load = Load {
            previous: previous.get(key).max(0).unsigned_abs() as u128,
            present: counted.get(key).max(0).unsigned_abs() as u128,
            elapsed: u128::from(elapsed),
        };
        let reset = Duration::from_micros(self.window_micros - elapsed);
        Quota { limit: self.limit, remaining: self.remaining(load), reset }
    }

    /// Makes window number `wanted` the present one, and returns the present one: later than wanted if others were
    /// faster.
    fn turn_to(&self, wanted: u64) -> u64 {
        let present = self.present.load(Ordering::Acquire);
        if wanted <= present {
            return present;
        }
        let _turning = self.turning.lock().unwrap_or_else(PoisonError::into_inner);
        let present = self.present.load(Ordering::Acquire);
        if wanted <= present {
            return present;
        }
        let sketch_of = |number: u64| &self.sketches[usize::from(!number.is_multiple_of(2))];
        sketch_of(wanted).reset();
        if wanted > present + 1 {
            sketch_of(wanted - 1).reset();
        }
        self.present.store(wanted, Ordering::Release);
        wanted
    }

    fn weight(&self, load: Load) -> u128 {
        load.previous * (self.window() - load.elapsed) + load.present * self.window()
    }

    fn remaining(&self, load: Load) -> u64 {
        let free = (self.limit() * self.window()).saturating_sub(self.weight(load));
        u64::try_from(free.div_ceil(self.window())).unwrap_or(u64::MAX)
    }

    /// How long until one more request fits; none if it does now.
    fn wait(&self, load: Load) -> Option<Duration> {
        let (limit, window) = (self.limit(), self.window());
        if self.weight(load) < limit * window {
            return None;
        }
        // The moment of a window from which `counted` before it weigh less than `free` requests.
        let moment = |counted: u128, free: u128| window - ((free * window).div_ceil(counted) - 1).min(window);
        let wait = if load.present < limit {
            moment(load.previous, limit - load.present) - load.elapsed
        } else {
            window - load.elapsed + moment(load.present, limit)
        };
        Some(Duration::from_micros(u64::try_from(wait).unwrap_or(u64::MAX)))
    }

    const fn window(&self) -> u128 {
        self.window_micros as u128
    }

    const fn limit(&self) -> u128 {
        self.limit as u128
    }
}

fn micros(span: Duration) -> u64 {
    u64::try_from(span.as_micros()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests;
