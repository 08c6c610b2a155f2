//! A start that cannot succeed: one clear message, exit code 1. And a stop: it is said that it has begun.

use std::net::TcpListener;

use crate::support::{ANYWHERE, AllInOne, Process, SECRET};

/// What a process that must not start writes to standard error.
async fn refusal(args: &[&str], variables: &[(&str, &str)]) -> anyhow::Result<String> {
    let mut process = Process::start(args, variables)?;
    assert_eq!(process.ended().await?.code(), Some(1));
    Ok(process.last_words()?.1)
}

#[tokio::test]
async fn a_port_in_use_is_named_in_one_sentence() -> anyhow::Result<()> {
    let taken = TcpListener::bind("127.0.0.1:0")?;
    let addr = taken.local_addr()?.to_string();
    for flag in ["--gateway-listen", "--gateway-admin", "--user-service", "--inventory-service"] {
        let data_dir = tempfile::tempdir()?;
        let path = data_dir.path().display().to_string();
        let mut args: Vec<&str> = ANYWHERE.to_vec();
        let position = args.iter().position(|arg| *arg == flag).map(|at| at + 1).expect("a flag of the list");
        args[position] = &addr;
        let message = refusal(&[&["--data-dir", &path], &*args].concat(), &[]).await?;
        assert!(message.contains(&addr) && message.lines().count() == 1, "{flag}: {message}");
    }
    let data_dir = tempfile::tempdir()?;
    let path = data_dir.path().display().to_string();
    let message = refusal(&["store", "--data-dir", &path, "--listen", &addr], &[]).await?;
    assert!(message.contains(&format!("{addr} is in use by another process; stop that one")), "{message}");
    Ok(())
}

#[tokio::test]
async fn a_data_directory_that_cannot_be_written_is_named_in_one_sentence() -> anyhow::Result<()> {
    let file = tempfile::NamedTempFile::new()?;
    let below = file.path().join("data").display().to_string();
    let message = refusal(&["--data-dir", &below], &[]).await?;
    assert!(message.contains(&below) && message.lines().count() == 1, "{message}");
    Ok(())
}

#[tokio::test]
async fn a_data_directory_is_for_one_process_at_a_time() -> anyhow::Result<()> {
    let data_dir = tempfile::tempdir()?;
    let _first = AllInOne::start(data_dir.path()).await?;
    let path = data_dir.path().display().to_string();
    let message = refusal(&[&["--data-dir", &path], &ANYWHERE[..]].concat(), &[]).await?;
    assert!(message.contains(&path) && message.lines().count() == 1, "{message}");
    Ok(())
}

#[tokio::test]
async fn every_problem_of_the_gateways_configuration_is_reported_at_once_with_its_line() -> anyhow::Result<()> {
    let directory = tempfile::tempdir()?;
    let file = directory.path().join("gateway.yaml");
    let yaml = "upstreams:\n  shop: { targts: [\"http://127.0.0.1:1\"] }\nroutes:\n  - { name: all, match: { path: /* }, upstream: shp, public: true }\n";
    std::fs::write(&file, yaml)?;
    let path = file.display().to_string();
    let message = refusal(&["gateway", "--config", &path], &[("JWT_SECRET_KEY", SECRET)]).await?;
    assert!(message.contains(&path) && message.contains("targts") && message.contains("targets"), "{message}");
    Ok(())
}

#[tokio::test]
async fn a_mistake_in_the_configuration_is_not_hidden_behind_a_port_in_use() -> anyhow::Result<()> {
    let taken = TcpListener::bind("127.0.0.1:0")?;
    let addr = taken.local_addr()?.to_string();
    let directory = tempfile::tempdir()?;
    let file = directory.path().join("gateway.yaml");
    std::fs::write(&file, "rotues: []\n")?;
    let (path, data) = (file.display().to_string(), directory.path().display().to_string());
    let message = refusal(&["--data-dir", &data, "--config", &path, "--user-service", &addr], &[]).await?;
    assert!(message.contains("rotues") && message.contains("did you mean `routes`"), "{message}");
    Ok(())
}

#[tokio::test]
async fn a_configuration_file_that_is_asked_for_must_be_there() -> anyhow::Result<()> {
    let directory = tempfile::tempdir()?;
    let missing = directory.path().join("none.yaml").display().to_string();
    let data = directory.path().display().to_string();
    let all_in_one = [&["--data-dir", &data, "--config", &missing], &ANYWHERE[..]].concat();
    for args in [&["gateway", "--config", &missing][..], &all_in_one] {
        let message = refusal(args, &[]).await?;
        assert!(message.contains(&missing) && message.contains("cannot be read"), "{message}");
    }
    Ok(())
}

#[tokio::test]
async fn a_service_alone_says_everything_it_lacks() -> anyhow::Result<()> {
    for part in ["user-service", "inventory-service"] {
        let message = refusal(&[part], &[("JWT_EXPIRATION_MINUTES", "soon"), ("REDIS_PORT", "none")]).await?;
        for variable in ["JWT_SECRET_KEY", "JWT_EXPIRATION_MINUTES"] {
            assert!(message.contains(variable), "{part}: {message}");
        }
    }
    Ok(())
}

#[tokio::test]
async fn an_example_secret_is_refused_and_not_shown() -> anyhow::Result<()> {
    let data_dir = tempfile::tempdir()?;
    let path = data_dir.path().display().to_string();
    let example = "your-secret-key-change-in-production";
    for args in [&[&["--data-dir", &path], &ANYWHERE[..]].concat()[..], &["user-service"], &["inventory-service"]] {
        let message = refusal(args, &[("JWT_SECRET_KEY", example)]).await?;
        assert!(message.contains("JWT_SECRET_KEY") && !message.contains(example), "{args:?}: {message}");
    }
    Ok(())
}

#[tokio::test]
async fn a_configuration_is_checked_without_a_start() -> anyhow::Result<()> {
    let variables = [("JWT_SECRET_KEY", SECRET)];
    let mut process = Process::start(&["gateway", "--check", "--config", "conf/gateway.yaml"], &variables)?;
    assert!(process.ended().await?.success());
    let (said, _) = process.last_words()?;
    assert!(said.contains("conf/gateway.yaml: no problems"), "{said}");
    let message = refusal(&["gateway", "--check", "--config", "conf/gateway.yaml"], &[]).await?;
    assert!(message.contains("JWT_SECRET_KEY"), "{message}");
    Ok(())
}

#[tokio::test]
async fn help_names_the_flags_and_the_variables() -> anyhow::Result<()> {
    let mut process = Process::start(&["--help"], &[])?;
    assert!(process.ended().await?.success());
    let (help, _) = process.last_words()?;
    for word in ["--data-dir", "--config", "--gateway-listen", "JWT_SECRET_KEY", "DYNAMODB_TABLE_PREFIX", "REDIS_HOST"]
    {
        assert!(help.contains(word), "{word} is missing in:\n{help}");
    }
    Ok(())
}

#[tokio::test]
async fn ctrl_c_is_answered_in_the_log_and_ends_every_part_with_success() -> anyhow::Result<()> {
    let directory = tempfile::tempdir()?;
    let config = directory.path().join("gateway.yaml");
    std::fs::write(
        &config,
        "server: { listen: [\"127.0.0.1:0\"], admin: \"127.0.0.1:0\" }\nupstreams: { u: { targets: [\"http://127.0.0.1:1\"] } }\n\
         routes: [{ name: all, match: { path: /* }, upstream: u, public: true }]\n",
    )?;
    let (config, data) = (config.display().to_string(), directory.path().display().to_string());
    let store = Process::start(&["store", "--listen", "127.0.0.1:0", "--data-dir", &data], &[])?;
    let gateway = Process::start(&["gateway", "--config", &config], &[])?;
    for mut process in [store, gateway] {
        process.listening().await?;
        process.signal("INT")?;
        assert!(process.ended().await?.success());
        let (said, _) = process.last_words()?;
        assert!(said.lines().any(|line| line.contains("stopping") && line.contains("SIGINT")), "{said}");
    }
    let mut all = AllInOne::start(directory.path()).await?;
    all.process.signal("INT")?;
    assert!(all.process.ended().await?.success());
    let (said, _) = all.process.last_words()?;
    assert!(said.lines().any(|line| line.contains("stopping") && line.contains("SIGINT")), "{said}");
    Ok(())
}
