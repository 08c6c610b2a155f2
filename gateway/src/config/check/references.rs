//! Checks the names that steps say of who can answer for a request, and says where such a name belongs.

use std::collections::BTreeMap;

use common::names::did_you_mean;

use crate::config::file::{GatewayFile, ProofKind};
use crate::config::problems::KeyPath;
use crate::config::report::Report;

/// Which sort of step names somebody.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Asks {
    For(ProofKind),
    ForwardAuth,
    IdentityToken,
}

const ALL: [Asks; 7] = [
    Asks::For(ProofKind::Jwt),
    Asks::For(ProofKind::ApiKey),
    Asks::For(ProofKind::BasicAuth),
    Asks::For(ProofKind::Introspection),
    Asks::For(ProofKind::ClientCertificate),
    Asks::ForwardAuth,
    Asks::IdentityToken,
];

/// Whether there is somebody called `name` whom a step of this sort can ask; tells at `key` when there is not.
pub(super) fn check(asks: Asks, name: &str, file: &GatewayFile, key: &KeyPath, report: &mut Report<'_>) -> bool {
    let known = asks.names(file);
    if known.contains(&name) {
        return true;
    }
    let Form { kind, step, block, example } = asks.form();
    let elsewhere = ALL.into_iter().find(|other| *other != asks && other.names(file).contains(&name));
    let hint = match (elsewhere.map(Asks::form), did_you_mean(name, known.iter().copied())) {
        (_, near) if !near.is_empty() => near,
        (Some(other), _) => {
            format!(" under `{block}`; `{}` has one of this name, which a step `{}` asks", other.block, other.step)
        }
        (None, _) if known.is_empty() => {
            format!(
                ", for the file has no block `{block}`; the least that a `{step}` step needs is `{block}: {{ NAME: {example} }}`"
            )
        }
        (None, none) => none,
    };
    report.problem(key, format!("there is no {kind} `{}`{hint}", report.shown(key)));
    false
}

/// How those that a step names are called and written.
struct Form {
    kind: &'static str,
    step: &'static str,
    block: &'static str,
    example: &'static str,
}

impl Asks {
    fn names(self, file: &GatewayFile) -> Vec<&str> {
        fn names<T>(map: &BTreeMap<String, T>) -> Vec<&str> {
            map.keys().map(String::as_str).collect()
        }
        match self {
            Self::For(ProofKind::Jwt) => names(&file.jwt_providers),
            Self::For(ProofKind::ApiKey) => names(&file.api_keys),
            Self::For(ProofKind::BasicAuth) => names(&file.basic_auth),
            Self::For(ProofKind::Introspection) => names(&file.token_introspection),
            Self::For(ProofKind::ClientCertificate) => names(&file.client_certificates),
            Self::ForwardAuth => names(&file.forward_auth),
            Self::IdentityToken => names(&file.identity_tokens),
        }
    }

    const fn form(self) -> Form {
        let (kind, step) = match self {
            Self::For(proof) => ("provider", proof.name()),
            Self::ForwardAuth => ("provider", "forward_auth"),
            Self::IdentityToken => ("signer", "identity_token"),
        };
        let (block, example) = match self {
            Self::For(ProofKind::Jwt) => (
                "jwt_providers",
                "{ algorithms: [RS256], jwks_url: 'https://login.example.com/jwks.json', issuer: 'https://login.example.com', \
                 audience: orders }",
            ),
            Self::For(ProofKind::ApiKey) => ("api_keys", "{ file: api-keys.txt }"),
            Self::For(ProofKind::BasicAuth) => ("basic_auth", "{ realm: Staff only, file: staff.htpasswd }"),
            Self::For(ProofKind::Introspection) => (
                "token_introspection",
                "{ endpoint: 'https://login.example.com/introspect', client_id: gateway, client_secret_file: secret.txt }",
            ),
            Self::For(ProofKind::ClientCertificate) => {
                ("client_certificates", "{ uris: ['spiffe://example.com/orders'] }")
            }
            Self::ForwardAuth => ("forward_auth", "{ url: 'https://auth.example.com/verify' }"),
            Self::IdentityToken => ("identity_tokens", "{ algorithm: EdDSA, private_key_file: identity.pem }"),
        };
        Form { kind, step, block, example }
    }
}
