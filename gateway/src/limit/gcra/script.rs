//! GCRA in Redis: one script and one round trip per request.
//!
//! The clock is Redis' own: gateways whose clocks differ still count the same. A key expires at its TAT, when it would say
//! nothing any more, so nothing is left behind. The client's part of the key is hashed (SHA-256, 128 bits of it), so a
//! client can neither make large keys nor choose one that collides, and no address or subject stands in Redis.

use std::sync::LazyLock;

use redis::{FromRedisValue, ParsingError, Script, ScriptInvocation, Value};
use sha2::{Digest, Sha256};

use super::{Decision, Gcra};

const SOURCE: &str = include_str!("script.lua");

static SCRIPT: LazyLock<Script> = LazyLock::new(|| Script::new(SOURCE));

impl Gcra {
    /// Proves that the script may run and write; its key is gone after a millisecond.
    pub(in crate::limit) const PROBE: Self = Self { interval_micros: 1, burst: 1 };

    /// The call that takes one request of the key named `redis_key`.
    pub(in crate::limit) fn invocation(self, redis_key: &str) -> ScriptInvocation<'static> {
        let mut invocation = SCRIPT.key(redis_key);
        invocation.arg(self.interval_micros).arg(self.burst);
        invocation
    }
}

impl FromRedisValue for Decision {
    fn from_redis_value(value: Value) -> Result<Self, ParsingError> {
        let (allowed, remaining, reset, wait) = redis::from_redis_value::<(u8, u64, u64, u64)>(value)?;
        Ok(Self { allowed: allowed == 1, remaining, reset, wait })
    }
}

/// The name under which Redis keeps `client`'s quota: `prefix` and 32 hex digits, however long the client's key is.
pub(in crate::limit) fn redis_key(prefix: &str, client: &[u8]) -> String {
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
