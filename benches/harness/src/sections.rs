//! Each kind of measurement from its flags to its section on paper.

use anyhow::Result;

use crate::bench::Bench;
use crate::compare::{self, Compared, Extent};
use crate::flags::{Counted, Place, What};
use crate::latency::{self, Latencies};
use crate::load::Round;
use crate::peer::Peer;
use crate::report::{self, Counts};
use crate::scenario::{self, Scenario};
use crate::stats::Spread;
use crate::{instructions, limits, machine, memory, results, syscalls};

/// The scenarios whose instructions are counted.
const COUNTED: [&str; 8] =
    ["plain", "hs256", "hs256-uncached", "rs256", "rs256-many", "rs256-uncached", "es256", "es256-uncached"];
/// The scenarios whose answers are timed.
const TIMED: [&str; 3] = ["plain", "hs256", "rs256"];
/// The scenarios of the short comparison.
const SHORT: [&str; 5] = ["plain", "hs256", "rs256", "es256", "rs256-uncached"];

/// Everything.
pub(crate) fn everything(bench: &Bench, place: &Place) -> Result<()> {
    let what = What::default();
    instructions(bench, place, &Counted::default())?;
    syscalls(bench, place, &Counted::default())?;
    memory(bench, place, &what, 10)?;
    let extent = Extent { rounds: 5, seconds: 5, tokens: 10_000 };
    let compared = comparison(bench, place, &what, extent)?;
    let many_short = Extent { rounds: 20, seconds: 1, ..extent };
    latencies(bench, place, &what, many_short, |scenario| half_load(&compared, scenario))?;
    soak(bench, place, &what, 1e7)?;
    limits::run(bench, place, &limits::Extent::default())
}

/// What shows most in some minutes.
pub(crate) fn quick(bench: &Bench, place: &Place) -> Result<()> {
    instructions(bench, place, &Counted::default())?;
    syscalls(bench, place, &Counted::default())?;
    let scenarios = What::default().scenarios(&SHORT)?;
    let extent = Extent { rounds: 3, seconds: 2, tokens: 2_000 };
    let compared = compared(bench, &scenarios, &Peer::USUAL, extent);
    section(place, "comparison", "Load", &report::comparison(&compared))
}

/// Requests per second and processor time.
pub(crate) fn comparison(bench: &Bench, place: &Place, what: &What, extent: Extent) -> Result<Vec<Compared>> {
    let all: Vec<_> = scenario::all().iter().map(|scenario| scenario.name).collect();
    let compared = compared(bench, &what.scenarios(&all)?, &what.peers(&Peer::USUAL), extent);
    let picture = "comparison.svg";
    let text = format!(
        "{}\n![The gateway's processor time per request, to each peer's]({picture})\n",
        report::comparison(&compared)
    );
    section(place, "comparison", "Load", &text)?;
    if place.write {
        std::fs::write(bench.results().join(picture), report::picture(&compared))?;
    }
    Ok(compared)
}

fn compared(bench: &Bench, scenarios: &[Scenario], peers: &[Peer], extent: Extent) -> Vec<Compared> {
    let one = |(number, scenario): (usize, &Scenario)| {
        eprintln!("[{}/{}] {}", number + 1, scenarios.len(), scenario.title);
        compare::compare(bench, scenario, peers, extent)
    };
    scenarios.iter().enumerate().map(one).collect()
}

/// Times of answers at the rate that `rate` gives for a scenario; those it gives none for are left out.
pub(crate) fn latencies(
    bench: &Bench,
    place: &Place,
    what: &What,
    extent: Extent,
    rate: impl Fn(&Scenario) -> Option<(f64, Vec<Peer>)>,
) -> Result<()> {
    let mut all: Vec<Latencies> = Vec::new();
    for scenario in what.scenarios(&TIMED)? {
        let Some((rate, peers)) = rate(&scenario) else { continue };
        eprintln!("{}: times of answers at {rate:.0} requests/s", scenario.title);
        all.push(latency::measure(bench, &scenario, &peers, rate, (extent.rounds, extent.seconds))?);
    }
    section(place, "latency", "Times of answers", &report::latencies(&all))
}

/// Half of what the slowest of the proxies in `compared` could do, and who they are.
pub(crate) fn half_load(compared: &[Compared], scenario: &Scenario) -> Option<(f64, Vec<Peer>)> {
    let compared = compared.iter().find(|compared| compared.scenario == *scenario)?;
    let most = |peer: &Peer| {
        let rounds: Vec<_> =
            compared.rounds(*peer)?.iter().map(|Round { requests_per_second, .. }| *requests_per_second).collect();
        Some((*peer, Spread::of(&rounds)?.median))
    };
    let able: Vec<(Peer, f64)> = compared.outcomes.keys().filter_map(most).collect();
    let slowest = able.iter().map(|(_, most)| *most).min_by(f64::total_cmp)?;
    Some((slowest / 2.0, able.into_iter().map(|(peer, _)| peer).collect()))
}

/// Instructions per request.
pub(crate) fn instructions(bench: &Bench, place: &Place, counted: &Counted) -> Result<()> {
    let all = each(&counted.what, &COUNTED, &Peer::USUAL, |peer, scenario| {
        let count = instructions::per_request(bench, peer, scenario, counted.lengths())?;
        eprintln!("    {:14} {count:>9.0} instructions", peer.title());
        Ok(count)
    })?;
    section(place, "instructions", "Instructions per request", &report::instructions(&all))
}

/// System calls per request.
pub(crate) fn syscalls(bench: &Bench, place: &Place, counted: &Counted) -> Result<()> {
    let all = each(&counted.what, &["plain", "hs256"], &Peer::USUAL, |peer, scenario| {
        let calls = syscalls::per_request(bench, peer, scenario, counted.lengths())?;
        eprintln!("    {:14} {:>6.2} system calls", peer.title(), calls.values().sum::<f64>());
        Ok(calls)
    })?;
    section(place, "syscalls", "System calls per request", &report::syscalls(&all, counted.connections))
}

/// Resident memory.
pub(crate) fn memory(bench: &Bench, place: &Place, what: &What, seconds: u32) -> Result<()> {
    let all = each(what, &["plain", "hs256"], &Peer::ALL, |peer, scenario| {
        let memory = memory::measure(bench, peer, scenario, seconds)?;
        eprintln!("    {:14} {:>6.1} KiB per connection", peer.title(), memory.per_connection);
        Ok(memory)
    })?;
    section(place, "memory", "Memory", &report::memory(&all))
}

/// Resident memory over very many requests.
pub(crate) fn soak(bench: &Bench, place: &Place, what: &What, requests: f64) -> Result<()> {
    let one = |peer, scenario: &_| memory::soak(bench, peer, scenario, requests);
    let all = each(what, &["hs256"], &[Peer::Gateway], one)?;
    section(place, "soak", "Memory over many requests", &report::soak(&all))
}

/// Measures every proxy in every scenario; one that cannot is told and passed over.
fn each<T>(
    what: &What,
    usual: &[&str],
    usual_peers: &[Peer],
    measure: impl Fn(Peer, &Scenario) -> Result<T>,
) -> Result<Vec<(Scenario, Counts<T>)>> {
    let mut all = Vec::new();
    for scenario in what.scenarios(usual)? {
        eprintln!("{}", scenario.title);
        let one = |peer: Peer| {
            let outcome = measure(peer, &scenario).map_err(|error| format!("{error:#}"));
            if let Err(why) = &outcome {
                eprintln!("    {:14} {why}", peer.title());
            }
            (peer, outcome)
        };
        let counts = what.peers(usual_peers).into_iter().map(one).collect();
        all.push((scenario, counts));
    }
    Ok(all)
}

/// Prints a section, and writes it where results are kept if that was asked for.
pub(crate) fn section(place: &Place, name: &str, title: &str, text: &str) -> Result<()> {
    let text = format!("## {title}\n\n{}\n\n{text}", machine::describe(&place.root, &place.binaries));
    println!("{text}");
    if place.write {
        results::put(&place.root.join("benches/RESULTS.md"), name, &text)?;
    }
    Ok(())
}
