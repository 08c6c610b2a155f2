//! The shape of `rate_limits`.

use schemars::JsonSchema;
use serde::Deserialize;

use crate::config::pattern::{Figure, RateLimitKey};
use crate::config::values::{EditableHeader, QuotaFields, Span};

/// How many requests one key may make.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RateLimitFile {
    /// Where it is counted.
    pub scope: RateLimitScope,
    /// Requests per window; with `in_flight`, at once.
    #[schemars(range(min = 1))]
    pub limit: u32,
    /// What says so for each request, in place of `limit`, which is for those of whom it says nothing or something doubtful.
    pub limit_by: Option<FigureFile>,
    /// The window. All but `in_flight` have one.
    pub window: Option<Span>,
    /// How many of them may come at once; `limit` when left out. Only for `gcra`.
    #[schemars(range(min = 1))]
    pub burst: Option<u32>,
    /// How it is counted; `gcra` when left out.
    pub algorithm: Option<RateLimitAlgorithm>,
    /// For how many keys that are not at rest this gateway has room; 65,536 when left out. With more of them, new ones are
    /// counted too much, and nobody too little; with `in_flight`, new ones are refused; where they are leased, Redis is asked for
    /// each of their requests.
    #[schemars(range(min = 1, max = 100_000_000))]
    pub max_keys: Option<u32>,
    /// What requests are counted by: `client_address`, `api_key`, `claim.<name>`, `header.<name>`, `cookie.<name>`,
    /// `param.<name>`, `route`, `host`, `method`, or `=` and an expression (CEL); or a list of them, which are the key together.
    pub key: RateLimitKey,
    /// What becomes of requests that lack a part of it; they are counted by `client_address` when left out.
    pub missing_key: Option<MissingKey>,
    /// As how many requests one counts; 1 when left out.
    #[schemars(range(min = 1))]
    pub cost: Option<u32>,
    /// What says so for each request, in place of `cost`, which is for those of which it says nothing; in doubt its `max`.
    pub cost_by: Option<FigureFile>,
    /// How the upstream says it with its answer. Until then a request counts as above, and so does one of which nothing is said.
    pub cost_from_response: Option<ResponseCostFile>,
    /// The statuses of the answers to requests that count, all others being given back; every one counts when left out.
    #[schemars(inner(range(min = 200, max = 599)))]
    pub only_statuses: Option<Vec<u16>>,
    /// Whether requests are only counted, and none is held back.
    #[serde(default)]
    pub shadow: bool,
    /// What happens while Redis does not answer. Only for the scopes `redis` and `leased`.
    pub on_redis_failure: Option<RedisFailureMode>,
}

/// What becomes of requests that lack what they are counted by.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum MissingKey {
    /// They are counted by the client's address.
    #[default]
    ClientAddress,
    /// All of them share one quota.
    Share,
    /// They are refused (400).
    Refuse,
    /// They are not counted.
    Skip,
}

/// Counts the request against policies.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RateLimitUseFile {
    /// Names under `rate_limits`.
    pub policies: Vec<String>,
    /// Whether responses tell the client its quota, or by which headers: `standard` and `legacy`; as `rate_limit_defaults` has
    /// it when left out.
    pub headers: Option<QuotaFields>,
    /// Whether a client that is refused is told how long to wait; as `rate_limit_defaults` has it when left out.
    pub retry_after: Option<bool>,
    /// Whether it is told in a problem document what has refused it; as `rate_limit_defaults` has it when left out.
    pub problem_document: Option<bool>,
}

/// What `rate_limit` steps do that do not say it themselves.
#[derive(Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct RateLimitDefaultsFile {
    /// Whether responses tell the client its quota, or by which headers: `standard` and `legacy`.
    pub headers: QuotaFields,
    /// Whether a client that is refused is told how long to wait.
    pub retry_after: bool,
    /// Whether it is told in a problem document what has refused it. Without, a 429 has no body.
    pub problem_document: bool,
}

impl Default for RateLimitDefaultsFile {
    fn default() -> Self {
        Self { headers: QuotaFields::ALL, retry_after: true, problem_document: true }
    }
}

/// A number that is another for each request.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct FigureFile {
    /// Where it comes from: `claim.<name>`, or `=` and an expression (CEL).
    pub value: Figure,
    /// The most that it can be; what is more counts as this.
    #[schemars(range(min = 1))]
    pub max: u32,
}

/// The cost of a request, as its upstream says it.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ResponseCostFile {
    /// The header of the answer in which a whole number stands.
    pub header: EditableHeader,
    /// The most that it can be; what is more counts as this.
    #[schemars(range(min = 1))]
    pub max: u32,
}

/// Where a rate limit is counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum RateLimitScope {
    /// In each gateway for itself.
    Local,
    /// In Redis, exactly, for all gateways together.
    Redis,
    /// In Redis, never too much for all gateways together: each takes parts of the quota ahead of need, so that few requests
    /// need a call.
    Leased,
}

/// How a rate limit counts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum RateLimitAlgorithm {
    /// Exactly, without windows: the Generic Cell Rate Algorithm.
    #[default]
    Gcra,
    /// Exactly in every window, wherever it begins: the times of all requests that passed. The limit is at most 10,000.
    SlidingWindow,
    /// How many requests are under way at once. Only for scope `local`.
    InFlight,
    /// A sliding window over two count-min sketches: 1 MiB for any number of keys, an estimate that counts too much when
    /// very many of them are active. Only for scope `local`.
    Sketch,
}

/// What a rate limit in Redis does while Redis does not answer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum RedisFailureMode {
    /// Lets every request through.
    Open,
    /// Lets no request through (503).
    Closed,
    /// Each gateway counts for itself, up to its share of the limit: what it says, divided by the gateways that last lived.
    #[default]
    LocalShare,
}

impl RateLimitScope {
    /// Whether it needs Redis.
    #[must_use]
    pub const fn is_shared(self) -> bool {
        matches!(self, Self::Redis | Self::Leased)
    }
}

impl RateLimitFile {
    /// A limit with nothing said but what has to be.
    #[must_use]
    pub const fn new(scope: RateLimitScope, limit: u32, window: Span, key: RateLimitKey) -> Self {
        Self {
            scope,
            limit,
            limit_by: None,
            window: Some(window),
            burst: None,
            algorithm: None,
            max_keys: None,
            key,
            missing_key: None,
            cost: None,
            cost_by: None,
            cost_from_response: None,
            only_statuses: None,
            shadow: false,
            on_redis_failure: None,
        }
    }
}
