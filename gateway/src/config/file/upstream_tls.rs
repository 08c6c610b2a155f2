//! The shape of `tls` of an upstream.

use std::path::PathBuf;

use schemars::JsonSchema;
use serde::Deserialize;

use super::{default_reload_interval, default_true};
use crate::config::values::Span;

/// How the targets whose URL is `https://` are spoken to.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct UpstreamTlsFile {
    /// A file that holds, as PEM, the authorities that the targets' certificates may be of, in place of those of the system.
    pub ca: Option<PathBuf>,
    /// A file that holds the certificate that the gateway shows, as PEM, its own first.
    pub certificate: Option<PathBuf>,
    /// A file that holds its private key as PEM.
    pub key: Option<PathBuf>,
    /// The name that is asked for (SNI) and that certificates have to be for; the host of the target when left out.
    pub server_name: Option<String>,
    /// Whether the targets' certificates are checked at all. Without it, whoever is on the way can read and change everything.
    #[serde(default = "default_true")]
    pub verify: bool,
    /// How often the files are looked at, so that renewed ones are used; `0s` for never.
    #[serde(default = "default_reload_interval")]
    pub reload_interval: Span,
}
