//! HTTP/1.1 at a fixed rate by `oha`: the second opinion on how long answers take.

use std::process::Command;

use anyhow::{Context, Result, bail};
use serde_json::Value;

use crate::bench::Bench;
use crate::latency::Latency;
use crate::peer::Running;
use crate::process::output;
use crate::request::token;
use crate::scenario::Scenario;

/// One round, its times taken from when each request was due.
pub(crate) fn run(bench: &Bench, scenario: &Scenario, peer: &Running, rate: f64, seconds: u32) -> Result<Latency> {
    let mut oha = Command::new("oha");
    oha.args(["--no-tui", "--output-format", "json", "--latency-correction", "--disable-compression"])
        .args(["-z", &format!("{seconds}s"), "-q", &format!("{rate:.0}"), "-c", &scenario.connections.to_string()])
        .args(["-m", scenario.exchange.method()]);
    if let Some(token) = token(bench, scenario)? {
        oha.args(["-H", &format!("Authorization: Bearer {token}")]);
    }
    oha.arg(format!("http://{}{}", peer.addr, scenario.exchange.path()));
    read(&output(&oha, Some(bench.cores.load))?)
}

/// Of the report that it prints: percentiles in seconds, if every answer was a good one.
fn read(printed: &str) -> Result<Latency> {
    let report: Value = serde_json::from_str(printed).context("oha printed no JSON")?;
    let statuses = report["statusCodeDistribution"].as_object().context("oha tells no statuses")?;
    if let Some(other) = statuses.keys().find(|status| *status != "200") {
        bail!("requests were answered with {other}");
    }
    let errors = report["errorDistribution"].as_object().context("oha tells no errors")?;
    // What is under way when time is up.
    if let Some(error) = errors.keys().find(|error| *error != "aborted due to deadline") {
        bail!("requests failed: {error}");
    }
    let microseconds = |percentile: &str| -> Result<f64> {
        let value = report["latencyPercentiles"][percentile].as_f64();
        Ok(value.with_context(|| format!("oha tells no {percentile}"))? * 1e6)
    };
    Ok(Latency { p50: microseconds("p50")?, p99: microseconds("p99")?, p999: microseconds("p99.9")? })
}

#[cfg(test)]
mod tests {
    use super::read;
    use crate::latency::Latency;

    const PRINTED: &str = r#"{
        "latencyPercentiles": {"p50": 0.0002, "p99": 0.001, "p99.9": 0.0025},
        "statusCodeDistribution": {"200": 9990},
        "errorDistribution": {"aborted due to deadline": 10}
    }"#;

    #[test]
    fn percentiles_are_told_in_microseconds() {
        assert_eq!(read(PRINTED).expect("a result"), Latency { p50: 200.0, p99: 1000.0, p999: 2500.0 });
    }

    #[test]
    fn refused_and_failed_requests_are_no_result() {
        let refused = PRINTED.replace("\"200\": 9990", "\"200\": 9980, \"429\": 10");
        assert_eq!(read(&refused).expect_err("ten were refused").to_string(), "requests were answered with 429");
        let failed = PRINTED.replace("aborted due to deadline", "connection refused");
        assert_eq!(read(&failed).expect_err("ten failed").to_string(), "requests failed: connection refused");
    }
}
