//! Load by `wrk`: as many requests as the proxy can answer, and what that cost it.

use std::process::Command;

use anyhow::{Context, Result, bail};

use crate::bench::Bench;
use crate::cpu::{CpuTime, Used};
use crate::peer::Running;
use crate::process::output;
use crate::scenario::{Scenario, Tokens, Work};

/// What one round showed.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Round {
    pub(crate) requests_per_second: f64,
    /// Microseconds of processor time per request.
    pub(crate) user: f64,
    pub(crate) system: f64,
    /// How much of its core the proxy used; well below 1, something else was the limit.
    pub(crate) busy: f64,
}

impl Round {
    pub(crate) fn cpu(self) -> f64 {
        self.user + self.system
    }
}

/// One round of `seconds`.
pub(crate) fn round(bench: &Bench, scenario: &Scenario, peer: &Running, seconds: u32, tokens: usize) -> Result<Round> {
    let before = CpuTime::of(peer.process.id())?;
    let printed = output(&wrk(bench, scenario, peer, seconds, tokens)?, Some(bench.cores.load))?;
    let used = CpuTime::of(peer.process.id())?.since(before);
    summarize(&printed, used)
}

fn wrk(bench: &Bench, scenario: &Scenario, peer: &Running, seconds: u32, tokens: usize) -> Result<Command> {
    let tokens = match (scenario.work, scenario.tokens) {
        (Work::Plain, _) => "-".to_owned(),
        (Work::Full { algorithm, .. }, Tokens::One | Tokens::NeverRemembered) => {
            bench.tokens.file(algorithm, 1)?.display().to_string()
        }
        (Work::Full { algorithm, .. }, Tokens::Many) => bench.tokens.file(algorithm, tokens)?.display().to_string(),
    };
    let exchange = scenario.exchange;
    let mut wrk = Command::new("wrk");
    wrk.args(["--threads", "1", "--connections", &scenario.connections.to_string()])
        .args(["--duration", &format!("{seconds}s"), "--timeout", "10s", "--script"])
        .arg(bench.peers().join("load.lua"))
        .arg(format!("http://{}{}", peer.addr, exchange.path()))
        .args(["--", exchange.method(), &exchange.sent().to_string(), &tokens])
        .arg(if scenario.new_connections { "CLOSE" } else { "KEEP" });
    Ok(wrk)
}

/// Of the line that `load.lua` prints last.
fn summarize(printed: &str, used: Used) -> Result<Round> {
    let line = printed.lines().find_map(|line| line.strip_prefix("result ")).context("wrk printed no result")?;
    let field = |name: &str| -> Result<f64> {
        let value = line.split(' ').find_map(|field| field.strip_prefix(name)?.strip_prefix('='));
        Ok(value.with_context(|| format!("wrk's result has no {name}"))?.parse()?)
    };
    let (requests, seconds) = (field("requests")?, field("microseconds")? / 1e6);
    for kind in ["connect", "read", "write", "status", "timeout"] {
        let errors = field(kind)?;
        if errors > 0.0 {
            bail!("{errors} requests failed ({kind})");
        }
    }
    if requests == 0.0 {
        bail!("no request was answered");
    }
    Ok(Round {
        requests_per_second: requests / seconds,
        user: used.user * 1e6 / requests,
        system: used.system * 1e6 / requests,
        busy: used.total() / seconds,
    })
}

#[cfg(test)]
mod tests {
    use super::summarize;
    use crate::cpu::Used;

    const USED: Used = Used { user: 1.0, system: 0.5 };

    #[test]
    fn cost_is_told_per_request() {
        let printed =
            "Running\nresult requests=50000 microseconds=2000000 connect=0 read=0 write=0 status=0 timeout=0\n";
        let round = summarize(printed, USED).expect("a result");
        assert_eq!((round.requests_per_second, round.user, round.system, round.busy), (25_000.0, 20.0, 10.0, 0.75));
    }

    #[test]
    fn failed_requests_are_no_result() {
        let printed = "result requests=5 microseconds=2000000 connect=0 read=0 write=0 status=3 timeout=0\n";
        assert_eq!(summarize(printed, USED).expect_err("three failed").to_string(), "3 requests failed (status)");
    }
}
