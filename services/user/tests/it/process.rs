//! The service as a process: its environment, its log, its end.

use std::process::{Output, Stdio};

use anyhow::{Context as _, ensure};
use common::dynamo::embedded::{EmbeddedStore, Place};
use serde_json::Value;
use tokio::io::{AsyncBufReadExt, BufReader, Lines};
use tokio::process::{Child, ChildStdout, Command};

use crate::harness::{PASSWORD, SECRET, new_account};

#[tokio::test]
async fn it_serves_until_sigterm_and_its_log_has_the_request_but_no_secret() -> anyhow::Result<()> {
    let store = EmbeddedStore::start(Place::Memory).await?;
    let mut process =
        command().env("JWT_SECRET_KEY", SECRET).env("AWS_ENDPOINT_URL_DYNAMODB", store.endpoint()).spawn()?;
    let mut log = BufReader::new(process.stdout.take().context("a pipe")?).lines();
    let listening = line_with(&mut log, "message", "listening").await?;
    let addr = listening["addr"].as_str().context("an address")?;

    let register = reqwest::Client::new().post(format!("http://{addr}/register")).header("x-request-id", "trace-42");
    let answer = register.json(&new_account("ann")).send().await?;
    ensure!(answer.status() == 201, "{answer:?}");

    signal(&process, "HUP").await?;
    let mut lines = Vec::new();
    while let Some(line) = log.next_line().await? {
        if line.contains("SIGHUP") {
            signal(&process, "TERM").await?;
        }
        ensure!(!line.contains(PASSWORD) && !line.contains("@example.com") && !line.contains(SECRET), "{line}");
        lines.push(serde_json::from_str::<Value>(&line).context(line)?);
    }
    ensure!(process.wait().await?.success());
    assert!(
        lines.iter().any(|line| line["target"] == "common::signals"),
        "SIGHUP is survived, and answered in the log"
    );
    let of_request: Vec<_> = lines.iter().filter(|line| line["request_id"] == "trace-42").collect();
    let access = of_request.iter().find(|line| line["target"] == "access").context("an access line")?;
    assert_eq!((&access["route"], &access["status"]), (&"/register".into(), &201.into()));
    assert!(access["duration_ms"].as_f64().is_some_and(|duration| duration > 0.0), "{access}");
    assert!(of_request.iter().any(|line| line["message"] == "registered"), "{lines:#?}");
    Ok(())
}

#[tokio::test]
async fn everything_wrong_with_the_environment_is_said_on_standard_error() -> anyhow::Result<()> {
    let Output { status, stderr, .. } = command()
        .env("JWT_ALGORITHM", "none")
        .env("REDIS_PORT", "redis")
        .env("JWT_SECRET_KEY", "hunter2")
        .output()
        .await?;
    let said = String::from_utf8(stderr)?;
    assert_eq!(status.code(), Some(1));
    assert!(said.lines().count() == 3 && said.lines().all(|line| line.starts_with("user-service: ")), "{said}");
    assert!(!said.contains("hunter2"), "{said}");
    Ok(())
}

/// The process with an environment in which nothing is set but where it listens.
fn command() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_user-service"));
    command.env_clear().env("USER_SERVICE_ADDR", "127.0.0.1:0").env("AWS_EC2_METADATA_DISABLED", "true");
    command.stdout(Stdio::piped()).kill_on_drop(true);
    command
}

async fn line_with(log: &mut Lines<BufReader<ChildStdout>>, key: &str, value: &str) -> anyhow::Result<Value> {
    while let Some(line) = log.next_line().await? {
        let line: Value = serde_json::from_str(&line)?;
        if line[key] == value {
            return Ok(line);
        }
    }
    anyhow::bail!("the log ended without {key}={value}")
}

async fn signal(process: &Child, name: &str) -> anyhow::Result<()> {
    let id = process.id().context("it runs")?;
    let status = Command::new("kill").args(["-s", name, &id.to_string()]).status().await?;
    ensure!(status.success());
    Ok(())
}
