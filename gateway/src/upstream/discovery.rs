//! Finds out which addresses a pool's targets have.

use std::collections::{BTreeSet, HashMap};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use http::Extensions;
use pingora_core::protocols::l4::socket::SocketAddr as PeerAddr;
use pingora_core::{Error, ErrorType, Result};
use pingora_load_balancing::Backend;
use pingora_load_balancing::discovery::ServiceDiscovery;

use super::Target;
use crate::config::file::TimeoutsFile;
use crate::config::values::Target as TargetUrl;

/// How long one look-up may take; a name server that hangs must not hold up the health checks.
const LOOKUP_TIMEOUT: Duration = Duration::from_secs(2);

/// Looks host names up, every address of a name a member of its own, and keeps the last answer while none comes.
pub(super) struct Discovery {
    upstream: Box<str>,
    urls: Vec<TargetUrl>,
    timeouts: TimeoutsFile,
    last_good: Mutex<HashMap<usize, BTreeSet<Backend>>>,
}

impl Discovery {
    pub(super) fn new(upstream: &str, urls: Vec<TargetUrl>, timeouts: &TimeoutsFile) -> Self {
        Self { upstream: upstream.into(), urls, timeouts: timeouts.clone(), last_good: Mutex::default() }
    }

    async fn look_up(&self, url: &TargetUrl) -> std::io::Result<BTreeSet<Backend>> {
        let answer = tokio::time::timeout(LOOKUP_TIMEOUT, tokio::net::lookup_host((bare(&url.host), url.port)));
        let member = |addr| {
            let mut ext = Extensions::new();
            ext.insert(Arc::new(Target::new(url, addr, &self.timeouts)));
            Backend { addr: PeerAddr::Inet(addr), weight: 1, ext }
        };
        Ok(answer.await??.map(member).collect())
    }
}

#[async_trait]
impl ServiceDiscovery for Discovery {
    async fn discover(&self) -> Result<(BTreeSet<Backend>, HashMap<u64, bool>)> {
        let answers = futures::future::join_all(self.urls.iter().map(|url| self.look_up(url))).await;
        let mut last_good = self.last_good.lock().unwrap_or_else(PoisonError::into_inner);
        for (position, answer) in answers.into_iter().enumerate() {
            match answer {
                Ok(members) if !members.is_empty() => drop(last_good.insert(position, members)),
                Ok(_) => {}
                Err(error) => {
                    let host = &self.urls[position].host;
                    tracing::warn!(upstream = %self.upstream, host, %error, "host cannot be looked up");
                }
            }
        }
        let members: BTreeSet<Backend> = last_good.values().flatten().cloned().collect();
        if members.is_empty() {
            return Error::e_explain(ErrorType::ConnectNoRoute, "no target has an address");
        }
        Ok((members, HashMap::new()))
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
        let discovery = Discovery::new("u", urls.to_vec(), &TimeoutsFile::default());
        let (members, _) = discovery.discover().await.expect("one member");
        assert_eq!(members.len(), 1);
    }
}
