//! Endpoint by endpoint: requests per second on one core, CPU per request, latency at half load, calls to DynamoDB.

use std::fmt::Write as _;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};

use crate::client::Connection;
use crate::counting::Counter;
use crate::load::{closed_loop, open_loop};
use crate::process::run_on;
use crate::report::progress;
use crate::requests::{Endpoint, Service, assets, endpoints};
use crate::stats::{median, quantile};
use crate::system::{Programs, Site, System, token};

/// Load and store.
const LOAD_CORE: &str = "0";
/// Whatever is measured.
const SERVICE_CORE: &str = "1";
/// Requests whose calls are counted.
const COUNTED: u64 = 100;
/// Before each measurement: connections are made and caches filled.
const WARM_UP: Duration = Duration::from_millis(500);

/// One measurement of one system.
struct Sample {
    per_second: f64,
    cpu_micros: f64,
    p50: f64,
    p99: f64,
}

/// Compares every endpoint in so many rounds; each measurement takes `length`.
pub(crate) async fn compare(programs: &Programs, rounds: usize, length: Duration) -> Result<String> {
    run_on(LOAD_CORE)?;
    let site = Site::open(programs, LOAD_CORE).await?;
    let store = site.store.addr;
    let mut systems = vec![site.ours(SERVICE_CORE, store).await?];
    let token = token(systems.first().context("ours")?.user.addr).await?;
    systems.push(site.fastapi(SERVICE_CORE, store, 0).await?);
    systems.push(site.fastapi(SERVICE_CORE, store, 1).await?);
    let page = page(systems.first().context("ours")?).await?;
    systems.push(site.floor(SERVICE_CORE, &page).await?);

    let mut text = format!(
        "### Endpoints\n\nThe measured service alone on one core; load and store on the other. Medians of {rounds} rounds of \
         {} s, turn by turn; ratios are of requests per second of CPU time, round by round.\n\n\
         | endpoint | system | requests/s | CPU µs per request | p50 / p99 at half load, ms | DynamoDB calls | ours is |\n\
         |---|---|---|---|---|---|---|\n",
        length.as_secs()
    );
    for endpoint in endpoints(&token) {
        let answering: Vec<&System> = systems.iter().filter(|system| answers(system, &endpoint)).collect();
        let mut samples: Vec<Vec<Sample>> = answering.iter().map(|_| Vec::new()).collect();
        for round in 1..=rounds {
            for (system, samples) in answering.iter().zip(&mut samples) {
                let sample = measure(system, &endpoint, length).await?;
                progress(&format!(
                    "{}, round {round}/{rounds}, {}: {:.0}/s, {:.0} µs, p99 {:.2} ms",
                    endpoint.request.name, system.name, sample.per_second, sample.cpu_micros, sample.p99
                ));
                samples.push(sample);
            }
        }
        let ours = samples.first().context("ours")?;
        for (system, samples) in answering.iter().zip(&samples) {
            let of = |value: fn(&Sample) -> f64| median(samples.iter().map(value));
            let calls = calls(&site, system.name, &endpoint).await?;
            let ratio = median(ours.iter().zip(samples).map(|(ours, theirs)| theirs.cpu_micros / ours.cpu_micros));
            let ratio = if system.name == "ours" { String::new() } else { format!("{ratio:.2} ×") };
            let (name, p50, p99) = (endpoint.request.name, of(|s| s.p50), of(|s| s.p99));
            let (per_second, cpu) = (of(|s| s.per_second), of(|s| s.cpu_micros));
            writeln!(
                text,
                "| {name} | {} | {per_second:.0} | {cpu:.0} | {p50:.2} / {p99:.2} | {calls} | {ratio} |",
                system.name
            )?;
        }
    }
    text.push('\n');
    Ok(text)
}

/// The bare endpoint has only a list, and only the list is kept.
fn answers(system: &System, endpoint: &Endpoint) -> bool {
    system.name == "ours" || system.name == "FastAPI" || endpoint.request.name == assets().name
}

async fn measure(system: &System, endpoint: &Endpoint, length: Duration) -> Result<Sample> {
    let process = system.of(endpoint.service);
    let load = |length| closed_loop(process.addr, &endpoint.request, endpoint.connections, length);
    load(WARM_UP).await?;
    let began = process.cpu_seconds()?;
    let answered = load(length).await? as f64;
    let cpu_micros = (process.cpu_seconds()? - began) * 1e6 / answered;
    let per_second = answered / length.as_secs_f64();
    let latencies = open_loop(process.addr, &endpoint.request, per_second / 2.0, length).await?;
    Ok(Sample { per_second, cpu_micros, p50: quantile(&latencies, 0.5), p99: quantile(&latencies, 0.99) })
}

/// Calls to DynamoDB per request, of a system of its own behind a counting relay.
async fn calls(site: &Site<'_>, name: &str, endpoint: &Endpoint) -> Result<String> {
    let counter = Counter::before(site.store.addr).await?;
    let system = match name {
        "ours" => site.ours(SERVICE_CORE, counter.addr).await?,
        "FastAPI" => site.fastapi(SERVICE_CORE, counter.addr, 0).await?,
        "bare poem endpoint" => return Ok("0".to_owned()),
        _ => site.fastapi(SERVICE_CORE, counter.addr, 1).await?,
    };
    let mut connection = Connection::open(system.of(endpoint.service).addr).await?;
    connection.send(&endpoint.request.bytes).await?;
    let before = counter.calls();
    for _ in 0..COUNTED {
        let status = connection.send(&endpoint.request.bytes).await?;
        ensure!(status == endpoint.request.status, "{} was answered with {status}", endpoint.request.name);
    }
    let calls = (counter.calls() - before) as f64 / COUNTED as f64;
    Ok(format!("{calls:.2}").trim_end_matches('0').trim_end_matches('.').to_owned())
}

/// What ours answers to a request for a list.
async fn page(ours: &System) -> Result<Vec<u8>> {
    let mut connection = Connection::open(ours.of(Service::Inventory).addr).await?;
    connection.send(&assets().bytes).await?;
    Ok(connection.body().to_vec())
}
