//! The secret that signs tokens when nobody gave one: made at the first start and kept, so that tokens outlive a restart.

use std::fs::{self, OpenOptions};
use std::io::{self, ErrorKind, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;

use anyhow::Context as _;

/// The secret kept in `directory`, which is made if need be.
pub(crate) fn kept_in(directory: &Path) -> anyhow::Result<String> {
    let path = directory.join("jwt-secret");
    match fs::read_to_string(&path) {
        Ok(secret) => Ok(secret.trim_end().to_owned()),
        Err(error) if error.kind() == ErrorKind::NotFound => fs::create_dir_all(directory).and_then(|()| make(&path)),
        Err(error) => Err(error),
    }
    .with_context(|| format!("cannot keep the signing secret in {}", path.display()))
}

/// A new secret of 32 bytes, as 64 hexadecimal digits.
pub(crate) fn random() -> String {
    let bytes: [u8; 32] = rand::random();
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Writes a new secret that only its owner can read; under another name first, so that a crash leaves a whole one or none.
fn make(path: &Path) -> io::Result<String> {
    let secret = random();
    let new = path.with_extension("new");
    let mut file = OpenOptions::new().create(true).write(true).truncate(true).mode(0o600).open(&new)?;
    file.write_all(secret.as_bytes())?;
    file.sync_all()?;
    fs::rename(&new, path)?;
    Ok(secret)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    #[test]
    fn the_secret_is_kept_and_only_its_owner_reads_it() {
        let root = tempfile::tempdir().expect("temporary directory");
        let directory = root.path().join("new/data");
        let secret = kept_in(&directory).expect("made");
        assert_eq!(secret.len(), 64);
        assert_eq!(kept_in(&directory).expect("kept"), secret);
        let mode = fs::metadata(directory.join("jwt-secret")).expect("there").permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
    }

    #[test]
    fn every_directory_has_a_secret_of_its_own() {
        let [first, second] = std::array::from_fn(|_| tempfile::tempdir().expect("temporary directory"));
        assert_ne!(kept_in(first.path()).expect("made"), kept_in(second.path()).expect("made"));
    }
}
