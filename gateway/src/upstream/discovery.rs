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

use super::{Members, Security, Target, target};
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
}

impl Discovery {
    /// Looks up the hosts of `urls`, with each of which is agreed what `file` says, and keeps in `members` who was found.
    pub(super) fn new(
        upstream: &str,
        urls: Vec<TargetUrl>,
        file: &UpstreamFile,
        security: Option<Arc<Security>>,
        members: Arc<Members>,
    ) -> Self {
        Self {
            upstream: upstream.into(),
            urls,
            options: target::peer_options(file),
            host: file.host.clone(),
            security,
            last_good: Mutex::default(),
            members,
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
        for (position, answer) in answers.into_iter().enumerate() {
            match answer {
                Ok(found) if !found.is_empty() => drop(last_good.insert(position, found)),
                Ok(_) => {}
                Err(error) => {
                    let host = &self.urls[position].host;
                    tracing::warn!(upstream = %self.upstream, host, %error, "host cannot be looked up");
                }
            }
        }
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
        let discovery = Discovery::new("u", urls.to_vec(), &file, None, Arc::default());
        let (members, _) = discovery.discover().await.expect("one member");
        assert_eq!(members.len(), 1);
    }
}
