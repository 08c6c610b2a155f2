//! HTTP/1.1 by `wrk`, whose script `load.lua` makes the requests and prints the result.

use std::process::Command;

use anyhow::{Context, Result, bail};

use super::Done;
use crate::bench::Bench;
use crate::peer::Running;
use crate::process::output;
use crate::scenario::{Scenario, Tokens, Transport, Work};

pub(super) fn run(bench: &Bench, scenario: &Scenario, peer: &Running, seconds: u32, tokens: usize) -> Result<Done> {
    let tokens = match (scenario.work, scenario.tokens) {
        (Work::Plain, _) => "-".to_owned(),
        (Work::Full { algorithm, .. }, Tokens::One | Tokens::NeverRemembered) => {
            bench.tokens.file(algorithm, 1)?.display().to_string()
        }
        (Work::Full { algorithm, .. }, Tokens::Many) => bench.tokens.file(algorithm, tokens)?.display().to_string(),
    };
    let (exchange, scheme) = (scenario.exchange, if scenario.transport == Transport::Http1 { "http" } else { "https" });
    let mut wrk = Command::new("wrk");
    wrk.args(["--threads", "1", "--connections", &scenario.connections.to_string()])
        .args(["--duration", &format!("{seconds}s"), "--timeout", "10s", "--script"])
        .arg(bench.peers().join("load.lua"))
        .arg(format!("{scheme}://{}{}", peer.addr, exchange.path()))
        .args(["--", exchange.method(), &exchange.sent().to_string(), &tokens])
        .arg(if scenario.new_connections { "CLOSE" } else { "KEEP" });
    done(&output(&wrk, Some(bench.cores.load))?)
}

/// Of the line that `load.lua` prints last.
fn done(printed: &str) -> Result<Done> {
    let line = printed.lines().find_map(|line| line.strip_prefix("result ")).context("wrk printed no result")?;
    let field = |name: &str| -> Result<f64> {
        let value = line.split(' ').find_map(|field| field.strip_prefix(name)?.strip_prefix('='));
        Ok(value.with_context(|| format!("wrk's result has no {name}"))?.parse()?)
    };
    for kind in ["connect", "read", "write", "status", "timeout"] {
        let errors = field(kind)?;
        if errors > 0.0 {
            bail!("{errors} requests failed ({kind})");
        }
    }
    Ok(Done { requests: field("requests")?, seconds: field("microseconds")? / 1e6 })
}

#[cfg(test)]
mod tests {
    use super::{Done, done};

    #[test]
    fn result_is_found_behind_what_wrk_itself_prints() {
        let printed =
            "Running\nresult requests=50000 microseconds=2000000 connect=0 read=0 write=0 status=0 timeout=0\n";
        assert_eq!(done(printed).expect("a result"), Done { requests: 50_000.0, seconds: 2.0 });
    }

    #[test]
    fn failed_requests_are_no_result() {
        let printed = "result requests=5 microseconds=2000000 connect=0 read=0 write=0 status=3 timeout=0\n";
        assert_eq!(done(printed).expect_err("three failed").to_string(), "3 requests failed (status)");
    }
}
