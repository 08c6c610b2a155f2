//! Load at a fixed rate, and how long answers took.
//!
//! Requests are due by the clock, whether or not earlier ones are answered, and each is timed from when it was due. So a
//! proxy that stands still for a moment is charged for every request that came meanwhile (no coordinated omission).

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use rustix::event::{PollFd, PollFlags, Timespec, poll};

use crate::client::{Connection, expect_ok};

/// How long answers may still come when the last request has been due.
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

/// What one server is asked, and when.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Offer<'o> {
    pub(crate) to: Server,
    pub(crate) connections: usize,
    /// They are sent in turn.
    pub(crate) requests: &'o [Vec<u8>],
    /// When requests are due, from the beginning on and in this order.
    pub(crate) due: &'o [Duration],
}

/// Who answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Server {
    Http(SocketAddr),
    Redis(SocketAddr),
}

/// What came of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Answer {
    /// When it was due, from the beginning on.
    pub(crate) due: Duration,
    /// How long after that the answer was there, or it was known that there is none.
    pub(crate) took: Duration,
    /// None when the connection failed, or the time was over.
    pub(crate) status: Option<u16>,
}

struct Client {
    /// None when it failed: the next request makes another.
    connection: Option<Connection>,
    /// When the request under way was due.
    due: Option<Duration>,
}

/// Sends requests as `load` says, those of `requests` in turn, and returns how long each took; all must be answered well.
pub(crate) fn run(load: Load, requests: &[Vec<u8>]) -> Result<Vec<Duration>> {
    let due = evenly(load.rate, load.duration);
    let offer = Offer { to: Server::Http(load.addr), connections: load.connections, requests, due: &due };
    let time = |answer: Answer| {
        expect_ok(answer.status.context("a request was not answered")?)?;
        Ok(answer.took)
    };
    answers(offer, Instant::now())?.into_iter().map(time).collect()
}

/// When requests are due that come `rate` times per second, for so long.
pub(crate) fn evenly(rate: f64, duration: Duration) -> Vec<Duration> {
    let count = (rate * duration.as_secs_f64()) as usize;
    (0..count).map(|number| Duration::from_secs_f64(number as f64 / rate)).collect()
}

/// Makes the requests of `offer`, whose times count from `start`, and returns what came of each, in the order of answers.
pub(crate) fn answers(offer: Offer<'_>, start: Instant) -> Result<Vec<Answer>> {
    let open = || Ok(Client { connection: Some(offer.to.connect()?), due: None });
    let mut clients = (0..offer.connections).map(|_| open()).collect::<Result<Vec<_>>>()?;
    thread::sleep(start.saturating_duration_since(Instant::now()));
    let end = offer.due.last().copied().unwrap_or_default() + DRAIN;
    let mut requests = offer.requests.iter().cycle();
    let mut scheduled = offer.due.iter().copied().peekable();
    let mut waiting = VecDeque::new();
    // Each has its turn: one that is kept for bursts alone would be closed for being idle, just before the first.
    let mut turn = 0;
    let mut answers = Vec::with_capacity(offer.due.len());
    while answers.len() < offer.due.len() && start.elapsed() <= end {
        let now = start.elapsed();
        waiting.extend(std::iter::from_fn(|| scheduled.next_if(|due| *due <= now)));
        for _ in 0..offer.connections {
            turn = (turn + 1) % offer.connections;
            let client = clients.get_mut(turn).context("no such connection")?;
            if client.due.is_some() {
                continue;
            }
            let Some(due) = waiting.pop_front() else { break };
            let request = requests.next().context("nothing to send")?;
            if client.send(offer.to, request).is_ok() {
                client.due = Some(due);
            } else {
                answers.push(Answer { due, took: start.elapsed().saturating_sub(due), status: None });
            }
        }
        receive(&mut clients, scheduled.peek().copied().unwrap_or(end), start, &mut answers)?;
    }
    let under_way = clients.iter().filter_map(|client| client.due).chain(waiting);
    answers.extend(under_way.map(|due| Answer { due, took: end.saturating_sub(due), status: None }));
    Ok(answers)
}

/// Waits for answers until `until` at most, and takes those that have come.
fn receive(clients: &mut [Client], until: Duration, start: Instant, answers: &mut Vec<Answer>) -> Result<()> {
    let ready: Vec<bool> = {
        let sockets = clients.iter().filter(|client| client.due.is_some()).filter_map(|one| one.connection.as_ref());
        let mut polled: Vec<_> = sockets.map(|socket| PollFd::new(socket, PollFlags::IN)).collect();
        let timeout = Timespec::try_from(until.saturating_sub(start.elapsed()))?;
        poll(&mut polled, Some(&timeout))?;
        polled.iter().map(|polled| !polled.revents().is_empty()).collect()
    };
    let busy = clients.iter_mut().filter(|client| client.due.is_some());
    for (client, _) in busy.zip(ready).filter(|(_, ready)| *ready) {
        let Some(connection) = &mut client.connection else { continue };
        let status = match connection.receive_part() {
            Ok(None) => continue,
            Ok(Some(status)) => Some(status),
            Err(_) => None,
        };
        if status.is_none() {
            client.connection = None;
        }
        let due = client.due.take().context("an answer that nobody asked for")?;
        answers.push(Answer { due, took: start.elapsed().saturating_sub(due), status });
    }
    Ok(())
}

impl Client {
    /// Over its connection, or a new one when there is none.
    fn send(&mut self, to: Server, request: &[u8]) -> Result<()> {
        let mut connection = match self.connection.take() {
            Some(connection) => connection,
            None => to.connect()?,
        };
        connection.send(request)?;
        self.connection = Some(connection);
        Ok(())
    }
}

impl Server {
    fn connect(self) -> Result<Connection> {
        match self {
            Self::Http(addr) => Connection::open(addr, None),
            Self::Redis(addr) => Connection::to_redis(addr),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::{Read, Write};
    use std::net::TcpListener;
    use std::thread;
    use std::time::{Duration, Instant};

    use super::{Load, Offer, Server, answers, run};

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

    #[test]
    fn request_whose_connection_fails_has_no_answer_and_the_next_gets_another_connection() {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let addr = listener.local_addr().expect("its address");
        let server = thread::spawn(move || {
            let mut request = [0; 3];
            let (mut first, _) = listener.accept().expect("one connection");
            first.read_exact(&mut request).expect("a request");
            drop(first);
            let (mut second, _) = listener.accept().expect("another");
            second.read_exact(&mut request).expect("another request");
            second.write_all(b"HTTP/1.1 429 Slow\r\nContent-Length: 0\r\n\r\n").expect("it is read");
        });
        let due = [Duration::ZERO, Duration::from_millis(1)];
        let offer = Offer { to: Server::Http(addr), connections: 1, requests: &[b"GET".to_vec()], due: &due };
        let answers = answers(offer, Instant::now()).expect("it is offered");
        server.join().expect("it ends");
        assert_eq!(answers.iter().map(|answer| answer.status).collect::<Vec<_>>(), [None, Some(429)]);
        assert_eq!(answers.iter().map(|answer| answer.due).collect::<Vec<_>>(), due);
    }
}
