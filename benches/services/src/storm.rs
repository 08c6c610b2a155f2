//! What others notice of many logins at once.

use std::net::SocketAddr;
use std::time::Duration;

use anyhow::{Result, bail};
use tokio::task::JoinSet;
use tokio::time::sleep;

use crate::client::Connection;
use crate::load::{open_loop, quantile};
use crate::process::run_on;
use crate::report::{median, progress, spread};
use crate::requests::{Endpoint, login, those_beside_logins};
use crate::stats::ratios;
use crate::system::{Programs, Site, System, token};
use crate::table::table;

/// Everything may use both.
const CORES: &str = "0,1";
/// Logins at once.
const LOGINS: usize = 64;
/// Requests per second to each endpoint of those who notice.
const RATE: f64 = 100.0;
/// Until the storm is a steady one.
const GATHERING: Duration = Duration::from_secs(1);
/// A round is no shorter: its p99 is to be more than the second slowest of two hundred.
const SHORTEST: Duration = Duration::from_secs(6);
/// What a refused login is told to wait.
const RETRY_AFTER: Duration = Duration::from_secs(1);

/// p99 in milliseconds of one endpoint, one of each round.
#[derive(Default)]
struct Noticed {
    calm: Vec<f64>,
    stormy: Vec<f64>,
}

/// Measures without and with the storm, in turn.
pub(crate) async fn storm(programs: &Programs, rounds: usize, length: Duration) -> Result<String> {
    run_on(CORES)?;
    let length = length.max(SHORTEST);
    let site = Site::open(programs, CORES).await?;
    let system = site.ours(CORES, site.store.addr).await?;
    let before_any = system.user.memory_mib("VmRSS")?;
    let endpoints = those_beside_logins(&token(system.user.addr).await?);
    let mut noticed: Vec<Noticed> = endpoints.iter().map(|_| Noticed::default()).collect();
    let mut logins = Vec::new();
    for round in 1..=rounds {
        let calm = p99s(&system, &endpoints, length).await?;
        let storm = Storm::begin(system.user.addr).await?;
        sleep(GATHERING).await;
        let stormy = p99s(&system, &endpoints, length).await?;
        let (answered, refused) = storm.end().await?;
        logins.push(answered as f64 / (length + GATHERING).as_secs_f64());
        progress(&format!("storm, round {round}/{rounds}: {answered} logged in, {refused} refused"));
        for (((endpoint, noticed), calm), stormy) in endpoints.iter().zip(&mut noticed).zip(calm).zip(stormy) {
            progress(&format!("    {}: p99 {calm:.2} → {stormy:.2} ms", endpoint.request.name));
            noticed.calm.push(calm);
            noticed.stormy.push(stormy);
        }
    }
    let rows: Vec<_> = endpoints.iter().zip(&noticed).map(|(endpoint, noticed)| row(endpoint, noticed)).collect();
    Ok(format!(
        "### {LOGINS} logins at once\n\n{RATE} requests per second to each endpoint (open loop), everything on two cores. Median of \
         {rounds} rounds of {} s. A login that is refused comes back after the second it is told to wait.\n\n{}\n\
         {:.0} logins per second. Memory of the user service: {before_any:.0} MiB before the first, {:.0} MiB at most, of \
         which each hash under way takes 19 MiB.\n\n",
        length.as_secs(),
        table(&["p99, ms", "without logins", "with", "ratio"], &rows),
        median(&logins),
        system.user.memory_mib("VmHWM")?,
    ))
}

fn row(endpoint: &Endpoint, Noticed { calm, stormy }: &Noticed) -> Vec<String> {
    let name = endpoint.request.name.to_owned();
    vec![name, format!("{:.2}", median(calm)), format!("{:.2}", median(stormy)), spread(ratios(stormy, calm), 2)]
}

/// The p99 of each endpoint while all are asked at once.
async fn p99s(system: &System, endpoints: &[Endpoint], length: Duration) -> Result<Vec<f64>> {
    let ask = |endpoint: &Endpoint| {
        let (addr, endpoint) = (system.of(endpoint.service).addr, endpoint.clone());
        tokio::spawn(async move { open_loop(addr, &endpoint, RATE, length).await })
    };
    let asked: Vec<_> = endpoints.iter().map(ask).collect();
    let mut p99s = Vec::new();
    for latencies in asked {
        p99s.push(quantile(&latencies.await??, 0.99));
    }
    Ok(p99s)
}

/// Logins without pause.
struct Storm {
    clients: JoinSet<Result<(u64, u64)>>,
    end: tokio::sync::watch::Sender<bool>,
}

impl Storm {
    async fn begin(user_service: SocketAddr) -> Result<Self> {
        let (end, ended) = tokio::sync::watch::channel(false);
        let mut clients = JoinSet::new();
        let login = login();
        for _ in 0..LOGINS {
            let mut connection = Connection::open(user_service).await?;
            let (login, ended) = (login.clone(), ended.clone());
            clients.spawn(async move {
                let (mut answered, mut refused) = (0, 0);
                while !*ended.borrow() {
                    match connection.send(&login.bytes).await? {
                        200 => answered += 1,
                        503 => {
                            refused += 1;
                            sleep(RETRY_AFTER).await;
                        }
                        status => bail!("a login was answered with {status}"),
                    }
                }
                Ok((answered, refused))
            });
        }
        Ok(Self { clients, end })
    }

    /// How many logins there were, and how many were refused.
    async fn end(mut self) -> Result<(u64, u64)> {
        self.end.send_replace(true);
        let mut sum = (0, 0);
        while let Some(client) = self.clients.join_next().await {
            let (answered, refused) = client??;
            sum = (sum.0 + answered, sum.1 + refused);
        }
        Ok(sum)
    }
}
