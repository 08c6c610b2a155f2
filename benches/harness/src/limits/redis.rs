//! A Redis that can be killed and started anew where it was, and that says how often it was called.

use std::net::{Ipv4Addr, SocketAddr};
use std::process::Command;

use anyhow::Result;

use super::gateway::{Deadline, SharedBy};
use crate::bench::Bench;
use crate::peer::free_port;
use crate::process::{Process, output};

/// The commands by which scripts are run: one round trip each.
const SCRIPTS: [&str; 4] = ["eval", "evalsha", "fcall", "eval_ro"];

/// A Redis of a measurement's own, on the load's core.
pub(super) struct Redis<'b> {
    bench: &'b Bench,
    port: u16,
    /// None while it is dead.
    process: Option<Process>,
}

impl<'b> Redis<'b> {
    pub(super) fn start(bench: &'b Bench) -> Result<Self> {
        let port = free_port()?;
        Ok(Self { bench, port, process: Some(bench.start_redis(port)?) })
    }

    pub(super) fn addr(&self) -> SocketAddr {
        SocketAddr::from((Ipv4Addr::LOCALHOST, self.port))
    }

    /// For gateways that are to count in it.
    pub(super) const fn shared(&self, deadline: Deadline) -> SharedBy {
        SharedBy { port: self.port, deadline }
    }

    /// By SIGKILL: it says good-bye to nobody.
    pub(super) fn kill(&mut self) {
        self.process = None;
    }

    /// An empty one on the same port.
    pub(super) fn start_anew(&mut self) -> Result<()> {
        self.process = Some(self.bench.start_redis(self.port)?);
        Ok(())
    }

    /// How many scripts it has run.
    pub(super) fn script_calls(&self) -> Result<u64> {
        let mut info = Command::new("redis-cli");
        info.args(["-p", &self.port.to_string(), "INFO", "commandstats"]);
        let stats = output(&info, Some(self.bench.cores.load))?;
        Ok(SCRIPTS.iter().map(|command| calls(&stats, command)).sum())
    }
}

/// Of a line like `cmdstat_evalsha:calls=12,usec=34,…`.
fn calls(stats: &str, command: &str) -> u64 {
    let of = |line: &str| {
        let rest = line.strip_prefix("cmdstat_")?.strip_prefix(command)?.strip_prefix(":calls=")?;
        rest.split(',').next()?.parse().ok()
    };
    stats.lines().find_map(of).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::calls;

    #[test]
    fn calls_are_those_of_the_whole_name() {
        let stats = "# Commandstats\r\ncmdstat_evalsha:calls=12,usec=34\r\ncmdstat_eval:calls=1,usec=2\r\n";
        assert_eq!([calls(stats, "evalsha"), calls(stats, "eval"), calls(stats, "ping")], [12, 1, 0]);
    }
}
