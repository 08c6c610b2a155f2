//! Measures the gateway beside an empty Pingora proxy, HAProxy and nginx, all doing the same work on the same machine.

mod bench;
mod certificate;
mod client;
mod compare;
mod cpu;
mod flags;
mod instructions;
mod latency;
mod limits;
mod load;
mod machine;
mod memory;
mod open_loop;
mod peer;
mod process;
mod report;
mod request;
mod results;
mod scenario;
mod sections;
mod stats;
mod svg;
mod syscalls;
mod table;
mod template;
mod tls;
mod tokens;
mod train;
mod upstream;

use std::fs;
use std::time::Duration;

use anyhow::Result;
use clap::Parser;

use crate::bench::Bench;
use crate::flags::{Command, Flags};
use crate::load::handshakes;
use crate::open_loop::Load;
use crate::peer::Peer;
use crate::tls::Sessions;

fn main() -> Result<()> {
    let Flags { command, place } = Flags::parse();
    let start = || Bench::new(&place.root.canonicalize()?, &place.binaries.canonicalize()?);
    match command {
        Command::All { quick: false } => sections::everything(&start()?, &place),
        Command::All { quick: true } => sections::quick(&start()?, &place),
        Command::Compare { what, how_much } => {
            sections::comparison(&start()?, &place, &what, how_much.extent()).map(drop)
        }
        Command::Latency { what, how_much, rate } => {
            let (bench, extent) = (start()?, how_much.extent());
            let given = |rate| Some((rate, what.peers(&Peer::USUAL)));
            let found = |scenario: &_| {
                let short = compare::Extent { rounds: 1, ..extent };
                sections::half_load(&[compare::compare(&bench, scenario, &what.peers(&Peer::USUAL), short)], scenario)
            };
            sections::latencies(&bench, &place, &what, extent, |scenario| rate.map_or_else(|| found(scenario), given))
        }
        Command::Instructions(counted) => sections::instructions(&start()?, &place, &counted),
        Command::Syscalls(counted) => sections::syscalls(&start()?, &place, &counted),
        Command::Memory { what, seconds } => sections::memory(&start()?, &place, &what, seconds),
        Command::Soak { what, requests } => sections::soak(&start()?, &place, &what, requests),
        Command::Limits(extent) => limits::run(&start()?, &place, &extent),
        Command::Train { peer } => train::train(&start()?, peer),
        Command::Upstream { addr } => upstream::serve(addr),
        Command::OpenLoop { addr, rate, seconds, connections, request } => {
            let duration = Duration::from_secs(u64::from(seconds));
            latency::print(Load { addr, rate, duration, connections }, fs::read(request)?)
        }
        Command::Handshakes { addr, resumed, seconds, connections, request } => {
            let sessions = if resumed { Sessions::Resumed } else { Sessions::Forgotten };
            let duration = Duration::from_secs(u64::from(seconds));
            handshakes::print(addr, sessions, connections, duration, &fs::read(request)?)
        }
    }
}
