//! The embedded DynamoDB alone, so that parts of the system can run alone on a machine that has no other.

use std::net::SocketAddr;
use std::path::Path;

use common::config::Env;
use common::dynamo::embedded::{EmbeddedStore, Place};
use common::signals::StopSignal;
use common::telemetry;

/// Serves the store of `DATA_DIR` on `listen` until the process is told to stop.
pub(crate) async fn run(env: Env, listen: SocketAddr) -> anyhow::Result<()> {
    telemetry::init("store", &env)?;
    let mut told = StopSignal::listen()?;
    let directory = Path::new(env.get("DATA_DIR").unwrap_or("data")).to_owned();
    let store = EmbeddedStore::start_at(Place::Directory(directory), listen).await?;
    tracing::info!(server = "store", AWS_ENDPOINT_URL_DYNAMODB = store.endpoint(), "listening");
    told.received().await;
    store.stop().await;
    Ok(())
}
