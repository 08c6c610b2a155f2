//! A route, and how it is put together from its block of the file and what else there is.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::Arc;

use bytes::Bytes;
use prometheus::IntCounter;

use super::{CompileError, Workshop};
use crate::config::file::{GatewayFile, MiddlewareFile, MirrorFile, RateLimitUseFile, RouteFile, ShareFile, SplitFile};
use crate::credential::Hidden;
use crate::expression::Params;
use crate::limit::{Listed, Policies, Policy, QuotaHeaders};
use crate::metrics::RouteMetrics;
use crate::middleware::{
    self, Authorize, Chain, Compress, Cors, Counting, ForwardAuth, ForwardAuths, Headers, IdentityProviders,
    IdentitySigners, Middleware, RateLimit, Redirect, Respond, Rewrite,
};
use crate::mirror::{Mirror, MirrorMetrics};
use crate::path::SlashPolicy;
use crate::split::{self, Share, Split};
use crate::upstream::Pool;

/// Where requests of one kind go, and what happens on the way.
pub(crate) struct Route {
    /// Its name in logs and metrics.
    pub name: Box<str>,
    /// What runs before the request goes on.
    pub chain: Chain,
    /// What browsers are told before the chain runs, if web pages are let in at all.
    pub cors: Option<Arc<Cors>>,
    /// What of a request the upstream must not see, if anything.
    pub hidden: Option<Box<Hidden>>,
    /// What clients are told of their quota.
    pub quota: QuotaHeaders,
    /// Where it goes; nowhere when a step answers in any case.
    pub pool: Option<Arc<Pool>>,
    /// Where it goes in place of that: to one of several.
    pub split: Option<Box<Split>>,
    /// Where copies of its requests go.
    pub mirror: Option<Box<Mirror>>,
    /// What encoded slashes in its paths are.
    pub encoded_slash: SlashPolicy,
    /// What backslashes in its paths are.
    pub backslash: SlashPolicy,
    /// Bytes its body may have.
    pub max_body: u64,
    /// What it counts with.
    pub metrics: Arc<RouteMetrics>,
}

/// What routes are put together from.
pub(super) struct Parts<'a> {
    pub file: &'a GatewayFile,
    pub bodies: &'a BTreeMap<PathBuf, Bytes>,
    pub providers: &'a IdentityProviders,
    pub forward_auths: &'a ForwardAuths,
    pub signers: &'a IdentitySigners,
    pub policies: &'a Policies,
    /// The policies whose keys say by whom they are proven.
    pub told_apart: BTreeSet<&'a str>,
    pub pools: &'a BTreeMap<String, Arc<Pool>>,
    pub route_metrics: &'a BTreeMap<String, Arc<RouteMetrics>>,
    pub choices: &'a BTreeMap<(String, String), IntCounter>,
    pub mirror_metrics: &'a BTreeMap<String, MirrorMetrics>,
    pub workshop: &'a Workshop,
}

impl Parts<'_> {
    pub(super) fn route(&self, file: &RouteFile) -> Result<Route, CompileError> {
        let place = || format!("route `{}`", file.name);
        let pool = file.upstream.as_ref().map(|name| find(self.pools, name, place)).transpose()?;
        let mut chain = self.workshop.middleware.clone();
        let (mut limits, mut authenticators, mut cors) = (Vec::new(), Vec::new(), None);
        let no_step = || CompileError::Step { place: place() };
        let steps = || self.file.middleware.iter().chain(&file.middleware);
        let compress = steps().find_map(|step| match step {
            MiddlewareFile::Compress(file) => Some(file),
            _ => None,
        });
        for step in steps() {
            let missing = |name: &str| CompileError::Missing { place: place(), name: name.to_owned() };
            if let Some(require) = self.providers.step(step).map_err(missing)? {
                authenticators.extend(require.authenticators().cloned());
                chain.push(Arc::new(require));
                continue;
            }
            let step: Arc<dyn Middleware> = match step {
                MiddlewareFile::RateLimit(step) => {
                    let policies = self.policies(step, &place)?;
                    let listed = |policy: &Arc<Policy>| self.listed(policy, step);
                    limits.extend(policies.iter().map(listed));
                    let counting = |policy: Arc<Policy>| {
                        let missing = self.file.rate_limits.get(policy.name()).and_then(|file| file.missing_key);
                        let is_told_apart = self.told_apart.contains(policy.name());
                        Counting::new(policy, missing.unwrap_or_default(), is_told_apart, file)
                    };
                    let countings: Option<_> = policies.into_iter().map(counting).collect();
                    let document = step.problem_document.unwrap_or(self.file.rate_limit_defaults.problem_document);
                    Arc::new(RateLimit::new(countings.ok_or_else(no_step)?, document))
                }
                MiddlewareFile::ForwardAuth(step) => {
                    let found = self.forward_auths.get(&step.provider).ok_or_else(|| missing(&step.provider))?;
                    Arc::clone(found) as Arc<ForwardAuth>
                }
                MiddlewareFile::Authorize(step) => Arc::new(Authorize::new(step, Params::of(&file.matches.path))?),
                MiddlewareFile::IdentityToken(step) => {
                    // A route that goes nowhere tells nobody; one that goes to several names its audience.
                    let Some(audience) = step.audience.as_ref().or(file.upstream.as_ref()) else { continue };
                    Arc::new(self.signers.step(&step.signer, audience).ok_or_else(no_step)?)
                }
                MiddlewareFile::Headers(step) => Arc::new(Headers::new(step, file).ok_or_else(no_step)?),
                MiddlewareFile::Cors(step) => {
                    Arc::clone(cors.insert(Arc::new(Cors::new(step, file).ok_or_else(no_step)?))) as _
                }
                MiddlewareFile::Compress(step) => Arc::new(Compress::new(step)),
                MiddlewareFile::Rewrite(step) => Arc::new(Rewrite::new(step, file).ok_or_else(no_step)?),
                MiddlewareFile::Redirect(step) => Arc::new(Redirect::new(step, file).ok_or_else(no_step)?),
                MiddlewareFile::Respond(step) => {
                    let body = step.body_file.as_ref().and_then(|path| self.bodies.get(path));
                    Arc::new(Respond::new(step, body, compress).ok_or_else(no_step)?)
                }
                MiddlewareFile::Jwt(_)
                | MiddlewareFile::ApiKey(_)
                | MiddlewareFile::BasicAuth(_)
                | MiddlewareFile::ClientCertificate(_)
                | MiddlewareFile::Introspection(_)
                | MiddlewareFile::AnyOf(_)
                | MiddlewareFile::AllOf(_) => continue,
            };
            chain.push(step);
        }
        let mut hidden = middleware::hidden(&authenticators);
        for place in file.split.iter().flat_map(split::hidden) {
            hidden.get_or_insert_default().add(&place);
        }
        let metrics = Arc::clone(find(self.route_metrics, &file.name, place)?);
        Ok(Route {
            name: file.name.as_str().into(),
            chain: Chain::new(chain),
            cors,
            hidden,
            quota: QuotaHeaders::prepare(&limits)?,
            pool: pool.cloned(),
            split: file.split.as_ref().map(|split| self.split(split, &file.name)).transpose()?.map(Box::new),
            max_body: file.max_body.unwrap_or(self.file.server.max_body).bytes(),
            encoded_slash: file.encoded_slash,
            backslash: file.backslash,
            mirror: file.mirror.as_ref().map(|mirror| self.mirror(mirror, file)).transpose()?.map(Box::new),
            metrics,
        })
    }

    fn split(&self, file: &SplitFile, route: &str) -> Result<Split, CompileError> {
        let place = || format!("route `{route}`");
        let share = |share: &ShareFile| {
            let pool = Arc::clone(find(self.pools, &share.name, place)?);
            let requests = self.choices.get(&(route.to_owned(), share.name.clone()));
            let missing = || CompileError::Missing { place: place(), name: share.name.clone() };
            Ok(Share::new(pool, share.weight, requests.ok_or_else(missing)?.clone()))
        };
        Ok(Split::new(file, file.upstreams.iter().map(share).collect::<Result<_, CompileError>>()?))
    }

    fn mirror(&self, file: &MirrorFile, route: &RouteFile) -> Result<Mirror, CompileError> {
        let place = || format!("route `{}`", route.name);
        let pool = Arc::clone(find(self.pools, &file.upstream, place)?);
        let metrics = find(self.mirror_metrics, &route.name, place)?.clone();
        Mirror::new(file, pool, metrics).map_err(|source| CompileError::Mirror { place: place(), source })
    }

    /// What clients are told of `policy`: of one that only watches nothing.
    fn listed(&self, policy: &Arc<Policy>, step: &RateLimitUseFile) -> Listed {
        let defaults = &self.file.rate_limit_defaults;
        let is_told = !policy.only_watches();
        let fields = step.headers.unwrap_or(defaults.headers);
        Listed {
            policy: Arc::clone(policy),
            standard: fields.standard && is_told,
            legacy: fields.legacy && is_told,
            retry_after: step.retry_after.unwrap_or(defaults.retry_after),
        }
    }

    fn policies(&self, file: &RateLimitUseFile, place: &dyn Fn() -> String) -> Result<Vec<Arc<Policy>>, CompileError> {
        let missing = |name: &str| CompileError::Missing { place: place(), name: name.to_owned() };
        let find = |name: &String| self.policies.get(name).cloned().ok_or_else(|| missing(name));
        file.policies.iter().map(find).collect()
    }
}

/// What is called `name`.
///
/// # Errors
/// When there is none; `place` is where it is asked for.
pub(super) fn find<'a, T>(
    all: &'a BTreeMap<String, T>,
    name: &str,
    place: impl Fn() -> String,
) -> Result<&'a T, CompileError> {
    all.get(name).ok_or_else(|| CompileError::Missing { place: place(), name: name.to_owned() })
}
