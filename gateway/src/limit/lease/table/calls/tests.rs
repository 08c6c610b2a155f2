//! Calls whose requests go before they hear of them, and a Redis that is stalled.

use futures::future::join_all;
use testkit::{RedisServer, eventually};
use tokio::time::timeout;

use super::super::super::metrics::LeaseMetrics;
use super::super::LeaseTable;
use super::*;
use crate::config::file::RedisFile;
use crate::config::values::Span;
use crate::limit::gcra::Quotas;
use crate::limit::metrics::redis_seconds;
use crate::limit::redis_link::{LinkSettings, RedisLink};

/// Generous, because a loaded machine is no reason to fail.
const SOON: Duration = Duration::from_secs(60);
/// One request of sixty in a day.
const CHARGE: Charge = Charge { cost: 1, limit: 60 };
const DAY: Duration = Duration::from_secs(24 * 60 * 60);

/// A table of some keys, or of none, so that each request asks for itself alone.
async fn table(server: &RedisServer, max_keys: usize, deadline: Span) -> LeaseTable {
    let file = RedisFile {
        host: "127.0.0.1".to_owned(),
        port: server.port(),
        timeout: deadline,
        key_prefix: "test".to_owned(),
        ..RedisFile::default()
    };
    let (seconds, control) = (redis_seconds().expect("a legal name"), tokio::runtime::Handle::current());
    let link = Arc::new(RedisLink::open(LinkSettings::read(&file), seconds, &control, None).expect("usable"));
    let quotas = Quotas::new(CHARGE.limit, DAY, None, false).expect("expressible");
    let no_room = prometheus::IntCounter::new("no_room", "none").expect("legal");
    let counters = (LeaseMetrics::new("api").expect("legal"), no_room);
    eventually(SOON, "Redis is noticed", async || link.is_up()).await.expect("in time");
    LeaseTable::new(quotas, max_keys, (link, None), "test:".to_owned(), counters, &control)
}

/// What is used of the quota of `key`, in requests: the nearest number of them, for what is given back is worth less by its age.
async fn used(server: &RedisServer, key: &[u8]) -> u64 {
    let mut connection = server.connect().await.expect("a connection");
    let mut ask = redis::cmd("PTTL");
    let whole_in: i64 = ask.arg(redis_key("test:", key)).query_async(&mut connection).await.expect("an answer");
    let comes_back_in = DAY.as_millis() as u64 / u64::from(CHARGE.limit);
    (u64::try_from(whole_in).unwrap_or(0) + comes_back_in / 2) / comes_back_in
}

/// One that passed before, so that the quota is not whole.
async fn pass(table: &LeaseTable, key: &[u8]) {
    let passes = async || table.take(key, CHARGE).await.is_some_and(|verdict| verdict.outcome == Outcome::Allowed);
    eventually(SOON, "a request passes", passes).await.expect("in time");
}

async fn until_returned(table: &LeaseTable, tokens: u64) {
    let is_back = async || table.leases.metrics.returned.get() == tokens;
    let waited = eventually(SOON, "it is given back", is_back).await;
    assert!(waited.is_ok(), "{} of {tokens}", table.leases.metrics.returned.get());
}

/// The deadline of those that wait in vain: longer than Redis needs on a busy machine.
const DEADLINE: Span = Span::from_secs(2);

#[tokio::test]
async fn what_redis_takes_for_requests_that_ask_alone_is_given_back_when_the_deadline_has_cut_them_off() {
    let server = RedisServer::start().await.expect("Redis");
    let table = table(&server, 0, DEADLINE).await;
    pass(&table, b"key").await;
    server.stall().expect("stalled");
    let answers = join_all((0..5).map(|_| table.take(b"key", CHARGE))).await;
    assert_eq!(answers, [None; 5]);
    server.resume().expect("resumed");
    until_returned(&table, 5).await;
    assert_eq!(used(&server, b"key").await, 1, "as if they had never been");
    let metrics = &table.leases.metrics;
    assert_eq!((metrics.takes.get(), metrics.lost.get()), (6, 0));
}

#[tokio::test]
async fn what_redis_takes_for_a_request_that_asks_alone_is_given_back_when_its_client_has_gone() {
    let server = RedisServer::start().await.expect("Redis");
    let table = table(&server, 0, Span::from_secs(30)).await;
    pass(&table, b"key").await;
    server.stall().expect("stalled");
    let gone = timeout(Duration::from_millis(200), table.take(b"key", CHARGE)).await;
    assert!(gone.is_err());
    server.resume().expect("resumed");
    until_returned(&table, 1).await;
    assert_eq!(used(&server, b"key").await, 1);
}

#[tokio::test]
async fn a_lease_that_comes_too_late_for_all_who_waited_goes_back() {
    let server = RedisServer::start().await.expect("Redis");
    let table = table(&server, 100, DEADLINE).await;
    pass(&table, b"another key").await;
    server.stall().expect("stalled");
    let answers = join_all((0..5).map(|_| table.take(b"key", CHARGE))).await;
    assert_eq!(answers, [None; 5]);
    server.resume().expect("resumed");
    until_returned(&table, 1).await;
    assert_eq!(used(&server, b"key").await, 0, "the quota is whole");
    pass(&table, b"key").await;
}

#[tokio::test]
async fn only_so_many_answers_are_waited_for_that_are_late() {
    let server = RedisServer::start().await.expect("Redis");
    let table = table(&server, 0, DEADLINE).await;
    pass(&table, b"key").await;
    table.leases.late.forget_permits(MOST_LATE - 1);
    server.stall().expect("stalled");
    assert_eq!(join_all((0..3).map(|_| table.take(b"key", CHARGE))).await, [None; 3]);
    server.resume().expect("resumed");
    until_returned(&table, 1).await;
    assert_eq!(used(&server, b"key").await, 3, "two are lost, as those of a gateway that dies");
    assert_eq!(table.leases.late.available_permits(), 1, "there is room for the next");
}

#[test]
fn what_half_of_has_come_back_by_itself_is_no_call_worth() {
    let terms = Terms::of(Quotas::new(60, Duration::from_secs(60), None, false).expect("expressible").usual());
    let stamp = Stamp { asked_at: 1_000_000, granted_at: 7 };
    let back = |tokens, age| GiveBack::of_request(terms, stamp, tokens, stamp.asked_at + age);
    assert_eq!(back(1, 400_000).map(|back| (back.tokens, back.granted_at)), Some((1, 7)));
    assert_eq!(back(1, 600_000), None);
    assert!(back(4, 1_900_000).is_some());
    assert_eq!(back(4, 2_100_000), None);
    assert_eq!(back(0, 0), None, "nothing was taken");
}
