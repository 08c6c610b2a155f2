//! Checks who can say who is there besides issuers of tokens, and the steps that ask them.

use std::collections::{BTreeMap, HashSet};
use std::path::Path;

use secrecy::ExposeSecret;

use super::claims::Claims;
use super::expressions;
use super::jwt::{check_claims, check_headers, read};
use super::references::{self, Asks};
use super::routes::repeats;
use super::{DAY, Used, span_is_within};
use crate::config::file::{
    ApiKeysFile, AuthorizeFile, BasicAuthUsersFile, GatewayFile, IdentityFile, IdentityStep, MiddlewareFile, ProofKind,
};
use crate::config::problems::KeyPath;
use crate::config::report::Report;
use crate::config::values::{KnownKey, PasswordHash, is_scope};

/// Some hundred thousand keys or users.
const MOST_FILE_BYTES: u64 = 32 << 20;

/// The keys of each provider under `api_keys`.
pub(super) fn api_keys(
    file: &GatewayFile,
    directory: &Path,
    report: &mut Report<'_>,
) -> BTreeMap<String, Vec<KnownKey>> {
    let mut all = BTreeMap::new();
    for (name, provider) in &file.api_keys {
        let at = KeyPath::default().key("api_keys").key(name);
        let mut keys = Vec::new();
        let mut taken = HashSet::new();
        for (index, key) in provider.keys.iter().enumerate() {
            let here = at.key("keys").index(index);
            match KnownKey::new(&key.client, &key.sha256, &key.scopes) {
                Ok(key) if taken.insert(key.sha256) => keys.push(key),
                Ok(_) => report.problem(&here, "this key stands in the list already"),
                // What is wrong with one of its values may have been told.
                Err(bad) if report.is_written(&here) => report.problem(&here, bad.to_string()),
                Err(_) => {}
            }
        }
        for (line, text) in lines(provider.file.as_deref(), directory, &at.key("file"), report) {
            let words: Vec<&str> = text.split_whitespace().collect();
            let [client, hash, scopes @ ..] = words.as_slice() else {
                report.problem(
                    &at.key("file"),
                    format!("line {line}: a client and a hash are wanted, with a space between"),
                );
                continue;
            };
            let scopes: Vec<String> = scopes.iter().map(ToString::to_string).collect();
            match KnownKey::new(client, hash, &scopes) {
                Ok(key) if taken.insert(key.sha256) => keys.push(key),
                Ok(_) => report.problem(&at.key("file"), format!("line {line}: this key is there already")),
                Err(bad) => report.problem(&at.key("file"), format!("line {line}: {bad}")),
            }
        }
        if provider.keys.is_empty() && provider.file.is_none() {
            report.problem(&at, "there is no key; write `keys` or a `file`");
        }
        check_api_keys(provider, &at, report);
        all.insert(name.clone(), keys);
    }
    all
}

fn check_api_keys(provider: &ApiKeysFile, at: &KeyPath, report: &mut Report<'_>) {
    if provider.query.as_ref().is_some_and(String::is_empty) {
        report.problem(&at.key("query"), "the name of a parameter is empty");
    }
    let headers = at.key("claims_to_headers");
    check_headers(&provider.claims_to_headers, &headers, report);
    for claim in provider.claims_to_headers.keys().filter(|claim| !["client", "scope"].contains(&claim.as_str())) {
        report.problem(&headers.key(claim), "a key says `client` and `scope`, and nothing else");
    }
}

/// The users of each provider under `basic_auth`.
pub(super) fn passwords(
    file: &GatewayFile,
    directory: &Path,
    report: &mut Report<'_>,
) -> BTreeMap<String, BTreeMap<String, PasswordHash>> {
    let mut all = BTreeMap::new();
    for (name, provider) in &file.basic_auth {
        let at = KeyPath::default().key("basic_auth").key(name);
        let mut users = BTreeMap::new();
        for (user, hash) in &provider.users {
            let here = at.key("users").key(user);
            if !is_user(user) {
                report.problem(&here, BAD_USER);
            }
            match PasswordHash::new(hash.as_secret().expose_secret()) {
                Ok(hash) => drop(users.insert(user.clone(), hash)),
                Err(bad) => report.problem(&here, bad.to_string()),
            }
        }
        let from = at.key("file");
        for (line, text) in lines(provider.file.as_deref(), directory, &from, report) {
            match text.split_once(':').map(|(user, hash)| (user, PasswordHash::new(hash))) {
                None => report.problem(&from, format!("line {line}: a name, a colon and a hash are wanted")),
                Some((user, _)) if !is_user(user) => report.problem(&from, format!("line {line}: {BAD_USER}")),
                Some((_, Err(bad))) => report.problem(&from, format!("line {line}: {bad}")),
                Some((user, Ok(hash))) => {
                    if users.insert(user.to_owned(), hash).is_some() {
                        report.problem(&from, format!("line {line}: this user is there already"));
                    }
                }
            }
        }
        if provider.users.is_empty() && provider.file.is_none() {
            report.problem(&at, "there is nobody; write `users` or a `file`");
        }
        check_basic_auth(provider, &at, report);
        all.insert(name.clone(), users);
    }
    all
}

const BAD_USER: &str = "a name has 1 to 100 characters, no `:` and no control characters";

fn is_user(name: &str) -> bool {
    (1..=100).contains(&name.chars().count()) && !name.contains(|c: char| c == ':' || c.is_control())
}

fn check_basic_auth(provider: &BasicAuthUsersFile, at: &KeyPath, report: &mut Report<'_>) {
    let is_plain = |byte: u8| matches!(byte, b' '..=b'~') && !matches!(byte, b'"' | b'\\');
    if provider.realm.is_empty() || !provider.realm.bytes().all(is_plain) {
        report.problem(&at.key("realm"), "a realm is a text of ASCII characters without `\"` and `\\`");
    }
    span_is_within(provider.remember, std::time::Duration::ZERO, DAY, &at.key("remember"), report);
    let headers = at.key("claims_to_headers");
    check_headers(&provider.claims_to_headers, &headers, report);
    for claim in provider.claims_to_headers.keys().filter(|claim| *claim != "sub") {
        report.problem(&headers.key(claim), "a password says `sub`, which is the name, and nothing else");
    }
}

/// The lines of the file at `path` that say something, counted from 1.
fn lines(path: Option<&Path>, directory: &Path, at: &KeyPath, report: &mut Report<'_>) -> Vec<(usize, String)> {
    let Some(path) = path else { return Vec::new() };
    if path.as_os_str().is_empty() {
        report.problem(at, "the path is empty");
        return Vec::new();
    }
    match read(&directory.join(path), MOST_FILE_BYTES) {
        Ok(text) => {
            let lines = text.expose_secret().lines().map(str::trim).enumerate();
            let lines = lines.filter(|(_, line)| !line.is_empty() && !line.starts_with('#'));
            lines.map(|(index, line)| (index + 1, line.to_owned())).collect()
        }
        Err(error) => {
            report.problem(at, format!("`{}` cannot be read: {error}", report.shown(at)));
            Vec::new()
        }
    }
}

/// Checks a step that asks who is there, and notes whom it asks.
pub(super) fn check_step<'f>(
    step: &'f MiddlewareFile,
    at: &KeyPath,
    file: &'f GatewayFile,
    used: &mut Used<'f>,
    report: &mut Report<'_>,
) {
    let Some(step) = step.identity() else { return };
    match step {
        IdentityStep::Jwt(jwt) => refer(ProofKind::Jwt, &jwt.provider, &at.key("jwt"), file, used, report),
        IdentityStep::ApiKey(key) => refer(ProofKind::ApiKey, &key.provider, &at.key("api_key"), file, used, report),
        IdentityStep::BasicAuth(basic) => {
            refer(ProofKind::BasicAuth, &basic.provider, &at.key("basic_auth"), file, used, report);
        }
        IdentityStep::Introspection(token) => {
            refer(ProofKind::Introspection, &token.provider, &at.key("introspection"), file, used, report);
        }
        IdentityStep::ClientCertificate(certificate) => {
            refer(
                ProofKind::ClientCertificate,
                &certificate.provider,
                &at.key("client_certificate"),
                file,
                used,
                report,
            );
        }
        IdentityStep::AnyOf(ways) => {
            let here = at.key("any_of");
            if ways.len() < 2 {
                report.problem(&here, "there are no two ways to choose from; write `all_of`, or the step alone");
            }
            for (index, way) in ways.iter().enumerate() {
                check_way(way, &here.index(index), file, used, report);
            }
        }
        IdentityStep::AllOf(way) => check_way(way, &at.key("all_of"), file, used, report),
    }
}

const TOGETHER: &str = "what is asked for together with others is not optional";

fn check_way<'f>(
    way: &'f [IdentityFile],
    at: &KeyPath,
    file: &'f GatewayFile,
    used: &mut Used<'f>,
    report: &mut Report<'_>,
) {
    if way.is_empty() {
        report.problem(at, "this list asks for nothing, and would let everybody pass");
    }
    for (index, proof) in way.iter().enumerate() {
        let here = at.index(index);
        match proof {
            IdentityFile::Jwt(jwt) => {
                let here = here.key("jwt");
                if jwt.optional {
                    report.problem(&here.key("optional"), TOGETHER);
                }
                refer(ProofKind::Jwt, &jwt.provider, &here, file, used, report);
            }
            IdentityFile::ApiKey(key) => {
                refer(ProofKind::ApiKey, &key.provider, &here.key("api_key"), file, used, report)
            }
            IdentityFile::BasicAuth(basic) => {
                refer(ProofKind::BasicAuth, &basic.provider, &here.key("basic_auth"), file, used, report);
            }
            IdentityFile::Introspection(token) => {
                let here = here.key("introspection");
                if token.optional {
                    report.problem(&here.key("optional"), TOGETHER);
                }
                refer(ProofKind::Introspection, &token.provider, &here, file, used, report);
            }
            IdentityFile::ClientCertificate(certificate) => {
                refer(
                    ProofKind::ClientCertificate,
                    &certificate.provider,
                    &here.key("client_certificate"),
                    file,
                    used,
                    report,
                );
            }
        }
    }
}

fn refer<'f>(
    kind: ProofKind,
    name: &'f str,
    at: &KeyPath,
    file: &'f GatewayFile,
    used: &mut Used<'f>,
    report: &mut Report<'_>,
) {
    if !references::check(Asks::For(kind), name, file, &at.key("provider"), report) {
        return;
    }
    let used = match kind {
        ProofKind::Jwt => &mut used.providers,
        ProofKind::ApiKey => &mut used.api_keys,
        ProofKind::BasicAuth => &mut used.basic_auth,
        ProofKind::Introspection => &mut used.introspection,
        ProofKind::ClientCertificate => &mut used.client_certificates,
    };
    used.insert(name);
}

/// Whether a rule asks for anything of who is there; if not, it may stand where nobody is asked.
pub(super) fn asks_who(rule: &AuthorizeFile) -> bool {
    let is_of_request_alone = rule.scopes.is_empty() && rule.roles.is_none() && rule.claims.is_empty();
    !is_of_request_alone || rule.rules.iter().any(|rule| expressions::asks_who(rule.allow_if.expression()))
}

/// Checks what an `authorize` step asks for.
pub(super) fn check_rule(rule: &AuthorizeFile, claims: &Claims, at: &KeyPath, report: &mut Report<'_>) {
    let is_empty = rule.scopes.is_empty() && rule.roles.is_none() && rule.claims.is_empty() && rule.rules.is_empty();
    if is_empty && report.is_written(at) {
        report.problem(at, "this rule lets everybody pass; write `scopes`, `roles`, `claims` or `rules`");
    }
    let mut names = HashSet::new();
    for (index, rule) in rule.rules.iter().enumerate() {
        let here = at.key("rules").index(index).key("name");
        if !report.is_written(&here) {
            continue;
        }
        if rule.name.is_empty() || rule.name.len() > 100 {
            report.problem(&here, "the name of a rule has 1 to 100 bytes");
        }
        if !names.insert(&rule.name) {
            report.problem(&here, "a rule of this list has this name already");
        }
    }
    let scopes = at.key("scopes");
    for (index, scope) in rule.scopes.iter().enumerate() {
        let here = scopes.index(index);
        if report.is_written(&here) && !is_scope(scope) {
            report.problem(&here, "a scope has visible ASCII characters only, without spaces, `\"` and `\\`");
        }
    }
    repeats(&rule.scopes, &scopes, report);
    if let Some(roles) = &rule.roles {
        let here = at.key("roles");
        if roles.claim.is_empty() && report.is_written(&here.key("claim")) {
            report.problem(&here.key("claim"), "the name of a claim is empty");
        }
        if *claims != Claims::None {
            claims.check(&roles.claim, &here.key("claim"), report);
        }
        if roles.any.is_empty() && report.is_written(&here.key("any")) {
            report.problem(&here.key("any"), "without a role here nobody could pass");
        }
        repeats(&roles.any, &here.key("any"), report);
    }
    check_claims(&rule.claims, &at.key("claims"), report);
    for claim in rule.claims.keys().filter(|_| *claims != Claims::None) {
        claims.check(claim, &at.key("claims").key(claim), report);
    }
    if rule.rule.as_ref().is_some_and(|name| name.is_empty() || name.len() > 100) {
        report.problem(&at.key("rule"), "the name of a rule has 1 to 100 bytes");
    }
}
