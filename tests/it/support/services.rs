//! The two services as processes of their own, on one embedded store.

use anyhow::Context as _;

use super::Process;

/// Signs the tokens of all tests.
pub(crate) const SECRET: &str = "6f1d0a94c2b85e7733e09a1bd4c65f28";

/// The store, one user service, and some inventory services.
pub(crate) struct Services {
    /// The user service.
    pub(crate) user: Instance,
    /// The inventory services.
    pub(crate) inventory: Vec<Instance>,
    /// What they were started with.
    variables: Vec<(String, String)>,
    _store: Process,
    _data_dir: tempfile::TempDir,
}

/// A service and where it is.
pub(crate) struct Instance {
    /// Its process.
    pub(crate) process: Process,
    /// Its base URL.
    pub(crate) url: String,
}

impl Services {
    /// Starts them on ports that the system chooses.
    pub(crate) async fn start(inventories: usize) -> anyhow::Result<Self> {
        Self::start_with(inventories, &[]).await
    }

    /// The same with more variables.
    pub(crate) async fn start_with(inventories: usize, more: &[(&str, &str)]) -> anyhow::Result<Self> {
        let data_dir = tempfile::tempdir()?;
        let path = data_dir.path().display().to_string();
        let mut store = Process::start(&["store", "--data-dir", &path, "--listen", "127.0.0.1:0"], &[])?;
        let listening = store.listening().await.context("the store does not start")?;
        let endpoint = listening["AWS_ENDPOINT_URL_DYNAMODB"].as_str().context("no endpoint in the log")?;
        let mut variables = vec![
            ("AWS_ENDPOINT_URL_DYNAMODB", endpoint),
            ("JWT_SECRET_KEY", SECRET),
            ("USER_SERVICE_ADDR", "127.0.0.1:0"),
            ("INVENTORY_SERVICE_ADDR", "127.0.0.1:0"),
        ];
        variables.extend(more);
        let user = Instance::start("user-service", &variables).await?;
        let mut inventory = Vec::new();
        for _ in 0..inventories {
            inventory.push(Instance::start("inventory-service", &variables).await?);
        }
        let variables = variables.into_iter().map(|(name, value)| (name.to_owned(), value.to_owned())).collect();
        Ok(Self { user, inventory, variables, _store: store, _data_dir: data_dir })
    }

    /// Starts one more user service on the same store.
    pub(crate) async fn another_user_service(&self) -> anyhow::Result<Instance> {
        let variables: Vec<_> = self.variables.iter().map(|(name, value)| (&**name, &**value)).collect();
        Instance::start("user-service", &variables).await
    }

    /// The base URLs of the inventory services, as the gateway's configuration takes them.
    pub(crate) fn inventory_urls(&self) -> String {
        self.inventory.iter().map(|instance| instance.url.as_str()).collect::<Vec<_>>().join(",")
    }
}

impl Instance {
    async fn start(part: &str, variables: &[(&str, &str)]) -> anyhow::Result<Self> {
        let mut process = Process::start(&[part], variables)?;
        let listening = process.listening().await.with_context(|| format!("{part} does not start"))?;
        let addr = listening["addr"].as_str().context("no address in the log")?;
        Ok(Self { url: format!("http://{addr}"), process })
    }
}
