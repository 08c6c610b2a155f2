//! A new TLS connection for every request, by a client that takes up sessions or does not.

use std::env;
use std::fs;
use std::net::SocketAddr;
use std::process::Command;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, anyhow, bail};

use super::Done;
use crate::bench::Bench;
use crate::client::Connection;
use crate::peer::Running;
use crate::process::output;
use crate::request::Requests;
use crate::scenario::{Scenario, Transport};
use crate::tls::{self, Sessions};

/// A proxy may forget some sessions, as those do that keep a bounded number in memory; but not more than one in so many.
const FORGOTTEN: usize = 20;

/// In a process of its own on the load's core.
pub(super) fn run(bench: &Bench, scenario: &Scenario, peer: &Running, seconds: u32) -> Result<Done> {
    let request = bench.directory.join(format!("{}.request", scenario.name));
    fs::write(&request, Requests::new(bench, scenario, 1)?.numbered(0))?;
    let mut command = Command::new(env::current_exe()?);
    command
        .args(["handshakes", &peer.addr.to_string(), "--seconds", &seconds.to_string()])
        .args(["--connections", &scenario.connections.to_string(), "--request"])
        .arg(request)
        .args((scenario.transport == Transport::TlsResumed).then_some("--resumed"));
    read(&output(&command, Some(bench.cores.load))?).context("the load printed no result")
}

/// What that process does: sends `request` for `duration`, on up to `connections` at once, and prints how many were
/// answered in how many seconds.
pub(crate) fn print(
    addr: SocketAddr,
    sessions: Sessions,
    connections: usize,
    duration: Duration,
    request: &[u8],
) -> Result<()> {
    let start = Instant::now();
    let tally = thread::scope(|scope| {
        let client = || scope.spawn(|| client(addr, sessions, start + duration, request));
        let clients: Vec<_> = (0..connections).map(|_| client()).collect();
        clients.into_iter().try_fold(Tally::default(), |sum, client| {
            Ok::<_, anyhow::Error>(sum.and(client.join().map_err(|_| anyhow!("a client panicked"))??))
        })
    })?;
    let seconds = start.elapsed().as_secs_f64();
    tally.check(sessions)?;
    println!("{} {seconds}", tally.answered);
    Ok(())
}

/// One connection after the other.
fn client(addr: SocketAddr, sessions: Sessions, until: Instant, request: &[u8]) -> Result<Tally> {
    let tls = tls::client(sessions)?;
    let mut tally = Tally::default();
    while Instant::now() < until {
        let mut connection = Connection::open(addr, Some(&tls))?;
        connection.ask(request)?;
        tally.answered += 1;
        tally.resumed += usize::from(connection.is_resumed());
        tally.first = 1;
        connection.until_closed()?;
    }
    Ok(tally)
}

/// What became of connections.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
struct Tally {
    answered: usize,
    resumed: usize,
    /// Those that had no session to take up.
    first: usize,
}

impl Tally {
    fn and(self, other: Self) -> Self {
        Self {
            answered: self.answered + other.answered,
            resumed: self.resumed + other.resumed,
            first: self.first + other.first,
        }
    }

    /// Whether the handshakes were those that were to be measured.
    fn check(self, sessions: Sessions) -> Result<()> {
        let Self { answered, resumed, first } = self;
        let forgotten = answered - first - resumed.min(answered - first);
        match sessions {
            Sessions::Forgotten if resumed > 0 => bail!("{resumed} of {answered} connections took up a session"),
            Sessions::Resumed if forgotten * FORGOTTEN > answered => {
                bail!("{forgotten} of {answered} connections could not take up their session")
            }
            Sessions::Forgotten | Sessions::Resumed => Ok(()),
        }
    }
}

fn read(printed: &str) -> Option<Done> {
    let (requests, seconds) = printed.trim().split_once(' ')?;
    Some(Done { requests: requests.parse().ok()?, seconds: seconds.parse().ok()? })
}

#[cfg(test)]
mod tests {
    use super::{Done, Tally, read};
    use crate::tls::Sessions;

    #[test]
    fn handshakes_of_the_other_kind_are_no_result() {
        let tally = |resumed| Tally { answered: 1064, resumed, first: 64 };
        tally(0).check(Sessions::Forgotten).expect("all are whole");
        tally(1).check(Sessions::Forgotten).expect_err("one is not");
        tally(1000).check(Sessions::Resumed).expect("all that could be resumed are");
        tally(960).check(Sessions::Resumed).expect("some may be forgotten");
        let error = tally(900).check(Sessions::Resumed).expect_err("too many").to_string();
        assert_eq!(error, "100 of 1064 connections could not take up their session");
    }

    #[test]
    fn tallies_of_clients_add_up() {
        let one = Tally { answered: 10, resumed: 9, first: 1 };
        assert_eq!(one.and(one), Tally { answered: 20, resumed: 18, first: 2 });
    }

    #[test]
    fn result_of_the_load_is_read_back() {
        assert_eq!(read("1500 2.5\n"), Some(Done { requests: 1500.0, seconds: 2.5 }));
        assert_eq!(read("1500\n"), None);
    }
}
