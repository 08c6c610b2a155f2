//! The shape of `gateway.yaml`, one type per block, in the words the file uses.
//!
//! Nothing here acts. What is written here is checked by `check` and made into the running snapshot by `compile`.

mod client_certificate;
mod forward_auth;
mod http2;
mod identity;
mod identity_token;
mod introspection;
mod jwt;
mod limits;
mod matches;
mod mirror;
mod redis;
mod revocation;
mod shape;
mod split;
mod tls;
mod upstream;
mod upstream_tls;

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::PathBuf;

use http::HeaderName;
use schemars::JsonSchema;
use serde::Deserialize;

use super::values::{ByteSize, Network, Span, listen_addr};
use crate::path::SlashPolicy;
pub use client_certificate::{ClientCertificateFile, ClientCertificatesFile};
pub use forward_auth::{AnswerCacheFile, ForwardAuthFile, ForwardAuthServiceFile, OnAuthError};
pub use http2::{Http2File, UpstreamProtocol};
pub(crate) use identity::IdentityStep;
pub use identity::{
    ApiKeyFile, ApiKeysFile, AuthorizeFile, BasicAuthFile, BasicAuthUsersFile, IdentityFile, JwtFile, KnownKeyFile,
    ProofKind, RolesFile, RuleFile,
};
pub use identity_token::{IdentityTokenFile, IdentityTokenSignerFile, SigningAlgorithm};
pub use introspection::{IntrospectionFile, IntrospectionProviderFile};
pub use jwt::{JwksFetchFile, JwtAlgorithm, JwtProviderFile, TokenPlaceFile};
pub use limits::{
    FigureFile, MissingKey, RateLimitAlgorithm, RateLimitDefaultsFile, RateLimitFile, RateLimitScope, RateLimitUseFile,
    RedisFailureMode, ResponseCostFile,
};
pub use matches::{BadMatchHeader, FieldMatchFile, HeaderMatchFile, MatchFile, MatchHeader};
pub use mirror::MirrorFile;
pub use redis::{RedisClusterFile, RedisFile, RedisSentinelFile};
pub use revocation::{OnLoss, RevocationFile, RevocationSource};
pub use shape::{
    CompressFile, CorsFile, EditsFile, Encoding, HeadersFile, QueryFile, RedirectFile, RedirectStatus, RespondFile,
    RewriteFile, Scheme,
};
pub use split::{ForceFile, ShareFile, SplitFile, StickyCookieFile, StickyFile};
pub use tls::{CertificateFile, ClientAuthFile, ClientCertificateMode, HstsFile, TlsFile, TlsVersion};
pub use upstream::{Balance, HealthCheckFile, TimeoutsFile, UpstreamFile};
pub use upstream_tls::UpstreamTlsFile;

/// The whole file.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct GatewayFile {
    /// Listeners, threads, shutdown, and the bounds of what a client may send.
    #[serde(default)]
    pub server: ServerFile,
    /// The line written for each request.
    #[serde(default)]
    pub access_log: AccessLogFile,
    /// The Redis that gateways share; needed by rate limits of scope `redis`. An empty host counts as no Redis.
    pub redis: Option<RedisFile>,
    /// How the gateway hears of tokens that are void before their time; it does not when left out.
    pub revocation: Option<RevocationFile>,
    /// Who issues tokens, by name.
    #[serde(default)]
    pub jwt_providers: BTreeMap<String, JwtProviderFile>,
    /// Programs that are known by a key, by name.
    #[serde(default)]
    pub api_keys: BTreeMap<String, ApiKeysFile>,
    /// People who are known by name and password, by name.
    #[serde(default)]
    pub basic_auth: BTreeMap<String, BasicAuthUsersFile>,
    /// Clients that are known by their certificate, by name.
    #[serde(default)]
    pub client_certificates: BTreeMap<String, ClientCertificatesFile>,
    /// Issuers that say themselves what each of their tokens is worth, by name.
    #[serde(default)]
    pub token_introspection: BTreeMap<String, IntrospectionProviderFile>,
    /// Services that say whether requests may go on, by name.
    #[serde(default)]
    pub forward_auth: BTreeMap<String, ForwardAuthServiceFile>,
    /// What signs the gateway's word on who asks, by name.
    #[serde(default)]
    pub identity_tokens: BTreeMap<String, IdentityTokenSignerFile>,
    /// Rate-limit policies, by name.
    #[serde(default)]
    pub rate_limits: BTreeMap<String, RateLimitFile>,
    /// What `rate_limit` steps do that do not say it themselves.
    #[serde(default)]
    pub rate_limit_defaults: RateLimitDefaultsFile,
    /// Pools of servers behind the gateway, by name.
    #[serde(default)]
    pub upstreams: BTreeMap<String, UpstreamFile>,
    /// What runs on every route before the route's own list.
    #[serde(default)]
    pub middleware: Vec<MiddlewareFile>,
    /// Which request goes where. At least one.
    #[serde(default)]
    pub routes: Vec<RouteFile>,
}

impl GatewayFile {
    /// The headers in which upstreams are told who asks, each with the name of the provider that knows.
    pub fn identity_headers(&self) -> impl Iterator<Item = (&HeaderName, &str)> {
        let tokens = self.jwt_providers.iter().map(|(name, provider)| (name, &provider.claims_to_headers));
        let keys = self.api_keys.iter().map(|(name, provider)| (name, &provider.claims_to_headers));
        let passwords = self.basic_auth.iter().map(|(name, provider)| (name, &provider.claims_to_headers));
        let certificates = self.client_certificates.iter();
        let certificates = certificates.map(|(name, provider)| (name, &provider.claims_to_headers));
        let opaque = self.token_introspection.iter();
        let opaque = opaque.map(|(name, provider)| (name, &provider.claims_to_headers));
        let all = tokens.chain(opaque).chain(keys).chain(passwords).chain(certificates);
        let services = self
            .forward_auth
            .iter()
            .flat_map(|(name, service)| service.upstream_headers.iter().map(move |header| (header.get(), &**name)));
        all.flat_map(|(name, headers)| headers.values().map(move |header| (header.get(), &**name))).chain(services)
    }
}

/// Listeners, threads, shutdown, and the bounds of what a client may send.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct ServerFile {
    /// Where clients connect.
    #[serde(deserialize_with = "listen_addr::several")]
    #[schemars(extend("items" = {"type": "string", "examples": ["127.0.0.1:8080"]}))]
    pub listen: Vec<SocketAddr>,
    /// The same over TLS; not at all when left out.
    pub tls: Option<TlsFile>,
    /// The same without TLS for clients that begin with HTTP/2 at once (h2c by prior knowledge) and for those of HTTP/1.
    #[serde(deserialize_with = "listen_addr::several")]
    #[schemars(extend("items" = {"type": "string", "examples": ["127.0.0.1:8081"]}))]
    pub h2c_listen: Vec<SocketAddr>,
    /// What a client may do on one HTTP/2 connection.
    pub http2: Http2File,
    /// Where metrics, readiness and state are shown; keep it off the public network.
    #[serde(deserialize_with = "listen_addr::one")]
    #[schemars(example = &"127.0.0.1:9090")]
    pub admin: SocketAddr,
    /// Proxies before the gateway: only what comes on a connection of theirs is believed when it says for whom it comes.
    pub trusted_proxies: Vec<Network>,
    /// Where they say so.
    pub forwarded_header: ForwardedHeader,
    /// Worker threads; as many as there are cores when left out.
    #[schemars(range(min = 1, max = 1024))]
    pub threads: Option<usize>,
    /// How long requests are still taken after the signal to stop, while `/ready` already says 503.
    pub shutdown_grace: Span,
    /// How long requests under way may then still take.
    pub shutdown_timeout: Span,
    /// How many client connections may be open at once; more are answered with 503. Each may need a second file, for its
    /// upstream.
    #[schemars(range(min = 1, max = 10_000_000))]
    pub max_connections: u32,
    /// How long a connection may be idle between two requests.
    pub keepalive_timeout: Span,
    /// How many requests a connection may carry; it ends with the answer to the last one.
    #[schemars(range(min = 1))]
    pub keepalive_request_limit: u32,
    /// How long the head of a request may take to arrive.
    pub header_timeout: Span,
    /// How long a request may take to arrive with its body, but for gRPC calls that are HTTP/2 on both sides.
    pub body_timeout: Span,
    /// How long a client may take to send the next part of its request.
    pub read_timeout: Span,
    /// How long a client may take to accept the next part of its response.
    pub write_timeout: Span,
    /// The largest request body; more is answered with 413.
    pub max_body: ByteSize,
    /// The longest request target; more is answered with 414.
    pub max_uri: ByteSize,
    /// The largest sum of all request headers; more is answered with 431.
    pub max_headers: ByteSize,
}

impl Default for ServerFile {
    fn default() -> Self {
        Self {
            listen: vec![SocketAddr::from(([0, 0, 0, 0], 8080))],
            tls: None,
            h2c_listen: Vec::new(),
            http2: Http2File::default(),
            admin: SocketAddr::from(([127, 0, 0, 1], 9090)),
            trusted_proxies: Vec::new(),
            forwarded_header: ForwardedHeader::Either,
            threads: None,
            shutdown_grace: Span::from_secs(0),
            shutdown_timeout: Span::from_secs(10),
            max_connections: 8000,
            keepalive_timeout: Span::from_secs(60),
            keepalive_request_limit: 10_000,
            header_timeout: Span::from_secs(10),
            body_timeout: Span::from_secs(60),
            read_timeout: Span::from_secs(10),
            write_timeout: Span::from_secs(10),
            max_body: ByteSize::from_kib(1024),
            max_uri: ByteSize::from_kib(8),
            max_headers: ByteSize::from_kib(32),
        }
    }
}

/// In which header trusted proxies say for whom a request comes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum ForwardedHeader {
    /// `Forwarded`, or else `X-Forwarded-For`. A request with both that name different clients is refused: one of the two came
    /// through the proxy as a client wrote it.
    Either,
    /// `Forwarded` alone (RFC 7239).
    Forwarded,
    /// `X-Forwarded-For` with its companions `-Proto` and `-Host` alone.
    XForwarded,
}

/// The line written for each request.
#[derive(Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct AccessLogFile {
    /// Whether lines are written at all.
    pub enabled: bool,
    /// The file they are appended to; standard output when left out.
    pub path: Option<PathBuf>,
    /// Lines that may wait for the disk; more are dropped and counted.
    #[schemars(range(min = 1, max = 1_000_000))]
    pub queue: usize,
}

impl Default for AccessLogFile {
    fn default() -> Self {
        Self { enabled: true, path: None, queue: 16_384 }
    }
}

/// How often files that may be renewed are looked at.
fn default_reload_interval() -> Span {
    Span::from_secs(10)
}

fn default_true() -> bool {
    true
}

/// One step of a middleware list; written as `- name: { settings }`.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum MiddlewareFile {
    /// Requires a valid token.
    Jwt(JwtFile),
    /// Counts the request against policies, in this order.
    RateLimit(RateLimitUseFile),
    /// Requires a known key.
    ApiKey(ApiKeyFile),
    /// Requires a name and its password.
    BasicAuth(BasicAuthFile),
    /// Requires the certificate of a known client.
    ClientCertificate(ClientCertificateFile),
    /// Requires a token that its issuer says is active.
    Introspection(IntrospectionFile),
    /// Requires what one of these lists asks for, whichever a request has; of a list, everything.
    AnyOf(Vec<Vec<IdentityFile>>),
    /// Requires everything that this list asks for.
    AllOf(Vec<IdentityFile>),
    /// Asks a service whether the request may go on.
    ForwardAuth(ForwardAuthFile),
    /// Requires scopes, roles or claims of whoever the steps before have found.
    Authorize(AuthorizeFile),
    /// Tells the upstream who asks, signed; behind whatever changes the path.
    IdentityToken(IdentityTokenFile),
    /// Changes headers of requests and responses.
    Headers(HeadersFile),
    /// Lets web pages of other origins in.
    Cors(CorsFile),
    /// Compresses responses.
    Compress(CompressFile),
    /// Changes what the upstream is asked for.
    Rewrite(RewriteFile),
    /// Sends the client to another place; the last step of its list.
    Redirect(RedirectFile),
    /// Answers by itself; the last step of its list.
    Respond(RespondFile),
}

/// What logs and metrics call the route of a request that none took; no route has this name.
pub(crate) const NO_ROUTE: &str = "none";

/// Which requests, and where they go.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RouteFile {
    /// Its name in logs and metrics.
    pub name: String,
    /// Which requests.
    #[serde(rename = "match")]
    pub matches: MatchFile,
    /// Goes before specificity: of all routes that take a request, those of the highest priority are asked first.
    #[serde(default)]
    #[schemars(range(min = -1000, max = 1000))]
    pub priority: i32,
    /// Where they go; a name under `upstreams`. Left out where the last step of the list answers.
    pub upstream: Option<String>,
    /// Where they go in place of one `upstream`: to one of several.
    pub split: Option<SplitFile>,
    /// What encoded slashes (`%2F`) in the path are.
    #[serde(default)]
    pub encoded_slash: SlashPolicy,
    /// What backslashes in the path are, encoded (`%5C`) or not.
    #[serde(default)]
    pub backslash: SlashPolicy,
    /// A second upstream that gets copies of its requests.
    pub mirror: Option<MirrorFile>,
    /// Says that no identity is asked for. A route has either this or a middleware that asks.
    #[serde(default)]
    pub public: bool,
    /// What runs before the request goes on, in this order, after the gateway's own list.
    #[serde(default)]
    pub middleware: Vec<MiddlewareFile>,
    /// The largest request body; `server.max_body` when left out.
    pub max_body: Option<ByteSize>,
}
