//! How long answers take at a rate that every proxy can keep, and that leaves half of its core to the load itself: whoever
//! asks late measures himself.

use std::collections::BTreeMap;
use std::env;
use std::fs;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, bail};

use crate::bench::Bench;
use crate::cpu::CoreTime;
use crate::load::oha;
use crate::open_loop::{self, Load};
use crate::peer::{self, Peer, Running};
use crate::process::output;
use crate::request::Requests;
use crate::scenario::{Scenario, Transport};

/// How busy the load's core may be: beyond, requests queue there, and the same proxy shows times of several milliseconds.
const LOAD_MAY_BE_BUSY: f64 = 0.5;
/// The rate is lowered so often at most; the cost of a request grows as they get fewer.
const TRIALS: usize = 6;

/// What one round showed, in microseconds.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Latency {
    pub(crate) p50: f64,
    pub(crate) p99: f64,
    pub(crate) p999: f64,
}

/// What a scenario showed.
pub(crate) struct Latencies {
    pub(crate) scenario: Scenario,
    /// Requests per second.
    pub(crate) rate: f64,
    pub(crate) rounds: BTreeMap<Peer, Vec<Timing>>,
}

/// One round, by each of the two that ask, and how busy the load's core was with the busier of them.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Timing {
    pub(crate) own: Latency,
    pub(crate) oha: Latency,
    pub(crate) busy: f64,
}

/// Times `peers`, turn by turn, at `rate` requests per second or what the load's core bears of it.
pub(crate) fn measure(
    bench: &Bench,
    scenario: &Scenario,
    peers: &[Peer],
    rate: f64,
    (rounds, seconds): (usize, u32),
) -> Result<Latencies> {
    if scenario.transport != Transport::Http1 || scenario.new_connections {
        bail!("answers are timed on kept connections without TLS only");
    }
    let mut running = Vec::new();
    for peer in peers {
        running.push((*peer, peer::start(bench, *peer, scenario, &[])?));
    }
    // Which also warms them up.
    let rate = bearable(bench, scenario, &running, rate)?;
    let mut measured: BTreeMap<Peer, Vec<Timing>> = BTreeMap::new();
    for number in 1..=rounds {
        for (peer, process) in &running {
            let timing = both(bench, scenario, process, rate, seconds)?;
            let Timing { own, oha, .. } = timing;
            let Latency { p50, p99, p999 } = own;
            eprintln!(
                "    {number}/{rounds} {:14} p50 {p50:>6.0} p99 {p99:>6.0} p99.9 {p999:>6.0} us; oha: p99 {:>6.0}",
                peer.title(),
                oha.p99
            );
            measured.entry(*peer).or_default().push(timing);
        }
    }
    Ok(Latencies { scenario: scenario.clone(), rate, rounds: measured })
}

/// `rate`, or as much of it as keeps the load's core no busier than [`LOAD_MAY_BE_BUSY`] with any of `running`.
fn bearable(bench: &Bench, scenario: &Scenario, running: &[(Peer, Running)], mut rate: f64) -> Result<f64> {
    for _ in 0..TRIALS {
        let mut busiest: f64 = 0.0;
        for (_, process) in running {
            busiest = busiest.max(both(bench, scenario, process, rate, 1)?.busy);
        }
        eprintln!("    at {rate:.0} requests/s the load's core is {:.0} % busy", busiest * 100.0);
        if busiest <= LOAD_MAY_BE_BUSY {
            break;
        }
        rate *= LOAD_MAY_BE_BUSY / busiest;
    }
    Ok(rate)
}

/// One round by the harness and one by oha.
fn both(bench: &Bench, scenario: &Scenario, peer: &Running, rate: f64, seconds: u32) -> Result<Timing> {
    let begun = CoreTime::of(bench.cores.load)?;
    let own = round(bench, scenario, peer, rate, seconds)?;
    let between = CoreTime::of(bench.cores.load)?;
    let oha = oha::run(bench, scenario, peer, rate, seconds)?;
    let busy = CoreTime::of(bench.cores.load)?.busy_since(between).max(between.busy_since(begun));
    Ok(Timing { own, oha, busy })
}

/// One round, in a process of its own on the load's core.
fn round(bench: &Bench, scenario: &Scenario, peer: &Running, rate: f64, seconds: u32) -> Result<Latency> {
    let request = bench.directory.join(format!("{}.request", scenario.name));
    fs::write(&request, Requests::new(bench, scenario, 1)?.numbered(0))?;
    let mut command = Command::new(env::current_exe()?);
    command
        .args(["open-loop", &peer.addr.to_string(), "--rate", &rate.to_string()])
        .args(["--seconds", &seconds.to_string(), "--connections", &scenario.connections.to_string()])
        .arg("--request")
        .arg(request);
    read(&output(&command, Some(bench.cores.load))?).context("the load printed no result")
}

/// What that process does: sends `request` and prints percentiles in microseconds.
pub(crate) fn print(load: Load, request: Vec<u8>) -> Result<()> {
    let mut times = open_loop::run(load, &[request])?;
    times.sort_unstable();
    let at = |share| percentile(&times, share).as_secs_f64() * 1e6;
    println!("{} {} {}", at(0.5), at(0.99), at(0.999));
    Ok(())
}

fn read(printed: &str) -> Option<Latency> {
    let mut values = printed.split_ascii_whitespace().map(str::parse);
    let mut next = || values.next()?.ok();
    Some(Latency { p50: next()?, p99: next()?, p999: next()? })
}

/// The least of `sorted` that at least `share` of them do not exceed (nearest rank).
pub(crate) fn percentile(sorted: &[Duration], share: f64) -> Duration {
    let rank = (share * sorted.len() as f64).ceil() as usize;
    sorted.get(rank.max(1) - 1).copied().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::{Latency, percentile, read};

    #[test]
    fn percentiles_are_the_nearest_rank() {
        let sorted: Vec<_> = (1..=1000).map(Duration::from_micros).collect();
        assert_eq!(percentile(&sorted, 0.5), Duration::from_micros(500));
        assert_eq!(percentile(&sorted, 0.99), Duration::from_micros(990));
        assert_eq!(percentile(&sorted, 0.999), Duration::from_micros(999));
        assert_eq!(percentile(&sorted[..1], 0.999), Duration::from_micros(1));
        assert_eq!(percentile(&[], 0.5), Duration::ZERO);
    }

    #[test]
    fn result_of_the_load_is_read_back() {
        assert_eq!(read("80.5 200 310.25\n"), Some(Latency { p50: 80.5, p99: 200.0, p999: 310.25 }));
        assert_eq!(read("80.5 200\n"), None);
    }
}
