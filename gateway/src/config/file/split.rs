//! The block `split` of a route: several upstreams, and which request goes to which.

use schemars::JsonSchema;
use serde::Deserialize;

use super::MatchHeader;
use crate::config::values::Span;

/// Several upstreams in the place of one.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct SplitFile {
    /// They, with their shares. At least two.
    pub upstreams: Vec<ShareFile>,
    /// By what a client stays with one; each request is drawn anew when left out.
    pub sticky: Option<StickyFile>,
    /// Where a request may say itself which one it wants.
    pub force: Option<ForceFile>,
}

/// An upstream and its share.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ShareFile {
    /// A name under `upstreams`.
    pub name: String,
    /// Its share among all weights of the list. With 0 it gets only requests that ask for it.
    #[schemars(range(max = 1_000_000))]
    pub weight: u32,
}

/// By what a client stays with one upstream: one of these.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct StickyFile {
    /// A cookie that the gateway gives to clients that have none.
    pub cookie: Option<StickyCookieFile>,
    /// A header.
    pub header: Option<MatchHeader>,
    /// A claim of whoever is there.
    pub claim: Option<String>,
    /// The client's address.
    #[serde(default)]
    pub client_address: bool,
}

/// A cookie that keeps a client with one upstream.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct StickyCookieFile {
    /// What it is called.
    pub name: String,
    /// How long a browser keeps it; until it is closed when left out.
    pub max_age: Option<Span>,
    /// Whether upstreams see it.
    #[serde(default)]
    pub forward: bool,
}

/// Where a request says which upstream it wants, by its name: one of these or both, of which the header goes first.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ForceFile {
    /// A header.
    pub header: Option<MatchHeader>,
    /// A cookie.
    pub cookie: Option<String>,
    /// Whether upstreams see either.
    #[serde(default)]
    pub forward: bool,
}
