//! Very many addresses against a limit of bounded memory, over sockets, each in `X-Forwarded-For` from a trusted proxy.
//!
//! First some offenders use up their quota. Then every address of a flood comes once, and then the offenders again: memory
//! has to be what it was, offenders refused, and addresses of the flood not.

use std::net::Ipv4Addr;
use std::time::{Duration, Instant};

use anyhow::{Result, bail};

use super::Shown;
use super::gateway::{Gateway, Policy, request};
use super::target::Target;
use crate::bench::Bench;
use crate::client::Connection;
use crate::memory::resident;
use crate::process::on_core;
use crate::table::{table, whole};

/// Addresses of the flood in a run of a minute.
const ADDRESSES: u32 = 10_000_000;
const OFFENDERS: u32 = 1000;
/// Requests of an offender before the flood, twice his quota, and after it.
const ASKED: [u32; 2] = [20, 5];
/// Requests of an address in a day, all of which may come at once: within the minutes of the flood nothing comes back.
const QUOTA: u32 = 10;
/// What the memory is bounded to, and how many keys that are.
const BOUND: f64 = 100e6;
const MAX_KEYS: u32 = 2_000_000;
const CONNECTIONS: usize = 64;
/// Which part of the flood a gateway without a limit gets, for comparison.
const PART: u32 = 100;
/// Looks at the memory.
const LOOKS: u32 = 10;
/// Which of those who are new may be refused, of a hundred.
const REFUSED: f64 = 1.0;

/// How requests were answered.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Answered {
    passed: u64,
    refused: u64,
}

/// What was seen. Memory is resident, in KiB.
#[derive(Debug, Default)]
struct Seen {
    without_limit: f64,
    begin: f64,
    most: f64,
    end: f64,
    offenders_before: Answered,
    offenders_after: Answered,
    fresh: Answered,
    took: Duration,
}

pub(super) fn measure(bench: &Bench, seconds: u32) -> Result<Shown> {
    let addresses = (u64::from(ADDRESSES) * u64::from(seconds) / 60) as u32;
    let settings = format!("scope: local, limit: {QUOTA}, window: 1d, max_keys: {MAX_KEYS}");
    let mut seen = Seen { without_limit: without_limit(bench, addresses / PART)?, ..Seen::default() };
    let gateway = Gateway::start(bench, &Policy::new("`local`", settings), None)?;
    let memory = || resident(gateway.running.process.id());
    seen.begin = memory()?;
    on_core(bench.cores.load, || {
        let mut connections = connect(&gateway)?;
        let [before, after] = ASKED.map(|times| (0..OFFENDERS * times).map(|number| offender(number % OFFENDERS)));
        seen.offenders_before = ask(&mut connections, before)?;
        let begun = Instant::now();
        for look in 0..LOOKS {
            let part = |look| (u64::from(addresses) * u64::from(look) / u64::from(LOOKS)) as u32;
            seen.fresh.add(ask(&mut connections, (part(look)..part(look + 1)).map(fresh))?);
            seen.end = memory()?;
            seen.most = seen.most.max(seen.end);
            eprintln!("    {:>10} addresses, {:.1} MiB", part(look + 1), seen.end / 1024.0);
        }
        seen.took = begun.elapsed();
        seen.offenders_after = ask(&mut connections, after)?;
        Ok(())
    })?;
    Ok(Shown { text: text(&seen, addresses), targets: targets(&seen, addresses), picture: None })
}

/// The memory of a gateway without a limit, with as many connections that have carried `count` requests.
fn without_limit(bench: &Bench, count: u32) -> Result<f64> {
    let gateway = Gateway::start(bench, &Policy::none(), None)?;
    on_core(bench.cores.load, || {
        let mut connections = connect(&gateway)?;
        ask(&mut connections, (0..count).map(fresh))?;
        resident(gateway.running.process.id())
    })
}

fn connect(gateway: &Gateway) -> Result<Vec<Connection>> {
    (0..CONNECTIONS).map(|_| Connection::open(gateway.addr(), None)).collect()
}

/// Asks for each of `clients` once: one on each connection, then all answers, and so on.
fn ask(connections: &mut [Connection], clients: impl Iterator<Item = Ipv4Addr>) -> Result<Answered> {
    let mut answered = Answered::default();
    let mut clients = clients.peekable();
    while clients.peek().is_some() {
        let mut sent = 0;
        for (connection, client) in connections.iter_mut().zip(clients.by_ref()) {
            connection.send(&request("/answered", client))?;
            sent += 1;
        }
        for connection in connections.iter_mut().take(sent) {
            match connection.receive()? {
                200 => answered.passed += 1,
                429 => answered.refused += 1,
                other => bail!("answered with {other}"),
            }
        }
    }
    Ok(answered)
}

/// An address of the flood, none of them an offender's.
fn fresh(number: u32) -> Ipv4Addr {
    Ipv4Addr::from_bits(Ipv4Addr::new(16, 0, 0, 0).to_bits() + number)
}

fn offender(number: u32) -> Ipv4Addr {
    Ipv4Addr::from_bits(Ipv4Addr::new(8, 0, 0, 0).to_bits() + number)
}

impl Answered {
    fn add(&mut self, other: Self) {
        self.passed += other.passed;
        self.refused += other.refused;
    }

    fn all(self) -> u64 {
        self.passed + self.refused
    }

    fn refused_percent(self) -> f64 {
        self.refused as f64 * 100.0 / self.all().max(1) as f64
    }
}

impl Seen {
    /// Bytes that the limit takes at most.
    fn bytes(&self) -> f64 {
        (self.most - self.without_limit) * 1024.0
    }
}

fn text(seen: &Seen, addresses: u32) -> String {
    let memory = |kib: f64| format!("{:.1}", kib / 1024.0);
    let row = |name: &str, answered: Answered| {
        vec![
            name.to_owned(),
            whole(answered.all() as f64),
            whole(answered.refused as f64),
            format!("{:.3} %", answered.refused_percent()),
        ]
    };
    format!(
        "A local limit of {QUOTA} requests in a day for each address with room for {} of them (`max_keys`). {} offenders ask {} times each; then {} \
         addresses once each, over {CONNECTIONS} connections (X-Forwarded-For from a trusted proxy, answered by the gateway itself, {} a second); then \
         the offenders again, {} times each.\n\n{}\n{}",
        whole(f64::from(MAX_KEYS)),
        whole(f64::from(OFFENDERS)),
        ASKED[0],
        whole(f64::from(addresses)),
        whole(f64::from(addresses) / seen.took.as_secs_f64().max(1e-9)),
        ASKED[1],
        table(
            &[
                "resident MiB",
                "without a limit",
                "at the start",
                "most",
                "at the end",
                "of the limit: bytes for each of its keys"
            ],
            &[vec![
                "gateway".into(),
                memory(seen.without_limit),
                memory(seen.begin),
                memory(seen.most),
                memory(seen.end),
                format!("{:.1}", seen.bytes() / f64::from(MAX_KEYS)),
            ]]
        ),
        table(
            &["requests", "all", "refused", "of all"],
            &[
                row("of offenders, before", seen.offenders_before),
                row("of new addresses", seen.fresh),
                row("of offenders, after", seen.offenders_after),
            ]
        )
    )
}

fn targets(seen: &Seen, addresses: u32) -> Vec<Target> {
    let offenders = seen.offenders_after.refused_percent();
    let fresh = seen.fresh.refused_percent();
    vec![
        Target {
            what: format!("memory of a limit that {} addresses have come to", whole(f64::from(addresses))),
            to_reach: format!("≤ {:.0} MB", BOUND / 1e6),
            measured: format!("{:.1} MB", seen.bytes() / 1e6),
            is_met: seen.bytes() <= BOUND,
        },
        Target {
            what: "offenders that are still refused".into(),
            to_reach: "100 %".into(),
            measured: format!("{offenders:.3} %"),
            is_met: seen.offenders_after.passed == 0,
        },
        Target {
            what: "new addresses that are refused".into(),
            to_reach: format!("≤ {REFUSED:.0} %"),
            measured: format!("{fresh:.3} %"),
            is_met: fresh <= REFUSED,
        },
    ]
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::{Answered, OFFENDERS, Seen, fresh, offender, targets};

    #[test]
    fn nobody_is_both_new_and_an_offender() {
        let offenders: HashSet<_> = (0..OFFENDERS).map(offender).collect();
        assert_eq!(offenders.len(), OFFENDERS as usize);
        assert!([0, 1, 9_999_999].into_iter().all(|number| !offenders.contains(&fresh(number))));
    }

    #[test]
    fn forgotten_offenders_refused_innocents_and_memory_are_held_against_the_limit() {
        let seen = |most, passed, refused| Seen {
            without_limit: 20_000.0,
            most,
            offenders_after: Answered { passed, refused: 5000 },
            fresh: Answered { passed: 1_000_000, refused },
            ..Seen::default()
        };
        let met = |seen: &Seen| targets(seen, 10).iter().map(|target| target.is_met).collect::<Vec<_>>();
        assert_eq!(met(&seen(117_000.0, 0, 9000)), [true, true, true]);
        assert_eq!(met(&seen(118_000.0, 1, 11_000)), [false, false, false]);
    }
}
