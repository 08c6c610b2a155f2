//! The shape of `upstreams`.

use schemars::JsonSchema;
use serde::Deserialize;

use super::{UpstreamProtocol, UpstreamTlsFile};
use crate::config::pattern::UpstreamHost;
use crate::config::values::{Span, Target, Targets};

/// A pool of servers that can each answer the same requests.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct UpstreamFile {
    /// Base URLs, `http://host:port`; one entry may hold several with commas between them.
    pub targets: Vec<Targets>,
    /// The `Host` that they are sent: `preserve` for the client's, `target` for that of the target's URL, or always this one.
    #[serde(default)]
    pub host: UpstreamHost,
    /// What is spoken with them.
    #[serde(default)]
    pub protocol: UpstreamProtocol,
    /// How many requests may be under way on one HTTP/2 connection; 100 when left out.
    #[schemars(range(min = 1, max = 10_000))]
    pub max_concurrent_streams: Option<u32>,
    /// How long an HTTP/2 connection is not asked whether the program behind it still lives; 6m when left out, 0s for never.
    pub ping_interval: Option<Span>,
    /// How a target is chosen.
    #[serde(default)]
    pub balance: Balance,
    /// How targets are probed; none are probed when left out.
    pub health_check: Option<HealthCheckFile>,
    /// Deadlines.
    #[serde(default)]
    pub timeouts: TimeoutsFile,
    /// How `https://` targets are spoken to; as browsers do when left out.
    pub tls: Option<UpstreamTlsFile>,
    /// How many other targets are tried when a connection cannot be made, and for idempotent requests also when it breaks.
    #[serde(default = "default_retries")]
    #[schemars(range(max = 10))]
    pub retries: usize,
}

impl UpstreamFile {
    /// Every target of every entry, in the file's order.
    pub fn all_targets(&self) -> impl Iterator<Item = &Target> {
        self.targets.iter().flat_map(Targets::iter)
    }
}

fn default_retries() -> usize {
    2
}

/// How a target is chosen.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Balance {
    /// Each in turn.
    #[default]
    RoundRobin,
}

/// How targets are probed.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct HealthCheckFile {
    /// The path asked for; a 2xx answer is healthy.
    pub path: String,
    /// Time between two probes of one target.
    #[serde(default = "default_probe_interval")]
    pub interval: Span,
    /// How long a probe may take.
    #[serde(default = "default_probe_timeout")]
    pub timeout: Span,
    /// Failures in a row until a target gets no more requests.
    #[serde(default = "default_unhealthy_after")]
    #[schemars(range(min = 1, max = 100))]
    pub unhealthy_after: usize,
    /// Successes in a row until it gets them again.
    #[serde(default = "default_healthy_after")]
    #[schemars(range(min = 1, max = 100))]
    pub healthy_after: usize,
}

fn default_probe_interval() -> Span {
    Span::from_secs(2)
}

fn default_probe_timeout() -> Span {
    Span::from_secs(1)
}

fn default_unhealthy_after() -> usize {
    2
}

fn default_healthy_after() -> usize {
    1
}

/// Deadlines towards an upstream.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct TimeoutsFile {
    /// For a connection to be made.
    pub connect: Span,
    /// For the next part of the response to come; between two of them, too.
    pub read: Span,
    /// For the next part of the request to be taken.
    pub write: Span,
    /// How long an idle connection is kept for the next request.
    pub idle: Span,
    /// How long neither side of a WebSocket need say anything.
    pub tunnel: Span,
}

impl Default for TimeoutsFile {
    fn default() -> Self {
        Self {
            connect: Span::from_secs(1),
            read: Span::from_secs(15),
            write: Span::from_secs(15),
            idle: Span::from_secs(60),
            tunnel: Span::from_secs(3600),
        }
    }
}
