//! Limits in Redis: one script and one round trip for all policies of a request.
//!
//! The clock is Redis' own: gateways whose clocks differ still count the same. Keys expire when they would say nothing any
//! more, so nothing is left behind. The client's part of a key is hashed (SHA-256, 128 bits of it), so a client can neither
//! make large keys nor choose one that collides, and no address or subject stands in Redis.

use std::sync::LazyLock;

use redis::{FromRedisValue, ParsingError, Script, ScriptInvocation, Value};
use sha2::{Digest, Sha256};

use super::verdict::Decision;

/// The script that ends with this, with all that limits count by.
macro_rules! script {
    ($end:literal) => {
        concat!(
            include_str!("script/head.lua"),
            include_str!("gcra/script.lua"),
            include_str!("log/script.lua"),
            include_str!($end)
        )
    };
}

const TAKE_SOURCE: &str = script!("script/take.lua");
const SETTLE_SOURCE: &str = script!("script/settle.lua");

static TAKE: LazyLock<Script> = LazyLock::new(|| Script::new(TAKE_SOURCE));
static SETTLE: LazyLock<Script> = LazyLock::new(|| Script::new(SETTLE_SOURCE));

/// One policy's part of a call.
#[derive(Clone, Debug)]
pub(super) struct Line {
    /// Where Redis keeps it.
    pub(super) key: String,
    /// By what it counts.
    pub(super) counts_by: CountsBy,
    /// As how many requests this one counts.
    pub(super) cost: u32,
    /// Whether its refusal holds nobody back.
    pub(super) only_watches: bool,
}

/// What the scripts know to count by, with the numbers of the policy.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct CountsBy {
    pub(super) algorithm: &'static str,
    pub(super) numbers: [u64; 3],
}

/// What Redis says to one line.
#[derive(Clone, Copy, Debug)]
pub(super) struct Answer {
    pub(super) decision: Decision,
    /// When, by Redis' clock, in microseconds since the epoch.
    pub(super) at: u64,
}

/// The call that takes what all of `lines` say, or nothing. It has an [`Answer`] for each.
pub(super) fn take(lines: &[Line]) -> ScriptInvocation<'static> {
    let mut invocation = TAKE.prepare_invoke();
    lines.iter().for_each(|line| add_take(&mut invocation, line));
    invocation
}

fn add_take(invocation: &mut ScriptInvocation<'_>, line: &Line) {
    invocation.key(&line.key).arg(line.counts_by.algorithm).arg(u8::from(line.only_watches)).arg(line.cost);
    invocation.arg(&line.counts_by.numbers);
}

/// The call after which what `line` has taken, when Redis' clock was at `since`, has cost `actual`.
pub(super) fn settle(line: &Line, actual: u32, since: u64) -> ScriptInvocation<'static> {
    let mut invocation = SETTLE.prepare_invoke();
    add_settle(&mut invocation, line, actual, since);
    invocation
}

fn add_settle(invocation: &mut ScriptInvocation<'_>, line: &Line, actual: u32, since: u64) {
    invocation.key(&line.key).arg(line.counts_by.algorithm).arg(line.cost).arg(actual).arg(since);
    invocation.arg(&line.counts_by.numbers);
}

impl FromRedisValue for Answer {
    fn from_redis_value(value: Value) -> Result<Self, ParsingError> {
        let (allowed, remaining, reset, wait, at) = redis::from_redis_value::<(u8, u64, u64, u64, u64)>(value)?;
        Ok(Self { decision: Decision { allowed: allowed == 1, remaining, reset, wait }, at })
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
