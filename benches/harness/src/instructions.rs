//! Instructions in user mode that a proxy needs for a request, counted by callgrind.
//!
//! Two runs that differ only in their number of requests: what is the same in both (start, first connections, stop)
//! drops out of the difference. No noise of the machine moves this figure.

use std::fs;

use anyhow::{Context, Result};

use crate::bench::Bench;
use crate::peer::{self, Peer};
use crate::request::Requests;
use crate::scenario::Scenario;

/// How many requests a counted run has, and over how many connections.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Lengths {
    pub(crate) short: usize,
    pub(crate) long: usize,
    pub(crate) connections: usize,
}

impl Lengths {
    /// Of two counts, the part of one request.
    pub(crate) fn per_request(self, short: f64, long: f64) -> f64 {
        (long - short) / (self.long - self.short) as f64
    }
}

/// Instructions that `peer` needs for one request of `scenario`.
pub(crate) fn per_request(bench: &Bench, peer: Peer, scenario: &Scenario, lengths: Lengths) -> Result<f64> {
    let count = |requests| -> Result<f64> {
        let out = bench.directory.join(format!("callgrind.{}.{}.{requests}", peer.name(), scenario.name));
        let tracer =
            ["valgrind".to_owned(), "--tool=callgrind".to_owned(), format!("--callgrind-out-file={}", out.display())];
        let running = peer::start(bench, peer, scenario, &tracer)?;
        let each = Requests::new(bench, scenario, requests)?;
        running.send(scenario, &each, requests, lengths.connections)?;
        running.process.stop()?;
        total(&fs::read_to_string(&out).context("callgrind has written nothing")?)
    };
    Ok(lengths.per_request(count(lengths.short)?, count(lengths.long)?))
}

/// The sum over the whole program.
fn total(profile: &str) -> Result<f64> {
    let line = profile.lines().find_map(|line| line.strip_prefix("totals:").or_else(|| line.strip_prefix("summary:")));
    Ok(line.context("callgrind's file has no sum")?.trim().parse()?)
}

#[cfg(test)]
mod tests {
    use super::{Lengths, total};

    #[test]
    fn start_and_stop_drop_out() {
        let lengths = Lengths { short: 200, long: 1200, connections: 8 };
        assert_eq!(lengths.per_request(5_000_000.0 + 200.0 * 60_000.0, 5_000_000.0 + 1200.0 * 60_000.0), 60_000.0);
    }

    #[test]
    fn sum_is_found_in_the_profile() {
        assert_eq!(total("version: 1\nevents: Ir\nsummary: 123456\n\nfn=(1) main\n1 5\n").expect("a sum"), 123_456.0);
        total("version: 1\n").expect_err("no sum");
    }
}
