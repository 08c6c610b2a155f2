//! How long a reload takes, step by step: text to a checked file, file to a snapshot, and the exchange.
//!
//! The exchange is measured where it could hurt: how long a request takes to get its snapshot while nothing changes, and
//! while another thread exchanges it without pause.

use std::fmt::Write as _;
use std::net::IpAddr;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};

use common::config::Env;
use criterion::{BenchmarkId, Criterion};
use gateway::Rehearsal;
use gateway::config::{self, Loaded};

pub(crate) const SECRET: &str = "6f1d0a94c2b85e7733e09a1bd4c65f28";

/// The one that users begin with.
const SHIPPED: &str = include_str!("../../conf/gateway.yaml");

pub(crate) fn bench(criterion: &mut Criterion) -> anyhow::Result<()> {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build()?;
    let mut group = criterion.benchmark_group("configuration");
    group.sample_size(20);
    for (name, text) in [("shipped", SHIPPED.to_owned()), ("1000-routes", routes(1_000)?)] {
        let loaded = parse(&text)?;
        group.bench_function(BenchmarkId::new("check", name), |bencher| bencher.iter(|| parse(&text)));
        // What runs beside a snapshot, like probes, belongs to the first one; the others take it over.
        let rehearsal = runtime.block_on(Rehearsal::of(&loaded, Vec::new()))?;
        group.bench_function(BenchmarkId::new("compile-and-swap", name), |bencher| {
            bencher.iter(|| runtime.block_on(rehearsal.reload(&loaded)));
        });
    }
    group.finish();

    let mut group = criterion.benchmark_group("snapshot");
    let loaded = parse(&routes(10)?)?;
    let rehearsal = runtime.block_on(Rehearsal::of(&loaded, Vec::new()))?;
    let client = IpAddr::from([192, 0, 2, 7]);
    group.bench_function("begin-request", |bencher| bencher.iter(|| rehearsal.request(client)));
    let done = AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            while !done.load(Ordering::Relaxed) {
                // The text was compiled before, so this does not fail.
                let _ = runtime.block_on(rehearsal.reload(&loaded));
            }
        });
        group.bench_function("begin-request-while-swapping", |bencher| bencher.iter(|| rehearsal.request(client)));
        done.store(true, Ordering::Relaxed);
    });
    group.finish();
    Ok(())
}

/// Reads and checks `text` as a gateway's configuration.
pub(crate) fn parse(text: &str) -> anyhow::Result<Loaded> {
    let env = Env::default().with("JWT_SECRET_KEY", SECRET);
    Ok(config::parse(text, Path::new("gateway.yaml"), &env)?)
}

fn routes(count: usize) -> anyhow::Result<String> {
    let mut text = "upstreams: { u: { targets: [\"http://127.0.0.1:1\"] } }\nroutes:\n".to_owned();
    for number in 0..count {
        writeln!(
            text,
            "  - {{ name: r{number}, match: {{ path: \"/service-{number}/items/{{id}}/*\" }}, upstream: u, public: true }}"
        )?;
    }
    Ok(text)
}
