//! The shape of `forward_auth` and of the step that asks.

use std::path::PathBuf;

use schemars::JsonSchema;
use serde::Deserialize;

use crate::config::values::{ByteSize, EditableHeader, IdentityHeader, Span};

/// Asks a service whether a request may go on.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ForwardAuthFile {
    /// Which service; a name under `forward_auth`.
    pub provider: String,
}

/// A service that says whether requests may go on. It is told their head, never their body.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ForwardAuthServiceFile {
    /// Where it is asked, with `GET`: `https://`, or `http://` on this machine.
    pub url: String,
    /// The client's headers that it is told, beside `X-Forwarded-Method`, `-Uri`, `-Host`, `-Proto` and `-For`.
    #[serde(default = "default_request_headers")]
    pub request_headers: Vec<EditableHeader>,
    /// The headers of a 2xx answer that go to the upstream. The client's own copies of them never do, on any route.
    #[serde(default)]
    pub upstream_headers: Vec<IdentityHeader>,
    /// The headers of any other answer that the client gets with it.
    #[serde(default = "default_client_headers")]
    pub client_headers: Vec<EditableHeader>,
    /// The most bytes of such an answer; a larger one is refused with 503.
    #[serde(default = "default_max_body")]
    pub max_body: ByteSize,
    /// How long a request waits for an answer.
    #[serde(default = "default_timeout")]
    pub timeout: Span,
    /// What happens when none comes.
    #[serde(default)]
    pub on_error: OnAuthError,
    /// How many requests it is asked about at once; more wait for their turn.
    #[serde(default = "default_max_concurrent")]
    #[schemars(range(min = 1, max = 10_000))]
    pub max_concurrent: usize,
    /// Whether a 2xx answer counts for the same question again; it does not when left out.
    pub cache: Option<AnswerCacheFile>,
    /// The authorities that its certificate may be of, as PEM, in place of those of the system.
    pub ca_file: Option<PathBuf>,
    /// Asks over `http://` on other machines too. Whoever is on the way can then let in whom they like.
    #[serde(default)]
    pub allow_insecure_http: bool,
}

/// For how long answers count.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct AnswerCacheFile {
    /// How long one counts: whom the service refuses in that time still passes.
    pub ttl: Span,
    /// How many are kept.
    #[serde(default = "default_entries")]
    #[schemars(range(min = 1, max = 1_000_000))]
    pub entries: usize,
}

/// What happens to requests about which no answer comes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum OnAuthError {
    /// They are refused (503).
    #[default]
    Refuse,
    /// They go on, without the headers that the service would have given.
    Allow,
}

fn headers(names: &[&str]) -> Vec<EditableHeader> {
    names.iter().filter_map(|name| EditableHeader::try_from((*name).to_owned()).ok()).collect()
}

fn default_request_headers() -> Vec<EditableHeader> {
    headers(&["Authorization", "Cookie"])
}

fn default_client_headers() -> Vec<EditableHeader> {
    headers(&["Content-Type", "Location", "Set-Cookie", "WWW-Authenticate"])
}

fn default_max_body() -> ByteSize {
    ByteSize::from_kib(64)
}

fn default_timeout() -> Span {
    Span::from_secs(1)
}

fn default_max_concurrent() -> usize {
    256
}

fn default_entries() -> usize {
    10_000
}
