//! The shape of `rate_limits`.

use schemars::JsonSchema;
use serde::Deserialize;

use crate::config::pattern::{Figure, RateLimitKey};
use crate::config::values::{EditableHeader, Span};

/// How many requests one key may make.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RateLimitFile {
    /// Where it is counted.
    pub scope: RateLimitScope,
    /// Requests per window; with `in_flight`, at once.
    #[schemars(range(min = 1))]
    pub limit: u32,
    /// What says so for each request, in place of `limit`, which is for those of whom it says nothing.
    pub limit_by: Option<FigureFile>,
    /// The window. All but `in_flight` have one.
    pub window: Option<Span>,
    /// How many of them may come at once; `limit` when left out. Only for `gcra`.
    #[schemars(range(min = 1))]
    pub burst: Option<u32>,
    /// How it is counted; `gcra` when left out.
    pub algorithm: Option<RateLimitAlgorithm>,
    /// For how many keys that are not at rest this gateway has room; 65,536 when left out. With more of them, new ones are
    /// counted too much, and nobody too little; with `in_flight`, new ones are refused.
    #[schemars(range(min = 1, max = 100_000_000))]
    pub max_keys: Option<u32>,
    /// What requests are counted by: `client_address`, `claim.<name>`, or `=` and an expression (CEL).
    pub key: RateLimitKey,
    /// As how many requests one counts; 1 when left out.
    #[schemars(range(min = 1))]
    pub cost: Option<u32>,
    /// What says so for each request, in place of `cost`, which is for those of which it says nothing.
    pub cost_by: Option<FigureFile>,
    /// How the upstream says it with its answer. Until then a request counts as above, and so does one of which nothing is said.
    pub cost_from_response: Option<ResponseCostFile>,
    /// The statuses of the answers to requests that count, all others being given back; every one counts when left out.
    #[schemars(inner(range(min = 200, max = 599)))]
    pub only_statuses: Option<Vec<u16>>,
    /// Whether requests are only counted, and none is held back.
    #[serde(default)]
    pub shadow: bool,
    /// What happens while Redis does not answer. Only for scope `redis`.
    pub on_redis_failure: Option<RedisFailureMode>,
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

/// What a Redis rate limit does while Redis does not answer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum RedisFailureMode {
    /// Lets every request through.
    Open,
    /// Lets no request through (503).
    Closed,
    /// Each gateway counts for itself.
    #[default]
    Local,
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
            cost: None,
            cost_by: None,
            cost_from_response: None,
            only_statuses: None,
            shadow: false,
            on_redis_failure: None,
        }
    }
}
