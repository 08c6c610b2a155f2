//! Finds out which addresses a pool's targets have.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use http::Extensions;
use pingora_core::protocols::l4::socket::SocketAddr as PeerAddr;
use pingora_core::upstreams::peer::PeerOptions;
use pingora_core::{Error, ErrorType, Result};
use pingora_load_balancing::Backend;
use pingora_load_balancing::discovery::ServiceDiscovery;

use super::{Members, Security, Target, TargetState, target};
use crate::config::file::UpstreamFile;
use crate::config::pattern::UpstreamHost;
use crate::config::values::Target as TargetUrl;

/// How long one look-up may take; a name server that hangs must not hold up the health checks.
const LOOKUP_TIMEOUT: Duration = Duration::from_secs(2);

/// Looks host names up, every address of a name a member of its own, and keeps the last answer while none comes.
pub(super) struct Discovery {
    upstream: Box<str>,
    urls: Vec<TargetUrl>,
    options: PeerOptions,
    host: UpstreamHost,
    security: Option<Arc<Security>>,
    last_good: Mutex<BTreeMap<usize, Vec<SocketAddr>>>,
    members: Arc<Members>,
    failures: Arc<Failures>,
}

impl Discovery {
    /// Looks up the hosts of `urls`, with each of which is agreed what `file` says, and keeps in `members` who was found, and in
    /// `failures` who was not.
    pub(super) fn new(
        upstream: &str,
        urls: Vec<TargetUrl>,
        file: &UpstreamFile,
        security: Option<Arc<Security>>,
        members: Arc<Members>,
        failures: Arc<Failures>,
    ) -> Self {
        Self {
            upstream: upstream.into(),
            urls,
            options: target::peer_options(file),
            host: file.host.clone(),
            security,
            last_good: Mutex::default(),
            members,
            failures,
        }
    }

    async fn look_up(&self, url: &TargetUrl) -> std::io::Result<Vec<SocketAddr>> {
        let answer = tokio::time::timeout(LOOKUP_TIMEOUT, tokio::net::lookup_host((bare(&url.host), url.port)));
        Ok(answer.await??.collect())
    }

    /// The member at `addr`: the same as before if there was one, with what is known of its health.
    fn member(&self, url: &TargetUrl, addr: SocketAddr, before: &[Arc<Target>]) -> Backend {
        let known = before.iter().find(|target| target.addr() == addr);
        let new = || Target::new(url, addr, &self.options, self.security.as_deref(), self.host.of(url));
        let target = known.map_or_else(|| Arc::new(new()), Arc::clone);
        let mut ext = Extensions::new();
        ext.insert(target);
        Backend { addr: PeerAddr::Inet(addr), weight: 1, ext }
    }
}

#[async_trait]
impl ServiceDiscovery for Discovery {
    async fn discover(&self) -> Result<(BTreeSet<Backend>, HashMap<u64, bool>)> {
        let answers = futures::future::join_all(self.urls.iter().map(|url| self.look_up(url))).await;
        let mut last_good = self.last_good.lock().unwrap_or_else(PoisonError::into_inner);
        let mut failures = BTreeMap::new();
        for (position, (url, answer)) in self.urls.iter().zip(answers).enumerate() {
            let why = match answer {
                Ok(found) if !found.is_empty() => {
                    last_good.insert(position, found);
                    continue;
                }
                Ok(_) => "it has no address".to_owned(),
                Err(error) => error.to_string(),
            };
            let label = format!("{}:{}", url.host, url.port);
            failures.insert(position, Failure { label, why, has_address: last_good.contains_key(&position) });
        }
        self.failures.replace(&self.upstream, failures);
        let before = self.members.load();
        let found =
            last_good.iter().flat_map(|(position, addrs)| addrs.iter().map(|addr| (&self.urls[*position], *addr)));
        // A set: two names may lead to one address, which is one member.
        let backends: BTreeSet<Backend> = found.map(|(url, addr)| self.member(url, addr, &before)).collect();
        if backends.is_empty() {
            return Error::e_explain(ErrorType::ConnectNoRoute, "no target has an address");
        }
        let members = backends.iter().filter_map(|backend| backend.ext.get::<Arc<Target>>().cloned());
        self.members.store(Arc::new(members.collect()));
        Ok((backends, HashMap::new()))
    }
}

/// Targets whose hosts could not be looked up the last time, by their place in the file.
#[derive(Default)]
pub(super) struct Failures(parking_lot::Mutex<BTreeMap<usize, Failure>>);

struct Failure {
    /// Host and port.
    label: String,
    why: String,
    /// Whether one of an earlier look-up is used.
    has_address: bool,
}

impl Failures {
    /// Keeps what a look-up of all hosts has found, and logs what is another than before.
    fn replace(&self, upstream: &str, found: BTreeMap<usize, Failure>) {
        let mut failures = self.0.lock();
        for (position, Failure { label, why, has_address }) in &found {
            if failures.get(position).is_none_or(|before| before.why != *why) {
                tracing::warn!(upstream, target = label, error = why, has_address, "host cannot be looked up");
            }
        }
        for failure in failures.iter().filter(|(position, _)| !found.contains_key(position)).map(|(_, failure)| failure)
        {
            tracing::info!(upstream, target = failure.label, "host can be looked up again");
        }
        *failures = found;
    }

    /// Those of which no address is known, as operators see them.
    pub(super) fn without_address(&self) -> Vec<TargetState> {
        let failures = self.0.lock();
        let unknown = failures.values().filter(|failure| !failure.has_address).map(|failure| TargetState {
            label: failure.label.as_str().into(),
            healthy: false,
            reason: Some(format!("cannot be looked up: {}", failure.why).into()),
        });
        unknown.collect()
    }
}

/// The host as the resolver wants it: an IPv6 address without its brackets.
pub(super) fn bare(host: &str) -> &str {
    host.trim_start_matches('[').trim_end_matches(']')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_host_that_cannot_be_looked_up_takes_no_other_with_it() {
        let urls = ["http://127.0.0.1:1", "http://nowhere.invalid:1"].map(|url| url.parse().expect("url"));
        let file = serde_json::from_value(serde_json::json!({ "targets": [] })).expect("an upstream");
        let failures = Arc::new(Failures::default());
        let discovery = Discovery::new("u", urls.to_vec(), &file, None, Arc::default(), Arc::clone(&failures));
        let (members, _) = discovery.discover().await.expect("one member");
        assert_eq!(members.len(), 1);
        let told: Vec<_> = failures.without_address().into_iter().map(|target| (target.label, target.reason)).collect();
        let [(label, Some(reason))] = &told[..] else { panic!("one target without an address") };
        assert_eq!(&**label, "nowhere.invalid:1");
        assert!(reason.starts_with("cannot be looked up: "), "{reason}");
    }
}
