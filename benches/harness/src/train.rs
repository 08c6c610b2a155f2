//! The mixed load that a compiler is shown to learn from, put on a proxy built to count what it does.
//!
//! Bounded by numbers of requests, never by time, so that every training is the same however slow such a build is.

mod edges;

use std::process::{Command, Stdio};

use anyhow::{Context, Result};

use crate::bench::Bench;
use crate::peer::{self, Peer};
use crate::request::Requests;
use crate::scenario::{self, Exchange, Limits, Scenario, Tokens, Transport, Work};

/// More connections only show the same code again, and need more open files than a user may have.
const MOST_CONNECTIONS: usize = 64;
/// Different tokens in scenarios with many.
const TOKENS: usize = 2000;

/// Trains `peer` with every scenario that the harness' own client can send.
pub(crate) fn train(bench: &Bench, peer: Peer) -> Result<()> {
    let redis = Command::new("redis-server").arg("--version").stdout(Stdio::null()).status().is_ok();
    for scenario in scenario::all().iter().filter(|scenario| sendable(scenario)) {
        if !redis && matches!(scenario.work, Work::Full { limits: Limits::Redis, .. }) {
            eprintln!("    {:16} left out: there is no redis-server", scenario.name);
            continue;
        }
        let count = requests(scenario);
        eprintln!("    {:16} {count} requests", scenario.name);
        let running = peer::start(bench, peer, scenario, &[])?;
        let each = Requests::new(bench, scenario, TOKENS)?;
        let sent = running.send(scenario, &each, count, scenario.connections);
        sent.with_context(|| format!("training with {}", scenario.name))?;
        // What was counted is written when the process ends, so it has to end well.
        running.process.stop()?;
    }
    if peer == Peer::Gateway { edges::train(bench) } else { Ok(()) }
}

fn sendable(scenario: &Scenario) -> bool {
    !matches!(scenario.transport, Transport::Http2 { .. }) && scenario.connections <= MOST_CONNECTIONS
}

/// About a second or two of work each.
fn requests(scenario: &Scenario) -> usize {
    match (scenario.exchange, scenario.tokens) {
        (Exchange::Get1m, _) => 500,
        (Exchange::Upload64k, _) => 3000,
        _ if scenario.new_connections => 3000,
        (_, Tokens::NeverRemembered) => 8000,
        (Exchange::Get16k, _) => 10_000,
        (Exchange::Get128, Tokens::One | Tokens::Many) => 15_000,
    }
}

#[cfg(test)]
mod tests {
    use super::sendable;
    use crate::scenario;

    #[test]
    fn training_shows_every_kind_of_exchange_and_token() {
        let names: Vec<_> = scenario::all().iter().filter(|scenario| sendable(scenario)).map(|it| it.name).collect();
        for name in [
            "plain",
            "plain-16k",
            "plain-1m",
            "plain-upload",
            "plain-new",
            "hs256",
            "hs256-uncached",
            "rs256",
            "rs256-many",
            "rs256-uncached",
            "es256",
            "es256-uncached",
            "eddsa",
            "redis",
        ] {
            assert!(names.contains(&name), "{name} is not in {names:?}");
        }
    }
}
