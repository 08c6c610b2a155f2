//! Load: as many requests as the proxy can answer, and what that cost it.

mod h2load;
pub(crate) mod handshakes;
pub(crate) mod oha;
mod wrk;

use anyhow::{Result, bail};

use crate::bench::Bench;
use crate::cpu::{CpuTime, Used};
use crate::peer::Running;
use crate::scenario::{Scenario, Transport};

/// What one round showed.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Round {
    pub(crate) requests: f64,
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

/// What a load generator says it did.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Done {
    /// All of them answered as they should be.
    requests: f64,
    seconds: f64,
}

/// One round of `seconds`.
pub(crate) fn round(bench: &Bench, scenario: &Scenario, peer: &Running, seconds: u32, tokens: usize) -> Result<Round> {
    let before = CpuTime::of(peer.process.id())?;
    let done = match scenario.transport {
        Transport::Http2 { streams } => h2load::run(bench, scenario, peer, seconds, streams)?,
        // wrk cannot be told whether to resume sessions.
        Transport::Tls | Transport::TlsResumed if scenario.new_connections => {
            handshakes::run(bench, scenario, peer, seconds)?
        }
        Transport::Http1 | Transport::Tls | Transport::TlsResumed => wrk::run(bench, scenario, peer, seconds, tokens)?,
    };
    cost(done, CpuTime::of(peer.process.id())?.since(before))
}

fn cost(Done { requests, seconds }: Done, used: Used) -> Result<Round> {
    if requests == 0.0 {
        bail!("no request was answered");
    }
    Ok(Round {
        requests,
        requests_per_second: requests / seconds,
        user: used.user * 1e6 / requests,
        system: used.system * 1e6 / requests,
        busy: used.total() / seconds,
    })
}

#[cfg(test)]
mod tests {
    use super::{Done, cost};
    use crate::cpu::Used;

    #[test]
    fn cost_is_told_per_request() {
        let used = Used { user: 1.0, system: 0.5 };
        let round = cost(Done { requests: 50_000.0, seconds: 2.0 }, used).expect("a result");
        assert_eq!(round.requests, 50_000.0);
        assert_eq!((round.requests_per_second, round.user, round.system, round.busy), (25_000.0, 20.0, 10.0, 0.75));
        cost(Done { requests: 0.0, seconds: 2.0 }, used).expect_err("nothing was answered");
    }
}
