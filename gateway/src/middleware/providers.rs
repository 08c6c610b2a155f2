//! Everybody who can say who is there, and the steps that ask them.

use http::HeaderName;
use prometheus::Registry;
use std::sync::Arc;
use tokio::runtime::Handle;

use super::api_key::ApiKeys;
use super::basic_auth::BasicAuthProviders;
use super::identity::{Authenticator, Require, Way};
use super::jwt::{Jwt, JwtProviders, ProviderError};
use crate::config::Loaded;
use crate::config::file::{IdentityFile, MiddlewareFile};
use crate::revocation::Revocations;

/// All of one configuration.
pub(crate) struct IdentityProviders {
    jwt: JwtProviders,
    api_keys: ApiKeys,
    basic_auth: BasicAuthProviders,
    revocations: Option<Arc<Revocations>>,
}

impl IdentityProviders {
    /// Compiles those of `loaded`, keeping of `previous` what did not change.
    ///
    /// # Errors
    /// See [`ProviderError`].
    pub(crate) async fn compile(
        loaded: &Loaded,
        previous: Option<&Self>,
        control: &Handle,
    ) -> Result<Self, ProviderError> {
        let kept = previous.and_then(|previous| previous.revocations.as_ref());
        let (file, redis) = (loaded.file.revocation.as_ref(), loaded.file.redis.as_ref());
        let revocations = match file {
            Some(file) => {
                let compiled = Revocations::compile(file, redis, kept, control).await;
                Some(compiled.map_err(ProviderError::Revocation)?)
            }
            None => None,
        };
        Ok(Self {
            revocations,
            jwt: JwtProviders::compile(loaded, previous.map(|previous| &previous.jwt), control).await?,
            api_keys: ApiKeys::compile(loaded),
            basic_auth: BasicAuthProviders::compile(loaded, previous.map(|previous| &previous.basic_auth))?,
        })
    }

    /// Ends the background work of whatever `successor` has not taken over.
    pub(crate) fn retire(&self, successor: &Self) {
        self.jwt.retire(&successor.jwt);
        let kept = successor.revocations.as_ref();
        if let Some(own) = self.revocations.as_ref().filter(|own| !kept.is_some_and(|kept| Arc::ptr_eq(kept, own))) {
            own.retire();
        }
    }

    /// The revocations that tokens are looked up in, if any are.
    pub(crate) const fn revocations(&self) -> Option<&Arc<Revocations>> {
        self.revocations.as_ref()
    }

    /// Puts the series of every provider into `registry`.
    ///
    /// # Errors
    /// When it has series of these names already.
    pub(crate) fn register(&self, registry: &Registry) -> prometheus::Result<()> {
        self.jwt.register(registry)?;
        self.revocations.as_ref().map_or(Ok(()), |revocations| revocations.register(registry))?;
        self.basic_auth.register(registry)
    }

    /// Every header in which some provider tells an upstream who is there.
    pub(crate) fn asserted_headers(&self) -> impl Iterator<Item = &HeaderName> {
        self.jwt.asserted_headers().chain(self.api_keys.asserted_headers()).chain(self.basic_auth.asserted_headers())
    }

    /// What `step` asks, if it asks who is there.
    ///
    /// # Errors
    /// The name of a provider that there is not.
    pub(crate) fn step<'f>(&self, step: &'f MiddlewareFile) -> Result<Option<Require>, &'f str> {
        Ok(Some(match step {
            MiddlewareFile::Jwt(file) => Require::one(self.jwt(&file.provider)?, file.optional),
            MiddlewareFile::ApiKey(file) => Require::one(self.api_key(&file.provider)?, false),
            MiddlewareFile::BasicAuth(file) => Require::one(self.basic_auth(&file.provider)?, false),
            MiddlewareFile::AnyOf(ways) => {
                Require::any_of(ways.iter().map(|way| self.way(way)).collect::<Result<Vec<_>, _>>()?)
            }
            MiddlewareFile::AllOf(way) => Require::any_of([self.way(way)?]),
            MiddlewareFile::RateLimit(_)
            | MiddlewareFile::Authorize(_)
            | MiddlewareFile::IdentityToken(_)
            | MiddlewareFile::Headers(_)
            | MiddlewareFile::Cors(_)
            | MiddlewareFile::Compress(_)
            | MiddlewareFile::Rewrite(_)
            | MiddlewareFile::Redirect(_)
            | MiddlewareFile::Respond(_) => return Ok(None),
        }))
    }

    fn way<'f>(&self, way: &'f [IdentityFile]) -> Result<Way, &'f str> {
        let authenticator = |file: &'f IdentityFile| match file {
            IdentityFile::Jwt(file) => self.jwt(&file.provider),
            IdentityFile::ApiKey(file) => self.api_key(&file.provider),
            IdentityFile::BasicAuth(file) => self.basic_auth(&file.provider),
        };
        way.iter().map(authenticator).collect()
    }

    fn jwt<'f>(&self, name: &'f str) -> Result<Arc<dyn Authenticator>, &'f str> {
        let revocations = self.revocations.clone().filter(|revocations| revocations.concerns(name));
        self.jwt.get(name).map(|provider| Arc::new(Jwt::new(Arc::clone(provider), revocations)) as _).ok_or(name)
    }

    fn api_key<'f>(&self, name: &'f str) -> Result<Arc<dyn Authenticator>, &'f str> {
        self.api_keys.get(name).map(|provider| Arc::clone(provider) as _).ok_or(name)
    }

    fn basic_auth<'f>(&self, name: &'f str) -> Result<Arc<dyn Authenticator>, &'f str> {
        self.basic_auth.get(name).map(|provider| Arc::clone(provider) as _).ok_or(name)
    }
}
