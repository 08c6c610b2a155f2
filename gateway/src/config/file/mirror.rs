//! The block `mirror` of a route: which of its requests a second upstream gets a copy of.

use schemars::JsonSchema;
use serde::Deserialize;

use crate::config::values::{ByteSize, Percent, Span};

/// A second upstream that gets copies of requests, and whose answers nobody sees.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct MirrorFile {
    /// A name under `upstreams`.
    pub upstream: String,
    /// How many of the route's requests are copied.
    #[serde(default = "Percent::all")]
    pub sample: Percent,
    /// The largest body that is copied; a request with a larger one is not.
    #[serde(default = "default_max_body")]
    pub max_body: ByteSize,
    /// How many copies there may be at once; while there are, no more are made.
    #[serde(default = "default_max_in_flight")]
    #[schemars(range(min = 1, max = 10_000))]
    pub max_in_flight: usize,
    /// How long its request may take to come whole, and then a copy with its answer.
    #[serde(default = "default_timeout")]
    pub timeout: Span,
}

fn default_max_body() -> ByteSize {
    ByteSize::from_kib(64)
}

fn default_max_in_flight() -> usize {
    64
}

fn default_timeout() -> Span {
    Span::from_secs(5)
}
