//! What others notice of many logins at once.

use std::net::SocketAddr;
use std::time::Duration;

use anyhow::{Result, ensure};
use tokio::task::JoinSet;
use tokio::time::sleep;

use crate::client::Connection;
use crate::load::open_loop;
use crate::process::run_on;
use crate::report::progress;
use crate::requests::{Request, Service, assets, login, profile};
use crate::stats::{median, quantile};
use crate::system::{Programs, Site, System, token};

/// Everything may use both.
const CORES: &str = "0,1";
/// Logins at once.
const LOGINS: usize = 64;
/// Requests per second of those who notice.
const RATE: f64 = 100.0;
/// Until the storm is a steady one.
const GATHERING: Duration = Duration::from_secs(1);
/// What a refused login is told to wait.
const RETRY_AFTER: Duration = Duration::from_secs(1);

/// p99 of those who notice, in milliseconds.
struct Noticed {
    profile: f64,
    assets: f64,
}

/// Measures without and with the storm, in turn.
pub(crate) async fn storm(programs: &Programs, rounds: usize, length: Duration) -> Result<String> {
    run_on(CORES)?;
    let site = Site::open(programs, CORES).await?;
    let system = site.ours(CORES, site.store.addr).await?;
    let token = token(system.user.addr).await?;
    let at_first = system.user.memory_mib("VmRSS")?;
    let mut samples = Vec::new();
    let mut logins = Vec::new();
    for round in 1..=rounds {
        let calm = noticed(&system, &token, length).await?;
        let storm = Storm::begin(system.user.addr).await?;
        sleep(GATHERING).await;
        let stormy = noticed(&system, &token, length).await?;
        let (answered, refused) = storm.end().await?;
        logins.push(answered as f64 / (length + GATHERING).as_secs_f64());
        progress(&format!(
            "storm, round {round}/{rounds}: profile {:.2} → {:.2} ms, assets {:.2} → {:.2} ms; {answered} logged in, {refused} refused",
            calm.profile, stormy.profile, calm.assets, stormy.assets
        ));
        samples.push((calm, stormy));
    }
    let line = |name: &str, of: fn(&Noticed) -> f64| {
        let (calm, stormy) = (median(samples.iter().map(|s| of(&s.0))), median(samples.iter().map(|s| of(&s.1))));
        let ratio = median(samples.iter().map(|(calm, stormy)| of(stormy) / of(calm)));
        format!("| {name} | {calm:.2} | {stormy:.2} | {ratio:.2} |\n")
    };
    Ok(format!(
        "### {LOGINS} logins at once\n\n{RATE} requests per second each to the user service and to the inventory service, everything on \
         two cores. A login that is refused comes back after the second it is told to wait.\n\n\
         | p99, ms | without logins | with | ratio |\n|---|---|---|---|\n{}{}\n\
         {:.0} logins per second; memory of the user service {at_first:.0} MiB before the first, at most {:.0} MiB after the last.\n\n",
        line("GET profile", |noticed| noticed.profile),
        line("GET assets, page of 20", |noticed| noticed.assets),
        median(logins),
        system.user.memory_mib("VmHWM")?,
    ))
}

async fn noticed(system: &System, token: &str, length: Duration) -> Result<Noticed> {
    let (profile, assets) = (profile(token), assets());
    let ask = |service, request: &Request| {
        let (addr, request) = (system.of(service).addr, request.clone());
        async move { open_loop(addr, &request, RATE, length).await }
    };
    let (profile, assets) = tokio::try_join!(ask(Service::User, &profile), ask(Service::Inventory, &assets))?;
    Ok(Noticed { profile: quantile(&profile, 0.99), assets: quantile(&assets, 0.99) })
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
                        status => ensure!(false, "a login was answered with {status}"),
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
