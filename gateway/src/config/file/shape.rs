//! The shape of the steps that change requests and responses, or answer by themselves.

use std::collections::BTreeMap;
use std::path::PathBuf;

use schemars::JsonSchema;
use serde::Deserialize;

use crate::config::pattern::{HostPattern, OriginPattern, PathPrefix, PathTemplate, TargetTemplate, ValueTemplate};
use crate::config::values::{ByteSize, EditableHeader, FixedValue, MediaPattern, RouteMethod, Span};

/// Changes the path and the query that the upstream is asked for.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RewriteFile {
    /// Taken away from the front of the path.
    pub strip_prefix: Option<PathPrefix>,
    /// Put before the path, after `strip_prefix`.
    pub add_prefix: Option<PathPrefix>,
    /// The whole path: `{name}` is a parameter of the route's path, `{path}` what its `/*` stands for.
    pub path: Option<PathTemplate>,
    /// What becomes of the query.
    pub query: Option<QueryFile>,
}

/// Changes the query that the upstream is asked with.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct QueryFile {
    /// Parts that are there once, with this value.
    pub set: BTreeMap<String, ValueTemplate>,
    /// Parts that are taken away.
    pub remove: Vec<String>,
}

/// Sends the client to another place.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RedirectFile {
    /// The whole place: `{host}` is the host that was asked, `{name}` a parameter of the route's path, `{path}` what its
    /// `/*` stands for, and `{query}` at the end the query.
    pub to: Option<TargetTemplate>,
    /// Another scheme.
    pub scheme: Option<Scheme>,
    /// Another host.
    pub host: Option<HostPattern>,
    /// Another port; the scheme's own when only the scheme or the host is another.
    #[schemars(range(min = 1))]
    pub port: Option<u16>,
    /// Another path. The query stays.
    pub path: Option<PathTemplate>,
    /// The kind of redirect.
    #[serde(default)]
    pub status: RedirectStatus,
}

/// What a client speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Scheme {
    /// Plain HTTP.
    Http,
    /// HTTP over TLS.
    Https,
}

/// The kind of a redirect (RFC 9110, section 15.4).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, JsonSchema)]
pub enum RedirectStatus {
    /// For good; a `POST` may become a `GET`.
    #[serde(rename = "301")]
    MovedPermanently,
    /// For now; a `POST` may become a `GET`.
    #[serde(rename = "302")]
    Found,
    /// For now; whatever it was becomes a `GET`.
    #[serde(rename = "303")]
    SeeOther,
    /// For now; with method and body.
    #[serde(rename = "307")]
    Temporary,
    /// For good; with method and body.
    #[default]
    #[serde(rename = "308")]
    Permanent,
}

/// Answers by itself.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RespondFile {
    /// The status.
    #[serde(default = "default_status")]
    #[schemars(range(min = 200, max = 599), example = &200)]
    pub status: u16,
    /// The media type; `text/plain; charset=utf-8` when there is a body and this is left out.
    pub content_type: Option<FixedValue>,
    /// The body; or `body_file`.
    pub body: Option<String>,
    /// A file that holds the body, at most 1 MiB, read when the configuration is.
    pub body_file: Option<PathBuf>,
    /// More headers.
    #[serde(default)]
    pub headers: BTreeMap<String, FixedValue>,
}

fn default_status() -> u16 {
    200
}

/// Changes headers.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct HeadersFile {
    /// Of the request, on its way to the upstream.
    #[serde(default)]
    pub request: EditsFile,
    /// Of the response, whoever gives it, on its way to the client.
    #[serde(default)]
    pub response: EditsFile,
}

/// Changes the headers of one direction.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct EditsFile {
    /// There once, with this value.
    pub set: BTreeMap<String, ValueTemplate>,
    /// There once more.
    pub add: BTreeMap<String, ValueTemplate>,
    /// Taken away.
    pub remove: Vec<EditableHeader>,
}

/// Says which web pages of other origins may use a route (the CORS protocol of the Fetch standard).
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct CorsFile {
    /// Origins of pages: exact, `https://*.example.com`, or `*` for all.
    pub allow_origins: Vec<OriginPattern>,
    /// Methods beyond `GET`, `HEAD` and `POST`; those that the route takes when left out.
    #[serde(default)]
    pub allow_methods: Vec<RouteMethod>,
    /// Request headers beyond those that every page may send; `*` for all but `Authorization`.
    #[serde(default)]
    pub allow_headers: Vec<String>,
    /// Response headers beyond those that every page may read; `*` for all.
    #[serde(default)]
    pub expose_headers: Vec<String>,
    /// Whether pages may send cookies and the like.
    #[serde(default)]
    pub allow_credentials: bool,
    /// How long a browser may remember the answer to its question, in whole seconds up to a day.
    pub max_age: Option<Span>,
}

/// Compresses responses for clients that take it.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct CompressFile {
    /// How, the one that is liked best first; which of them is taken, the client decides.
    pub encodings: Vec<Encoding>,
    /// Which bodies, by their media type.
    pub types: Vec<MediaPattern>,
    /// The smallest body, where the length is known.
    pub min_size: ByteSize,
}

impl Default for CompressFile {
    fn default() -> Self {
        Self {
            encodings: vec![Encoding::Zstd, Encoding::Br, Encoding::Gzip],
            types: MediaPattern::compressible(),
            min_size: ByteSize::from_kib(1),
        }
    }
}

/// A way to compress bodies (RFC 1952, RFC 7932, RFC 8878).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Encoding {
    /// Every client knows it.
    Gzip,
    /// Brotli, the smallest for texts.
    Br,
    /// Zstandard, the fastest.
    Zstd,
}
