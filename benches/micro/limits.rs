//! How long a local rate limit takes to count one request: by way of counting, by active keys, and by threads that count at
//! the same time.

use std::collections::BTreeMap;
use std::hint::black_box;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::Context as _;
use criterion::{BenchmarkId, Criterion};
use futures::FutureExt as _;
use gateway::config::file::{RateLimitAlgorithm, RateLimitFile, RateLimitScope};
use gateway::config::pattern::RateLimitKey;
use gateway::config::values::Span;
use gateway::limit::{Ask, Charge, InFlight, Policies, Policy, decide};
use tokio::runtime::Handle;

/// With room for as many in the table.
const MOST_KEYS: u32 = 1_000_000;

pub(crate) fn bench(criterion: &mut Criterion) -> anyhow::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().build()?;
    let mut group = criterion.benchmark_group("limit");
    for keys in [1, 1_000, MOST_KEYS] {
        let policies = policies(runtime.handle(), keys)?;
        let keys: Vec<[u8; 17]> = (0..keys).map(key).collect();
        for algorithm in ["gcra", "sliding_window", "in_flight", "sketch"] {
            let policy = policies.get(algorithm).context("the policy")?;
            for threads in [1, 2] {
                let id = BenchmarkId::new(format!("{algorithm}/{threads}-thread"), keys.len());
                group.bench_function(id, |bencher| {
                    bencher.iter_custom(|turns| side_by_side(threads, turns, policy, &keys));
                });
            }
        }
    }
    group.finish();
    Ok(())
}

/// How long `turns` of each of so many threads take.
fn side_by_side(threads: usize, turns: u64, policy: &Arc<Policy>, keys: &[[u8; 17]]) -> Duration {
    let started = Instant::now();
    std::thread::scope(|scope| {
        // The calling thread is one of them, so that nothing is spawned to measure one alone.
        for _ in 1..threads {
            scope.spawn(|| count(turns, policy, keys));
        }
        count(turns, policy, keys);
    });
    started.elapsed()
}

/// Each request has ended before the next begins.
fn count(turns: u64, policy: &Arc<Policy>, keys: &[[u8; 17]]) {
    let mut next = keys.iter().cycle();
    for _ in 0..turns {
        // A local policy answers at the first poll.
        black_box(next.next().and_then(|key| {
            let charge = Charge { cost: 1, limit: policy.limit() };
            let verdicts = decide(&[Some(Ask { policy, key, charge })]).now_or_never()?;
            Some(InFlight::of(policy, key, charge, verdicts.first()?.as_ref()?))
        }));
    }
}

/// A policy for each way of counting, that nothing comes up to, so that every request is counted; but that a sliding window is as large
/// as one may be that has room for so many `keys`, and turns at the pace of the clock.
fn policies(control: &Handle, keys: u32) -> anyhow::Result<Policies> {
    // One in a microsecond, the most that is counted exactly.
    let (limit, hour) = (3_600_000_000, Span::from_secs(3600));
    let new = |limit, window| RateLimitFile::new(RateLimitScope::Local, limit, window, RateLimitKey::client_address());
    let file = |algorithm, max_keys| RateLimitFile { algorithm: Some(algorithm), max_keys, ..new(limit, hour) };
    let log = RateLimitFile {
        algorithm: Some(RateLimitAlgorithm::SlidingWindow),
        max_keys: Some(keys),
        ..new((1 << 26) / keys.max(1 << 13), Span::from_secs(1))
    };
    let in_flight = RateLimitFile { window: None, ..file(RateLimitAlgorithm::InFlight, Some(MOST_KEYS)) };
    let files = BTreeMap::from([
        ("gcra".to_owned(), file(RateLimitAlgorithm::Gcra, Some(MOST_KEYS))),
        ("sliding_window".to_owned(), log),
        ("in_flight".to_owned(), in_flight),
        ("sketch".to_owned(), file(RateLimitAlgorithm::Sketch, None)),
    ]);
    Ok(Policies::compile(&files, None, control, None)?)
}

/// What an address is counted under.
fn key(number: u32) -> [u8; 17] {
    let mut key = [0xFF; 17];
    key[13..].copy_from_slice(&number.to_be_bytes());
    key
}
