//! The gateway's configuration file: read, checked whole, and handed on typed.
//!
//! A file goes through `yaml` (text to a tree with positions), `variables` (`${VAR}`), `decode` (the tree to
//! [`file::GatewayFile`], guided by its own JSON Schema) and `check` (what belongs together). Each of them goes on after a
//! mistake, so that one run tells everything.

mod check;
mod decode;
pub mod file;
mod index;
mod new_password;
pub mod pattern;
pub mod problems;
mod provider_key;
mod remote_service;
mod report;
mod schema;
pub mod values;
mod variables;
mod yaml;

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use bytes::Bytes;
use common::config::Env;

use file::GatewayFile;
pub use new_password::{hash_password, hash_typed_password};
use problems::{ConfigProblems, KeyPath, Problem};
pub(crate) use provider_key::is_trustworthy;
pub use provider_key::{ProviderKey, RemoteJwks};
pub use remote_service::{IntrospectionService, RemoteService};
use report::Report;
use values::{Authorities, Certificate, KnownKey, PasswordHash, SigningKey, UpstreamTls};

/// A file without problems.
#[derive(Debug)]
pub struct Loaded {
    /// What it says. `redis` is `None` also when its host is empty, and `revocation` when its secret is.
    pub file: GatewayFile,
    /// The key of each provider under `jwt_providers`, wherever it came from.
    pub keys: BTreeMap<String, ProviderKey>,
    /// The key of each signer under `identity_tokens`.
    pub signing_keys: BTreeMap<String, SigningKey>,
    /// The keys of programs under `api_keys`, by name, wherever they came from.
    pub api_keys: BTreeMap<String, Vec<KnownKey>>,
    /// The users under `basic_auth` with their passwords' hashes, by name, wherever they came from.
    pub passwords: BTreeMap<String, BTreeMap<String, PasswordHash>>,
    /// The certificates of `server.tls`, in its order.
    pub certificates: Vec<Certificate>,
    /// Whose clients `server.tls` lets in, if it asks for certificates.
    pub client_authorities: Option<Authorities>,
    /// What upstreams with a block `tls` are spoken to with, by name.
    pub upstream_tls: BTreeMap<String, UpstreamTls>,
    /// The services under `forward_auth`, by name.
    pub forward_auth: BTreeMap<String, RemoteService>,
    /// The services under `token_introspection`, by name.
    pub introspection: BTreeMap<String, IntrospectionService>,
    /// Where relative paths in the file begin.
    pub directory: PathBuf,
    /// What routes answer with by themselves, by the name of the file that holds it.
    pub bodies: BTreeMap<PathBuf, Bytes>,
    /// What is allowed and hardly meant, each as one line.
    pub warnings: Vec<String>,
}

/// No configuration written by hand comes near.
const MAX_FILE_BYTES: u64 = 4 << 20;

/// Reads the file at `path`. Blocks while it reads; the paths in it begin where the file stands.
///
/// # Errors
/// Everything that is wrong with the file, at once.
pub fn load(path: &Path, env: &Env) -> Result<Loaded, ConfigProblems> {
    let whole =
        |message: String| ConfigProblems::new(path, vec![Problem { place: None, key: KeyPath::default(), message }]);
    let text = read(path).map_err(|error| whole(format!("the file cannot be read: {error}")))?;
    let text = text.ok_or_else(|| whole(format!("the file has more than {MAX_FILE_BYTES} bytes")))?;
    parse(&text, path, env)
}

/// The same for a `text` that stands, or could stand, at `path`.
///
/// # Errors
/// Everything that is wrong with the text, at once.
pub fn parse(text: &str, path: &Path, env: &Env) -> Result<Loaded, ConfigProblems> {
    let mut problems = Vec::new();
    let mut root = match yaml::parse(text, &mut problems) {
        Ok(root) => root,
        Err(problem) => {
            problems.push(problem);
            return Err(ConfigProblems::new(path, problems));
        }
    };
    variables::replace(&mut root, &KeyPath::default(), env, &mut problems);
    let Some(decoded) = decode::decode(&mut root, &mut problems) else {
        return Err(ConfigProblems::new(path, problems));
    };
    let mut file = decoded.file;
    let mut report = Report::new(decoded.index, decoded.stand_ins, problems);
    let directory = path.parent().unwrap_or(Path::new(""));
    let found = check::check(&file, directory, &mut report);
    if !report.problems.is_empty() {
        return Err(ConfigProblems::new(path, report.problems));
    }
    file.redis = file.redis.filter(file::RedisFile::is_somewhere);
    file.revocation = file.revocation.filter(|revocation| !revocation.is_off());
    let warnings = report.warnings.iter().map(|warning| warning.line(path)).collect();
    let check::Found {
        redis_certificates,
        keys,
        signing_keys,
        api_keys,
        passwords,
        certificates,
        client_authorities,
        upstream_tls,
        forward_auth,
        introspection,
        bodies,
    } = found;
    if let Some(redis) = &mut file.redis {
        redis.certificates = redis_certificates;
    }
    let directory = directory.to_owned();
    Ok(Loaded {
        file,
        keys,
        signing_keys,
        api_keys,
        passwords,
        certificates,
        client_authorities,
        upstream_tls,
        forward_auth,
        introspection,
        directory,
        bodies,
        warnings,
    })
}

/// Checks the file at `path` for a person: the warnings and a closing line about what is there.
///
/// # Errors
/// Everything that is wrong with the file, at once.
pub fn check_file(path: &Path, env: &Env) -> Result<String, ConfigProblems> {
    let Loaded { file, warnings, .. } = load(path, env)?;
    let mut told = String::new();
    for warning in &warnings {
        let _ = writeln!(told, "warning: {warning}");
    }
    let (routes, upstreams) = (file.routes.len(), file.upstreams.len());
    let _ = write!(told, "{}: no problems ({routes} routes, {upstreams} upstreams)", path.display());
    Ok(told)
}

/// The hash by which `api_keys` knows the key that `input` holds; a line end behind it is no part of the key.
///
/// # Errors
/// When it cannot be read, is empty, or is too long to be a key.
pub fn hash_key(input: impl Read) -> io::Result<String> {
    const MOST_KEY_BYTES: u64 = 4096;
    let mut key = Vec::new();
    input.take(MOST_KEY_BYTES + 1).read_to_end(&mut key)?;
    let key = key.strip_suffix(b"\n").map_or(&*key, |key| key.strip_suffix(b"\r").unwrap_or(key));
    if key.is_empty() || key.len() as u64 > MOST_KEY_BYTES {
        return Err(io::Error::new(
            io::ErrorKind::InvalidInput,
            "a key of 1 to 4096 bytes is wanted on standard input",
        ));
    }
    Ok(KnownKey::hash(key).iter().map(|byte| format!("{byte:02x}")).collect())
}

/// `None` when the file is too large.
fn read(path: &Path) -> io::Result<Option<String>> {
    let mut text = String::new();
    File::open(path)?.take(MAX_FILE_BYTES + 1).read_to_string(&mut text)?;
    Ok((text.len() as u64 <= MAX_FILE_BYTES).then_some(text))
}

#[cfg(test)]
mod tests;
