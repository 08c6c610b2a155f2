//! One client who asks several gateways at once.

use std::net::Ipv4Addr;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::Result;

use super::gateway::{Gateway, request};
use crate::open_loop::{Answer, Offer, Server, answers, evenly};
use crate::process::{joined, on_core};

/// To each gateway.
const CONNECTIONS: usize = 16;
/// Between the making of connections and the first request.
const HEAD_START: Duration = Duration::from_millis(500);

/// A moment in which connections will have been made.
pub(super) fn soon() -> Instant {
    Instant::now() + HEAD_START
}

/// Makes `rate` requests per second, evenly and to one of `gateways` after the other, from `start` on and for so long, on
/// the core with the number `core`.
pub(super) fn ask(
    core: usize,
    gateways: &[Gateway],
    rate: f64,
    duration: Duration,
    start: Instant,
) -> Result<Vec<Answer>> {
    let requests = [request("/128", Ipv4Addr::new(203, 0, 113, 1))];
    let all = evenly(rate, duration);
    let one = |number: usize, gateway: &Gateway| {
        let due: Vec<_> = all.iter().skip(number).step_by(gateways.len()).copied().collect();
        let to = Server::Http(gateway.addr());
        let offer = Offer { to, connections: CONNECTIONS, requests: &requests, due: &due };
        on_core(core, || answers(offer, start))
    };
    let one = &one;
    thread::scope(|scope| {
        let asked: Vec<_> =
            gateways.iter().enumerate().map(|(number, gateway)| scope.spawn(move || one(number, gateway))).collect();
        let answers = asked.into_iter().map(joined).collect::<Result<Vec<_>>>()?;
        Ok(answers.concat())
    })
}
