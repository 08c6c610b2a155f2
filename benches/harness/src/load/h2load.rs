//! HTTP/2 by `h2load`.

use std::process::Command;

use anyhow::{Context, Result, bail};

use super::Done;
use crate::bench::Bench;
use crate::peer::Running;
use crate::process::output;
use crate::scenario::Scenario;

pub(super) fn run(bench: &Bench, scenario: &Scenario, peer: &Running, seconds: u32, streams: usize) -> Result<Done> {
    let mut h2load = Command::new("h2load");
    h2load
        .args(["--threads", "1", "--clients", &scenario.connections.to_string()])
        .args(["--max-concurrent-streams", &streams.to_string(), "--duration", &seconds.to_string()])
        // Or else it would fall back to HTTP/1.1, and the proxies would choose different ciphers.
        .args(["--npn-list", "h2", "--tls13-ciphers", "TLS_AES_256_GCM_SHA384"])
        .arg(format!("https://{}{}", peer.addr, scenario.exchange.path()));
    done(&output(&h2load, Some(bench.cores.load))?, f64::from(seconds))
}

/// Of what it prints last: how many requests there were, and how they ended.
fn done(printed: &str, seconds: f64) -> Result<Done> {
    let counted = |what: &str, of: &str| -> Result<f64> {
        let line = printed.lines().find_map(|line| line.strip_prefix(what));
        let count = line.and_then(|line| line.split(',').find_map(|part| part.trim().strip_suffix(of)));
        Ok(count.with_context(|| format!("h2load's result does not say how many {of}"))?.trim().parse()?)
    };
    // Counted nowhere: requests of a connection that was closed under way.
    if printed.contains("Process Request Failure") {
        bail!("the proxy closed a connection");
    }
    for ended in ["failed", "errored", "timeout"] {
        let count = counted("requests:", ended)?;
        if count > 0.0 {
            bail!("{count} requests failed ({ended})");
        }
    }
    let (requests, good) = (counted("requests:", "succeeded")?, counted("status codes:", "2xx")?);
    if requests > good {
        bail!("{} requests failed (status)", requests - good);
    }
    Ok(Done { requests, seconds })
}

#[cfg(test)]
mod tests {
    use super::{Done, done};

    const PRINTED: &str = "\
finished in 2.00s, 2500.00 req/s, 400KB/s
requests: 5000 total, 5064 started, 5000 done, 5000 succeeded, 0 failed, 0 errored, 0 timeout
status codes: 5000 2xx, 0 3xx, 0 4xx, 0 5xx
";

    #[test]
    fn answered_requests_are_counted() {
        assert_eq!(done(PRINTED, 2.0).expect("a result"), Done { requests: 5000.0, seconds: 2.0 });
    }

    #[test]
    fn connections_closed_under_way_are_no_result() {
        done(&format!("Process Request Failure:1\n{PRINTED}"), 2.0).expect_err("one was closed");
    }

    #[test]
    fn failed_and_refused_requests_are_no_result() {
        let timed_out = PRINTED.replace("0 timeout", "7 timeout");
        assert_eq!(done(&timed_out, 2.0).expect_err("seven failed").to_string(), "7 requests failed (timeout)");
        let refused = PRINTED.replace("5000 2xx, 0 3xx, 0 4xx", "4990 2xx, 0 3xx, 10 4xx");
        assert_eq!(done(&refused, 2.0).expect_err("ten were refused").to_string(), "10 requests failed (status)");
    }
}
