//! Load at a fixed rate, and how long answers took.
//!
//! Requests are due by the clock, whether or not earlier ones are answered, and each is timed from when it was due. So a
//! proxy that stands still for a moment is charged for every request that came meanwhile (no coordinated omission).

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use rustix::event::{PollFd, PollFlags, Timespec, poll};

use crate::client::{Connection, expect_ok};

/// How long answers may still come when the last request has been sent.
const DRAIN: Duration = Duration::from_secs(5);

/// What is sent.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Load {
    pub(crate) addr: SocketAddr,
    /// Requests per second.
    pub(crate) rate: f64,
    pub(crate) duration: Duration,
    pub(crate) connections: usize,
}

struct Client {
    connection: Connection,
    /// When the request under way was due.
    due: Option<Instant>,
}

/// Sends requests as `load` says, those of `requests` in turn, and returns how long each took.
pub(crate) fn run(load: Load, requests: &[Vec<u8>]) -> Result<Vec<Duration>> {
    let open = || Ok(Client { connection: Connection::open(load.addr, None)?, due: None });
    let mut clients = (0..load.connections).map(|_| open()).collect::<Result<Vec<_>>>()?;
    let count = (load.rate * load.duration.as_secs_f64()) as usize;
    let start = Instant::now();
    let due_at = |number: usize| start + Duration::from_secs_f64(number as f64 / load.rate);
    let mut requests = requests.iter().cycle();
    let mut waiting = VecDeque::new();
    let mut scheduled = 0;
    let mut times = Vec::with_capacity(count);
    while times.len() < count {
        let now = Instant::now();
        if now > start + load.duration + DRAIN {
            bail!("{} of {count} requests were not answered in time", count - times.len());
        }
        while scheduled < count && due_at(scheduled) <= now {
            waiting.push_back(due_at(scheduled));
            scheduled += 1;
        }
        for client in clients.iter_mut().filter(|client| client.due.is_none()) {
            let Some(due) = waiting.pop_front() else { break };
            client.connection.send(requests.next().context("nothing to send")?)?;
            client.due = Some(due);
        }
        let until = if scheduled < count { due_at(scheduled) } else { now + DRAIN };
        receive(&mut clients, until, &mut times)?;
    }
    Ok(times)
}

/// Waits for answers until `until` at most, and takes those that have come.
fn receive(clients: &mut [Client], until: Instant, times: &mut Vec<Duration>) -> Result<()> {
    let ready: Vec<bool> = {
        let busy = |client: &&Client| client.due.is_some();
        let mut polled: Vec<_> =
            clients.iter().filter(busy).map(|client| PollFd::new(&client.connection, PollFlags::IN)).collect();
        let timeout = Timespec::try_from(until.saturating_duration_since(Instant::now()))?;
        poll(&mut polled, Some(&timeout))?;
        polled.iter().map(|polled| !polled.revents().is_empty()).collect()
    };
    let busy = clients.iter_mut().filter(|client| client.due.is_some());
    for (client, _) in busy.zip(ready).filter(|(_, ready)| *ready) {
        let Some(status) = client.connection.receive_part()? else { continue };
        expect_ok(status)?;
        let due = client.due.take().context("an answer that nobody asked for")?;
        times.push(due.elapsed());
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::io::{Read, Write};
    use std::net::TcpListener;
    use std::thread;
    use std::time::Duration;

    use super::{Load, run};

    #[test]
    fn every_request_is_sent_and_timed_from_when_it_was_due() {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let addr = listener.local_addr().expect("its address");
        let server = thread::spawn(move || {
            let (mut stream, _) = listener.accept().expect("one connection");
            let mut request = [0; 3];
            let mut answered = 0;
            while stream.read_exact(&mut request).is_ok() {
                stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\nx").expect("it is read");
                answered += 1;
            }
            answered
        });
        let load = Load { addr, rate: 1000.0, duration: Duration::from_millis(100), connections: 1 };
        let times = run(load, &[b"GET".to_vec()]).expect("all are answered");
        assert_eq!((times.len(), server.join().expect("it ends")), (100, 100));
    }
}
