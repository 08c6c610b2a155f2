//! Several gateways in one process, and a real Redis.

use std::collections::BTreeMap;

use futures::FutureExt as _;
use redis::AsyncTypedCommands as _;
use testkit::{RedisCluster, RedisServer, eventually};
use tokio::time::sleep;

use super::*;
use crate::config::file::{RateLimitFile, RateLimitScope, RedisClusterFile, RedisFailureMode, RedisFile};
use crate::config::pattern::RateLimitKey;
use crate::config::values::Span;
use crate::limit::metrics::redis_seconds;
use crate::limit::policy::{Ask, Policy};
use crate::limit::redis_link::LinkSettings;
use crate::limit::verdict::Outcome;
use crate::limit::{Policies, decide, decide_at_once};

/// Generous, because a loaded machine is no reason to fail.
const SOON: Duration = Duration::from_secs(20);

fn file(limit: u32, window: Span) -> RateLimitFile {
    let file = RateLimitFile::new(RateLimitScope::Leased, limit, window, RateLimitKey::client_address());
    RateLimitFile { on_redis_failure: Some(RedisFailureMode::Closed), ..file }
}

/// A gateway's policies: one, `api`.
fn gateway(file: RateLimitFile, server: &RedisServer) -> Policies {
    let redis = RedisFile {
        host: "127.0.0.1".to_owned(),
        port: server.port(),
        // A deadline that a Redis that works always keeps here.
        timeout: Span::from_secs(10),
        key_prefix: "test".to_owned(),
        ..RedisFile::default()
    };
    let files: BTreeMap<_, _> = [("api".to_owned(), file)].into();
    Policies::compile(&files, Some(&redis), &Handle::current(), None).expect("legal")
}

fn policy(policies: &Policies) -> &Policy {
    policies.get("api").expect("compiled")
}

fn ask<'r>(policies: &'r Policies, key: &'r [u8], cost: u32) -> Ask<'r> {
    let policy = policy(policies);
    Ask { policy, key, charge: Charge { cost, limit: policy.limit() } }
}

async fn take(policies: &Policies, key: &[u8], cost: u32) -> Verdict {
    decide(&[Some(ask(policies, key, cost))]).await[0].expect("an answer")
}

fn is_allowed(verdict: &Verdict) -> bool {
    verdict.outcome == Outcome::Allowed
}

/// How many scripts have been run.
async fn calls(server: &RedisServer) -> u64 {
    let mut connection = server.connect().await.expect("a connection");
    let stats: String = redis::cmd("INFO").arg("commandstats").query_async(&mut connection).await.expect("an answer");
    let evalsha = stats.lines().find_map(|line| line.strip_prefix("cmdstat_evalsha:calls="));
    evalsha.and_then(|line| line.split(',').next()).map_or(0, |calls| calls.parse().expect("a number"))
}

fn metric(policies: &Policies, name: &str) -> u64 {
    let registry = prometheus::Registry::new();
    policies.register(&registry).expect("registers");
    let text = prometheus::TextEncoder::new().encode_to_string(&registry.gather()).expect("text");
    let value = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
    value.unwrap_or_else(|| panic!("{name} is not in\n{text}")).parse().expect("a number")
}

fn tokens(policies: &Policies, event: &str) -> u64 {
    metric(policies, &format!("gateway_rate_limit_lease_tokens_total{{event=\"{event}\",policy=\"api\"}}"))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn four_gateways_never_pass_more_than_the_limit_and_call_redis_for_one_request_in_a_hundred() {
    const BURST: usize = 6_000;
    /// A hundred a second.
    const INTERVAL: Duration = Duration::from_millis(10);
    let server = RedisServer::start().await.expect("Redis");
    let gateways = [(); 4].map(|()| Arc::new(gateway(file(BURST as u32, Span::from_secs(60)), &server)));
    let began = Instant::now();
    let takers: Vec<_> = (0..16)
        .map(|taker| {
            let policies = Arc::clone(&gateways[taker % gateways.len()]);
            tokio::spawn(async move {
                let (mut passed, mut requests) = (Vec::new(), 0_u64);
                while began.elapsed() < Duration::from_secs(3) {
                    for _ in 0..10 {
                        let before = began.elapsed();
                        requests += 1;
                        if is_allowed(&take(&policies, b"key", 1).await) {
                            passed.push((began.elapsed(), before));
                        }
                    }
                    sleep(Duration::from_millis(1)).await;
                }
                (passed, requests)
            })
        })
        .collect();
    let (mut passed, mut requests) = (Vec::new(), 0);
    for taker in takers {
        let (of_one, asked) = taker.await.expect("no panic");
        passed.extend(of_one);
        requests += asked;
    }
    passed.sort_unstable();

    // In every span, as far as is known when within its call a request passed.
    for (_, from) in passed.iter().step_by(97) {
        let inside = passed.iter().filter(|(_, before)| before >= from);
        for (number, (after, _)) in inside.enumerate() {
            let most = BURST as u128 + (*after - *from).as_micros() / INTERVAL.as_micros();
            assert!((number as u128) < most, "{} of {most}", number + 1);
        }
    }
    assert!(passed.len() * 100 >= BURST * 98, "{} of {BURST} and more", passed.len());
    let calls = calls(&server).await;
    assert!(calls * 100 < requests, "{calls} calls for {requests} requests");
}

#[tokio::test]
async fn the_first_request_of_a_key_takes_one_and_waits_for_redis() {
    let server = RedisServer::start().await.expect("Redis");
    let policies = gateway(file(100, Span::from_secs(3_600)), &server);
    assert!(decide_at_once(&[Some(ask(&policies, b"key", 1))], Instant::now()).is_none(), "that is not known here");
    let verdict = take(&policies, b"key", 3).await;
    assert!(is_allowed(&verdict) && verdict.answered_by.failure_mode().is_none(), "{verdict:?}");
    let quota = verdict.quota.expect("counted");
    assert_eq!((quota.limit, quota.remaining), (99, 96), "of a hundred, one is kept back");
    assert_eq!(tokens(&policies, "leased"), 3);
}

#[tokio::test]
async fn refusals_say_how_long_to_wait_and_cost_no_call_each() {
    let server = RedisServer::start().await.expect("Redis");
    let policies = gateway(file(60, Span::from_secs(3_600)), &server);
    let mut allowed = 0;
    while is_allowed(&take(&policies, b"key", 1).await) {
        allowed += 1;
        assert!(allowed < 100, "without end");
    }
    let before = calls(&server).await;
    for _ in 0..100 {
        let asks = [Some(ask(&policies, b"key", 1))];
        let Some(verdicts) = decide_at_once(&asks, Instant::now()) else { continue };
        let Some(Verdict { outcome: Outcome::Refused { retry_after }, quota: Some(quota), .. }) = verdicts[0] else {
            panic!("{verdicts:?}")
        };
        assert!(retry_after > Duration::ZERO && retry_after <= Duration::from_secs(60), "{retry_after:?}");
        assert_eq!(quota.remaining, 0);
    }
    assert!(calls(&server).await <= before + 10);
}

#[tokio::test]
async fn what_is_there_is_spent_while_redis_is_away_and_then_the_failure_mode_answers() {
    let mut server = RedisServer::start().await.expect("Redis");
    // A lease lives for a second.
    let policies = gateway(file(600_000, Span::from_secs(3_600)), &server);
    for _ in 0..200 {
        assert!(is_allowed(&take(&policies, b"key", 1).await));
    }
    server.kill().expect("killed");
    let down = async || policies.redis().expect("configured").check().await.is_err();
    eventually(SOON, "Redis is noticed to be down", down).await.expect("in time");
    let (mut spent, mut unavailable) = (0, 0);
    while unavailable == 0 && spent < 1_000 {
        match take(&policies, b"key", 1).await {
            Verdict { outcome: Outcome::Allowed, answered_by: AnsweredBy::Lease(_), .. } => spent += 1,
            Verdict { outcome: Outcome::Unavailable, answered_by: AnsweredBy::Closed, .. } => unavailable += 1,
            other => panic!("{other:?}"),
        }
    }
    assert_eq!(unavailable, 1, "after {spent} of what was there");
    let degraded = r#"gateway_rate_limit_degraded_total{mode="closed",policy="api"}"#;
    assert_eq!(metric(&policies, degraded), 1);

    server.restart().await.expect("restarted");
    let again = async || is_allowed(&take(&policies, b"key", 1).await);
    eventually(SOON, "Redis counts again", again).await.expect("in time");
}

/// Of a lease, and of what was asked for alone.
#[tokio::test]
async fn a_share_that_stands_in_for_redis_knows_what_was_spent() {
    let mut server = RedisServer::start().await.expect("Redis");
    let local = RateLimitFile {
        on_redis_failure: Some(RedisFailureMode::LocalShare),
        max_keys: Some(1),
        ..file(100, Span::from_secs(3_600))
    };
    let policies = gateway(local, &server);
    for (key, requests) in [(b"first".as_slice(), 40), (b"second", 30)] {
        for _ in 0..requests {
            assert!(is_allowed(&take(&policies, key, 1).await));
        }
    }
    assert_eq!(metric(&policies, r#"gateway_rate_limit_no_room_total{policy="api"}"#), 30);
    eventually(SOON, "all is told", async || tokens(&policies, "spent") == 70).await.expect("in time");
    server.kill().expect("killed");
    let down = async || policies.redis().expect("configured").check().await.is_err();
    eventually(SOON, "Redis is noticed to be down", down).await.expect("in time");
    let nothing_is_out = async || {
        let of = |event| tokens(&policies, event);
        of("spent") + of("returned") + of("lost") == of("leased")
    };
    eventually(SOON, "leases are over", nothing_is_out).await.expect("in time");
    for (key, left) in [(b"first".as_slice(), 60), (b"second", 70), (b"third", 100)] {
        let mut allowed = 0;
        while is_allowed(&take(&policies, key, 1).await) {
            allowed += 1;
            assert!(allowed <= 100, "without end");
        }
        assert_eq!(allowed, left, "{key:?}");
    }
}

#[tokio::test]
async fn a_key_without_room_is_counted_in_redis_and_nobody_is_unlimited() {
    let server = RedisServer::start().await.expect("Redis");
    let small = RateLimitFile { max_keys: Some(1), ..file(60, Span::from_secs(3_600)) };
    let policies = gateway(small, &server);
    assert!(is_allowed(&take(&policies, b"first", 1).await));
    let mut allowed = 0;
    for _ in 0..70 {
        allowed += u32::from(is_allowed(&take(&policies, b"second", 1).await));
    }
    assert_eq!(allowed, 59);
    assert_eq!(metric(&policies, r#"gateway_rate_limit_no_room_total{policy="api"}"#), 70);
    // It becomes free when nobody asks for the first.
    let has_room = async || {
        let before = metric(&policies, r#"gateway_rate_limit_no_room_total{policy="api"}"#);
        take(&policies, b"third", 1).await;
        metric(&policies, r#"gateway_rate_limit_no_room_total{policy="api"}"#) == before
    };
    eventually(SOON, "the first is forgotten", has_room).await.expect("in time");
}

/// Raises what the key needs, so that more is leased than is asked for now.
async fn want_much(policies: &Policies, key: &[u8]) {
    for _ in 0..3_000 {
        assert!(is_allowed(&take(policies, key, 1).await));
    }
}

#[tokio::test]
async fn what_nobody_asks_for_any_more_goes_back_to_redis() {
    let server = RedisServer::start().await.expect("Redis");
    // Two a second, so that next to nothing comes back of itself.
    let policies = gateway(file(7_200, Span::from_secs(3_600)), &server);
    want_much(&policies, b"key").await;
    let other = gateway(file(7_200, Span::from_secs(3_600)), &server);
    let is_back = async || tokens(&policies, "returned") > 0;
    eventually(SOON, "it is given back", is_back).await.expect("in time");
    let (leased, spent, returned) =
        (tokens(&policies, "leased"), tokens(&policies, "spent"), tokens(&policies, "returned"));
    assert_eq!(spent, 3_000);
    assert!(spent + returned <= leased, "{spent} and {returned} of {leased}");
    let left = take(&other, b"key", 1).await.quota.expect("counted").remaining;
    assert!(left + 3_000 >= 7_100, "{left} are left after {leased} were leased and {returned} returned");
}

#[tokio::test]
async fn what_a_policy_has_when_it_ends_goes_back_to_redis() {
    let server = RedisServer::start().await.expect("Redis");
    let policies = gateway(file(7_200, Span::from_secs(3_600)), &server);
    let counters = policy(&policies).metrics().lease().clone();
    want_much(&policies, b"key").await;
    drop(policies);
    let is_back = async || counters.returned.get() + counters.lost.get() > 0;
    eventually(SOON, "it is given back", is_back).await.expect("in time");
}

#[tokio::test]
async fn what_a_gateway_has_when_it_stops_is_back_in_redis_by_then() {
    let server = RedisServer::start().await.expect("Redis");
    let policies = gateway(file(7_200, Span::from_secs(3_600)), &server);
    want_much(&policies, b"key").await;
    let (leased, spent) = (tokens(&policies, "leased"), 3_000);
    policies.leave().await;
    let returned = tokens(&policies, "returned");
    assert!(returned > 0 && spent + returned <= leased, "{spent} and {returned} of {leased}");
}

#[tokio::test]
async fn what_was_not_spent_after_all_is_here_again_and_what_cost_more_is_taken() {
    let server = RedisServer::start().await.expect("Redis");
    let late = RateLimitFile { only_statuses: Some(vec![401]), ..file(1_000, Span::from_secs(3_600)) };
    let policies = gateway(late, &server);
    let left = async || take(&policies, b"key", 1).await.quota.expect("counted").remaining;
    let taken = take(&policies, b"key", 100).await;
    let asked = ask(&policies, b"key", 100);
    let quota = asked.settle_here(taken.answered_by, 0, Instant::now(), Instant::now()).expect("counted");
    assert_eq!(quota.remaining, 999, "all but what is kept back");
    assert_eq!(left().await, 998);
    let taken = take(&policies, b"key", 10).await;
    let asked = ask(&policies, b"key", 10);
    asked.settle_here(taken.answered_by, 500, Instant::now(), Instant::now()).expect("counted");
    // What was not there is charged in Redis, soon.
    let connection = server.connect().await.expect("a connection");
    let is_charged = async || {
        let mut connection = connection.clone();
        let keys = connection.keys("test:limit:api:*").await.expect("keys");
        let [key] = keys.as_slice() else { panic!("{keys:?}") };
        let left: u64 = redis::cmd("PTTL").arg(key).query_async(&mut connection).await.expect("an answer");
        // Of 3.6 seconds each.
        (400..520).contains(&(left / 3_600))
    };
    eventually(SOON, "it is charged", is_charged).await.expect("in time");
}

#[tokio::test]
async fn requests_of_another_limit_have_another_lease() {
    let server = RedisServer::start().await.expect("Redis");
    let policies = gateway(file(100_000, Span::from_secs(3_600)), &server);
    let policy = policy(&policies);
    let with = |limit| [Some(Ask { policy, key: b"key", charge: Charge { cost: 1, limit } })];
    for _ in 0..300 {
        assert!(is_allowed(&decide(&with(100_000)).await[0].expect("an answer")));
    }
    // Of a thousand in the same hour, the three hundred that were used are a part.
    let small = decide(&with(1_000)).await[0].expect("an answer");
    assert!(matches!(small.answered_by, AnsweredBy::Lease(_)), "{small:?}");
    assert_eq!(small.quota.expect("counted").limit, 999);
    // A limit of one cannot be leased, and is asked for in Redis.
    assert!(decide_at_once(&with(1), Instant::now()).is_none());
    assert!(decide(&with(1)).await[0].is_some());
}

#[tokio::test]
async fn nothing_is_left_in_redis_once_the_quota_is_whole() {
    let server = RedisServer::start().await.expect("Redis");
    let policies = gateway(file(60_000, Span::from_secs(60)), &server);
    assert!(is_allowed(&take(&policies, b"key", 5).await));
    let connection = server.connect().await.expect("a connection");
    let is_empty = async || connection.clone().keys("*:lease:*").await.expect("keys").is_empty();
    eventually(SOON, "the key expires", is_empty).await.expect("in time");
    assert!(is_allowed(&take(&policies, b"key", 5).await));
}

/// A table alone, of two requests a second and 7,200 at once; its keys have names that begin with `key_prefix`.
fn table(redis: RedisFile, key_prefix: &str) -> LeaseTable {
    let patient = RedisFile { timeout: Span::from_secs(10), key_prefix: "test".to_owned(), ..redis };
    let seconds = redis_seconds().expect("a legal name");
    let link = RedisLink::open(LinkSettings::read(&patient), seconds, &Handle::current(), None).expect("usable");
    let quotas = Quotas::new(CHARGE.limit, Duration::from_secs(3_600), None, false).expect("expressible");
    let counters = (LeaseMetrics::new("api").expect("legal"), IntCounter::new("no_room", "none").expect("legal"));
    LeaseTable::new(quotas, 65_536, (Arc::new(link), None), key_prefix.to_owned(), counters, &Handle::current())
}

const CHARGE: Charge = Charge { cost: 1, limit: 7_200 };

fn at(server: &RedisServer) -> RedisFile {
    RedisFile { host: "127.0.0.1".to_owned(), port: server.port(), ..RedisFile::default() }
}

/// What waits for the only thread meanwhile would wait for all keys else.
#[tokio::test]
async fn a_look_at_all_keys_lets_others_go_first_again_and_again() {
    let server = RedisServer::start().await.expect("Redis");
    let table = table(at(&server), "test:");
    assert!(table.leases.sweep().now_or_never().is_some(), "where there is no key, there is nothing to look at");
    assert!(table.take(b"key", CHARGE).await.is_some());
    let turns = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&turns);
    let other = tokio::spawn(async move {
        loop {
            counted.fetch_add(1, Ordering::Relaxed);
            yield_now().await;
        }
    });
    table.leases.sweep().await;
    other.abort();
    let turns = turns.load(Ordering::Relaxed);
    assert!(turns >= SHARDS / 2, "{turns}");
}

#[tokio::test]
async fn what_comes_for_a_request_that_has_gone_is_there_for_the_next() {
    let server = RedisServer::start().await.expect("Redis");
    let table = table(at(&server), "test:");
    let leases = &table.leases;
    let Step::Asked(answer) = leases.step(b"key", CHARGE, false) else { panic!("nothing is there") };
    drop(answer);
    let has_some = async || {
        let mut shard = leases.shard(leases.name(b"key", CHARGE)).0.lock();
        let entry = entry_of(&mut shard, leases.name(b"key", CHARGE)).expect("there");
        !entry.holding.would_wait(1, leases.micros(Instant::now()))
    };
    eventually(SOON, "it has come", has_some).await.expect("in time");
    let AtOnce::Answer(verdict) = table.take_at_once(b"key", CHARGE, Instant::now()) else { panic!("it is there") };
    assert!(is_allowed(&verdict), "{verdict:?}");
    assert_eq!(leases.metrics.takes.get(), 1);
}

#[tokio::test]
async fn what_a_node_has_granted_goes_back_to_it_while_another_is_away() {
    let mut cluster = RedisCluster::start().await.expect("a cluster");
    let nodes = vec![cluster.addrs().join(",").try_into().expect("nodes")];
    let file = RedisFile { cluster: Some(RedisClusterFile { nodes }), ..RedisFile::default() };
    // Its slot is 5061, which the first node has.
    let table = table(file, "test:{bar}:");
    let link = Arc::clone(&table.leases.link);
    eventually(SOON, "all nodes are up", async || link.is_up()).await.expect("in time");
    cluster.nodes[2].kill().expect("killed");
    eventually(SOON, "one is down", async || !link.is_up()).await.expect("in time");
    for _ in 0..3_000 {
        assert!(is_allowed(&table.take(b"key", CHARGE).await.expect("an answer")));
    }
    let counters = &table.leases.metrics;
    eventually(SOON, "it is given back", async || counters.returned.get() > 0).await.expect("in time");
    assert!(!link.is_up());
}
