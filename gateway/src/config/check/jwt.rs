//! Checks the issuers under `jwt_providers`, and reads their keys.

mod key_set;

use std::collections::{BTreeMap, HashMap, HashSet};
use std::fs::File;
use std::io::{self, Read};
use std::path::Path;
use std::time::Duration;

use common::auth::SigningSecret;
use http::header::AUTHORIZATION;
use secrecy::{ExposeSecret, SecretString};

use super::{size_is_within, span_is_within};
use crate::config::ProviderKey;
use crate::config::file::{GatewayFile, JwtAlgorithm, JwtProviderFile, TokenPlaceFile};
use crate::config::problems::KeyPath;
use crate::config::report::Report;
use crate::config::values::{ByteSize, IdentityHeader, KeyKind, PublicKey};

/// RFC 8725 has no figure; a minute is what its implementers call generous.
const MOST_LEEWAY: Duration = Duration::from_secs(60);
pub(super) const MOST_KEY_BYTES: u64 = 64 * 1024;
/// Holds some dozens of tokens; in less, each would drive out the one before.
pub(super) const LEAST_CACHE: ByteSize = ByteSize::from_kib(64);
pub(super) const MOST_CACHE: ByteSize = ByteSize::from_kib(16 << 20);

pub(super) fn check(file: &GatewayFile, directory: &Path, report: &mut Report<'_>) -> BTreeMap<String, ProviderKey> {
    let mut keys = BTreeMap::new();
    let mut copies = HashMap::new();
    for (name, provider) in &file.jwt_providers {
        let at = KeyPath::default().key("jwt_providers").key(name);
        if let Some(key) = key(provider, directory, &at, report) {
            if let ProviderKey::Remote(remote) = &key
                && let Some(copy) = &remote.cache_file
                && let Some(other) = copies.insert(copy.clone(), name)
            {
                let message = format!("the provider `{other}` keeps its keys in this file; give each one of its own");
                report.problem(&at.key("jwks_fetch").key("cache_file"), message);
            }
            keys.insert(name.clone(), key);
        }
        for (text, key) in [(&provider.issuer, "issuer"), (&provider.audience, "audience")] {
            if text.says_nothing() {
                report.problem(&at.key(key), "this is empty; a token must be asked for a certain one");
            }
        }
        let leeway = at.key("leeway");
        span_is_within(provider.leeway, Duration::ZERO, MOST_LEEWAY, &leeway, report);
        if provider.leeway.get().subsec_nanos() != 0 {
            report.problem(&leeway, "the leeway is in whole seconds, as the times of tokens are");
        }
        if provider.cache.bytes() > 0 {
            size_is_within(provider.cache, LEAST_CACHE, MOST_CACHE, &at.key("cache"), report);
        }
        check_headers(&provider.claims_to_headers, &at.key("claims_to_headers"), report);
        check_claims(&provider.required_claims, &at.key("required_claims"), report);
        check_places(&provider.token_from, &at.key("token_from"), report);
    }
    keys
}

pub(super) fn check_headers(
    claims_to_headers: &BTreeMap<String, IdentityHeader>,
    at: &KeyPath,
    report: &mut Report<'_>,
) {
    let mut taken = HashSet::new();
    for (claim, header) in claims_to_headers {
        let here = at.key(claim);
        if claim.is_empty() {
            report.problem(&here, "the name of a claim is empty");
        }
        if report.is_written(&here) && !taken.insert(header) {
            report.problem(&here, format!("another claim goes to `{}` already", report.shown(&here)));
        }
    }
}

pub(super) fn check_claims<T>(claims: &BTreeMap<String, T>, at: &KeyPath, report: &mut Report<'_>) {
    if claims.contains_key("") {
        report.problem(&at.key(""), "the name of a claim is empty");
    }
}

/// Each place is one header, one cookie or one parameter of the query, and stands in the list once.
pub(super) fn check_places(places: &[TokenPlaceFile], at: &KeyPath, report: &mut Report<'_>) {
    for (index, place) in places.iter().enumerate() {
        let here = at.index(index);
        if !report.is_written(&here) {
            continue;
        }
        let TokenPlaceFile { header, scheme, cookie, query } = place;
        let written = [header.is_some(), cookie.is_some(), query.is_some()].into_iter().filter(|written| *written);
        if written.count() != 1 {
            report.problem(&here, "one of `header`, `cookie` and `query` is wanted here");
            continue;
        }
        match (header, scheme) {
            (Some(header), None) if *header.get() == AUTHORIZATION => {
                report.problem(&here, "this header has a word before the token; write `scheme: Bearer`");
            }
            (None, Some(_)) => report.problem(&here.key("scheme"), "only a header has a scheme"),
            (Some(_), Some(scheme)) if !is_token(scheme) => {
                report.problem(&here.key("scheme"), "a scheme is one word, like `Bearer`");
            }
            _ => {}
        }
        if cookie.as_ref().is_some_and(|name| !is_token(name)) {
            report.problem(&here.key("cookie"), "this is no name that a cookie may have");
        }
        if query.as_ref().is_some_and(String::is_empty) {
            report.problem(&here.key("query"), "the name of a parameter is empty");
        }
        if places.iter().take(index).any(|before| before == place) {
            report.problem(&here, "this place stands in the list already");
        }
    }
}

/// RFC 9110, section 5.6.2.
fn is_token(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte))
}

/// The provider's key, if there is one and it is for the provider's algorithm.
fn key(provider: &JwtProviderFile, directory: &Path, at: &KeyPath, report: &mut Report<'_>) -> Option<ProviderKey> {
    let (secret, public) = (Source::of_secret(provider), Source::of_public_key(provider));
    let set = [(provider.jwks_url.is_some(), "jwks_url"), (provider.jwks_file.is_some(), "jwks_file")];
    let set = set.into_iter().find_map(|(written, name)| written.then_some(name));
    let is_known = accepts(provider, set.is_some(), at, report);
    if provider.jwks_fetch.is_some() && provider.jwks_url.is_none() {
        report.problem(&at.key("jwks_fetch"), "there is no `jwks_url` to fetch from");
    }
    if let Some(set) = set {
        for name in secret.written().chain(public.written()) {
            report.problem(&at.key(name), format!("there is a `{set}` too; keep one of the two"));
        }
        let algorithms = provider.accepted();
        return key_set::key(provider, is_known.then_some(&*algorithms), directory, at, report);
    }
    let algorithm = provider.algorithm.unwrap_or(JwtAlgorithm::HS256);
    // Where the algorithm was told to be wrong, what it was to be is read from the key.
    let shared = if is_known { algorithm.key_kind().is_none() } else { public.is_empty() };
    let (wanted, other) = if shared { (secret, public) } else { (public, secret) };
    if is_known && !other.is_empty() {
        for name in other.written() {
            report.problem(&at.key(name), misplaced(algorithm, shared));
        }
        if wanted.is_empty() {
            return None;
        }
    }
    let (here, text) = wanted.text(directory, at, report)?;
    let told = |message: String, report: &mut Report<'_>| report.problem(&here, message);
    if shared {
        if text.expose_secret().contains("-----BEGIN ") {
            told(format!("this is PEM, and everybody may have it; `{algorithm:?}` needs a random secret"), report);
            return None;
        }
        // Where the secret itself could not be read, the report drops this.
        let secret = SigningSecret::new(text);
        let secret = secret.map_err(|weak| told(format!("this secret is too weak: {weak}"), report)).ok()?;
        return Some(ProviderKey::Secret(secret));
    }
    let key = PublicKey::from_pem(text.expose_secret()).map_err(|bad| told(bad.to_string(), report)).ok()?;
    match algorithm.key_kind().filter(|kind| is_known && *kind != key.kind()) {
        Some(kind) => {
            let (is, fits) = (key.kind(), fitting(key.kind()));
            told(format!("`{algorithm:?}` needs {kind}, and this is {is}, which is for {fits}"), report);
            None
        }
        None => Some(ProviderKey::Public(key)),
    }
}

/// Whether the file says which algorithms the provider accepts; tells when it does not.
fn accepts(provider: &JwtProviderFile, has_set: bool, at: &KeyPath, report: &mut Report<'_>) -> bool {
    let (one, several) = (at.key("algorithm"), at.key("algorithms"));
    let is_known = report.is_written(&one) && report.is_written(&several);
    super::routes::repeats(&provider.algorithms, &several, report);
    match (provider.algorithm, provider.algorithms.as_slice()) {
        (None, []) if has_set && is_known => {
            report.problem(at, "the key `algorithms` is missing");
            false
        }
        (None, []) if is_known => {
            report.problem(at, "the key `algorithm` is missing");
            false
        }
        (None, [_, ..]) if !has_set => {
            report.problem(&several, "this is for a set of keys; a single key has one `algorithm`");
            false
        }
        (Some(_), [_, ..]) => {
            report.problem(&several, "there is an `algorithm` too; keep one of the two");
            false
        }
        _ => is_known,
    }
}

/// What is wrong with a key of the other sort. It is more than a slip: a public key, which everybody has, taken for a shared
/// secret lets everybody sign (RFC 8725, section 2.1).
fn misplaced(algorithm: JwtAlgorithm, shared: bool) -> String {
    if shared {
        format!("`{algorithm:?}` has no public key but a shared secret; write `secret` or `secret_file`")
    } else {
        format!(
            "`{algorithm:?}` has no shared secret but the issuer's public key; write `public_key` or `public_key_file`"
        )
    }
}

const fn fitting(kind: KeyKind) -> &'static str {
    match kind {
        KeyKind::Rsa => "`RS256`, `RS384`, `RS512`, `PS256`, `PS384` and `PS512`",
        KeyKind::P256 => "`ES256`",
        KeyKind::P384 => "`ES384`",
        KeyKind::Ed25519 => "`EdDSA`",
    }
}

/// Where one sort of key is written: at a key of the file itself, or in a file that another key names.
struct Source<'p> {
    inline: (&'static str, Option<SecretString>),
    file: (&'static str, Option<&'p Path>),
}

impl<'p> Source<'p> {
    fn of_secret(provider: &'p JwtProviderFile) -> Self {
        let secret = provider.secret.as_ref().map(|secret| secret.as_secret().clone());
        Self { inline: ("secret", secret), file: ("secret_file", provider.secret_file.as_deref()) }
    }

    fn of_public_key(provider: &'p JwtProviderFile) -> Self {
        let key = provider.public_key.as_deref().map(SecretString::from);
        Self { inline: ("public_key", key), file: ("public_key_file", provider.public_key_file.as_deref()) }
    }

    const fn is_empty(&self) -> bool {
        self.inline.1.is_none() && self.file.1.is_none()
    }

    /// The keys that are written.
    fn written(&self) -> impl Iterator<Item = &'static str> {
        let inline = self.inline.1.is_some().then_some(self.inline.0);
        inline.into_iter().chain(self.file.1.map(|_| self.file.0))
    }

    /// The text of the key, and where it is written.
    fn text(self, directory: &Path, at: &KeyPath, report: &mut Report<'_>) -> Option<(KeyPath, SecretString)> {
        let (here, path) = (at.key(self.inline.0), at.key(self.file.0));
        match (self.inline.1, self.file.1) {
            (Some(text), file) => {
                if file.is_some() {
                    report.problem(&path, format!("there is a `{}` too; keep one of the two", self.inline.0));
                }
                Some((here, text))
            }
            (None, Some(file)) if !report.is_written(&path) || file.as_os_str().is_empty() => {
                report.problem(&path, "the path is empty");
                None
            }
            (None, Some(file)) => match read(&directory.join(file), MOST_KEY_BYTES) {
                Ok(text) => Some((path, text)),
                Err(error) => {
                    report.problem(&path, format!("`{}` cannot be read: {error}", report.shown(&path)));
                    None
                }
            },
            (None, None) => {
                let sets = if self.inline.0 == "public_key" { ", or a `jwks_file` or a `jwks_url`," } else { "" };
                report.problem(at, format!("a `{}` or a `{}`{sets} is missing", self.inline.0, self.file.0));
                None
            }
        }
    }
}

/// The text of a file that holds keys, without the line end that editors add; one of more than `most` bytes is refused, for
/// half of it would be another one.
pub(super) fn read(path: &Path, most: u64) -> io::Result<SecretString> {
    let mut text = String::new();
    File::open(path)?.take(most + 1).read_to_string(&mut text)?;
    if text.len() as u64 > most {
        return Err(io::Error::new(io::ErrorKind::FileTooLarge, format!("it has more than {most} bytes")));
    }
    Ok(SecretString::from(text.trim_end_matches(['\r', '\n'])))
}
