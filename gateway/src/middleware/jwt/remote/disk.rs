//! The copy of the last good set on the disk, for a start while the issuer is away.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use serde_json::Value;
use tokio::task::spawn_blocking;

/// A set has a mebibyte at most, and is a little longer when it is written anew.
const MOST_BYTES: u64 = 4 << 20;

/// What is kept.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Copy {
    /// Where it came from; that of another place is not taken.
    pub(super) url: String,
    /// When, in seconds since 1970.
    pub(super) fetched_at: u64,
    /// For how many seconds it was fresh.
    pub(super) fresh_for: u64,
    /// The set as it was published.
    pub(super) jwks: Value,
}

/// Why a copy is not used, or none could be kept.
#[derive(Debug, thiserror::Error)]
pub(super) enum BadCopy {
    #[error("the file cannot be read or written")]
    Io(#[from] io::Error),
    #[error("the file is damaged")]
    Damaged(#[from] serde_json::Error),
    #[error("others than its owner may write the file")]
    Open,
    #[error("the file is of another issuer")]
    Other,
    #[error("the gateway stops")]
    Stopped(#[from] tokio::task::JoinError),
}

/// The copy at `path` of what came from `url`; none when there is no file.
pub(super) async fn read(path: PathBuf, url: String) -> Result<Option<Copy>, BadCopy> {
    spawn_blocking(move || read_file(&path, &url)).await?
}

/// Puts `copy` in place of the one at `path`, as a whole or not at all.
pub(super) async fn write(path: PathBuf, copy: Copy) -> Result<(), BadCopy> {
    spawn_blocking(move || write_file(&path, &copy)).await?
}

fn read_file(path: &Path, url: &str) -> Result<Option<Copy>, BadCopy> {
    let file = match File::open(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        file => file?,
    };
    let metadata = file.metadata()?;
    if !is_ours(metadata.uid(), metadata.permissions().mode(), rustix::process::geteuid().as_raw()) {
        return Err(BadCopy::Open);
    }
    let mut text = Vec::new();
    file.take(MOST_BYTES).read_to_end(&mut text)?;
    let copy: Copy = serde_json::from_slice(&text)?;
    if copy.url == url { Ok(Some(copy)) } else { Err(BadCopy::Other) }
}

/// Whether nobody but root and the user `own` can write a file with this `owner` and `mode`: whoever can, can sign tokens.
fn is_ours(owner: u32, mode: u32, own: u32) -> bool {
    [0, own].contains(&owner) && mode & 0o022 == 0
}

fn write_file(path: &Path, copy: &Copy) -> Result<(), BadCopy> {
    let mut beside = path.as_os_str().to_owned();
    beside.push(format!(".{}.new", std::process::id()));
    let beside = PathBuf::from(beside);
    // Left over by one that was killed.
    let _ = fs::remove_file(&beside);
    let written = put(&beside, copy).and_then(|()| Ok(fs::rename(&beside, path)?));
    if written.is_err() {
        let _ = fs::remove_file(&beside);
    }
    written
}

fn put(path: &Path, copy: &Copy) -> Result<(), BadCopy> {
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)?;
    file.write_all(&serde_json::to_vec(copy)?)?;
    Ok(file.sync_all()?)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn copy() -> Copy {
        Copy { url: "https://a/".to_owned(), fetched_at: 1, fresh_for: 2, jwks: json!({"keys": []}) }
    }

    #[test]
    fn a_copy_is_read_as_it_was_written_and_is_nobody_elses() {
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path().join("keys.json");
        assert!(read_file(&path, "https://a/").expect("no file is no error").is_none());
        for _ in 0..2 {
            write_file(&path, &copy()).expect("writes");
        }
        let read = read_file(&path, "https://a/").expect("reads").expect("there");
        assert_eq!((read.fetched_at, read.fresh_for, read.jwks), (1, 2, json!({"keys": []})));
        assert_eq!(fs::metadata(&path).expect("there").permissions().mode() & 0o777, 0o600);
        assert_eq!(fs::read_dir(directory.path()).expect("reads").count(), 1, "nothing is left beside it");
    }

    #[test]
    fn only_root_and_the_gateways_own_user_may_write_a_copy() {
        for (owner, mode, ours) in [
            (1000, 0o100_600, true),
            (0, 0o100_644, true),
            (1001, 0o100_600, false),
            (1001, 0o100_444, false),
            (1000, 0o100_620, false),
            (0, 0o100_602, false),
        ] {
            assert_eq!(is_ours(owner, mode, 1000), ours, "{owner} {mode:o}");
        }
        assert!(!is_ours(1000, 0o100_600, 0), "root does not believe what others may write");
    }

    #[test]
    fn a_copy_that_is_damaged_of_another_issuer_or_open_to_others_is_not_used() {
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path().join("keys.json");
        write_file(&path, &copy()).expect("writes");
        assert!(matches!(read_file(&path, "https://b/"), Err(BadCopy::Other)));
        fs::set_permissions(&path, fs::Permissions::from_mode(0o666)).expect("changes");
        assert!(matches!(read_file(&path, "https://a/"), Err(BadCopy::Open)));
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).expect("changes");
        fs::write(&path, "{\"url\"").expect("writes");
        assert!(matches!(read_file(&path, "https://a/"), Err(BadCopy::Damaged(_))));
    }
}
