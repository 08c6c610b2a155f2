//! The all-in-one: store, services and gateway, started in this order and stopped in the opposite one.

use std::collections::BTreeSet;
use std::io;
use std::path::Path;

use anyhow::{Context as _, anyhow, bail};
use common::config::Env;
use common::dynamo::embedded::{EmbeddedStore, Place};
use common::service::Running;
use common::signals::StopSignal;
use common::telemetry;
use gateway::ConfigSource;
use tokio::task::{JoinError, JoinSet};
use tokio_util::sync::CancellationToken;

use crate::summary::{Summary, reachable};
use crate::{edge, signing_secret};

/// Any of these says that the tables are somewhere else. `AWS_PROFILE` does not: it is set on many machines for good.
const OTHER_STORE: [&str; 6] = [
    "AWS_ENDPOINT_URL_DYNAMODB",
    "AWS_ACCESS_KEY_ID",
    "AWS_ROLE_ARN",
    "AWS_WEB_IDENTITY_TOKEN_FILE",
    "AWS_CONTAINER_CREDENTIALS_FULL_URI",
    "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI",
];

/// Runs everything until the process is told to stop.
pub(crate) async fn run(env: Env) -> anyhow::Result<()> {
    telemetry::init("order-processor", &env)?;
    let mut told = StopSignal::listen()?;

    let data_dir = env.get("DATA_DIR").unwrap_or("data").to_owned();
    let data_dir = Path::new(&data_dir);
    let store = open_store(&env, data_dir).await?;
    let env = with_defaults(env, store.as_ref(), data_dir)?;
    let (user, inventory) = start_services(&env).await?;
    let (user_addr, inventory_addr) = (user.addr(), inventory.addr());
    let env = or_else(env, "USER_SERVICE_URL", || Ok(reachable(user_addr)))?;
    let env = or_else(env, "INVENTORY_SERVICE_URL", || Ok(reachable(inventory_addr)))?;

    // The services outlive the gateway: what it has under way still needs them.
    let stop_services = CancellationToken::new();
    let mut services = JoinSet::new();
    services.spawn(user.run_until(stop_services.clone()));
    services.spawn(inventory.run_until(stop_services.clone()));
    let gateway = edge::start(edge::config(&env), env.clone()).await?;

    gateway.tell_listeners();
    let summary = Summary {
        gateway: *gateway.listen_addrs().first().context("the gateway listens nowhere")?,
        admin: gateway.admin_addr(),
        user_service: user_addr,
        inventory_service: inventory_addr,
        store: shown_store(&env, store.is_some(), data_dir),
        config: shown_config(&edge::config(&env)),
    };
    println!("{summary}");

    let failure = tokio::select! {
        () = told.received() => None,
        Some(ended) = services.join_next() => Some(unexpected(ended)),
    };
    edge::stop(gateway).await?;
    stop_services.cancel();
    while let Some(ended) = services.join_next().await {
        ended.context("a service failed")?.context("a service failed")?;
    }
    if let Some(store) = store {
        store.stop().await;
    }
    failure.map_or(Ok(()), Err)
}

/// The store in `data_dir`, unless the variables name another one.
async fn open_store(env: &Env, data_dir: &Path) -> anyhow::Result<Option<EmbeddedStore>> {
    if OTHER_STORE.iter().any(|name| env.get(name).is_some()) {
        return Ok(None);
    }
    Ok(Some(EmbeddedStore::start(Place::Directory(data_dir.to_owned())).await?))
}

/// What nobody has to say when everything runs in one process.
fn with_defaults(env: Env, store: Option<&EmbeddedStore>, data_dir: &Path) -> anyhow::Result<Env> {
    let env = match store {
        Some(store) => env.with("AWS_ENDPOINT_URL_DYNAMODB", store.endpoint()),
        None => env,
    };
    let env = or_else(env, "JWT_SECRET_KEY", || signing_secret::kept_in(data_dir))?;
    // Between two parts of one process.
    let env = or_else(env, "REVOCATION_SECRET", || Ok(signing_secret::random()))?;
    // Only the gateway is for the network.
    let env = or_else(env, "USER_SERVICE_ADDR", || Ok("127.0.0.1:8000".to_owned()))?;
    or_else(env, "INVENTORY_SERVICE_ADDR", || Ok("127.0.0.1:8001".to_owned()))
}

fn or_else(env: Env, name: &str, value: impl FnOnce() -> anyhow::Result<String>) -> anyhow::Result<Env> {
    if env.get(name).is_some() { Ok(env) } else { Ok(env.with(name, value()?)) }
}

/// Starts both services; what is wrong with the variables of either is reported together.
async fn start_services(env: &Env) -> anyhow::Result<(Running, Running)> {
    let (user, inventory) = match (user_service::Config::from_env(env), inventory_service::Config::from_env(env)) {
        (Ok(user), Ok(inventory)) => (user, inventory),
        (user, inventory) => {
            let messages = [user.err(), inventory.err()].map(|error| error.map(|e| e.to_string()).unwrap_or_default());
            // Both read the same variables for what they share.
            let problems: BTreeSet<&str> = messages.iter().flat_map(|message| message.lines()).collect();
            bail!("{}", problems.into_iter().collect::<Vec<_>>().join("\n"));
        }
    };
    // Before anything listens, so that a mistake in the file is not hidden behind a port in use. Where the services will
    // be is known only then; any address does for the check.
    let env = or_else(env.clone(), "USER_SERVICE_URL", || Ok("http://localhost:1".to_owned()))?;
    let env = or_else(env, "INVENTORY_SERVICE_URL", || Ok("http://localhost:1".to_owned()))?;
    edge::config(&env).check(&env)?;
    Ok((user_service::start(user).await?, inventory_service::start(inventory).await?))
}

fn unexpected(ended: Result<io::Result<()>, JoinError>) -> anyhow::Error {
    match ended {
        Ok(Ok(())) => anyhow!("a service ended by itself"),
        Ok(Err(error)) => anyhow::Error::new(error).context("a service failed"),
        Err(error) => anyhow::Error::new(error).context("a service failed"),
    }
}

fn shown_store(env: &Env, embedded: bool, data_dir: &Path) -> String {
    let shown_dir = data_dir.canonicalize().unwrap_or_else(|_| data_dir.to_owned());
    match env.get("AWS_ENDPOINT_URL_DYNAMODB") {
        _ if embedded => format!("embedded, in {}", shown_dir.display()),
        Some(endpoint) => format!("DynamoDB at {endpoint}"),
        None => "DynamoDB of AWS".to_owned(),
    }
}

fn shown_config(config: &ConfigSource) -> String {
    match config {
        ConfigSource::File(file) => file.display().to_string(),
        ConfigSource::BuiltIn { .. } => "built in".to_owned(),
    }
}
