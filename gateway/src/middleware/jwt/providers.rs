//! Which issuers a configuration has, and which of them a reload keeps with the tokens they have verified.

use std::collections::BTreeMap;
use std::sync::Arc;

use http::HeaderName;
use prometheus::Registry;

use super::metrics::CacheMetrics;
use super::provider::{JwtProvider, Settings};
use crate::config::Loaded;

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
    /// Its name cannot stand in the metrics. The check finds this first.
    #[error("the metrics of the token caches cannot be made")]
    Metrics(#[source] prometheus::Error),
}

impl JwtProviders {
    /// Compiles the providers of `loaded`, keeping those of `previous` that would come out the same, and the counts of
    /// those whose settings have changed.
    ///
    /// # Errors
    /// See [`ProviderError`].
    pub(crate) fn compile(loaded: &Loaded, previous: Option<&Self>) -> Result<Self, ProviderError> {
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
                    Arc::new(JwtProvider::new(settings, metrics).ok_or_else(unfit)?)
                }
            };
            by_name.insert(name.clone(), provider);
        }
        Ok(Self { by_name })
    }

    /// Puts the series of every provider into `registry`.
    ///
    /// # Errors
    /// When it has series of these names already.
    pub(crate) fn register(&self, registry: &Registry) -> prometheus::Result<()> {
        self.by_name.values().try_for_each(|provider| provider.metrics().register(registry))
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
