//! Endpoint by endpoint: requests per second on one core, CPU per request, latency at half load, calls to DynamoDB.

use std::fmt;
use std::time::{Duration, Instant};

use anyhow::Result;
use tokio::time::sleep;

use crate::client::Connection;
use crate::counting::Counter;
use crate::load::{ask, closed_loop, open_loop, quantile};
use crate::process::run_on;
use crate::report::{median, progress, spread};
use crate::requests::{Endpoint, endpoints};
use crate::stats::ratios;
use crate::system::{LOAD_CORE, Peer, Programs, SERVICE_CORE, Site, System, token};
use crate::table::{table, whole};

/// Requests whose calls are counted.
const COUNTED: u64 = 100;
/// Before each measurement: connections are made and caches filled.
const WARM_UP: Duration = Duration::from_millis(500);
/// Longer than anybody keeps the catalogue.
const PAUSE: Duration = Duration::from_millis(1500);
/// A service that used less of its core waited for the load or the store.
const BUSY: f64 = 0.85;

/// One measurement of one system.
struct Sample {
    per_second: f64,
    /// Of its core.
    share: f64,
    cpu_micros: f64,
    p50: f64,
    p99: f64,
}

/// Calls to DynamoDB.
struct Calls {
    per_request: f64,
    /// Of the first request after a pause.
    after_pause: u64,
}

/// Compares every endpoint in so many rounds; each measurement takes `length`.
pub(crate) async fn compare(programs: &Programs, rounds: usize, length: Duration) -> Result<String> {
    run_on(LOAD_CORE)?;
    let site = Site::open(programs, LOAD_CORE).await?;
    let store = site.store.addr;
    let ours = site.ours(SERVICE_CORE, store).await?;
    let token = token(ours.user.addr).await?;
    let fastapi = site.fastapi(Peer::FastApi, SERVICE_CORE, store).await?;
    let keeping = site.fastapi(Peer::FastApiKeeping, SERVICE_CORE, store).await?;

    let mut text = format!(
        "### Endpoints\n\nOne service at a time on one core; load and store share the other. Medians of {rounds} rounds of {} s, \
         turn by turn. A service that used less than {:.0} % of its core, which then stands behind its requests/s, waited for \
         the load or the store; requests per second of CPU tell what the core could have done. Times of answers are those \
         at half of the service's own requests/s (open loop). The last column is the service's CPU per request divided by \
         ours, round by round (least–greatest).\n\n",
        length.as_secs(),
        BUSY * 100.0
    );
    for endpoint in endpoints(&token) {
        let floor = site.bare_endpoint(&endpoint.request, SERVICE_CORE, ours.of(endpoint.service)).await?;
        let mut systems = vec![&ours, &floor, &fastapi];
        systems.extend(endpoint.lists.then_some(&keeping));
        let samples = in_turn(&systems, &endpoint, rounds, length).await?;
        let our_costs: Vec<f64> = samples.first().into_iter().flatten().map(|sample| sample.cpu_micros).collect();
        let mut rows = Vec::new();
        for (system, samples) in systems.iter().zip(&samples) {
            rows.push(row(system.peer, samples, &calls(&site, system.peer, &endpoint).await?, &our_costs));
        }
        let titles = ["requests/s", "per s of CPU", "CPU µs", "p50 ms", "p99 ms", "DynamoDB calls", "÷ ours"];
        text += &format!("{}\n", table(&[&[endpoint.request.name], titles.as_slice()].concat(), &rows));
    }
    Ok(text)
}

/// The samples of each system.
async fn in_turn(
    systems: &[&System],
    endpoint: &Endpoint,
    rounds: usize,
    length: Duration,
) -> Result<Vec<Vec<Sample>>> {
    let mut samples: Vec<Vec<Sample>> = systems.iter().map(|_| Vec::new()).collect();
    for round in 1..=rounds {
        for (system, samples) in systems.iter().zip(&mut samples) {
            let sample = measure(system, endpoint, length).await?;
            progress(&format!(
                "{}, round {round}/{rounds}, {}: {:.0}/s, {:.0} µs, p99 {:.2} ms",
                endpoint.request.name,
                system.peer.title(),
                sample.per_second,
                sample.cpu_micros,
                sample.p99
            ));
            samples.push(sample);
        }
    }
    Ok(samples)
}

async fn measure(system: &System, endpoint: &Endpoint, length: Duration) -> Result<Sample> {
    let process = system.of(endpoint.service);
    closed_loop(process.addr, endpoint, WARM_UP).await?;
    let (began, used_before) = (Instant::now(), process.cpu_seconds()?);
    let answered = closed_loop(process.addr, endpoint, length).await? as f64;
    let (seconds, used) = (began.elapsed().as_secs_f64(), process.cpu_seconds()? - used_before);
    let per_second = answered / seconds;
    let latencies = open_loop(process.addr, endpoint, per_second / 2.0, length).await?;
    Ok(Sample {
        per_second,
        share: used / seconds,
        cpu_micros: used * 1e6 / answered,
        p50: quantile(&latencies, 0.5),
        p99: quantile(&latencies, 0.99),
    })
}

/// Calls to DynamoDB of a system of its own behind a counting relay.
async fn calls(site: &Site<'_>, peer: Peer, endpoint: &Endpoint) -> Result<Calls> {
    let counter = Counter::before(site.store.addr).await?;
    let system = match peer {
        Peer::Ours => site.ours(SERVICE_CORE, counter.addr).await?,
        Peer::FastApi | Peer::FastApiKeeping => site.fastapi(peer, SERVICE_CORE, counter.addr).await?,
        Peer::BareEndpoint => return Ok(Calls { per_request: 0.0, after_pause: 0 }),
    };
    let mut connection = Connection::open(system.of(endpoint.service).addr).await?;
    sleep(PAUSE).await;
    let before = counter.calls();
    ask(&mut connection, &endpoint.request).await?;
    let after_pause = counter.calls() - before;
    for _ in 0..COUNTED {
        ask(&mut connection, &endpoint.request).await?;
    }
    let per_request = (counter.calls() - before - after_pause) as f64 / COUNTED as f64;
    Ok(Calls { per_request, after_pause })
}

fn row(peer: Peer, samples: &[Sample], calls: &Calls, our_costs: &[f64]) -> Vec<String> {
    let each = |of: fn(&Sample) -> f64| -> Vec<f64> { samples.iter().map(of).collect() };
    let costs = each(|sample| sample.cpu_micros);
    vec![
        peer.title().to_owned(),
        requests(median(&each(|sample| sample.per_second)), median(&each(|sample| sample.share))),
        whole(1e6 / median(&costs)),
        whole(median(&costs)),
        format!("{:.2}", median(&each(|sample| sample.p50))),
        format!("{:.2}", median(&each(|sample| sample.p99))),
        calls.to_string(),
        match peer {
            Peer::Ours => String::new(),
            Peer::BareEndpoint => spread(ratios(&costs, our_costs), 3),
            Peer::FastApi | Peer::FastApiKeeping => spread(ratios(&costs, our_costs), 1),
        },
    ]
}

fn requests(per_second: f64, share: f64) -> String {
    let per_second = whole(per_second);
    if share < BUSY { format!("{per_second} ({:.0} %)", share * 100.0) } else { per_second }
}

impl fmt::Display for Calls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.per_request)?;
        if self.per_request < self.after_pause as f64 {
            write!(f, "; {} after a pause", self.after_pause)
        } else {
            Ok(())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_share_of_the_core_is_told_where_something_else_was_the_limit() {
        assert_eq!([requests(12_345.6, 0.99), requests(12_345.6, 0.5)], ["12,346", "12,346 (50 %)"]);
    }

    #[test]
    fn calls_after_a_pause_are_told_where_they_are_more() {
        let calls = |per_request, after_pause| Calls { per_request, after_pause }.to_string();
        assert_eq!([calls(2.0, 2), calls(0.0, 0), calls(0.0, 1)], ["2", "0", "0; 1 after a pause"]);
    }

    #[test]
    fn ratios_are_taken_round_by_round() {
        let samples = |costs: [f64; 3]| {
            costs.map(|cpu_micros| Sample { per_second: 1000.0, share: 0.9, cpu_micros, p50: 1.0, p99: 2.0 })
        };
        let calls = Calls { per_request: 1.0, after_pause: 1 };
        let shown = row(Peer::FastApi, &samples([20.0, 60.0, 25.0]), &calls, &[10.0, 30.0, 10.0]);
        assert_eq!(shown, ["FastAPI", "1,000", "40,000", "25", "1.00", "2.00", "1", "2.0 (2.0–2.5)"]);
        assert_eq!(row(Peer::Ours, &samples([1.0; 3]), &calls, &[1.0; 3]).last().map(String::as_str), Some(""));
    }
}
