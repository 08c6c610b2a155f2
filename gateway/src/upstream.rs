//! A named pool of servers: who is in it, who of them is well, and whose turn it is.

mod discovery;
mod handshake;
mod metrics;
mod probe;
mod target;
mod tls;

use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use arc_swap::ArcSwap;
use pingora_load_balancing::{Backends, LoadBalancer};
use tokio::runtime::Handle;
use tokio::sync::watch;

use discovery::{Discovery, Failures, NoChoice, bare};
pub(crate) use handshake::handshake_failure;
pub(crate) use metrics::PoolMetrics;
use probe::Probe;
pub(crate) use target::Target;
#[cfg(test)]
pub(crate) use target::{MOST_STREAMS, PING_INTERVAL};
pub(crate) use tls::Security;

use crate::config::file::{Balance, UpstreamFile, UpstreamProtocol};
use crate::config::values::{Target as TargetUrl, UpstreamTls};
use crate::tls::CertificateSeries;

/// How often host names are looked up again.
const LOOKUP_INTERVAL: Duration = Duration::from_secs(10);

/// Those who are in a pool, swapped whole when a name leads elsewhere.
type Members = ArcSwap<Vec<Arc<Target>>>;

/// A pool of servers that can each answer the same requests.
pub(crate) struct Pool {
    name: Box<str>,
    members: Arc<Members>,
    failures: Arc<Failures>,
    turn: AtomicUsize,
    retries: usize,
    metrics: PoolMetrics,
    file: UpstreamFile,
    security: Option<Arc<Security>>,
    stop: watch::Sender<bool>,
}

/// A target's address and whether it gets requests, for the admin listener.
pub(crate) struct TargetState {
    /// Address as it stands in logs, with host and port where it is that of several; these alone where no address is known.
    pub label: Box<str>,
    /// Whether it gets requests.
    pub healthy: bool,
    /// Why it gets none, if a probe or a look-up has found out.
    pub reason: Option<Box<str>>,
}

impl Pool {
    /// The pool that `file` describes, its members looked up once and its probes running on `control` until it is retired
    /// or dropped. Its requests count with `metrics`, and its connections are secured by `security`.
    ///
    /// A host that cannot be looked up yet is no error: the pool is empty until it can.
    pub(crate) async fn start(
        name: &str,
        file: &UpstreamFile,
        security: Option<Arc<Security>>,
        metrics: PoolMetrics,
        control: &Handle,
    ) -> Self {
        let urls: Vec<TargetUrl> = file.all_targets().cloned().collect();
        let has_names = urls.iter().any(|url| bare(&url.host).parse::<IpAddr>().is_err());
        let (members, failures) = (Arc::new(Members::default()), Arc::new(Failures::default()));
        let discovery = Discovery::new(name, urls, file, security.clone(), Arc::clone(&members), Arc::clone(&failures));
        // Only looks up and probes: whose turn it is is said in `pick`, and in this way alone.
        let Balance::RoundRobin = file.balance;
        let mut balancer = LoadBalancer::<NoChoice>::from_backends(Backends::new(Box::new(discovery)));
        balancer.update_frequency = has_names.then_some(LOOKUP_INTERVAL);
        balancer.parallel_health_check = true;
        if let Some(health_check) = &file.health_check {
            balancer.health_check_frequency = Some(health_check.interval.get());
            balancer.set_health_check(Box::new(Probe::new(name, health_check)));
        }
        // What fails is kept, told and tried again.
        let _ = balancer.update().await;
        let (stop, stopped) = watch::channel(false);
        control.spawn(async move { balancer.run(stopped, None).await });
        Self {
            name: name.into(),
            members,
            failures,
            turn: AtomicUsize::new(0),
            retries: file.retries,
            metrics,
            file: file.clone(),
            security,
            stop,
        }
    }

    /// Its name in the file.
    #[must_use]
    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    /// How many other targets are tried when one fails.
    #[must_use]
    pub(crate) const fn retries(&self) -> usize {
        self.retries
    }

    /// How long a WebSocket to one of them may be silent.
    #[must_use]
    pub(crate) fn tunnel_timeout(&self) -> Duration {
        self.file.timeouts.tunnel.get()
    }

    /// Whether HTTP/1.1 is spoken with its targets, or with those that do not choose HTTP/2: others take no WebSockets.
    #[must_use]
    pub(crate) fn may_speak_http1(&self) -> bool {
        self.file.protocol != UpstreamProtocol::Http2
    }

    /// Whether HTTP/2 is spoken with its targets, or with those that choose it.
    #[must_use]
    pub(crate) fn may_speak_http2(&self) -> bool {
        self.file.protocol != UpstreamProtocol::Http1
    }

    /// What its requests count with.
    #[must_use]
    pub(crate) const fn metrics(&self) -> &PoolMetrics {
        &self.metrics
    }

    /// Ends its probes and look-ups, and with them what it learns of its targets.
    pub(crate) fn retire(&self) {
        // The background task takes a closed channel for no signal at all, so it is told.
        self.stop.send_replace(true);
    }

    /// Whether it was made from the same settings, so that a reload can keep it, its connections and its health.
    #[must_use]
    pub(crate) fn is_made_from(&self, file: &UpstreamFile, tls: Option<&UpstreamTls>) -> bool {
        self.file == *file
            && match (&self.security, tls) {
                (Some(security), Some(tls)) => security.holds(tls),
                (None, None) => true,
                _ => false,
            }
    }

    /// How often [`Self::renew`] wants to be called; never when this is nothing.
    pub(crate) fn reload_interval(&self) -> Option<Duration> {
        self.security.as_ref()?.reload_interval()
    }

    /// Says in `series` how the certificates are that its connections are secured by.
    pub(crate) fn show_certificates(&self, series: &CertificateSeries) {
        if let Some(security) = &self.security {
            security.show(series);
        }
    }

    /// Looks whether the files have changed that connections are secured by, and has new ones secured by what is good of
    /// them. Blocks while it reads.
    pub(crate) fn renew(&self) {
        let Some(security) = self.security.as_ref().filter(|security| security.reload_interval().is_some()) else {
            return;
        };
        security.renew(&self.name);
        for target in self.members.load().iter() {
            target.secure(security);
        }
    }

    /// The healthy target whose turn it is, none of those in `failed` unless there is no other.
    #[must_use]
    pub(crate) fn pick(&self, failed: &[Arc<Target>]) -> Option<Arc<Target>> {
        let members = self.members.load();
        let turn = self.turn.fetch_add(1, Ordering::Relaxed);
        let has_failed = |target: &Arc<Target>| failed.iter().any(|failed| Arc::ptr_eq(failed, target));
        let healthy = members.iter().filter(|target| target.is_healthy());
        let fresh = healthy.clone().filter(|target| !has_failed(target));
        // Counted among those who can serve, so that no neighbour gets the share of one who cannot.
        let in_turn = |count: usize| turn.checked_rem(count).unwrap_or(0);
        let target = fresh.clone().nth(in_turn(fresh.clone().count()));
        // One that has failed this request is better than none; so is the first when health has just changed.
        target
            .or_else(|| healthy.clone().nth(in_turn(healthy.clone().count())))
            .or_else(|| healthy.clone().next())
            .cloned()
    }

    /// Every member and whether it gets requests, and every target that has no address yet.
    #[must_use]
    pub(crate) fn targets(&self) -> Vec<TargetState> {
        let members = self.members.load();
        let state = |target: &Arc<Target>| {
            let healthy = target.is_healthy();
            let reason = target.probe_failure().filter(|_| !healthy);
            let is_alone = members.iter().filter(|other| other.label() == target.label()).count() == 1;
            let label = if is_alone {
                target.label().into()
            } else {
                format!("{} ({})", target.label(), target.authority()).into()
            };
            TargetState { label, healthy, reason }
        };
        members.iter().map(state).chain(self.failures.without_address()).collect()
    }
}

impl Drop for Pool {
    fn drop(&mut self) {
        self.retire();
    }
}
