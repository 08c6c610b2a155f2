//! Everybody who can say who is there, and the steps that ask them.

use http::HeaderName;
use prometheus::Registry;
use std::sync::Arc;
use tokio::runtime::Handle;

use super::api_key::ApiKeys;
use super::basic_auth::BasicAuthProviders;
use super::client_certificate::ClientCertificates;
use super::identity::{Authenticator, Require, Way};
use super::introspection::Introspections;
use super::jwt::{Jwt, JwtProviders, KeysState, ProviderError};
use crate::config::Loaded;
use crate::config::file::{IdentityFile, IdentityStep, MiddlewareFile};
use crate::ctx::Prover;
use crate::revocation::Revocations;

/// All of one configuration.
pub(crate) struct IdentityProviders {
    jwt: JwtProviders,
    api_keys: ApiKeys,
    basic_auth: BasicAuthProviders,
    client_certificates: ClientCertificates,
    revocations: Option<Arc<Revocations>>,
    introspection: Introspections,
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
            client_certificates: ClientCertificates::compile(&loaded.file),
            introspection: Introspections::compile(loaded, previous.map(|previous| &previous.introspection))?,
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

    /// The issuers that are asked about tokens, and whether each has answered the last time.
    pub(crate) fn introspections(&self) -> impl Iterator<Item = (&str, Option<bool>)> {
        self.introspection.states()
    }

    /// How it stands with the keys that issuers publish, by the provider's name.
    pub(crate) fn published_keys(&self) -> impl Iterator<Item = (&str, KeysState)> {
        self.jwt.published_keys()
    }

    /// Puts the series of every provider into `registry`.
    ///
    /// # Errors
    /// When it has series of these names already.
    pub(crate) fn register(&self, registry: &Registry) -> prometheus::Result<()> {
        self.jwt.register(registry)?;
        self.revocations.as_ref().map_or(Ok(()), |revocations| revocations.register(registry))?;
        self.introspection.register(registry)?;
        self.basic_auth.register(registry)
    }

    /// Every header in which some provider tells an upstream who is there.
    pub(crate) fn asserted_headers(&self) -> impl Iterator<Item = &HeaderName> {
        let tokens = self.jwt.asserted_headers().chain(self.introspection.asserted_headers());
        let credentials = tokens.chain(self.api_keys.asserted_headers());
        credentials.chain(self.basic_auth.asserted_headers()).chain(self.client_certificates.asserted_headers())
    }

    /// What `step` asks, if it asks who is there.
    ///
    /// # Errors
    /// The name of a provider that there is not.
    pub(crate) fn step<'f>(&self, step: &'f MiddlewareFile) -> Result<Option<Require>, &'f str> {
        let Some(asks) = step.identity() else { return Ok(None) };
        let require = match asks {
            IdentityStep::Jwt(file) => Require::one(self.jwt(&file.provider)?, file.optional),
            IdentityStep::ApiKey(file) => Require::one(self.api_key(&file.provider)?, false),
            IdentityStep::BasicAuth(file) => Require::one(self.basic_auth(&file.provider)?, false),
            IdentityStep::ClientCertificate(file) => Require::one(self.client_certificate(&file.provider)?, false),
            IdentityStep::Introspection(file) => Require::one(self.introspection(&file.provider)?, file.optional),
            IdentityStep::AnyOf(ways) => {
                Require::any_of(ways.iter().map(|way| self.way(way)).collect::<Result<Vec<_>, _>>()?)
            }
            IdentityStep::AllOf(way) => Require::any_of([self.way(way)?]),
        };
        let ways = step.ways();
        let first = ways.iter().filter_map(|way| way.first());
        Ok(Some(require.known_as(first.map(|(kind, provider)| Prover { kind: *kind, provider: (*provider).into() }))))
    }

    fn way<'f>(&self, way: &'f [IdentityFile]) -> Result<Way, &'f str> {
        let authenticator = |file: &'f IdentityFile| match file {
            IdentityFile::Jwt(file) => self.jwt(&file.provider),
            IdentityFile::ApiKey(file) => self.api_key(&file.provider),
            IdentityFile::BasicAuth(file) => self.basic_auth(&file.provider),
            IdentityFile::Introspection(file) => self.introspection(&file.provider),
            IdentityFile::ClientCertificate(file) => self.client_certificate(&file.provider),
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

    fn introspection<'f>(&self, name: &'f str) -> Result<Arc<dyn Authenticator>, &'f str> {
        self.introspection.get(name).map(|provider| Arc::clone(provider) as _).ok_or(name)
    }

    fn client_certificate<'f>(&self, name: &'f str) -> Result<Arc<dyn Authenticator>, &'f str> {
        self.client_certificates.get(name).map(|provider| Arc::clone(provider) as _).ok_or(name)
    }

    fn basic_auth<'f>(&self, name: &'f str) -> Result<Arc<dyn Authenticator>, &'f str> {
        self.basic_auth.get(name).map(|provider| Arc::clone(provider) as _).ok_or(name)
    }
}
