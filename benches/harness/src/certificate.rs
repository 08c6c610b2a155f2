//! The certificate that every proxy shows: ECDSA P-256, made when a run begins and signed by itself.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::Result;

use crate::process::output;

/// Its files, all PEM.
pub(crate) struct Certificate {
    pub(crate) chain: PathBuf,
    pub(crate) key: PathBuf,
    /// Both in one file, as HAProxy wants them.
    pub(crate) both: PathBuf,
}

impl Certificate {
    /// A new one, in `directory`.
    pub(crate) fn new(directory: &Path) -> Result<Self> {
        let file = |name| directory.join(name);
        let made = Self { chain: file("certificate.pem"), key: file("certificate.key"), both: file("both.pem") };
        let mut openssl = Command::new("openssl");
        openssl
            .args(["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2"])
            .args(["-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost", "-keyout"])
            .arg(&made.key)
            .arg("-out")
            .arg(&made.chain);
        output(&openssl, None)?;
        fs::write(&made.both, [fs::read(&made.chain)?, fs::read(&made.key)?].concat())?;
        Ok(made)
    }
}
