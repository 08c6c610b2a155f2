//! The shape of `client_certificates` and of the step that asks for one.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::Deserialize;

use crate::config::pattern::TextPattern;
use crate::config::values::IdentityHeader;

/// Requires the certificate of a client that these are the rules for.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ClientCertificateFile {
    /// Whose certificates; a name under `client_certificates`.
    pub provider: String,
}

/// Clients that are known by what their certificate says; all lists that are written have to hold, each by one of its items.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ClientCertificatesFile {
    /// The subject (RFC 4514), as in `CN=orders,O=Example`; or `~` and a regular expression.
    #[serde(default)]
    pub subjects: Vec<TextPattern>,
    /// Alternative names that are URIs, as those of SPIFFE are.
    #[serde(default)]
    pub uris: Vec<TextPattern>,
    /// Alternative names that are DNS names, in lower case.
    #[serde(default)]
    pub dns_names: Vec<TextPattern>,
    /// Alternative names that are e-mail addresses.
    #[serde(default)]
    pub emails: Vec<TextPattern>,
    /// Which claim goes to the upstream in which header.
    #[serde(default)]
    pub claims_to_headers: BTreeMap<String, IdentityHeader>,
}
