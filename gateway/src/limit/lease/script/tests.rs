//! The script in a real Redis beside the same in Rust.

use std::time::Duration;

use proptest::prelude::*;
use redis::aio::MultiplexedConnection;
use testkit::RedisServer;

use super::*;
use crate::limit::gcra::Gcra;
use crate::limit::lease::bucket::Bucket;

const START: u64 = 1_800_000_000_000_000;

/// The script with its one look at the clock replaced by two more arguments, which only tests have.
fn script_with_clock() -> Script {
    let by_argument = SOURCE.replace("redis.call('TIME')", "{ ARGV[#ARGV - 1], ARGV[#ARGV] }");
    assert_ne!(by_argument, SOURCE, "the script asks for the time in other words now");
    Script::new(&by_argument)
}

/// What is done to a key.
#[derive(Clone, Copy, Debug)]
enum Deed {
    Take {
        need: u64,
        want: u64,
    },
    /// So many tokens, that were taken so long ago.
    GiveBack {
        tokens: u64,
        taken: i64,
        age: u64,
    },
    Charge(u64),
}

fn deeds() -> impl Strategy<Value = Deed> {
    prop_oneof![
        3 => (1_u64..40, 0_u64..80).prop_map(|(need, more)| Deed::Take { need, want: need + more }),
        2 => (1_u64..80, -1_000_000_i64..2_000_000_000, 0_u64..2_000_000_000)
            .prop_map(|(tokens, taken, age)| Deed::GiveBack { tokens, taken, age }),
        1 => (1_u64..80).prop_map(Deed::Charge),
    ]
}

/// One an hour, a hundred at once, of which one is kept back for what is out on leases.
fn hourly() -> Terms {
    let gcra = Gcra::new(1, Duration::from_secs(3_600), 100, false).expect("expressible");
    Terms::of(gcra)
}

async fn call<T: FromRedisValue>(
    mut call: ScriptInvocation<'_>,
    now: u64,
    connection: &mut MultiplexedConnection,
) -> T {
    call.arg(now / 1_000_000).arg(now % 1_000_000);
    call.invoke_async(connection).await.expect("Redis answers")
}

#[test]
fn the_script_does_as_the_model_does_at_any_times() {
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    let server = runtime.block_on(RedisServer::start()).expect("Redis");
    let connection = runtime.block_on(server.connect()).expect("a connection");
    let script = script_with_clock();
    let cases = std::cell::Cell::new(0);

    // Intervals long enough that no key expires (in real time) while it still counts (in the test's time).
    let terms = (12_000_000_u64..2_000_000_000, 1_u64..100, prop_oneof![Just(0_u64), 1_u64..100]);
    let steps = prop::collection::vec((-50_000_000_i64..3_000_000_000, deeds()), 1..60);
    let mut runner = proptest::test_runner::TestRunner::new(ProptestConfig::with_cases(64));
    let outcome = runner.run(&(terms, steps), |((interval, burst, overdraft), steps)| {
        cases.set(cases.get() + 1);
        let key = format!("case-{}", cases.get());
        let terms = Terms { interval, burst, overdraft, life: 1 };
        let (mut bucket, mut now) = (Bucket::default(), START);
        for (step, deed) in steps {
            // Backwards too: Redis' clock may be set.
            now = now.saturating_add_signed(step);
            let begin = |what| terms.call(&script, &key, what);
            let mut connection = connection.clone();
            match deed {
                Deed::Take { need, want } => {
                    let mut take = begin("take");
                    take.arg(need).arg(want);
                    let reply: Reply = runtime.block_on(call(take, now, &mut connection));
                    prop_assert_eq!(reply, bucket.take(terms, Ask { at: 0, need, want, is_ahead: false }, now));
                }
                Deed::GiveBack { tokens, taken, age } => {
                    let granted_at = now.saturating_add_signed(-taken);
                    let mut give_back = begin("return");
                    give_back.arg(tokens).arg(granted_at).arg(age);
                    let worth: u64 = runtime.block_on(call(give_back, now, &mut connection));
                    prop_assert_eq!(worth, bucket.give_back(terms, GiveBack { tokens, granted_at, age }, now));
                }
                Deed::Charge(tokens) => {
                    let mut charge = begin("charge");
                    charge.arg(tokens);
                    let moved: u64 = runtime.block_on(call(charge, now, &mut connection));
                    prop_assert_eq!(moved, bucket.charge(terms, tokens, now));
                }
            }
        }
        Ok(())
    });
    outcome.expect("script and model agree");
}

/// The same key, in the same words, as scope `redis` has.
#[tokio::test]
async fn the_quota_is_a_gcra_of_the_smaller_burst() {
    let server = RedisServer::start().await.expect("Redis");
    let mut connection = server.connect().await.expect("a connection");
    let terms = hourly();
    let ask = |need, want| Ask { at: 0, need, want, is_ahead: false };
    let mut take =
        async |ask| -> Reply { terms.take("key", ask).invoke_async(&mut connection).await.expect("an answer") };
    let granted: Reply = take(ask(1, 60)).await;
    assert_eq!((granted.tokens, granted.remaining, granted.wait), (50, 49, 0), "half of 99, rounded up");
    let granted = take(ask(40, 40)).await;
    assert_eq!((granted.tokens, granted.remaining), (40, 9), "what is needed, though it is more than half");
    let refused = take(ask(10, 10)).await;
    assert_eq!((refused.tokens, refused.remaining), (0, 9));
    assert!(refused.wait > 3_590_000_000 && refused.wait <= 3_600_000_000, "{refused:?}");
}

#[tokio::test]
async fn what_is_given_back_at_once_is_there_again_and_leaves_nothing_behind() {
    let server = RedisServer::start().await.expect("Redis");
    let mut connection = server.connect().await.expect("a connection");
    let terms = hourly();
    let ask = Ask { at: 0, need: 1, want: 30, is_ahead: false };
    let granted: Reply = terms.take("key", ask).invoke_async(&mut connection).await.expect("an answer");
    let give_back = GiveBack { tokens: 10, granted_at: granted.at, age: 1_000 };
    let worth: u64 = terms.give_back("key", give_back).invoke_async(&mut connection).await.expect("an answer");
    assert!(worth > 35_900_000_000 && worth < 36_000_000_000, "{worth}");
    let left: i64 = redis::cmd("PTTL").arg("key").query_async(&mut connection).await.expect("an answer");
    assert!((71_000_000..=72_001_000).contains(&left), "{left} ms");
    let all = GiveBack { tokens: 90, ..give_back };
    let _: u64 = terms.give_back("key", all).invoke_async(&mut connection).await.expect("an answer");
    let there: bool = redis::cmd("EXISTS").arg("key").query_async(&mut connection).await.expect("an answer");
    assert!(!there);
}
