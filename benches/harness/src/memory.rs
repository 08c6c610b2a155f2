//! How much memory a proxy holds: idle, for idle keep-alive connections, and after load.

use std::fs;

use anyhow::{Context, Result};

use crate::bench::Bench;
use crate::load;
use crate::peer::{self, Peer};
use crate::request::Requests;
use crate::scenario::Scenario;

/// Idle connections that are opened.
pub(crate) const CONNECTIONS: usize = 1000;

/// Resident memory in KiB.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Memory {
    /// After the start and one request.
    pub(crate) idle: f64,
    /// More for each idle keep-alive connection that has had one request.
    pub(crate) per_connection: f64,
    /// After the load, with all connections closed.
    pub(crate) after_load: f64,
}

/// Of `peer` doing the work of `scenario`, with `seconds` of load.
pub(crate) fn measure(bench: &Bench, peer: Peer, scenario: &Scenario, seconds: u32) -> Result<Memory> {
    let running = peer::start(bench, peer, scenario, &[])?;
    let pid = running.process.id();
    let idle = resident(pid)?;
    let request = Requests::new(bench, scenario, 1)?.numbered(0);
    let mut connections = Vec::with_capacity(CONNECTIONS);
    for _ in 0..CONNECTIONS {
        let mut connection = running.connect()?;
        connection.ask(&request)?;
        connections.push(connection);
    }
    let connected = resident(pid)?;
    drop(connections);
    load::round(bench, scenario, &running, seconds, 1)?;
    Ok(Memory { idle, per_connection: (connected - idle) / CONNECTIONS as f64, after_load: resident(pid)? })
}

/// A number of requests, and the resident memory in KiB after them.
pub(crate) type Look = (f64, f64);

/// Seconds of load between two looks at the number of requests.
const ROUND: u32 = 10;

/// Looks at the memory of `peer` after each tenth of `requests` in the way of `scenario`, with all connections closed.
pub(crate) fn soak(bench: &Bench, peer: Peer, scenario: &Scenario, requests: f64) -> Result<Vec<Look>> {
    let running = peer::start(bench, peer, scenario, &[])?;
    let (mut done, mut looks) = (0.0, Vec::new());
    while done < requests {
        done += load::round(bench, scenario, &running, ROUND, 1)?.requests;
        if done >= requests * (looks.len() + 1) as f64 / 10.0 {
            let memory = resident(running.process.id())?;
            eprintln!("    {:14} {:>6.1} MiB after {done:.0} requests", peer.title(), memory / 1024.0);
            looks.push((done, memory));
        }
    }
    Ok(looks)
}

/// Resident memory of the process `pid`, in KiB.
pub(crate) fn resident(pid: u32) -> Result<f64> {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).context("the proxy is gone")?;
    kib(&status).context("/proc/PID/status does not say how much memory is resident")
}

fn kib(status: &str) -> Option<f64> {
    let value = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    value.trim().strip_suffix("kB")?.trim().parse().ok()
}

#[cfg(test)]
mod tests {
    use super::kib;

    #[test]
    fn resident_memory_is_told_in_kib() {
        assert_eq!(kib("Name:\tx\nVmHWM:\t  900 kB\nVmRSS:\t  812 kB\n"), Some(812.0));
        assert_eq!(kib("Name:\tx\n"), None);
    }
}
