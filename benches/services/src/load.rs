//! Load: as fast as the answers come, or at a fixed rate.

use std::net::SocketAddr;
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use tokio::sync::{Mutex, mpsc};
use tokio::task::JoinSet;

use crate::client::Connection;
use crate::requests::Request;

/// Connections that send at a fixed rate: more than are ever busy at half of what a system can do.
const OPEN_LOOP_CONNECTIONS: usize = 64;

/// Sends `request` over `connections` connections for `length`, each the next one as soon as the last is answered. The
/// number of answers.
pub(crate) async fn closed_loop(
    addr: SocketAddr,
    request: &Request,
    connections: usize,
    length: Duration,
) -> Result<u64> {
    let mut senders = JoinSet::new();
    let end = Instant::now() + length;
    for _ in 0..connections {
        let request = request.clone();
        let mut connection = Connection::open(addr).await?;
        senders.spawn(async move {
            let mut answered = 0;
            while Instant::now() < end {
                let status = connection.send(&request.bytes).await?;
                ensure!(status == request.status, "{} was answered with {status}", request.name);
                answered += 1;
            }
            Ok(answered)
        });
    }
    let mut answered = 0;
    while let Some(sent) = senders.join_next().await {
        answered += sent??;
    }
    Ok(answered)
}

/// Sends `request` `rate` times a second for `length`, whether the last are answered or not. Milliseconds from when each
/// was due to its answer, so that one that had to wait for a connection has waited (no coordinated omission).
pub(crate) async fn open_loop(addr: SocketAddr, request: &Request, rate: f64, length: Duration) -> Result<Vec<f64>> {
    let (due, requests) = mpsc::unbounded_channel();
    let requests = Arc::new(Mutex::new(requests));
    let mut senders = JoinSet::new();
    for _ in 0..OPEN_LOOP_CONNECTIONS {
        let (request, requests) = (request.clone(), Arc::clone(&requests));
        let mut connection = Connection::open(addr).await?;
        senders.spawn(async move {
            let mut latencies = Vec::new();
            loop {
                let next: Option<Instant> = requests.lock().await.recv().await;
                let Some(due) = next else { return anyhow::Ok(latencies) };
                let status = connection.send(&request.bytes).await?;
                ensure!(status == request.status, "{} was answered with {status}", request.name);
                latencies.push(due.elapsed().as_secs_f64() * 1000.0);
            }
        });
    }
    // A thread, for the runtime's own clock knows only whole milliseconds.
    let began = Instant::now();
    let clock = thread::spawn(move || {
        let number = (rate * length.as_secs_f64()) as u64;
        for turn in 0..number {
            let at = began + Duration::from_secs_f64(turn as f64 / rate);
            thread::sleep(at.saturating_duration_since(Instant::now()));
            if due.send(at).is_err() {
                return;
            }
        }
    });
    let mut latencies = Vec::new();
    while let Some(sent) = senders.join_next().await {
        latencies.extend(sent??);
    }
    ensure!(clock.join().is_ok(), "the clock's thread failed");
    Ok(latencies)
}
