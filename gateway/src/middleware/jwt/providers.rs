//! Which issuers a configuration has, and which of them a reload keeps with the tokens they have verified.

use std::collections::BTreeMap;
use std::sync::Arc;

use http::HeaderName;
use prometheus::Registry;

use super::metrics::Metrics;
use super::provider::{JwtProvider, Settings};
use crate::config::Loaded;

/// All providers of one configuration.
pub(crate) struct JwtProviders {
    by_name: BTreeMap<String, Arc<JwtProvider>>,
    metrics: Metrics,
}

/// Why the providers of a configuration cannot be compiled.
#[derive(Debug, thiserror::Error)]
pub enum ProviderError {
    /// Its key is missing or not for its algorithm. The check finds this first.
    #[error("the key of provider `{0}` is not for its algorithm")]
    Key(String),
    /// The metrics' names are taken.
    #[error("the metrics of the token caches cannot be registered")]
    Metrics(#[source] prometheus::Error),
}

impl JwtProviders {
    /// Compiles the providers of `loaded`, keeping those of `previous` that would come out the same. The series are registered
    /// in `registry` only when there is no `previous`.
    ///
    /// # Errors
    /// See [`ProviderError`].
    pub(crate) fn compile(
        loaded: &Loaded,
        registry: &Registry,
        previous: Option<&Self>,
    ) -> Result<Self, ProviderError> {
        let metrics = match previous {
            Some(previous) => previous.metrics.clone(),
            None => Metrics::register(registry).map_err(ProviderError::Metrics)?,
        };
        let mut by_name = BTreeMap::new();
        for (name, file) in &loaded.file.jwt_providers {
            let unfit = || ProviderError::Key(name.clone());
            let settings = Settings::read(file, loaded.keys.get(name).ok_or_else(unfit)?);
            let kept = previous
                .and_then(|previous| previous.by_name.get(name))
                .filter(|provider| provider.is_made_from(&settings));
            let provider = match kept {
                Some(provider) => Arc::clone(provider),
                None => Arc::new(JwtProvider::new(settings, metrics.provider(name)).ok_or_else(unfit)?),
            };
            by_name.insert(name.clone(), provider);
        }
        Ok(Self { by_name, metrics })
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
