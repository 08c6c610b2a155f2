//! The script in a real Redis beside the same algorithm in Rust.

use std::cell::Cell;
use std::time::Duration;

use proptest::prelude::*;
use redis::aio::MultiplexedConnection;
use testkit::RedisServer;

use super::*;

/// The script with its one look at the clock replaced by two more arguments. Only tests have it: the script that is
/// shipped takes the time from nobody but Redis.
fn script_with_clock() -> Script {
    let by_argument = SOURCE.replace("redis.call('TIME')", "{ ARGV[3], ARGV[4] }");
    assert_ne!(by_argument, SOURCE, "the script asks for the time in other words now");
    Script::new(&by_argument)
}

async fn take_at(script: &Script, connection: &mut MultiplexedConnection, key: &str, gcra: Gcra, now: u64) -> Decision {
    let mut invocation = script.key(key);
    invocation.arg(gcra.interval_micros).arg(gcra.burst).arg(now / 1_000_000).arg(now % 1_000_000);
    invocation.invoke_async(connection).await.expect("Redis answers")
}

#[test]
fn the_script_decides_as_the_gateway_does_at_any_times() {
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    let server = runtime.block_on(RedisServer::start()).expect("Redis");
    let connection = runtime.block_on(server.connect()).expect("a connection");
    let script = script_with_clock();
    let cases = Cell::new(0);

    // Intervals long enough that no key expires (in real time) while it still counts (in the test's time).
    let policies = (1_u32..50, 600_u64..100_000, 1_u32..80);
    let steps = prop::collection::vec((-50_000_000_i64..3_000_000_000, 1_usize..8), 1..30);
    let mut runner = proptest::test_runner::TestRunner::new(ProptestConfig::with_cases(64));
    let outcome = runner.run(&(policies, steps), |((limit, window, burst), steps)| {
        cases.set(cases.get() + 1);
        let key = format!("case-{}", cases.get());
        let gcra = Gcra::new(limit, Duration::from_secs(window), burst).expect("expressible");
        let mut tat = 0;
        let mut now = 1_800_000_000_000_000_u64;
        for (step, takes) in steps {
            // Backwards too: Redis' clock may be set.
            now = now.saturating_add_signed(step);
            for _ in 0..takes {
                let reply = runtime.block_on(take_at(&script, &mut connection.clone(), &key, gcra, now));
                let decision = gcra.take(tat, now);
                tat = decision.moved_to(now).unwrap_or(tat);
                prop_assert_eq!(reply, decision);
            }
        }
        Ok(())
    });
    outcome.expect("script and gateway agree");
}

#[tokio::test]
async fn nothing_is_left_behind_once_the_quota_is_whole() {
    let server = RedisServer::start().await.expect("Redis");
    let mut connection = server.connect().await.expect("a connection");
    let gcra = Gcra::new(10, Duration::from_secs(600), 10).expect("expressible");
    let reply: Decision = gcra.invocation("key").invoke_async(&mut connection).await.expect("an answer");
    assert_eq!(reply, Decision { allowed: true, remaining: 9, reset: 60_000_000, wait: 0 });
    let left: i64 = redis::cmd("PTTL").arg("key").query_async(&mut connection).await.expect("an answer");
    assert!((1..=60_000).contains(&left), "{left} ms");
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
