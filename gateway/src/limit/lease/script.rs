//! Leases in Redis: one script and one round trip for each.

use std::sync::LazyLock;

use redis::{FromRedisValue, ParsingError, Script, ScriptInvocation, Value};

use super::batch::GiveBack;
use super::holding::{Ask, Reply};
use super::terms::Terms;

const SOURCE: &str = include_str!("script.lua");

static SCRIPT: LazyLock<Script> = LazyLock::new(|| Script::new(SOURCE));

impl Terms {
    /// The call that takes tokens of the key named `redis_key`.
    pub(super) fn take(self, redis_key: &str, ask: Ask) -> ScriptInvocation<'static> {
        let mut invocation = self.call(&SCRIPT, redis_key, "take");
        invocation.arg(ask.need).arg(ask.want);
        invocation
    }

    /// The call that gives tokens back.
    pub(super) fn give_back(self, redis_key: &str, give_back: GiveBack) -> ScriptInvocation<'static> {
        let mut invocation = self.call(&SCRIPT, redis_key, "return");
        invocation.arg(give_back.tokens).arg(give_back.granted_at).arg(give_back.age);
        invocation
    }

    /// The call that takes `tokens` for a request that has passed already.
    pub(super) fn charge(self, redis_key: &str, tokens: u64) -> ScriptInvocation<'static> {
        let mut invocation = self.call(&SCRIPT, redis_key, "charge");
        invocation.arg(tokens);
        invocation
    }

    fn call<'s>(self, script: &'s Script, redis_key: &str, what: &str) -> ScriptInvocation<'s> {
        let mut invocation = script.key(redis_key);
        invocation.arg(what).arg(self.interval).arg(self.burst).arg(self.overdraft);
        invocation
    }
}

impl FromRedisValue for Reply {
    fn from_redis_value(value: Value) -> Result<Self, ParsingError> {
        let (tokens, remaining, reset, wait, at) = redis::from_redis_value::<(u64, u64, u64, u64, u64)>(value)?;
        Ok(Self { tokens, remaining, reset, wait, at })
    }
}

#[cfg(test)]
mod tests;
