//! A gateway as a process of its own, on a configuration file that the test writes.

use std::fs;
use std::path::PathBuf;

use anyhow::Context as _;
use tempfile::TempDir;

use super::{Api, Process, SECRET};

/// The file this repository ships.
const SHIPPED: &str = include_str!("../../../conf/gateway.yaml");

/// The listeners of a configuration that a test writes.
const SERVER: &str = r#"server: { listen: ["${GATEWAY_LISTEN}"], admin: "${GATEWAY_ADMIN}" }"#;

/// A running gateway that is ready.
pub(crate) struct Gateway {
    /// Its process.
    pub(crate) process: Process,
    /// Its public listener.
    pub(crate) api: Api,
    /// Its admin listener.
    pub(crate) admin: Api,
    file: PathBuf,
    _directory: TempDir,
}

impl Gateway {
    /// Starts a gateway on the shipped configuration, told by variables where everything is.
    pub(crate) async fn shipped(variables: &[(&str, &str)]) -> anyhow::Result<Self> {
        Self::start(SHIPPED, variables).await
    }

    /// Starts a gateway on the shipped configuration for many gateways.
    pub(crate) async fn shipped_for_many(variables: &[(&str, &str)]) -> anyhow::Result<Self> {
        Self::start(include_str!("../../../conf/gateway.redis.yaml"), variables).await
    }

    /// Starts a gateway on a configuration without its `server` block.
    pub(crate) async fn with_config(yaml: &str) -> anyhow::Result<Self> {
        Self::start(&with_server(yaml), &[]).await
    }

    /// Writes another configuration, again without the `server` block, and asks for a reload.
    pub(crate) fn reload(&self, yaml: &str) -> anyhow::Result<()> {
        fs::write(&self.file, with_server(yaml))?;
        self.process.signal("HUP")
    }

    async fn start(yaml: &str, variables: &[(&str, &str)]) -> anyhow::Result<Self> {
        let directory = tempfile::tempdir()?;
        let file = directory.path().join("gateway.yaml");
        fs::write(&file, yaml)?;
        let path = file.to_str().context("the temporary directory is not UTF-8")?;
        let mut all =
            vec![("JWT_SECRET_KEY", SECRET), ("GATEWAY_LISTEN", "127.0.0.1:0"), ("GATEWAY_ADMIN", "127.0.0.1:0")];
        all.extend(variables);
        let mut process = Process::start(&["gateway", "--config", path], &all)?;
        let listening = process.listening().await?;
        let [api, admin] =
            ["addr", "admin"].map(|name| Api::at(format!("http://{}", listening[name].as_str().unwrap_or_default())));
        Ok(Self { process, api, admin, file, _directory: directory })
    }
}

fn with_server(yaml: &str) -> String {
    format!("{SERVER}\n{yaml}")
}
