//! What is compared: our two services, the same on FastAPI, and a bare endpoint; all on one embedded store.

use std::fs;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::Command;

use anyhow::{Context as _, Result};
use tempfile::TempDir;

use crate::client::Connection;
use crate::load::ask;
use crate::process::{Process, free_addr};
use crate::requests::{Request, Service, login, register};

/// Load and store.
pub(crate) const LOAD_CORE: &str = "0";
/// Whatever is measured.
pub(crate) const SERVICE_CORE: &str = "1";

/// A secret of these measurements alone.
const SECRET: &str = "6f1d0a94c2b85e7733e09a1bd4c65f28";

/// Where everything is that is started.
#[derive(clap::Args)]
pub(crate) struct Programs {
    /// Directory of the services and of order-processor, which serves the store
    #[arg(long, default_value = "target/release")]
    pub(crate) binaries: PathBuf,
    /// A Python that has what benches/peers/fastapi/requirements.txt lists
    #[arg(long, default_value = "target/fastapi/bin/python")]
    pub(crate) python: PathBuf,
    /// The FastAPI service
    #[arg(long, default_value = "benches/peers/fastapi")]
    pub(crate) fastapi: PathBuf,
}

/// One store, and a place for logs; all processes of one comparison are started from here.
pub(crate) struct Site<'p> {
    programs: &'p Programs,
    directory: TempDir,
    /// The embedded store.
    pub(crate) store: Process,
}

/// Who answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Peer {
    Ours,
    /// Ready bytes.
    BareEndpoint,
    /// Reads the catalogue for each list.
    FastApi,
    /// Keeps the catalogue for a second, as ours does.
    FastApiKeeping,
}

impl Peer {
    pub(crate) const fn title(self) -> &'static str {
        match self {
            Self::Ours => "ours",
            Self::BareEndpoint => "bare poem endpoint",
            Self::FastApi => "FastAPI",
            Self::FastApiKeeping => "FastAPI, catalogue kept 1 s",
        }
    }
}

/// Processes that together answer every endpoint.
pub(crate) struct System {
    pub(crate) peer: Peer,
    pub(crate) user: Process,
    /// The same process as `user` where there is only one.
    inventory: Option<Process>,
}

impl System {
    pub(crate) fn of(&self, service: Service) -> &Process {
        match service {
            Service::User => &self.user,
            Service::Inventory => self.inventory.as_ref().unwrap_or(&self.user),
        }
    }
}

impl<'p> Site<'p> {
    /// An empty store on `cores`.
    pub(crate) async fn open(programs: &'p Programs, cores: &str) -> Result<Self> {
        let directory = tempfile::tempdir()?;
        let addr = free_addr()?;
        let mut command = Command::new(programs.binaries.join("order-processor"));
        command.arg("store").arg("--data-dir").arg(directory.path().join("store"));
        command.args(["--listen", &addr.to_string()]);
        let store = Process::start("store", &command, cores, addr, directory.path()).await?;
        Ok(Self { programs, directory, store })
    }

    /// Our services on `cores`, with the store at `store`.
    pub(crate) async fn ours(&self, cores: &str, store: SocketAddr) -> Result<System> {
        let start = async |name: &str, variable: &str| {
            let addr = free_addr()?;
            let mut command = Command::new(self.programs.binaries.join(name));
            command.env(variable, addr.to_string()).env("PRICE_REFRESH_SECONDS", "0");
            self.start(name, &mut command, cores, addr, store).await
        };
        let user = start("user-service", "USER_SERVICE_ADDR").await?;
        let inventory = start("inventory-service", "INVENTORY_SERVICE_ADDR").await?;
        Ok(System { peer: Peer::Ours, user, inventory: Some(inventory) })
    }

    /// The FastAPI service on `cores`, as `peer` says.
    pub(crate) async fn fastapi(&self, peer: Peer, cores: &str, store: SocketAddr) -> Result<System> {
        let addr = free_addr()?;
        let mut command = Command::new(&self.programs.python);
        command.args(["-m", "uvicorn", "main:app", "--workers", "1", "--host", "127.0.0.1"]);
        command.args(["--port", &addr.port().to_string()]).arg("--app-dir").arg(&self.programs.fastapi);
        command.env("CATALOGUE_FRESH_SECONDS", if peer == Peer::FastApiKeeping { "1" } else { "0" });
        let user = self.start("fastapi", &mut command, cores, addr, store).await?;
        Ok(System { peer, user, inventory: None })
    }

    /// A bare poem endpoint on `cores` that answers to everything as `like` does to `request`.
    pub(crate) async fn bare_endpoint(&self, request: &Request, cores: &str, like: &Process) -> Result<System> {
        let mut connection = Connection::open(like.addr).await?;
        ask(&mut connection, request).await?;
        let file = self.directory.path().join("body.json");
        fs::write(&file, connection.body())?;
        let addr = free_addr()?;
        let mut command = Command::new(std::env::current_exe()?);
        command.arg("floor").arg(addr.to_string()).arg(request.status.to_string()).arg(file);
        let user = Process::start("floor", &command, cores, addr, self.directory.path()).await?;
        Ok(System { peer: Peer::BareEndpoint, user, inventory: None })
    }

    async fn start(
        &self,
        name: &str,
        command: &mut Command,
        cores: &str,
        addr: SocketAddr,
        store: SocketAddr,
    ) -> Result<Process> {
        command.env("JWT_SECRET_KEY", SECRET).env("AWS_ENDPOINT_URL_DYNAMODB", format!("http://{store}"));
        Process::start(name, command, cores, addr, self.directory.path()).await
    }
}

/// Registers the user whose requests are measured, and logs in: the token.
pub(crate) async fn token(user_service: SocketAddr) -> Result<String> {
    let mut connection = Connection::open(user_service).await?;
    for request in [register(), login()] {
        ask(&mut connection, &request).await?;
    }
    let answer: serde_json::Value = serde_json::from_slice(connection.body())?;
    answer.get("access_token").and_then(|token| token.as_str()).map(str::to_owned).context("a token")
}
