//! Gateways with one limit and nothing else.

use std::fs;
use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::path::PathBuf;
use std::process::Command;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

use crate::bench::{Bench, until_it_listens};
use crate::peer::{Running, complaint, free_port};
use crate::process::{Process, output};
use crate::template::fill;

const READY_WITHIN: Duration = Duration::from_secs(20);
const POLL: Duration = Duration::from_millis(50);
/// Where the gateway finds fault with what it does not know of a policy.
const IN_POLICY: &str = " rate_limits.limited.";
/// The requests that a limit was asked about while Redis was away.
const DEGRADED: &str = "gateway_rate_limit_degraded_total";

/// A way to limit, as the table calls it and as the file has it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Policy {
    pub(super) title: String,
    /// What stands between the braces of the policy, but for the key: the client's address. None is no limit at all.
    settings: Option<String>,
}

/// The Redis that a gateway counts in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct SharedBy {
    pub(super) port: u16,
    pub(super) deadline: Deadline,
}

/// How long requests wait for Redis at most.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Deadline {
    /// As when nothing is said.
    Usual,
    /// So long that all are counted in Redis, on a machine too that is as full as in a measurement.
    Long,
}

/// A gateway that answers.
pub(super) struct Gateway {
    pub(super) running: Running,
    admin: SocketAddr,
}

impl Policy {
    pub(super) fn new(title: &str, settings: String) -> Self {
        Self { title: title.to_owned(), settings: Some(settings) }
    }

    pub(super) fn none() -> Self {
        Self { title: "no limit".to_owned(), settings: None }
    }

    /// Whether it has to do with Redis.
    fn is_shared(&self) -> bool {
        self.settings.as_ref().is_some_and(|settings| !settings.contains("scope: local"))
    }
}

impl Gateway {
    /// Starts one for `policy`, counted in `redis` if it is shared, and waits until requests are answered and Redis, if it
    /// is used, is connected.
    pub(super) fn start(bench: &Bench, policy: &Policy, redis: Option<SharedBy>) -> Result<Self> {
        let (port, admin_port) = (free_port()?, free_port()?);
        let config = configuration(bench, policy, redis, (port, admin_port))?;
        let mut command = Command::new(bench.binary("gateway")?);
        command.arg("--config").arg(config);
        let process = Process::start(&command, Some(bench.cores.proxy), &bench.directory, &format!("gateway-{port}"))?;
        let addr = |port| SocketAddr::from((Ipv4Addr::LOCALHOST, port));
        let gateway = Self { running: Running::plain(addr(port), process), admin: addr(admin_port) };
        until_it_listens(gateway.running.addr)
            .with_context(|| format!("the gateway does not start: {}", gateway.running.process.errors()))?;
        let deadline = Instant::now() + READY_WITHIN;
        while policy.is_shared() && gateway.sum("gateway_redis_up")? < 1.0 {
            if Instant::now() > deadline {
                bail!("the gateway does not reach Redis");
            }
            thread::sleep(POLL);
        }
        Ok(gateway)
    }

    pub(super) fn addr(&self) -> SocketAddr {
        self.running.addr
    }

    /// How many requests a failure mode has answered.
    pub(super) fn degraded(&self) -> Result<f64> {
        self.sum(DEGRADED)
    }

    fn sum(&self, metric: &str) -> Result<f64> {
        let mut stream = TcpStream::connect(self.admin)?;
        stream.set_read_timeout(Some(READY_WITHIN))?;
        stream.write_all(b"GET /metrics HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")?;
        let mut text = String::new();
        stream.read_to_string(&mut text)?;
        Ok(sum(&text, metric))
    }
}

/// Those of `policies` that the gateway's binary knows; what it says against the others is told.
///
/// # Errors
/// When it has something against more than the policy itself.
pub(super) fn known(bench: &Bench, policies: Vec<Policy>) -> Result<(Vec<Policy>, Vec<String>)> {
    let (mut known, mut skipped) = (Vec::new(), Vec::new());
    for policy in policies {
        let somewhere = SharedBy { port: free_port()?, deadline: Deadline::Usual };
        let config = configuration(bench, &policy, Some(somewhere), (free_port()?, free_port()?))?;
        let mut check = Command::new(bench.binary("gateway")?);
        check.arg("--config").arg(config).arg("--check");
        match output(&check, None) {
            Ok(_) => known.push(policy),
            Err(error) => {
                let text = format!("{error:#}");
                let said = text.split_once(" failed: ").map_or(text.as_str(), |(_, said)| said);
                let why = complaint(bench, said);
                if !why.contains(IN_POLICY) {
                    bail!("the configuration is not taken: {why}");
                }
                eprintln!("    {} is passed over, this gateway does not take it: {why}", policy.title);
                skipped.push(policy.title);
            }
        }
    }
    Ok((known, skipped))
}

/// A line for what could not be measured; nothing if all could be.
pub(super) fn passed_over(skipped: &[String]) -> String {
    if skipped.is_empty() {
        return String::new();
    }
    format!("\nNot measured, because this gateway does not know it: {}.\n", skipped.join(", "))
}

/// A request of the client at `client`, as a proxy before the gateway would hand it on.
pub(super) fn request(path: &str, client: Ipv4Addr) -> Vec<u8> {
    format!("GET {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nX-Forwarded-For: {client}\r\n\r\n").into_bytes()
}

fn configuration(
    bench: &Bench,
    policy: &Policy,
    redis: Option<SharedBy>,
    (port, admin_port): (u16, u16),
) -> Result<PathBuf> {
    let (policies, steps) = match &policy.settings {
        Some(settings) => (
            format!("{{ limited: {{ {settings}, key: client_address }} }}"),
            "[{ rate_limit: { policies: [limited], headers: false } }]",
        ),
        None => ("{}".to_owned(), "[]"),
    };
    // An empty host is no Redis.
    let (redis_host, redis_port) = redis.map_or(("", 6379), |redis| ("127.0.0.1", redis.port));
    let is_long = redis.is_some_and(|redis| redis.deadline == Deadline::Long);
    let values = [
        ("PORT", port.to_string()),
        ("ADMIN_PORT", admin_port.to_string()),
        ("UPSTREAM_PORT", bench.upstream.port().to_string()),
        ("REDIS_HOST", redis_host.to_owned()),
        ("REDIS_PORT", redis_port.to_string()),
        ("REDIS_DEADLINE", if is_long { ", timeout: 50ms" } else { "" }.to_owned()),
        ("POLICIES", policies),
        ("STEPS", steps.to_owned()),
    ];
    let template = fs::read_to_string(bench.peers().join("gateway.limits.yaml"))?;
    let path = bench.directory.join(format!("gateway-{port}.yaml"));
    fs::write(&path, fill(&template, &values)?)?;
    Ok(path)
}

/// Of all series of `metric` in Prometheus' text.
fn sum(text: &str, metric: &str) -> f64 {
    let value = |line: &str| {
        let rest = line.strip_prefix(metric)?;
        rest.starts_with(['{', ' ']).then(|| rest.rsplit(' ').next()?.trim().parse::<f64>().ok())?
    };
    text.lines().filter_map(value).sum()
}

#[cfg(test)]
mod tests {
    use super::{Policy, sum};

    #[test]
    fn all_series_of_a_metric_are_added_up_and_no_other_one() {
        let text = "# TYPE a_total counter\na_total{policy=\"x y\"} 3\na_total{policy=\"z\"} 4\na_total_b 100\na 50\n";
        assert_eq!(sum(text, "a_total"), 7.0);
        assert_eq!(sum(text, "a"), 50.0);
        assert_eq!(sum(text, "nothing"), 0.0);
    }

    #[test]
    fn whoever_counts_elsewhere_needs_redis() {
        assert!(Policy::new("", "scope: leased, limit: 1".into()).is_shared());
        assert!(!Policy::new("", "scope: local, limit: 1".into()).is_shared());
        assert!(!Policy::none().is_shared());
    }
}
