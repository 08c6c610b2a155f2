//! System calls that a proxy makes for a request, counted by `strace`: the difference of two runs, as for instructions.

use std::collections::BTreeMap;
use std::fs;

use anyhow::{Context, Result};

use crate::bench::Bench;
use crate::instructions::Lengths;
use crate::peer::{self, Peer};
use crate::request::Requests;
use crate::scenario::Scenario;

/// Below this, a call is none of a request's.
const RARE: f64 = 0.01;

/// Calls by name.
pub(crate) type Calls = BTreeMap<String, f64>;

/// Calls that `peer` makes for one request of `scenario`.
pub(crate) fn per_request(bench: &Bench, peer: Peer, scenario: &Scenario, lengths: Lengths) -> Result<Calls> {
    let count = |requests| -> Result<Calls> {
        let out = bench.directory.join(format!("strace.{}.{}.{requests}", peer.name(), scenario.name));
        let tracer = ["strace", "-c", "-f", "-o", &out.to_string_lossy()].map(str::to_owned);
        let running = peer::start(bench, peer, scenario, &tracer)?;
        let each = Requests::new(bench, scenario, requests)?;
        running.send(scenario, &each, requests, lengths.connections)?;
        running.process.stop()?;
        Ok(calls(&fs::read_to_string(&out).context("strace has written nothing")?))
    };
    Ok(difference(&count(lengths.short)?, &count(lengths.long)?, lengths))
}

fn difference(short: &Calls, long: &Calls, lengths: Lengths) -> Calls {
    let each = long.iter().map(|(name, count)| {
        let before = short.get(name).copied().unwrap_or_default();
        (name.clone(), lengths.per_request(before, *count))
    });
    each.filter(|(_, count)| *count >= RARE).collect()
}

/// The table of `strace -c`: `% time`, `seconds`, `usecs/call`, `calls`, perhaps `errors`, `syscall`.
fn calls(table: &str) -> Calls {
    let row = |line: &str| {
        let fields: Vec<_> = line.split_ascii_whitespace().collect();
        let (name, count) = (fields.last()?, fields.get(3)?.parse().ok()?);
        (*name != "total").then(|| ((*name).to_owned(), count))
    };
    table.lines().filter_map(row).collect()
}

#[cfg(test)]
mod tests {
    use super::{Calls, calls, difference};
    use crate::instructions::Lengths;

    const TABLE: &str = "\
% time     seconds  usecs/call     calls    errors syscall
------ ----------- ----------- --------- --------- ----------------
 60.00    0.000600           3       200           sendto
 40.00    0.000400           2       300        50 recvfrom
------ ----------- ----------- --------- --------- ----------------
100.00    0.001000           2       500        50 total
";

    #[test]
    fn calls_are_read_with_and_without_errors() {
        let expected: Calls = [("sendto".to_owned(), 200.0), ("recvfrom".to_owned(), 300.0)].into();
        assert_eq!(calls(TABLE), expected);
    }

    #[test]
    fn what_does_not_grow_with_the_requests_is_left_out() {
        let short: Calls = [("sendto".to_owned(), 20.0), ("mmap".to_owned(), 70.0)].into();
        let long: Calls = [("sendto".to_owned(), 220.0), ("mmap".to_owned(), 70.0)].into();
        let lengths = Lengths { short: 10, long: 110, connections: 1 };
        assert_eq!(difference(&short, &long, lengths), [("sendto".to_owned(), 2.0)].into());
    }
}
