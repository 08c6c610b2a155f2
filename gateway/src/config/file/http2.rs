//! The shape of `server.http2`, and which version of HTTP is spoken with an upstream.

use schemars::JsonSchema;
use serde::Deserialize;

/// What a client may do on one HTTP/2 connection.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Http2File {
    /// Requests that may be under way at once; more are refused one by one (`REFUSED_STREAM`).
    #[schemars(range(min = 1, max = 10_000))]
    pub max_concurrent_streams: u32,
    /// Requests that a client may take back at once, before they were begun; with more the connection is ended
    /// (CVE-2023-44487, rapid reset).
    #[schemars(range(min = 1, max = 10_000))]
    pub max_pending_resets: u32,
    /// Mistakes that each cost a client one of its requests; with more the connection is ended (CVE-2025-8671).
    #[schemars(range(min = 1, max = 100_000))]
    pub max_stream_errors: u32,
}

impl Default for Http2File {
    fn default() -> Self {
        Self { max_concurrent_streams: 100, max_pending_resets: 20, max_stream_errors: 128 }
    }
}

/// Which version of HTTP is spoken with the targets of an upstream.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum UpstreamProtocol {
    /// HTTP/1.1.
    #[default]
    Http1,
    /// HTTP/2: agreed on in the TLS handshake (ALPN), or without TLS spoken at once (h2c by prior knowledge).
    Http2,
    /// Whichever a target chooses in the TLS handshake; HTTP/1.1 without TLS.
    Auto,
}
