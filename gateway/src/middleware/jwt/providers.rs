//! Which issuers a configuration has, and which of them a reload keeps with the tokens they have verified.

use std::collections::BTreeMap;
use std::sync::Arc;

use http::HeaderName;
use prometheus::Registry;
use tokio::runtime::Handle;

use super::metrics::{CacheMetrics, FetchMetrics};
use super::provider::{JwtProvider, Keys, Settings};
use super::remote::{KeysState, RemoteKeys};
use crate::config::{Loaded, ProviderKey, RemoteJwks};
use crate::revocation::RevocationError;

/// All providers of one configuration.
pub(crate) struct JwtProviders {
    by_name: BTreeMap<String, Arc<JwtProvider>>,
}

/// Why the providers of a configuration cannot be compiled.
#[derive(Debug, thiserror::Error)]
pub enum ProviderError {
    /// Its key is missing or not for its algorithm. The check finds this first.
    #[error("the key of provider `{0}` is not for its algorithm")]
    Key(String),
    /// Its keys cannot be fetched at all: not for want of an answer, but because the settings are of no use.
    #[error("the keys of provider `{provider}` cannot be fetched")]
    Client {
        /// Its name.
        provider: String,
        /// Why.
        #[source]
        source: reqwest::Error,
    },
    /// Revocations cannot be followed.
    #[error("revocation")]
    Revocation(#[source] RevocationError),
    /// What it is called for browsers cannot stand in a header. The check finds this first.
    #[error("a realm cannot stand in a header")]
    Realm(#[source] http::header::InvalidHeaderValue),
    /// Its name cannot stand in the metrics. The check finds this first.
    #[error("the metrics of the token caches cannot be made")]
    Metrics(#[source] prometheus::Error),
}

impl JwtProviders {
    /// Compiles the providers of `loaded`, keeping those of `previous` that would come out the same, and of the others what
    /// has not changed: their counts, and the keys that their issuer publishes. New ones are asked for theirs on `control`,
    /// once before this returns.
    ///
    /// # Errors
    /// See [`ProviderError`].
    pub(crate) async fn compile(
        loaded: &Loaded,
        previous: Option<&Self>,
        control: &Handle,
    ) -> Result<Self, ProviderError> {
        let mut by_name = BTreeMap::new();
        for (name, file) in &loaded.file.jwt_providers {
            let unfit = || ProviderError::Key(name.clone());
            let settings = Settings::read(file, loaded.keys.get(name).ok_or_else(unfit)?);
            let namesake = previous.and_then(|previous| previous.by_name.get(name));
            let provider = match namesake {
                Some(provider) if provider.is_made_from(&settings) => Arc::clone(provider),
                _ => {
                    let counted = namesake.map(|provider| Ok(provider.metrics().clone()));
                    let metrics = counted.unwrap_or_else(|| CacheMetrics::new(name)).map_err(ProviderError::Metrics)?;
                    let keys = match &settings.key {
                        ProviderKey::Remote(remote) => Keys::Remote(fetched(name, remote, namesake, control)?),
                        _ => Keys::fixed(&settings).ok_or_else(unfit)?,
                    };
                    Arc::new(JwtProvider::new(settings, keys, metrics))
                }
            };
            by_name.insert(name.clone(), provider);
        }
        let remotes = by_name.values().filter_map(|provider| provider.remote());
        futures::future::join_all(remotes.map(|remote| remote.first_attempt())).await;
        Ok(Self { by_name })
    }

    /// Ends the fetches for whatever `successor` has not taken over.
    pub(crate) fn retire(&self, successor: &Self) {
        for (name, provider) in &self.by_name {
            let kept = successor.by_name.get(name).and_then(|provider| provider.remote());
            if let Some(remote) = provider.remote()
                && !kept.is_some_and(|kept| Arc::ptr_eq(kept, remote))
            {
                remote.retire();
            }
        }
    }

    /// Puts the series of every provider into `registry`.
    ///
    /// # Errors
    /// When it has series of these names already.
    pub(crate) fn register(&self, registry: &Registry) -> prometheus::Result<()> {
        self.by_name.iter().try_for_each(|(name, provider)| {
            provider.metrics().register(registry)?;
            provider.remote().map_or(Ok(()), |remote| remote.register(registry, name))
        })
    }

    /// How it stands with the keys that issuers publish, by the provider's name.
    pub(crate) fn published_keys(&self) -> impl Iterator<Item = (&str, KeysState)> {
        self.by_name.iter().filter_map(|(name, provider)| Some((&**name, provider.remote()?.state())))
    }

    /// The provider of that name.
    pub(crate) fn get(&self, name: &str) -> Option<&Arc<JwtProvider>> {
        self.by_name.get(name)
    }

    /// Every header that some provider's claims are written to.
    pub(crate) fn asserted_headers(&self) -> impl Iterator<Item = &HeaderName> {
        self.by_name.values().flat_map(|provider| provider.asserted_headers())
    }
}

/// The keys that the issuer of the provider `name` publishes; those of its `namesake` if they are fetched in the same way, and
/// to begin with what of them still counts if they come from the same place.
fn fetched(
    name: &str,
    settings: &RemoteJwks,
    namesake: Option<&Arc<JwtProvider>>,
    control: &Handle,
) -> Result<Arc<RemoteKeys>, ProviderError> {
    let before = namesake.and_then(|provider| provider.remote());
    if let Some(kept) = before.filter(|before| before.settings() == settings) {
        return Ok(Arc::clone(kept));
    }
    let counted = before.map(|before| Ok(before.metrics().clone()));
    let metrics = counted.unwrap_or_else(|| FetchMetrics::new(name)).map_err(ProviderError::Metrics)?;
    let inherited = before.and_then(|before| before.published_for(settings));
    let remote = RemoteKeys::start(name, settings.clone(), metrics, control, inherited.as_deref());
    remote.map(Arc::new).map_err(|source| ProviderError::Client { provider: name.to_owned(), source })
}
