//! The shape of the steps that ask who is there and what they may, and of the blocks those refer to.

use std::collections::BTreeMap;
use std::path::PathBuf;

use schemars::JsonSchema;
use serde::Deserialize;

use super::{ClientCertificateFile, IntrospectionFile, MiddlewareFile};
use crate::config::pattern::Predicate;
use crate::config::values::{CredentialHeader, IdentityHeader, Scalar, Secret, Span};

/// One way to prove who is there; written as `- name: { settings }`.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum IdentityFile {
    /// By a token.
    Jwt(JwtFile),
    /// By a key that programs have.
    ApiKey(ApiKeyFile),
    /// By name and password.
    BasicAuth(BasicAuthFile),
    /// By a token that its issuer says is active.
    Introspection(IntrospectionFile),
    /// By a certificate that was shown on the connection.
    ClientCertificate(ClientCertificateFile),
}

/// By what somebody can prove who is there.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum ProofKind {
    /// A token.
    Jwt,
    /// A key that programs have.
    ApiKey,
    /// A name and its password.
    BasicAuth,
    /// A token that its issuer is asked about.
    Introspection,
    /// A certificate that was shown on the connection.
    ClientCertificate,
}

impl ProofKind {
    /// As the step is called that asks for it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Jwt => "jwt",
            Self::ApiKey => "api_key",
            Self::BasicAuth => "basic_auth",
            Self::Introspection => "introspection",
            Self::ClientCertificate => "client_certificate",
        }
    }
}

impl IdentityFile {
    /// What it asks for, and the provider that knows.
    #[must_use]
    pub fn asked(&self) -> (ProofKind, &str) {
        match self {
            Self::Jwt(file) => (ProofKind::Jwt, &file.provider),
            Self::ApiKey(file) => (ProofKind::ApiKey, &file.provider),
            Self::BasicAuth(file) => (ProofKind::BasicAuth, &file.provider),
            Self::Introspection(file) => (ProofKind::Introspection, &file.provider),
            Self::ClientCertificate(file) => (ProofKind::ClientCertificate, &file.provider),
        }
    }
}

/// A step that asks who is there.
#[derive(Clone, Copy, Debug)]
pub(crate) enum IdentityStep<'f> {
    /// By a token.
    Jwt(&'f JwtFile),
    /// By a key.
    ApiKey(&'f ApiKeyFile),
    /// By name and password.
    BasicAuth(&'f BasicAuthFile),
    /// By a token that its issuer is asked about.
    Introspection(&'f IntrospectionFile),
    /// By a certificate.
    ClientCertificate(&'f ClientCertificateFile),
    /// By one of several ways.
    AnyOf(&'f [Vec<IdentityFile>]),
    /// By everything of one way.
    AllOf(&'f [IdentityFile]),
}

impl MiddlewareFile {
    /// What the step asks, if it asks who is there. The one place where the kinds of steps are told apart by that.
    pub(crate) fn identity(&self) -> Option<IdentityStep<'_>> {
        Some(match self {
            Self::Jwt(file) => IdentityStep::Jwt(file),
            Self::ApiKey(file) => IdentityStep::ApiKey(file),
            Self::BasicAuth(file) => IdentityStep::BasicAuth(file),
            Self::Introspection(file) => IdentityStep::Introspection(file),
            Self::ClientCertificate(file) => IdentityStep::ClientCertificate(file),
            Self::AnyOf(ways) => IdentityStep::AnyOf(ways),
            Self::AllOf(way) => IdentityStep::AllOf(way),
            Self::RateLimit(_)
            | Self::Authorize(_)
            | Self::ForwardAuth(_)
            | Self::IdentityToken(_)
            | Self::Headers(_)
            | Self::Cors(_)
            | Self::Compress(_)
            | Self::Rewrite(_)
            | Self::Redirect(_)
            | Self::Respond(_) => return None,
        })
    }

    /// The ways in which it lets somebody prove who is there, with all that each asks for; none for a step that does not ask.
    #[must_use]
    pub fn ways(&self) -> Vec<Vec<(ProofKind, &str)>> {
        match self.identity() {
            None => Vec::new(),
            Some(IdentityStep::Jwt(file)) => vec![vec![(ProofKind::Jwt, &file.provider)]],
            Some(IdentityStep::ApiKey(file)) => vec![vec![(ProofKind::ApiKey, &file.provider)]],
            Some(IdentityStep::BasicAuth(file)) => vec![vec![(ProofKind::BasicAuth, &file.provider)]],
            Some(IdentityStep::Introspection(file)) => vec![vec![(ProofKind::Introspection, &file.provider)]],
            Some(IdentityStep::ClientCertificate(file)) => vec![vec![(ProofKind::ClientCertificate, &file.provider)]],
            Some(IdentityStep::AnyOf(ways)) => ways.iter().map(|way| asked(way)).collect(),
            Some(IdentityStep::AllOf(way)) => vec![asked(way)],
        }
    }
}

fn asked(way: &[IdentityFile]) -> Vec<(ProofKind, &str)> {
    way.iter().map(IdentityFile::asked).collect()
}

/// Requires a valid token.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct JwtFile {
    /// Whose tokens; a name under `jwt_providers`.
    pub provider: String,
    /// Whether requests without a token pass too, as nobody's. A bad token is still refused.
    #[serde(default)]
    pub optional: bool,
}

/// Requires a known key.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ApiKeyFile {
    /// Whose keys; a name under `api_keys`.
    pub provider: String,
}

/// Requires a name and its password.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct BasicAuthFile {
    /// Whose passwords; a name under `basic_auth`.
    pub provider: String,
}

/// Programs that are known by a key.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ApiKeysFile {
    /// The keys, each by its hash.
    #[serde(default)]
    pub keys: Vec<KnownKeyFile>,
    /// A file of more of them: lines of a client, a hash and scopes, with spaces between them.
    pub file: Option<PathBuf>,
    /// The header a key comes in.
    #[serde(default = "CredentialHeader::api_key")]
    pub header: CredentialHeader,
    /// The parameter of the query it may come in instead. Queries stand in other logs than ours: better not.
    pub query: Option<String>,
    /// Which claim, of `client` and `scope`, goes to the upstream in which header.
    #[serde(default)]
    pub claims_to_headers: BTreeMap<String, IdentityHeader>,
}

/// A key of a program.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct KnownKeyFile {
    /// Whose; one may have several, so that it can change them.
    pub client: String,
    /// The SHA-256 of the key, as 64 hexadecimal digits.
    pub sha256: String,
    /// What it may do, for `authorize` steps.
    #[serde(default)]
    pub scopes: Vec<String>,
}

/// People who are known by name and password.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct BasicAuthUsersFile {
    /// What a browser shows when it asks for the password.
    pub realm: String,
    /// The hash of each one's password: Argon2id as PHC string, or bcrypt.
    #[serde(default)]
    pub users: BTreeMap<String, Secret>,
    /// A file of more of them: lines of name, colon, hash, as `htpasswd` writes them.
    pub file: Option<PathBuf>,
    /// How many passwords are checked at once; each may take some MiB and a core.
    #[serde(default = "default_checks")]
    #[schemars(range(min = 1, max = 64))]
    pub checks: usize,
    /// How many wait for that; more are answered with 503.
    #[serde(default = "default_queue")]
    #[schemars(range(min = 1, max = 10_000))]
    pub queue: usize,
    /// How long a password that was found right need not be checked again; `0s` checks it on every request.
    #[serde(default = "default_remember")]
    pub remember: Span,
    /// Which claim (there is `sub`, the name) goes to the upstream in which header.
    #[serde(default)]
    pub claims_to_headers: BTreeMap<String, IdentityHeader>,
    /// Whether the upstream sees name and password itself.
    #[serde(default)]
    pub forward_credentials: bool,
}

fn default_checks() -> usize {
    2
}

fn default_queue() -> usize {
    64
}

fn default_remember() -> Span {
    Span::from_secs(5 * 60)
}

/// Lets only requests pass whose sender may do this; all that is written has to hold.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct AuthorizeFile {
    /// What the log line calls this rule.
    pub rule: Option<String>,
    /// Every one of these must be among the token's (`scope`, or `scp`).
    #[serde(default)]
    pub scopes: Vec<String>,
    /// A claim that must have one of these roles.
    pub roles: Option<RolesFile>,
    /// Claims that must have exactly these values.
    #[serde(default)]
    pub claims: BTreeMap<String, Scalar>,
    /// Expressions that must hold, each under a name for the log line.
    #[serde(default)]
    pub rules: Vec<RuleFile>,
}

/// An expression that must hold.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RuleFile {
    /// What the log line calls it.
    pub name: String,
    /// What must hold, in CEL.
    pub allow_if: Predicate,
}

/// A claim that has roles, and those of which one is enough.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RolesFile {
    /// Where the roles stand, as in `realm_access.roles`: a list, or a single one.
    pub claim: String,
    /// One of these is enough.
    pub any: Vec<String>,
}
