//! Against a real Redis, which is killed, stalled and restarted.

use std::io;
use std::sync::Mutex;
use std::time::{Duration, Instant};

use redis::AsyncTypedCommands as _;
use testkit::{RedisServer, eventually, free_port};
use tracing_subscriber::fmt::MakeWriter;

use super::*;
use crate::config::file::{RateLimitAlgorithm, RateLimitScope, RedisFailureMode};
use crate::config::pattern::RateLimitKey;
use crate::config::values::{Secret, Span};

/// Generous, because a loaded machine is no reason to fail; what matters is that it is not minutes.
const SOON: Duration = Duration::from_secs(20);
const PASSWORD: &str = "correct horse battery staple";

fn redis_file(port: u16, timeout: Span) -> RedisFile {
    RedisFile { host: "127.0.0.1".to_owned(), port, timeout, key_prefix: "test".to_owned(), ..RedisFile::default() }
}

/// A deadline that a Redis that works always keeps here.
fn patient(port: u16) -> RedisFile {
    redis_file(port, Span::from_secs(10))
}

fn with_password(file: RedisFile, password: &str) -> RedisFile {
    let yaml = format!("\"{password}\"");
    let password: Secret = serde_saphyr::from_str(&yaml).expect("a text");
    RedisFile { password: Some(password), ..file }
}

fn in_redis(limit: u32, on_failure: RedisFailureMode) -> RateLimitFile {
    let day = Span::from_secs(24 * 60 * 60);
    let file = RateLimitFile::new(RateLimitScope::Redis, limit, day, RateLimitKey::client_address());
    RateLimitFile { on_redis_failure: Some(on_failure), ..file }
}

fn every_mode() -> BTreeMap<String, RateLimitFile> {
    [
        ("open", in_redis(2, RedisFailureMode::Open)),
        ("closed", in_redis(2, RedisFailureMode::Closed)),
        ("local", in_redis(2, RedisFailureMode::LocalShare)),
    ]
    .map(|(name, file)| (name.to_owned(), file))
    .into()
}

fn compile(files: &BTreeMap<String, RateLimitFile>, redis: &RedisFile) -> Policies {
    Policies::compile(files, Some(redis), &Handle::current(), None).expect("legal")
}

async fn take(policies: &Policies, name: &str, key: &[u8]) -> Verdict {
    take_from(policies.get(name).expect("compiled"), key).await
}

async fn take_from(policy: &Policy, key: &[u8]) -> Verdict {
    let charge = Charge { cost: policy.cost(), limit: policy.limit() };
    decide(&[Some(Ask { policy, key, charge })]).await[0].expect("an answer")
}

async fn until_down(policies: &Policies) {
    let down = async || matches!(policies.redis().expect("configured").check().await, Err(NoAnswer::Down(_)));
    eventually(SOON, "Redis is noticed to be down", down).await.expect("in time");
}

async fn until_up(policies: &Policies) {
    let up = async || policies.redis().expect("configured").check().await.is_ok();
    eventually(SOON, "Redis is noticed to be up", up).await.expect("in time");
}

/// Each mode's answers while Redis is down, to three requests with a limit of two.
async fn assert_every_mode_stands_in(policies: &Policies, key: &[u8]) {
    for _ in 0..3 {
        let open = Verdict { outcome: Outcome::Allowed, quota: None, answered_by: AnsweredBy::Open, at: None };
        assert_eq!(take(policies, "open", key).await, open);
        let closed = Verdict { outcome: Outcome::Unavailable, quota: None, answered_by: AnsweredBy::Closed, at: None };
        assert_eq!(take(policies, "closed", key).await, closed);
    }
    for remaining in [Some(1), Some(0), None] {
        let local = take(policies, "local", key).await;
        assert_eq!(local.answered_by, AnsweredBy::LocalShare { gateways: 1 });
        let left = (local.outcome == Outcome::Allowed).then(|| local.quota.expect("counted").remaining);
        assert_eq!(left, remaining);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn two_gateways_that_share_redis_allow_exactly_the_burst() {
    let server = RedisServer::start().await.expect("Redis");
    let files = [("api".to_owned(), in_redis(100, RedisFailureMode::Closed))].into();
    let gateways = [(); 2].map(|()| compile(&files, &patient(server.port())));
    let takers: Vec<_> = (0..64)
        .map(|taker| {
            let policy = Arc::clone(gateways[taker % 2].get("api").expect("compiled"));
            tokio::spawn(async move {
                let mut allowed = 0;
                for _ in 0..10 {
                    let verdict = take_from(&policy, b"10.0.0.1").await;
                    assert_eq!(verdict.answered_by, AnsweredBy::Redis);
                    allowed += usize::from(verdict.outcome == Outcome::Allowed);
                }
                allowed
            })
        })
        .collect();
    let mut allowed = 0;
    for taker in takers {
        allowed += taker.await.expect("no panic");
    }
    // A request comes back only every 864 seconds.
    assert_eq!(allowed, 100);
}

/// As in the gateway: proxy threads with a runtime each, and a control runtime that outlives their requests.
#[test]
fn threads_with_runtimes_of_their_own_share_the_connection_of_the_control_runtime() {
    let control = tokio::runtime::Runtime::new().expect("a runtime");
    let mut server = control.block_on(RedisServer::start()).expect("Redis");
    let files = [("api".to_owned(), in_redis(20, RedisFailureMode::Closed))].into();
    let redis = patient(server.port());
    let policies = Policies::compile(&files, Some(&redis), control.handle(), None).expect("legal");
    let allowed_by_threads = |key: &'static [u8]| -> usize {
        let thread = || {
            let proxy = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
            proxy.block_on(async {
                let mut allowed = 0;
                for _ in 0..10 {
                    allowed += usize::from(take(&policies, "api", key).await.outcome == Outcome::Allowed);
                }
                allowed
            })
        };
        std::thread::scope(|scope| {
            let threads: Vec<_> = (0..4).map(|_| scope.spawn(thread)).collect();
            threads.into_iter().map(|thread| thread.join().expect("no panic")).sum()
        })
    };
    assert_eq!(allowed_by_threads(b"key"), 20);

    // A thread that noticed the break has ended with its runtime; the connection made since does not depend on it.
    server.kill().expect("killed");
    assert_eq!(allowed_by_threads(b"key"), 0);
    control.block_on(server.restart()).expect("restarted");
    control.block_on(until_up(&policies));
    assert_eq!(allowed_by_threads(b"key"), 20);
}

#[tokio::test]
async fn a_refusal_says_when_the_next_request_fits() {
    let server = RedisServer::start().await.expect("Redis");
    let file = RateLimitFile { burst: Some(3), ..in_redis(24, RedisFailureMode::Closed) };
    let policies = compile(&[("api".to_owned(), file)].into(), &patient(server.port()));
    for remaining in [2, 1, 0] {
        let quota = take(&policies, "api", b"key").await.quota.expect("counted");
        assert_eq!((quota.limit, quota.remaining), (3, remaining));
        assert!(quota.reset <= Duration::from_secs(3 * 3600));
    }
    let Outcome::Refused { retry_after } = take(&policies, "api", b"key").await.outcome else { panic!("refused") };
    assert!(retry_after > Duration::from_secs(3000) && retry_after <= Duration::from_secs(3600), "{retry_after:?}");
}

#[tokio::test]
async fn each_failure_mode_stands_in_while_redis_is_dead_and_steps_back_afterwards() {
    let mut server = RedisServer::start().await.expect("Redis");
    let redis = patient(server.port());
    let policies = Policies::compile(&every_mode(), Some(&redis), &Handle::current(), None).expect("legal");
    assert_eq!(take(&policies, "closed", b"before").await.answered_by, AnsweredBy::Redis);

    server.kill().expect("killed");
    until_down(&policies).await;
    assert_every_mode_stands_in(&policies, b"key").await;
    let registry = Registry::new();
    policies.register(&registry).expect("registers");
    let metrics = prometheus::TextEncoder::new().encode_to_string(&registry.gather()).expect("text");
    for line in [
        r#"gateway_rate_limit_degraded_total{mode="open",policy="open"} 3"#,
        r#"gateway_rate_limit_degraded_total{mode="closed",policy="closed"} 3"#,
        r#"gateway_rate_limit_degraded_total{mode="local_share",policy="local"} 3"#,
        r#"gateway_rate_limit_requests_total{outcome="unavailable",policy="closed"} 3"#,
        r#"gateway_rate_limit_requests_total{outcome="refused",policy="local"} 1"#,
        "gateway_redis_up 0",
        "gateway_redis_live_gateways 1",
    ] {
        assert!(metrics.contains(line), "{line} is not in\n{metrics}");
    }

    server.restart().await.expect("restarted");
    until_up(&policies).await;
    for name in ["open", "closed", "local"] {
        let verdict = take(&policies, name, b"key").await;
        assert_eq!((verdict.outcome, verdict.answered_by), (Outcome::Allowed, AnsweredBy::Redis));
    }
}

#[tokio::test]
async fn a_stalled_redis_costs_a_few_requests_the_deadline_and_all_others_nothing() {
    let server = RedisServer::start().await.expect("Redis");
    let policies = compile(&every_mode(), &redis_file(server.port(), Span::from_millis(500)));
    until_up(&policies).await;
    server.stall().expect("stalled");
    let began = Instant::now();
    for _ in 0..1000 {
        assert_eq!(take(&policies, "closed", b"key").await.outcome, Outcome::Unavailable);
    }
    // Without the breaker it would be 500 seconds.
    assert!(began.elapsed() < SOON, "{:?}", began.elapsed());
    server.resume().expect("resumed");
    until_up(&policies).await;
    assert_eq!(take(&policies, "closed", b"another key").await.answered_by, AnsweredBy::Redis);
}

#[tokio::test]
async fn a_redis_that_was_never_there_holds_no_request_longer_than_the_deadline() {
    let nobody = free_port().expect("a port");
    let policies = compile(&every_mode(), &redis_file(nobody, Span::from_millis(100)));
    assert_every_mode_stands_in(&policies, b"key").await;
    until_down(&policies).await;
}

#[tokio::test]
async fn the_state_of_redis_is_logged_once_per_change_and_without_the_password() {
    let log = Log::default();
    let subscriber = tracing_subscriber::fmt().with_writer(log.clone()).with_ansi(false).finish();
    let _guard = tracing::subscriber::set_default(subscriber);
    // While there is only one dispatcher, tracing lets the thread that reaches a log line first decide whether anybody
    // wants it, and that may be another test's thread, which has no subscriber. With two it asks them all.
    let _second = tracing::Dispatch::new(tracing::subscriber::NoSubscriber::default());

    let server = RedisServer::start_with_password(PASSWORD).await.expect("Redis");
    let wrong = "wrong horse battery staple";
    let policies = compile(&every_mode(), &with_password(patient(server.port()), wrong));
    until_down(&policies).await;
    assert_every_mode_stands_in(&policies, b"key").await;
    assert_eq!(log.lines_with("Redis does not answer"), 1);
    assert_eq!(log.lines_with("AuthenticationFailed"), 1, "{}", log.text());
    assert_eq!(log.lines_with("horse"), 0, "{}", log.text());

    let policies = compile(&every_mode(), &with_password(patient(server.port()), PASSWORD));
    until_up(&policies).await;
    assert_eq!(log.lines_with("Redis answers"), 1);
    assert_eq!(take(&policies, "closed", b"key").await.answered_by, AnsweredBy::Redis);
    assert_eq!(log.lines_with("horse"), 0, "{}", log.text());
}

#[tokio::test]
async fn a_flushed_script_cache_is_not_noticed() {
    let server = RedisServer::start().await.expect("Redis");
    let policies = compile(&every_mode(), &patient(server.port()));
    assert_eq!(take(&policies, "closed", b"key").await.quota.expect("counted").remaining, 1);
    let mut connection = server.connect().await.expect("a connection");
    redis::cmd("SCRIPT").arg("FLUSH").exec_async(&mut connection).await.expect("flushed");
    assert_eq!(take(&policies, "closed", b"key").await.quota.expect("counted").remaining, 0);
}

#[tokio::test]
async fn huge_and_binary_keys_are_counted_apart_and_kept_short() {
    let server = RedisServer::start().await.expect("Redis");
    let policies = compile(&every_mode(), &patient(server.port()));
    let huge = vec![b'a'; 4 << 20];
    for key in [huge.as_slice(), b"\0\xff\r\n", b"", "ключ".as_bytes()] {
        assert_eq!(take(&policies, "closed", key).await.quota.expect("counted").remaining, 1);
    }
    let mut connection = server.connect().await.expect("a connection");
    let keys = connection.keys("*").await.expect("keys");
    let limits: Vec<_> = keys.iter().filter(|key| key.starts_with("test:limit:closed:")).collect();
    assert_eq!(limits.len(), 4);
    assert!(keys.iter().all(|key| key.len() < 64), "{keys:?}");
}

#[tokio::test]
async fn a_redis_that_may_not_be_written_to_is_down() {
    let server = RedisServer::start().await.expect("Redis");
    let mut connection = server.connect().await.expect("a connection");
    let nobody = free_port().expect("a port").to_string();
    redis::cmd("REPLICAOF").arg("127.0.0.1").arg(nobody).exec_async(&mut connection).await.expect("a replica");
    let policies = compile(&every_mode(), &patient(server.port()));
    until_down(&policies).await;
    redis::cmd("REPLICAOF").arg("NO").arg("ONE").exec_async(&mut connection).await.expect("a master");
    until_up(&policies).await;
    assert_eq!(take(&policies, "closed", b"key").await.answered_by, AnsweredBy::Redis);
}

#[tokio::test]
async fn a_redis_without_the_tls_asked_for_is_down() {
    let server = RedisServer::start().await.expect("Redis");
    let policies =
        compile(&every_mode(), &RedisFile { tls: true, ..redis_file(server.port(), Span::from_millis(100)) });
    until_down(&policies).await;
}

#[tokio::test]
async fn a_reload_keeps_what_did_not_change() {
    let control = Handle::current();
    let redis = redis_file(free_port().expect("a port"), Span::from_millis(100));
    let local = |limit| RateLimitFile {
        scope: RateLimitScope::Local,
        on_redis_failure: None,
        ..in_redis(limit, RedisFailureMode::Open)
    };
    let mut files = every_mode();
    files.insert("kept".to_owned(), local(2));
    files.insert("changed".to_owned(), local(2));
    let before = Policies::compile(&files, Some(&redis), &control, None).expect("legal");
    for name in ["kept", "changed"] {
        take(&before, name, b"key").await;
    }

    files.insert("changed".to_owned(), local(3));
    files.remove("open");
    let same = redis_file(redis.port, Span::from_millis(100));
    let after = Policies::compile(&files, Some(&same), &control, Some(&before)).expect("legal");
    assert_eq!(take(&after, "kept", b"key").await.quota.expect("counted").remaining, 0);
    assert_eq!(take(&after, "changed", b"key").await.quota.expect("counted").remaining, 2);
    assert!(after.get("open").is_none());
    assert!(Arc::ptr_eq(before.redis().expect("a link"), after.redis().expect("a link")));

    let other = RedisFile { database: 1, ..redis_file(redis.port, Span::from_millis(100)) };
    let moved = Policies::compile(&files, Some(&other), &control, Some(&after)).expect("legal");
    assert!(!Arc::ptr_eq(moved.get("closed").expect("compiled"), after.get("closed").expect("compiled")));
    assert!(Arc::ptr_eq(moved.get("kept").expect("compiled"), after.get("kept").expect("compiled")));
}

#[tokio::test]
async fn the_largest_logs_that_can_be_are_let_through() {
    let log = |scope, limit, max_keys, on_redis_failure| RateLimitFile {
        algorithm: Some(RateLimitAlgorithm::SlidingWindow),
        max_keys,
        on_redis_failure,
        ..RateLimitFile::new(scope, limit, Span::from_secs(1), RateLimitKey::client_address())
    };
    let redis = RateLimitScope::Redis;
    for file in [
        log(RateLimitScope::Local, 1024, None, None),
        log(RateLimitScope::Local, 10_000, Some(6710), None),
        // Nothing is kept here.
        log(redis, 10_000, None, Some(RedisFailureMode::Open)),
    ] {
        assert_eq!(problems("log", &file), []);
    }
    let fallback = log(redis, 10_000, None, Some(RedisFailureMode::LocalShare));
    assert_eq!(problems("log", &fallback), [PolicyProblem::TooMuchToLog(65_536)]);
}

#[tokio::test]
async fn what_redis_has_let_pass_is_no_second_quota_when_it_goes_away() {
    let mut server = RedisServer::start().await.expect("Redis");
    let file = |algorithm| RateLimitFile { algorithm: Some(algorithm), ..in_redis(2, RedisFailureMode::LocalShare) };
    let files = [("gcra", RateLimitAlgorithm::Gcra), ("log", RateLimitAlgorithm::SlidingWindow)];
    let files = files.map(|(name, algorithm)| (name.to_owned(), file(algorithm)));
    let policies = compile(&files.into(), &patient(server.port()));
    for name in ["gcra", "gcra", "log", "log"] {
        let verdict = take(&policies, name, b"key").await;
        assert_eq!((verdict.outcome, verdict.answered_by), (Outcome::Allowed, AnsweredBy::Redis));
    }
    server.kill().expect("killed");
    until_down(&policies).await;
    for name in ["gcra", "log"] {
        let verdict = take(&policies, name, b"key").await;
        assert!(matches!(verdict.outcome, Outcome::Refused { .. }), "{name}: {verdict:?}");
        assert_eq!(verdict.answered_by, AnsweredBy::LocalShare { gateways: 1 });
        assert_eq!(take(&policies, name, b"another key").await.outcome, Outcome::Allowed, "{name}");
    }
}

#[tokio::test]
async fn a_sliding_window_counts_the_same_in_redis_and_in_its_stead() {
    let mut server = RedisServer::start().await.expect("Redis");
    let file = RateLimitFile {
        algorithm: Some(RateLimitAlgorithm::SlidingWindow),
        ..in_redis(2, RedisFailureMode::LocalShare)
    };
    let policies = compile(&[("log".to_owned(), file)].into(), &patient(server.port()));
    let day = Duration::from_secs(24 * 60 * 60);
    for (answered_by, key) in [(AnsweredBy::Redis, b"one"), (AnsweredBy::LocalShare { gateways: 1 }, b"two")] {
        for remaining in [1, 0] {
            let quota = Some(Quota { limit: 2, remaining, reset: day });
            let verdict = take(&policies, "log", key).await;
            assert_eq!((verdict.outcome, verdict.quota, verdict.answered_by), (Outcome::Allowed, quota, answered_by));
        }
        let refused = take(&policies, "log", key).await;
        assert!(matches!(refused.outcome, Outcome::Refused { .. }) && refused.answered_by == answered_by);
        if answered_by == AnsweredBy::Redis {
            server.kill().expect("killed");
            until_down(&policies).await;
        }
    }
}

#[tokio::test]
async fn who_waits_for_no_decision_any_more_leaves_the_place_in_flight_that_he_got() {
    let server = RedisServer::start().await.expect("Redis");
    let in_flight = RateLimitFile {
        algorithm: Some(RateLimitAlgorithm::InFlight),
        window: None,
        ..RateLimitFile::new(RateLimitScope::Local, 2, Span::from_secs(1), RateLimitKey::client_address())
    };
    let mut files = every_mode();
    files.insert("at-once".to_owned(), in_flight);
    let leased = RateLimitFile::new(RateLimitScope::Leased, 1000, Span::from_secs(1), RateLimitKey::client_address());
    files.insert("leased".to_owned(), leased);
    let policies = compile(&files, &patient(server.port()));
    until_up(&policies).await;
    let [at_once, shared, leased] = ["at-once", "closed", "leased"].map(|name| policies.get(name).expect("compiled"));
    let ask = |policy| Ask { policy, key: b"key", charge: Charge { cost: 1, limit: 2 } };
    let another = InFlight::of(at_once, &ask(at_once), &take_from(at_once, b"key").await);
    server.stall().expect("stalled");
    for in_redis in [shared, leased] {
        let asks = [Some(ask(at_once)), Some(ask(in_redis))];
        assert!(decide_at_once(&asks, Instant::now()).is_none(), "Redis has to be asked");
        let waiting = tokio::time::timeout(Duration::from_millis(50), decide(&asks)).await;
        assert!(waiting.is_err(), "Redis is stalled");
    }
    server.resume().expect("resumed");
    assert_eq!(take_from(at_once, b"key").await.outcome, Outcome::Allowed);
    assert_ne!(take_from(at_once, b"key").await.outcome, Outcome::Allowed, "the other one's place is taken still");
    drop(another);
    assert_eq!(take_from(at_once, b"key").await.outcome, Outcome::Allowed);
}

#[tokio::test]
async fn a_place_in_flight_is_given_back_once_when_the_request_has_ended_or_another_policy_refuses() {
    let in_flight = RateLimitFile {
        algorithm: Some(RateLimitAlgorithm::InFlight),
        window: None,
        ..RateLimitFile::new(RateLimitScope::Local, 2, Span::from_secs(1), RateLimitKey::client_address())
    };
    let narrow = RateLimitFile::new(RateLimitScope::Local, 1, Span::from_secs(3600), RateLimitKey::client_address());
    let files = [("at-once".to_owned(), in_flight), ("narrow".to_owned(), narrow)].into();
    let policies = Policies::compile(&files, None, &Handle::current(), None).expect("legal");
    let [at_once, narrow] = ["at-once", "narrow"].map(|name| policies.get(name).expect("compiled"));
    let charge = |policy: &Policy| Charge { cost: 1, limit: policy.limit() };
    let ask = |policy| Ask { policy, key: b"key", charge: charge(policy) };
    let begin = async || {
        let verdict = take_from(at_once, b"key").await;
        InFlight::of(at_once, &ask(at_once), &verdict)
    };
    let first = begin().await;
    assert!(first.is_some());
    for (left, refused) in [(Some(0), false), (Some(1), true)] {
        let verdicts = decide(&[Some(ask(at_once)), Some(ask(narrow))]).await;
        assert_eq!(verdicts[1].expect("asked").outcome != Outcome::Allowed, refused);
        assert_eq!(verdicts[0].and_then(|verdict| verdict.quota).map(|quota| quota.remaining), left);
        if !refused {
            drop(InFlight::of(at_once, &ask(at_once), &verdicts[0].expect("asked")));
        }
    }
    let second = begin().await;
    assert!(second.is_some() && begin().await.is_none());
    drop(first);
    assert!(begin().await.is_some());
    drop(second);
}

#[tokio::test]
async fn a_policy_in_redis_is_refused_by_name_where_there_is_none() {
    let files = [("api".to_owned(), in_redis(2, RedisFailureMode::Open))].into();
    let refused = Policies::compile(&files, None, &Handle::current(), None).err();
    assert!(
        matches!(&refused, Some(LimitError::Policy { policy, problem: PolicyProblem::NoRedis }) if policy == "api"),
        "{refused:?}"
    );
}

/// What was logged.
#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl Log {
    fn text(&self) -> String {
        String::from_utf8_lossy(&self.0.lock().expect("no panic")).into_owned()
    }

    fn lines_with(&self, words: &str) -> usize {
        self.text().lines().filter(|line| line.contains(words)).count()
    }
}

impl io::Write for Log {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().expect("no panic").write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl MakeWriter<'_> for Log {
    type Writer = Self;

    fn make_writer(&self) -> Self {
        self.clone()
    }
}
