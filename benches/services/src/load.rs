//! Load: as fast as the answers come, or at a fixed rate.

use std::net::SocketAddr;
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use tokio::sync::{Mutex, mpsc};
use tokio::task::JoinSet;

use crate::client::Connection;
use crate::requests::{Endpoint, Request};

/// Asks `endpoint` over its connections for `length`, each the next time as soon as the last is answered. The number of
/// answers.
pub(crate) async fn closed_loop(addr: SocketAddr, endpoint: &Endpoint, length: Duration) -> Result<u64> {
    let mut senders = JoinSet::new();
    let end = Instant::now() + length;
    for _ in 0..endpoint.connections {
        let request = endpoint.request.clone();
        let mut connection = Connection::open(addr).await?;
        senders.spawn(async move {
            let mut answered = 0;
            while Instant::now() < end {
                ask(&mut connection, &request).await?;
                answered += 1;
            }
            anyhow::Ok(answered)
        });
    }
    let mut answered = 0;
    while let Some(sent) = senders.join_next().await {
        answered += sent??;
    }
    Ok(answered)
}

/// Asks `endpoint` `rate` times a second for `length`, whether the last are answered or not. Milliseconds from when each
/// was due to its answer, so that one that had to wait for a connection has waited (no coordinated omission).
pub(crate) async fn open_loop(addr: SocketAddr, endpoint: &Endpoint, rate: f64, length: Duration) -> Result<Vec<f64>> {
    let (due, requests) = mpsc::unbounded_channel();
    let requests = Arc::new(Mutex::new(requests));
    let mut senders = JoinSet::new();
    for _ in 0..endpoint.connections {
        let (request, requests) = (endpoint.request.clone(), Arc::clone(&requests));
        let mut connection = Connection::open(addr).await?;
        senders.spawn(async move {
            let mut latencies = Vec::new();
            loop {
                let next: Option<Instant> = requests.lock().await.recv().await;
                let Some(due) = next else { return anyhow::Ok(latencies) };
                ask(&mut connection, &request).await?;
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

/// Sends `request` and waits for its answer, which must be the right one.
pub(crate) async fn ask(connection: &mut Connection, request: &Request) -> Result<()> {
    let status = connection.send(&request.bytes).await.with_context(|| format!("{} failed", request.name))?;
    let said = || String::from_utf8_lossy(connection.body()).into_owned();
    ensure!(status == request.status, "{} was answered with {status}: {}", request.name, said());
    Ok(())
}

/// The value that `share` of `values` do not exceed (nearest rank). NaN of none.
pub(crate) fn quantile(values: &[f64], share: f64) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    let rank = (share * sorted.len() as f64).ceil() as usize;
    sorted.get(rank.saturating_sub(1)).copied().unwrap_or(f64::NAN)
}

#[cfg(test)]
mod tests {
    use super::quantile;

    #[test]
    fn a_quantile_is_a_value_that_was_there() {
        let hundred: Vec<f64> = (1..=100).map(f64::from).collect();
        assert_eq!((quantile(&hundred, 0.5), quantile(&hundred, 0.99)), (50.0, 99.0));
        assert_eq!(quantile(&[7.0], 0.99), 7.0);
    }
}
