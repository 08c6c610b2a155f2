//! The all-in-one as a newcomer starts it, but on ports that the system chooses.

use std::path::Path;

use anyhow::Context as _;

use super::{Api, Process};

/// Every address left to the system.
pub(crate) const ANYWHERE: [&str; 8] = [
    "--gateway-listen",
    "127.0.0.1:0",
    "--gateway-admin",
    "127.0.0.1:0",
    "--user-service",
    "127.0.0.1:0",
    "--inventory-service",
    "127.0.0.1:0",
];

/// A running all-in-one.
pub(crate) struct AllInOne {
    /// Its process.
    pub(crate) process: Process,
    /// Its gateway.
    pub(crate) api: Api,
}

impl AllInOne {
    /// Starts it on a data directory, and waits until it prints that everything runs.
    pub(crate) async fn start(data_dir: &Path) -> anyhow::Result<Self> {
        Self::with_flags(data_dir, &[]).await
    }

    /// The same with these flags besides.
    pub(crate) async fn with_flags(data_dir: &Path, flags: &[&str]) -> anyhow::Result<Self> {
        let data_dir = data_dir.to_str().context("the data directory is not UTF-8")?;
        let mut process = Process::start(&[&["--data-dir", data_dir], &ANYWHERE[..], flags].concat(), &[])?;
        let url =
            process.output("the gateway's address", |line| Some(line.strip_prefix("  gateway ")?.trim().to_owned()));
        let api = Api::at(url.await?);
        Ok(Self { process, api })
    }
}
