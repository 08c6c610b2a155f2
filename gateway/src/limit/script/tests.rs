//! The script in a real Redis beside the same algorithm in Rust.

use std::cell::{Cell, RefCell};
use std::time::Duration;

use proptest::prelude::*;
use redis::aio::MultiplexedConnection;
use testkit::RedisServer;

use super::super::gcra::Gcra;
use super::super::log::{Log, Window};
use super::super::verdict::Charge;
use super::*;

/// The script with its one look at the clock replaced by two more arguments. Only tests have it: the script that is
/// shipped takes the time from nobody but Redis.
fn with_clock(source: &str) -> Script {
    let by_argument = source.replace("redis.call('TIME')", "{ ARGV[#ARGV - 1], ARGV[#ARGV] }");
    assert_ne!(by_argument, source, "the script asks for the time in other words now");
    Script::new(&by_argument)
}

/// The scripts by the test's clock.
struct Scripts {
    take: Script,
    settle: Script,
    connection: MultiplexedConnection,
}

impl Scripts {
    fn of(connection: MultiplexedConnection) -> Self {
        Self { take: with_clock(TAKE_SOURCE), settle: with_clock(SETTLE_SOURCE), connection }
    }

    async fn take_at(&mut self, lines: &[Line], now: u64) -> Vec<Decision> {
        let mut invocation = self.take.prepare_invoke();
        lines.iter().for_each(|line| add_take(&mut invocation, line));
        invocation.arg(now / 1_000_000).arg(now % 1_000_000);
        let answers: Vec<Answer> = invocation.invoke_async(&mut self.connection).await.expect("Redis answers");
        assert!(answers.iter().all(|answer| answer.at == now));
        decisions(&answers)
    }

    async fn settle_at(&mut self, line: &Line, actual: u32, since: u64, now: u64) {
        let mut invocation = self.settle.prepare_invoke();
        add_settle(&mut invocation, line, actual, since);
        invocation.arg(now / 1_000_000).arg(now % 1_000_000);
        invocation.invoke_async::<()>(&mut self.connection).await.expect("Redis answers");
    }
}

fn decisions(answers: &[Answer]) -> Vec<Decision> {
    answers.iter().map(|answer| answer.decision).collect()
}

fn line(key: &str, gcra: Gcra, cost: u32) -> Line {
    let counts_by = CountsBy { algorithm: "gcra", numbers: gcra.numbers() };
    Line { key: key.to_owned(), counts_by, cost, only_watches: false }
}

/// What is asked of a log.
fn logged(key: &str, window: Window, cost: u32, limit: u32) -> Line {
    let counts_by = CountsBy { algorithm: "sliding_window", numbers: window.numbers(limit) };
    Line { key: key.to_owned(), counts_by, cost, only_watches: false }
}

#[test]
fn the_script_decides_as_the_gateway_does_at_any_times() {
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    let server = runtime.block_on(RedisServer::start()).expect("Redis");
    let connection = runtime.block_on(server.connect()).expect("a connection");
    let scripts = RefCell::new(Scripts::of(connection));
    let cases = Cell::new(0);

    // Intervals long enough that no key expires (in real time) while it still counts (in the test's time).
    let policies = (1_u32..50, 600_u64..100_000, 1_u32..80);
    let steps = prop::collection::vec(
        (-50_000_000_i64..3_000_000_000, 1_u32..8, prop::option::of((0_u32..20, -50_000_000_i64..200_000_000))),
        1..60,
    );
    let mut runner = proptest::test_runner::TestRunner::new(ProptestConfig::with_cases(64));
    let outcome = runner.run(&(policies, steps), |((limit, window, burst), steps)| {
        cases.set(cases.get() + 1);
        let key = format!("case-{}", cases.get());
        let gcra = Gcra::new(limit, Duration::from_secs(window), burst, true).expect("expressible");
        let mut tat = 0;
        let mut now = 1_800_000_000_000_000_u64;
        for (step, cost, actual) in steps {
            // Backwards too: Redis' clock may be set.
            now = now.saturating_add_signed(step);
            let line = line(&key, gcra, cost);
            let reply = runtime.block_on(scripts.borrow_mut().take_at(std::slice::from_ref(&line), now));
            let decision = gcra.take(tat, cost, now);
            prop_assert_eq!(reply, vec![decision]);
            if !decision.allowed {
                continue;
            }
            tat = now + decision.reset;
            if let Some((actual, age)) = actual {
                runtime.block_on(scripts.borrow_mut().settle_at(&line, actual, now.saturating_add_signed(-age), now));
                // Of a quota that is whole, Redis keeps nothing. What it has not taken yet by its clock has no age.
                let reset = gcra.settle(tat, cost, actual, age.max(0).unsigned_abs(), now).reset;
                tat = if reset == 0 { 0 } else { now + reset };
            }
        }
        Ok(())
    });
    outcome.expect("script and gateway agree");
}

#[test]
fn the_script_logs_as_the_gateway_does_at_any_times() {
    /// The gateway's own times are smaller.
    const EPOCH: u64 = 1_800_000_000_000_000;
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    let server = runtime.block_on(RedisServer::start()).expect("Redis");
    let mut connection = runtime.block_on(server.connect()).expect("a connection");
    let scripts = RefCell::new(Scripts::of(connection.clone()));
    let cases = Cell::new(0);

    let step = prop_oneof![4 => 0_i64..150_000_000, 1 => Just(0), 1 => -900_000_000_i64..700_000_000];
    // Cost and limit; and what has become of an earlier one.
    let told = prop::option::of((0_usize..8, 0_u32..25));
    let steps = prop::collection::vec((step, 1_u32..12, 3_u32..16, told), 1..80);
    let mut runner = proptest::test_runner::TestRunner::new(ProptestConfig::with_cases(64));
    let outcome = runner.run(&(600_u64..1000, steps), |(window, steps)| {
        cases.set(cases.get() + 1);
        let key = format!("case-{}", cases.get());
        let window = Window::new(Duration::from_secs(window)).expect("expressible");
        let (mut log, mut open, mut now) = (Log::default(), Vec::new(), 10_000_000_000_u64);
        for (step, cost, limit, told) in steps {
            // Backwards too: Redis' clock may be set.
            now = now.saturating_add_signed(step);
            if step < 0 {
                // What was logged has moved, and the script gives back less than the gateway, whose time never does that.
                open.clear();
            }
            let line = logged(&key, window, cost, limit);
            let charge = Charge { cost, limit };
            let reply = runtime.block_on(scripts.borrow_mut().take_at(std::slice::from_ref(&line), EPOCH + now));
            let decision = log.take(window, charge, now);
            prop_assert_eq!(reply, vec![decision]);
            if decision.allowed {
                open.push((line, charge, now));
            }
            if let Some((which, actual)) = told.filter(|_| !open.is_empty()) {
                let (line, charge, since) = open.swap_remove(which % open.len());
                let mut scripts = scripts.borrow_mut();
                runtime.block_on(scripts.settle_at(&line, actual, EPOCH + since, EPOCH + now));
                log.settle(window, charge, actual, since, now);
            }
        }
        Ok(())
    });
    outcome.expect("script and gateway agree");
    let keys: Vec<String> = runtime.block_on(redis::cmd("KEYS").arg("*").query_async(&mut connection)).expect("keys");
    for key in keys {
        let left: i64 = runtime.block_on(redis::cmd("PTTL").arg(&key).query_async(&mut connection)).expect("an answer");
        assert!((1..=1_000_000).contains(&left), "{key} expires in {left} ms");
    }
}

#[tokio::test]
async fn nothing_is_left_behind_of_a_log_once_the_quota_is_whole_and_a_refusal_takes_nothing() {
    let server = RedisServer::start().await.expect("Redis");
    let mut connection = server.connect().await.expect("a connection");
    let window = Window::new(Duration::from_secs(600)).expect("expressible");
    let line = logged("key", window, 2, 3);
    let another = connection.clone();
    let ask = async || {
        let reply: Vec<Answer> =
            take(std::slice::from_ref(&line)).invoke_async(&mut another.clone()).await.expect("an answer");
        reply[0]
    };
    let Answer { decision, at } = ask().await;
    assert_eq!(decision, Decision { allowed: true, remaining: 1, reset: 600_000_000, wait: 0 });
    let refused = ask().await.decision;
    assert!(!refused.allowed && refused.remaining == 1, "{refused:?}");
    assert!((1..=600_000_000).contains(&refused.wait) && refused.wait == refused.reset, "{refused:?}");
    let members: usize = redis::cmd("ZCARD").arg("key").query_async(&mut connection).await.expect("an answer");
    assert_eq!(members, 2, "one request, and the sum");
    settle(&line, 0, at - 1).invoke_async::<()>(&mut connection).await.expect("an answer");
    assert_eq!(ask().await.decision.remaining, 1, "of what is not there, nothing is given back");
    settle(&line, 0, at).invoke_async::<()>(&mut connection).await.expect("an answer");
    let there: bool = redis::cmd("EXISTS").arg("key").query_async(&mut connection).await.expect("an answer");
    assert!(!there, "what was given back leaves nothing");
}

#[tokio::test]
async fn nothing_is_left_behind_once_the_quota_is_whole() {
    let server = RedisServer::start().await.expect("Redis");
    let mut connection = server.connect().await.expect("a connection");
    let gcra = Gcra::new(10, Duration::from_secs(600), 10, false).expect("expressible");
    let line = line("key", gcra, 1);
    let reply: Vec<Answer> = take(std::slice::from_ref(&line)).invoke_async(&mut connection).await.expect("an answer");
    assert_eq!(decisions(&reply), [Decision { allowed: true, remaining: 9, reset: 60_000_000, wait: 0 }]);
    let left: i64 = redis::cmd("PTTL").arg("key").query_async(&mut connection).await.expect("an answer");
    assert!((1..=60_000).contains(&left), "{left} ms");
    settle(&line, 0, reply[0].at).invoke_async::<()>(&mut connection).await.expect("an answer");
    let there: bool = redis::cmd("EXISTS").arg("key").query_async(&mut connection).await.expect("an answer");
    assert!(!there, "what was given back leaves nothing");
}

#[tokio::test]
async fn all_quotas_of_a_request_are_taken_from_or_none_and_one_that_only_watches_holds_nobody_back() {
    let server = RedisServer::start().await.expect("Redis");
    let mut connection = server.connect().await.expect("a connection");
    let gcra = |burst| Gcra::new(1, Duration::from_secs(600), burst, false).expect("expressible");
    let lines = |only_watches| {
        [line("wide", gcra(5), 1), Line { only_watches, ..line("narrow", gcra(2), 1) }, line("last", gcra(5), 2)]
    };
    let mut left = async |only_watches| {
        let reply: Vec<Answer> = take(&lines(only_watches)).invoke_async(&mut connection).await.expect("an answer");
        decisions(&reply).iter().map(|decision| (decision.allowed, decision.remaining)).collect::<Vec<_>>()
    };
    assert_eq!(left(false).await, [(true, 4), (true, 1), (true, 3)]);
    assert_eq!(left(false).await, [(true, 3), (true, 0), (true, 1)]);
    assert_eq!(left(false).await, [(true, 3), (false, 0), (false, 1)], "nothing is taken");
    assert_eq!(left(true).await, [(true, 3), (false, 0), (false, 1)], "the last one refuses too");
}

#[test]
fn keys_are_short_and_printable_whatever_the_client_sends() {
    let long = vec![0xff; 1 << 20];
    for client in [b"".as_slice(), b"10.0.0.1", b"\0\r\n*1\r\n", &long] {
        let key = redis_key("gateway:limit:api:", client);
        let hash = key.strip_prefix("gateway:limit:api:").expect("the prefix");
        assert!(hash.len() == 32 && hash.bytes().all(|byte| byte.is_ascii_hexdigit()), "{key}");
    }
    // The first half of SHA-256 of "abc" (FIPS 180-4), so that gateways of all versions agree.
    assert_eq!(redis_key("", b"abc"), "ba7816bf8f01cfea414140de5dae2223");
}
