//! The exact limiter in Redis: the Generic Cell Rate Algorithm, one script and one round trip per request.
//!
//! GCRA (ITU-T I.371, "virtual scheduling") keeps one number per key, the theoretical arrival time (TAT): the moment at
//! which the quota is whole again. A request moves it on by one interval (`window / limit`) and is allowed if that leaves
//! it at most `burst` intervals ahead. There are no windows, so there is no border at which two quotas meet. The variant
//! with a burst and the four numbers returned is described at <https://brandur.org/rate-limiting>.
//!
//! The clock is Redis' own: gateways whose clocks differ still count the same. A key expires at its TAT, when it would say
//! nothing any more, so nothing is left behind. The client's part of the key is hashed (SHA-256, 128 bits of it), so a
//! client can neither make large keys nor choose one that collides, and no address or subject stands in Redis.

use std::sync::LazyLock;
use std::time::Duration;

use redis::{FromRedisValue, ParsingError, Script, ScriptInvocation, Value};
use sha2::{Digest, Sha256};

use super::verdict::{Counted, Outcome, Quota};

const SOURCE: &str = include_str!("gcra.lua");

static SCRIPT: LazyLock<Script> = LazyLock::new(|| Script::new(SOURCE));

/// One policy's numbers, as the script takes them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Gcra {
    interval_micros: u64,
    burst: u64,
}

/// The script's answer, in its order; times in microseconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Reply {
    allowed: bool,
    remaining: u64,
    reset: u64,
    wait: u64,
}

impl Gcra {
    /// Proves that the script may run and write; its key is gone after a millisecond.
    pub(super) const PROBE: Self = Self { interval_micros: 1, burst: 1 };

    /// The longest time a full quota may take to come back: some 31 years, so that an epoch in microseconds and this
    /// stay below 2^53 together.
    const MAX_CAPACITY_MICROS: u128 = 1_000_000_000_000_000;

    /// `limit` requests per `window`, of which `burst` may come at once. None when a request would take less than a
    /// microsecond, or the whole burst decades.
    pub(super) fn new(limit: u32, window: Duration, burst: u32) -> Option<Self> {
        // Rounded up, so that never more than the limit passes: by less than a microsecond per request.
        let interval = window.as_micros().div_ceil(u128::from(limit));
        let fits = window.as_micros() >= u128::from(limit) && interval * u128::from(burst) <= Self::MAX_CAPACITY_MICROS;
        let interval_micros = u64::try_from(interval).ok().filter(|_| fits)?;
        Some(Self { interval_micros, burst: u64::from(burst) })
    }

    /// The call that takes one request of the key named `redis_key`.
    pub(super) fn invocation(self, redis_key: &str) -> ScriptInvocation<'static> {
        let mut invocation = SCRIPT.key(redis_key);
        invocation.arg(self.interval_micros).arg(self.burst);
        invocation
    }

    /// The script's answer in the words of all limiters.
    pub(super) const fn read(self, reply: Reply) -> Counted {
        let outcome = match reply.allowed {
            true => Outcome::Allowed,
            false => Outcome::Refused { retry_after: Duration::from_micros(reply.wait) },
        };
        let reset = Duration::from_micros(reply.reset);
        Counted { outcome, quota: Quota { limit: self.burst, remaining: reply.remaining, reset } }
    }
}

impl FromRedisValue for Reply {
    fn from_redis_value(value: Value) -> Result<Self, ParsingError> {
        let (allowed, remaining, reset, wait) = redis::from_redis_value::<(u8, u64, u64, u64)>(value)?;
        Ok(Self { allowed: allowed == 1, remaining, reset, wait })
    }
}

/// The name under which Redis keeps `client`'s quota: `prefix` and 32 hex digits, however long the client's key is.
pub(super) fn redis_key(prefix: &str, client: &[u8]) -> String {
    let digest = Sha256::digest(client);
    let mut key = String::with_capacity(prefix.len() + 32);
    key.push_str(prefix);
    for byte in digest.iter().take(16) {
        for digit in [byte >> 4, byte & 0xf] {
            key.push(char::from_digit(u32::from(digit), 16).unwrap_or_default());
        }
    }
    key
}

#[cfg(test)]
mod tests;
