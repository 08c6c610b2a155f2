//! What the harness can be asked for.

use std::net::SocketAddr;
use std::path::PathBuf;

use anyhow::{Context, Result};
use clap::{Args, Parser, Subcommand};

use crate::compare::Extent;
use crate::instructions::Lengths;
use crate::limits;
use crate::peer::Peer;
use crate::scenario::{self, Scenario};

/// Measures the gateway beside an empty Pingora proxy, HAProxy and nginx, all doing the same work on the same machine.
#[derive(Parser)]
#[command(version)]
pub(crate) struct Flags {
    #[command(subcommand)]
    pub(crate) command: Command,
    #[command(flatten)]
    pub(crate) place: Place,
}

/// Where things are.
#[derive(Args)]
pub(crate) struct Place {
    /// The working tree.
    #[arg(long, default_value = ".", global = true)]
    pub(crate) root: PathBuf,
    /// Where the gateway and the empty proxy are.
    #[arg(long, default_value = "target/dist", global = true)]
    pub(crate) binaries: PathBuf,
    /// Writes the results to benches/RESULTS.md too.
    #[arg(long, global = true)]
    pub(crate) write: bool,
}

#[derive(Subcommand)]
pub(crate) enum Command {
    /// Everything, one after the other.
    All {
        /// Only instructions, system calls and a short comparison: some minutes.
        #[arg(long)]
        quick: bool,
    },
    /// Requests per second and processor time per request, then times of answers at half of that load.
    Compare {
        #[command(flatten)]
        what: What,
        #[command(flatten)]
        how_much: HowMuch,
    },
    /// Times of answers at a fixed rate.
    Latency {
        #[command(flatten)]
        what: What,
        #[command(flatten)]
        how_much: HowMuch,
        /// Requests per second; half of what the slowest can do when left out.
        #[arg(long)]
        rate: Option<f64>,
    },
    /// Instructions per request.
    Instructions(Counted),
    /// System calls per request.
    Syscalls(Counted),
    /// Resident memory.
    Memory {
        #[command(flatten)]
        what: What,
        /// Seconds of load before the last look.
        #[arg(long, default_value_t = 10)]
        seconds: u32,
    },
    /// Resident memory over very many requests.
    Soak {
        #[command(flatten)]
        what: What,
        /// How many requests.
        #[arg(long, default_value_t = 1e7)]
        requests: f64,
    },
    /// What rate limits let through, what they cost, and what becomes of them without Redis.
    Limits(limits::Extent),
    /// The mixed load that a binary built with `-Cprofile-generate` is trained with.
    Train {
        /// Whose binary it is.
        #[arg(long)]
        peer: Peer,
    },
    /// The server behind the proxies, alone.
    Upstream {
        /// Where it listens.
        addr: SocketAddr,
    },
    /// Load at a fixed rate, alone.
    OpenLoop {
        /// Where it goes.
        addr: SocketAddr,
        /// Requests per second.
        #[arg(long)]
        rate: f64,
        #[arg(long)]
        seconds: u32,
        #[arg(long)]
        connections: usize,
        /// A file with the bytes of the request.
        #[arg(long)]
        request: PathBuf,
    },
    /// One TLS connection for each request, alone.
    Handshakes {
        /// Where they go.
        addr: SocketAddr,
        /// Takes up the session of the connection before.
        #[arg(long)]
        resumed: bool,
        #[arg(long)]
        seconds: u32,
        /// How many are open at once.
        #[arg(long)]
        connections: usize,
        /// A file with the bytes of the request.
        #[arg(long)]
        request: PathBuf,
    },
}

#[derive(Args, Default)]
pub(crate) struct What {
    /// Only these scenarios.
    #[arg(long = "scenario")]
    scenarios: Vec<String>,
    /// Only these proxies.
    #[arg(long = "peer")]
    peers: Vec<Peer>,
}

impl What {
    /// The chosen proxies, or the `usual` ones.
    pub(crate) fn peers(&self, usual: &[Peer]) -> Vec<Peer> {
        if self.peers.is_empty() { usual.to_vec() } else { self.peers.clone() }
    }

    /// The chosen scenarios, or the `usual` ones.
    pub(crate) fn scenarios(&self, usual: &[&str]) -> Result<Vec<Scenario>> {
        let names = if self.scenarios.is_empty() {
            usual.to_vec()
        } else {
            self.scenarios.iter().map(String::as_str).collect()
        };
        let known = scenario::all();
        let find = |name: &&str| {
            known.iter().find(|scenario| scenario.name == *name).cloned().with_context(|| {
                let names: Vec<_> = known.iter().map(|scenario| scenario.name).collect();
                format!("there is no scenario {name}: choose of {}", names.join(", "))
            })
        };
        names.iter().map(find).collect()
    }
}

#[derive(Args)]
pub(crate) struct HowMuch {
    /// Rounds of each proxy.
    #[arg(long, default_value_t = 5)]
    pub(crate) rounds: usize,
    /// Seconds of a round.
    #[arg(long, default_value_t = 5)]
    pub(crate) seconds: u32,
    /// Different tokens in scenarios with many.
    #[arg(long, default_value_t = 10_000)]
    pub(crate) tokens: usize,
}

impl HowMuch {
    pub(crate) fn extent(&self) -> Extent {
        Extent { rounds: self.rounds, seconds: self.seconds, tokens: self.tokens }
    }
}

#[derive(Args)]
pub(crate) struct Counted {
    #[command(flatten)]
    pub(crate) what: What,
    /// Requests of the shorter run.
    #[arg(long, default_value_t = 200)]
    pub(crate) short: usize,
    /// Requests of the longer run.
    #[arg(long, default_value_t = 1200)]
    pub(crate) long: usize,
    /// Connections they come on.
    #[arg(long, default_value_t = 8)]
    pub(crate) connections: usize,
}

impl Default for Counted {
    fn default() -> Self {
        Self { what: What::default(), short: 200, long: 1200, connections: 8 }
    }
}

impl Counted {
    pub(crate) fn lengths(&self) -> Lengths {
        Lengths { short: self.short, long: self.long, connections: self.connections }
    }
}

#[cfg(test)]
mod tests {
    use clap::{CommandFactory, Parser};

    use super::{Command, Flags};

    #[test]
    fn flags_are_consistent() {
        Flags::command().debug_assert();
    }

    #[test]
    fn parts_of_the_limits_are_chosen_by_name() {
        let flags = |only| Flags::try_parse_from(["harness", "limits", "--only", only]);
        flags("border,keys").expect("two parts");
        assert!(flags("boarder").is_err_and(|error| error.to_string().contains("border")));
    }

    #[test]
    fn unknown_scenario_is_refused_with_those_there_are() {
        let flags = Flags::try_parse_from(["harness", "compare", "--scenario", "plian"]).expect("flags");
        let Command::Compare { what, .. } = flags.command else { panic!("another command") };
        let error = what.scenarios(&[]).expect_err("misspelt").to_string();
        assert!(error.starts_with("there is no scenario plian: choose of plain, "), "{error}");
    }
}
