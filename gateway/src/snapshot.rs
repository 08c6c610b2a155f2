//! A configuration, compiled: everything a request needs, made beforehand and never changed.
//!
//! A request takes one snapshot and keeps it to its end. A reload compiles a new one beside it, takes over whatever did not
//! change (pools with their connections and health, counts, the link to Redis), and swaps the two at once.

mod route;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use http::HeaderValue;
use prometheus::{IntCounter, Registry};
use tokio::runtime::Handle;

use crate::config::Loaded;
use crate::config::file::{RouteFile, ServerFile, UpstreamFile};
use crate::forwarded::TrustedProxies;
use crate::http2::Http2Limits;
use crate::https::{ToHttps, strict_transport_security};
use crate::limit::{LimitError, Policies};
use crate::metrics::{self, RouteMetrics};
use crate::middleware::{self, ForwardAuths, IdentityProviders, IdentitySigners, Middleware, ProviderError};
use crate::mirror::{MirrorError, MirrorMetrics};
use crate::proxy::AssertedHeaders;
use crate::router::{Conditions, MethodSet, Pattern, Router, RouterBuilder};
use crate::screen::Limits;
use crate::tls::{CertificateSeries, Tls, TlsError};
use crate::upstream::{Pool, PoolMetrics, Security};

pub(crate) use route::Route;
use route::{Parts, find};

/// A configuration, compiled.
pub(crate) struct Snapshot {
    /// Finds a request's route.
    pub router: Router<Arc<Route>>,
    /// Every pool, by name.
    pub pools: BTreeMap<String, Arc<Pool>>,
    /// Who says who is there, with what they have verified.
    pub providers: IdentityProviders,
    /// The services that say whether requests may go on.
    pub forward_auths: ForwardAuths,
    /// What signs the gateway's word on who asks.
    pub signers: IdentitySigners,
    /// What every route counts with, by name.
    pub route_metrics: BTreeMap<String, Arc<RouteMetrics>>,
    /// What split routes count with, by their names and those of the upstreams.
    pub choices: BTreeMap<(String, String), IntCounter>,
    /// What copies are counted with, by the names of their routes.
    pub mirror_metrics: BTreeMap<String, MirrorMetrics>,
    /// The rate-limit policies and their link to Redis.
    pub policies: Policies,
    /// What only the gateway may say to an upstream.
    pub asserted_headers: AssertedHeaders,
    /// Who is believed to say whom a request comes from.
    pub trusted_proxies: TrustedProxies,
    /// What a client may send at most.
    pub limits: Limits,
    /// How long clients may take.
    pub client_timeouts: ClientTimeouts,
    /// What TLS handshakes go by, if TLS is spoken.
    pub tls: Option<Arc<Tls>>,
    /// Where plain requests are sent, if they are not served.
    pub to_https: Option<ToHttps>,
    /// What browsers are told with every answer over TLS.
    pub hsts: Option<HeaderValue>,
    /// Connections that may be open at once.
    pub most_connections: i64,
    /// Requests that one connection may carry.
    pub requests_per_connection: u32,
    /// What a client may do on one HTTP/2 connection.
    pub http2: Http2Limits,
}

/// How long clients may take.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ClientTimeouts {
    /// For the whole head of a request to come.
    pub header: Duration,
    /// For the whole of a request to come.
    pub body: Duration,
    /// For the next part of the request to come.
    pub read: Duration,
    /// For the next part of the response to be taken.
    pub write: Duration,
    /// Between two requests on one connection.
    pub keepalive: Duration,
}

/// What outlives a snapshot, and the next one is made with.
#[derive(Clone)]
pub(crate) struct Workshop {
    /// Where background work runs.
    pub control: Handle,
    /// Steps of the embedder's own, run on every route before the file's.
    pub middleware: Vec<Arc<dyn Middleware>>,
}

/// Why a checked configuration still cannot be run.
#[derive(Debug, thiserror::Error)]
pub enum CompileError {
    /// Who says who is there cannot be made.
    #[error("a provider of identities")]
    Provider(#[from] ProviderError),
    /// A rate limit cannot be made.
    #[error("rate_limits")]
    Limit(#[from] LimitError),
    /// The name of a policy or a scope cannot stand in a header. The check finds this first.
    #[error("the name of a rate limit or a scope cannot stand in a header")]
    PolicyName(#[from] http::header::InvalidHeaderValue),
    /// A name cannot stand in the metrics. The check finds this first.
    #[error("the metrics cannot be made")]
    Metrics(#[from] prometheus::Error),
    /// The regular expressions of routes are too large together. The check lets fewer pass.
    #[error("the regular expressions of routes")]
    Regexes(#[from] regex::Error),
    /// TLS cannot be spoken with what the file says.
    #[error("server.tls")]
    Tls(#[from] TlsError),
    /// Copies of requests cannot be sent.
    #[error("{place}: mirror")]
    Mirror {
        /// Whose.
        place: String,
        /// Why.
        #[source]
        source: MirrorError,
    },
    /// A step cannot be made. The check finds this first.
    #[error("{place}: a step of its middleware cannot be made")]
    Step {
        /// Whose step.
        place: String,
    },
    /// A name leads nowhere. The check finds this first.
    #[error("{place}: there is no `{name}`")]
    Missing {
        /// Where the name stands.
        place: String,
        /// The name.
        name: String,
    },
}

impl Snapshot {
    /// Compiles `loaded`, taking over from `previous` what did not change.
    ///
    /// # Errors
    /// See [`CompileError`]; `previous` is untouched then.
    pub(crate) async fn compile(
        loaded: &Loaded,
        workshop: &Workshop,
        previous: Option<&Self>,
    ) -> Result<Self, CompileError> {
        let file = &loaded.file;
        let tls = Tls::compile(loaded, previous.and_then(|previous| previous.tls.as_ref()))?;
        let kept = previous.map(|previous| &previous.providers);
        let providers = IdentityProviders::compile(loaded, kept, &workshop.control).await?;
        let forward_auths = ForwardAuths::compile(loaded, previous.map(|previous| &previous.forward_auths))?;
        let missing = || CompileError::Step { place: "identity_tokens".to_owned() };
        let signers = IdentitySigners::compile(loaded).ok_or_else(missing)?;
        let policies = Policies::compile(
            &file.rate_limits,
            file.redis.as_ref(),
            &workshop.control,
            previous.map(|previous| &previous.policies),
        )?;
        let pools = start_pools(loaded, workshop, previous).await?;
        let route_metrics = route_metrics(&file.routes, previous)?;
        let choices = choices(&file.routes, previous)?;
        let mirror_metrics = mirror_metrics(&file.routes, previous)?;
        let parts = Parts {
            file,
            bodies: &loaded.bodies,
            providers: &providers,
            forward_auths: &forward_auths,
            signers: &signers,
            policies: &policies,
            told_apart: middleware::told_apart(file),
            pools: &pools,
            route_metrics: &route_metrics,
            choices: &choices,
            mirror_metrics: &mirror_metrics,
            workshop,
        };
        let mut router = RouterBuilder::default();
        for route in &file.routes {
            let metrics = find(&route_metrics, &route.name, || format!("route `{}`", route.name))?;
            let pattern = Pattern {
                hosts: &route.matches.hosts,
                path: &route.matches.path,
                methods: MethodSet::of(route.matches.methods.iter().map(|method| method.get())),
                conditions: &Conditions::of(route.matches.conditions()).counting(metrics.expression_doubts().clone()),
                priority: route.priority,
            };
            router.add(&pattern, &Arc::new(parts.route(route)?));
        }
        let identity = providers.asserted_headers().chain(forward_auths.asserted_headers()).cloned();
        Ok(Self {
            router: router.build()?,
            asserted_headers: AssertedHeaders::new(identity),
            trusted_proxies: TrustedProxies::of(&file.server),
            limits: limits(&file.server),
            client_timeouts: ClientTimeouts {
                header: file.server.header_timeout.get(),
                body: file.server.body_timeout.get(),
                read: file.server.read_timeout.get(),
                write: file.server.write_timeout.get(),
                keepalive: file.server.keepalive_timeout.get(),
            },
            to_https: ToHttps::compile(loaded, tls.as_ref()),
            tls,
            hsts: file.server.tls.as_ref().and_then(|tls| strict_transport_security(tls.hsts.as_ref()?)),
            most_connections: i64::from(file.server.max_connections),
            requests_per_connection: file.server.keepalive_request_limit,
            http2: Http2Limits::of(&file.server),
            pools,
            providers,
            forward_auths,
            signers,
            route_metrics,
            choices,
            mirror_metrics,
            policies,
        })
    }

    /// Ends the background work of whatever `successor` has not taken over: probes, name look-ups, fetches of keys, the link to Redis. A
    /// request that outlives the reload keeps this snapshot for as long as it likes.
    pub(crate) fn retire(&self, successor: &Self) {
        for (name, pool) in &self.pools {
            if !successor.pools.get(name).is_some_and(|kept| Arc::ptr_eq(kept, pool)) {
                pool.retire();
            }
        }
        self.policies.retire(&successor.policies);
        self.providers.retire(&successor.providers);
    }

    /// How often [`Self::renew`] wants to be called; never when this is nothing.
    pub(crate) fn reload_interval(&self) -> Option<Duration> {
        let tls = self.tls.as_ref().and_then(|tls| tls.reload_interval());
        self.pools.values().filter_map(|pool| pool.reload_interval()).chain(tls).min()
    }

    /// Looks whether files have changed that TLS goes by, and takes what is good of them. Blocks while it reads.
    pub(crate) fn renew(&self) {
        if let Some(tls) = self.tls.as_ref().filter(|tls| tls.reload_interval().is_some()) {
            tls.renew();
        }
        self.pools.values().for_each(|pool| pool.renew());
    }

    /// Puts the series of everything that is configured into `registry`, to be shown now.
    ///
    /// # Errors
    /// When it has series of these names already.
    pub(crate) fn register(&self, registry: &Registry) -> prometheus::Result<()> {
        for route in self.route_metrics.values() {
            route.register(registry)?;
        }
        for requests in self.choices.values() {
            registry.register(Box::new(requests.clone()))?;
        }
        for copies in self.mirror_metrics.values() {
            copies.register(registry)?;
        }
        for pool in self.pools.values() {
            pool.metrics().register(registry)?;
        }
        registry.register(Box::new(metrics::target_health(self.pools.values())?))?;
        self.providers.register(registry)?;
        self.forward_auths.register(registry)?;
        let certificates = CertificateSeries::new()?;
        if let Some(tls) = &self.tls {
            tls.show(&certificates);
        }
        self.pools.values().for_each(|pool| pool.show_certificates(&certificates));
        certificates.register(registry)?;
        self.policies.register(registry)
    }
}

fn limits(server: &ServerFile) -> Limits {
    let bytes = |size: crate::config::values::ByteSize| usize::try_from(size.bytes()).unwrap_or(usize::MAX);
    Limits { uri: bytes(server.max_uri), headers: bytes(server.max_headers) }
}

async fn start_pools(
    loaded: &Loaded,
    workshop: &Workshop,
    previous: Option<&Snapshot>,
) -> Result<BTreeMap<String, Arc<Pool>>, CompileError> {
    let start = async |(name, upstream): (&String, &UpstreamFile)| {
        let namesake = previous.and_then(|previous| previous.pools.get(name));
        if let Some(pool) = namesake.filter(|pool| pool.is_made_from(upstream, loaded.upstream_tls.get(name))) {
            return Ok((name.clone(), Arc::clone(pool)));
        }
        let counted = namesake.map_or_else(|| PoolMetrics::new(name), |pool| Ok(pool.metrics().clone()))?;
        let security = upstream.tls.as_ref().zip(loaded.upstream_tls.get(name));
        let security = security.map(|(file, read)| Arc::new(Security::new(file, &loaded.directory, read)));
        Ok((name.clone(), Arc::new(Pool::start(name, upstream, security, counted, &workshop.control).await)))
    };
    futures::future::join_all(loaded.file.upstreams.iter().map(start)).await.into_iter().collect()
}

/// What the routes count with; one of the same name as before goes on counting.
fn route_metrics(
    routes: &[RouteFile],
    previous: Option<&Snapshot>,
) -> Result<BTreeMap<String, Arc<RouteMetrics>>, CompileError> {
    let of = |route: &RouteFile| {
        let metrics = match previous.and_then(|previous| previous.route_metrics.get(&route.name)) {
            Some(metrics) => Arc::clone(metrics),
            None => Arc::new(RouteMetrics::new(&route.name)?),
        };
        Ok((route.name.clone(), metrics))
    };
    routes.iter().map(of).collect()
}

/// What split routes count with; what was chosen among before goes on counting.
fn choices(
    routes: &[RouteFile],
    previous: Option<&Snapshot>,
) -> Result<BTreeMap<(String, String), IntCounter>, CompileError> {
    let all = routes.iter().flat_map(|route| {
        let shares = route.split.iter().flat_map(|split| &split.upstreams);
        shares.map(|share| (route.name.clone(), share.name.clone()))
    });
    let of = |names: (String, String)| {
        let namesake = previous.and_then(|previous| previous.choices.get(&names));
        let requests = namesake.map_or_else(|| metrics::choices(&names.0, &names.1), |kept| Ok(kept.clone()))?;
        Ok((names, requests))
    };
    all.map(of).collect()
}

/// What copies are counted with; those of a route of the same name as before go on.
fn mirror_metrics(
    routes: &[RouteFile],
    previous: Option<&Snapshot>,
) -> Result<BTreeMap<String, MirrorMetrics>, CompileError> {
    let of = |route: &RouteFile| {
        let namesake = previous.and_then(|previous| previous.mirror_metrics.get(&route.name));
        let copies = namesake.map_or_else(|| MirrorMetrics::new(&route.name), |kept| Ok(kept.clone()))?;
        Ok((route.name.clone(), copies))
    };
    routes.iter().filter(|route| route.mirror.is_some()).map(of).collect()
}
