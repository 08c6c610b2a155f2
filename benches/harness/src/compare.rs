//! The comparison itself: every scenario, every proxy turn by turn, round by round.

use std::collections::BTreeMap;

use anyhow::Result;

use crate::bench::Bench;
use crate::load::{self, Round};
use crate::peer::{self, Peer};
use crate::scenario::Scenario;

/// How much is measured.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Extent {
    pub(crate) rounds: usize,
    /// Seconds of a round.
    pub(crate) seconds: u32,
    /// Different tokens in scenarios with many.
    pub(crate) tokens: usize,
}

/// What a proxy did in a scenario: its rounds, or why there are none.
pub(crate) type Outcome = Result<Vec<Round>, String>;

/// Outcomes of one scenario.
pub(crate) struct Compared {
    pub(crate) scenario: Scenario,
    pub(crate) outcomes: BTreeMap<Peer, Outcome>,
}

impl Compared {
    /// What `peer` did, if it did anything.
    pub(crate) fn rounds(&self, peer: Peer) -> Option<&[Round]> {
        self.outcomes.get(&peer)?.as_deref().ok()
    }

    /// Whether any proxy did anything.
    pub(crate) fn is_measured(&self) -> bool {
        self.outcomes.values().any(Result::is_ok)
    }
}

/// Runs `scenario` with `peers`. All are started first and take turns, so that whatever the machine does meanwhile falls
/// on all of them.
pub(crate) fn compare(bench: &Bench, scenario: &Scenario, peers: &[Peer], extent: Extent) -> Compared {
    let mut outcomes = BTreeMap::new();
    let mut running = BTreeMap::new();
    for peer in peers {
        match peer::start(bench, *peer, scenario, &[]).map_err(|error| format!("{error:#}")) {
            Ok(process) => {
                running.insert(*peer, process);
                outcomes.insert(*peer, Ok(Vec::new()));
            }
            Err(why) => {
                eprintln!("    {}: {why}", peer.title());
                outcomes.insert(*peer, Err(why));
            }
        }
    }
    for number in 0..=extent.rounds {
        // The first round of all is for warming up.
        let seconds = if number == 0 { 1 } else { extent.seconds };
        for peer in peers {
            let (Some(process), Some(Ok(rounds))) = (running.get(peer), outcomes.get_mut(peer)) else { continue };
            match load::round(bench, scenario, process, seconds, extent.tokens) {
                Ok(round) if number > 0 => {
                    eprintln!(
                        "    {number}/{} {:14} {:>8.0} requests/s {:>7.1} us/request, core {:.0} % busy",
                        extent.rounds,
                        peer.title(),
                        round.requests_per_second,
                        round.cpu(),
                        round.busy * 100.0
                    );
                    rounds.push(round);
                }
                Ok(_) => {}
                Err(error) => {
                    eprintln!("    {}: {error:#}", peer.title());
                    outcomes.insert(*peer, Err(format!("{error:#}")));
                }
            }
        }
    }
    Compared { scenario: scenario.clone(), outcomes }
}
