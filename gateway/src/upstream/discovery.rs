//! Finds out which addresses a pool's targets have.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use std::{io, iter};

use async_trait::async_trait;
use http::header::InvalidHeaderValue;
use http::{Extensions, HeaderValue};
use pingora_core::protocols::l4::socket::SocketAddr as PeerAddr;
use pingora_core::upstreams::peer::PeerOptions;
use pingora_core::{Error, ErrorType, Result};
use pingora_load_balancing::Backend;
use pingora_load_balancing::discovery::ServiceDiscovery;
use pingora_load_balancing::selection::{BackendIter, BackendSelection};

use super::{Members, Security, Target, TargetState, target};
use crate::config::file::UpstreamFile;
use crate::config::values::Target as TargetUrl;

/// How long one look-up may take; a name server that hangs must not hold up the health checks.
const LOOKUP_TIMEOUT: Duration = Duration::from_secs(2);

/// Looks host names up, every address of a name a member of its own, and keeps the last answer while none comes.
pub(super) struct Discovery {
    upstream: Box<str>,
    places: Vec<Place>,
    options: PeerOptions,
    security: Option<Arc<Security>>,
    last_good: Mutex<BTreeMap<usize, Vec<SocketAddr>>>,
    members: Arc<Members>,
    failures: Arc<Failures>,
}

/// Where a URL leads, and how whoever is there is spoken to.
struct Place {
    url: TargetUrl,
    /// What is told in place of the client's host. Nobody is spoken to where this cannot be said.
    host: Result<Option<HeaderValue>, InvalidHeaderValue>,
    /// The first place where the same address would be spoken to in the same way.
    like: usize,
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
        let mut places: Vec<Place> = Vec::new();
        for url in urls {
            let host = file.host.of(&url);
            let names_itself = url.tls && file.tls.as_ref().is_none_or(|tls| tls.server_name.is_none());
            let is_like = |other: &Place| {
                other.host.as_ref().ok() == host.as_ref().ok()
                    && other.url.tls == url.tls
                    && (!names_itself || other.url.host == url.host)
            };
            let like = places.iter().position(is_like).unwrap_or(places.len());
            places.push(Place { url, host, like });
        }
        Self {
            upstream: upstream.into(),
            places,
            options: target::peer_options(file),
            security,
            last_good: Mutex::default(),
            members,
            failures,
        }
    }

    async fn look_up(&self, Place { url, host, .. }: &Place) -> io::Result<Vec<SocketAddr>> {
        if host.is_err() {
            return Err(io::Error::other("it cannot stand in a header"));
        }
        let answer = tokio::time::timeout(LOOKUP_TIMEOUT, tokio::net::lookup_host((bare(&url.host), url.port)));
        Ok(answer.await??.collect())
    }

    /// The member at `addr` to which the place at `position` has led: the same as before if there was one, with what is known of
    /// its health.
    fn member(&self, position: usize, addr: SocketAddr, before: &[Arc<Target>]) -> Option<Backend> {
        let Place { url, host, .. } = self.places.get(position)?;
        let host = host.as_ref().ok()?;
        let known = before.iter().find(|target| target.is(url, addr));
        let new = || Target::new(url, addr, &self.options, self.security.as_deref(), host.clone());
        let target = known.map_or_else(|| Arc::new(new()), Arc::clone);
        let mut ext = Extensions::new();
        ext.insert(target);
        // By address and weight alone Pingora knows whose health it has, and whether there is somebody new to probe.
        Some(Backend { addr: PeerAddr::Inet(addr), weight: position + 1, ext })
    }
}

#[async_trait]
impl ServiceDiscovery for Discovery {
    async fn discover(&self) -> Result<(BTreeSet<Backend>, HashMap<u64, bool>)> {
        let answers = futures::future::join_all(self.places.iter().map(|place| self.look_up(place))).await;
        let mut last_good = self.last_good.lock().unwrap_or_else(PoisonError::into_inner);
        let mut failures = BTreeMap::new();
        for (position, (Place { url, .. }, answer)) in self.places.iter().zip(answers).enumerate() {
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
        let found = last_good.iter().flat_map(|(position, addrs)| iter::repeat(*position).zip(addrs.iter().copied()));
        // Two names may lead to one address, which is one member unless it is spoken to in two ways.
        let mut taken = HashSet::new();
        let is_new = |&(position, addr): &(usize, SocketAddr)| {
            self.places.get(position).is_some_and(|place| taken.insert((place.like, addr)))
        };
        let backends = found.filter(is_new).filter_map(|(position, addr)| self.member(position, addr, &before));
        let backends: BTreeSet<Backend> = backends.collect();
        if backends.is_empty() {
            return Error::e_explain(ErrorType::ConnectNoRoute, "no target has an address");
        }
        let members = backends.iter().filter_map(|backend| backend.ext.get::<Arc<Target>>().cloned());
        self.members.store(Arc::new(members.collect()));
        Ok((backends, HashMap::new()))
    }
}

/// Chooses nobody: whose turn it is is said in [`super::Pool::pick`].
pub(super) struct NoChoice;

impl BackendSelection for NoChoice {
    type Iter = Self;
    type Config = ();

    fn build(_: &BTreeSet<Backend>) -> Self {
        Self
    }

    fn iter(self: &Arc<Self>, _: &[u8]) -> Self {
        Self
    }
}

impl BackendIter for NoChoice {
    fn next(&mut self) -> Option<&Backend> {
        None
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
mod tests;
