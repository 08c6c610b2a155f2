//! The binary as an operator meets it: its signals and how it ends.

use std::fs::File;
use std::io::{Read as _, Write as _};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};

use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
use rustix::termios::{LocalModes, tcgetattr};
use serde_json::Value;
use testkit::{Upstream, eventually, free_port};
use tokio::io::AsyncWriteExt as _;

use crate::pki::{Authority, dns};
use crate::support::PATIENCE;

/// A gateway in a process of its own, killed when dropped.
struct Process {
    child: Child,
    config: PathBuf,
    public: u16,
    admin: u16,
    client: reqwest::Client,
    dir: tempfile::TempDir,
}

impl Process {
    async fn start(routes: &str) -> Self {
        let dir = tempfile::tempdir().expect("a directory");
        let config = dir.path().join("gateway.yaml");
        let (public, admin) = (free_port().expect("a port"), free_port().expect("a port"));
        std::fs::write(&config, file(public, admin, routes)).expect("writes");
        let mut command = Command::new(env!("CARGO_BIN_EXE_gateway"));
        command.arg("--config").arg(&config).stdin(Stdio::null()).stdout(Stdio::null());
        let child = command.spawn().expect("starts");
        let client = reqwest::Client::builder().no_proxy().timeout(PATIENCE).build().expect("a client");
        let process = Self { child, config, public, admin, client, dir };
        eventually(PATIENCE, "the gateway serves", async || process.status(process.admin, "/ready").await == Some(200))
            .await
            .expect("serves");
        process
    }

    /// The status of a `GET`; none when nobody answers.
    async fn status(&self, port: u16, path: &str) -> Option<u16> {
        let answer = self.client.get(format!("http://127.0.0.1:{port}{path}")).send().await.ok()?;
        Some(answer.status().as_u16())
    }

    fn signal(&self, name: &str) {
        let pid = self.child.id().to_string();
        let sent = Command::new("sh").args(["-c", r#"kill -"$0" "$1""#, name, &pid]).status().expect("sh runs");
        assert!(sent.success());
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn file(public: u16, admin: u16, routes: &str) -> String {
    format!(
        "server: {{ listen: [\"127.0.0.1:{public}\"], admin: \"127.0.0.1:{admin}\", threads: 1 }}\n\
         access_log: {{ enabled: false }}\n{routes}"
    )
}

fn route(upstream: &Upstream, path: &str) -> String {
    format!(
        "upstreams: {{ u: {{ targets: [\"{}\"] }} }}\n\
         routes: [{{ name: one, match: {{ path: {path} }}, upstream: u, public: true }}]\n",
        upstream.url()
    )
}

#[tokio::test]
async fn a_file_that_is_slow_to_read_holds_nothing_up() {
    let upstream = Upstream::start().await.expect("starts");
    let gateway = Process::start(&route(&upstream, "/a")).await;
    let pipe = gateway.dir.path().join("pipe");
    assert!(Command::new("mkfifo").arg(&pipe).status().expect("mkfifo runs").success());
    std::fs::rename(&pipe, &gateway.config).expect("renames");
    gateway.signal("HUP");
    // Opens only when the gateway has begun to read.
    let mut pipe = tokio::fs::OpenOptions::new().write(true).open(&gateway.config).await.expect("opens");
    assert_eq!(gateway.status(gateway.admin, "/metrics").await, Some(200));
    assert_eq!(gateway.status(gateway.public, "/a").await, Some(200));
    let changed = file(gateway.public, gateway.admin, &route(&upstream, "/b"));
    pipe.write_all(changed.as_bytes()).await.expect("writes");
    pipe.shutdown().await.expect("flushes");
    drop(pipe);
    eventually(PATIENCE, "the new file is served", async || gateway.status(gateway.public, "/b").await == Some(200))
        .await
        .expect("taken");
}

#[tokio::test]
async fn the_signal_to_stop_ends_it_with_success() {
    let upstream = Upstream::start().await.expect("starts");
    let mut gateway = Process::start(&route(&upstream, "/a")).await;
    // An idle connection is kept open by the client, and holds nothing up.
    assert_eq!(gateway.status(gateway.public, "/a").await, Some(200));
    gateway.signal("TERM");
    let ended = tokio::task::spawn_blocking(move || gateway.child.wait().map(|status| status.success()));
    assert!(tokio::time::timeout(PATIENCE, ended).await.expect("ends").expect("waits").expect("is awaited"));
}

#[tokio::test]
async fn every_listener_is_named_with_what_is_spoken_there() {
    let upstream = Upstream::start().await.expect("starts");
    let dir = tempfile::tempdir().expect("a directory");
    Authority::new("ours").issue("localhost", 1, &[dns("localhost")], 2970).write(dir.path(), "own");
    let config = dir.path().join("gateway.yaml");
    let server = format!(
        "server: {{ listen: [\"127.0.0.1:0\", \"127.0.0.1:{}\"], h2c_listen: [\"127.0.0.1:0\"], admin: \"127.0.0.1:0\", \
         tls: {{ listen: [\"127.0.0.1:0\"], certificates: [{{ certificate: own.pem, key: own.key }}] }} }}\n",
        free_port().expect("a port")
    );
    std::fs::write(&config, format!("{server}{}", route(&upstream, "/a"))).expect("writes");
    let log = dir.path().join("log");
    let mut command = Command::new(env!("CARGO_BIN_EXE_gateway"));
    command.arg("--config").arg(&config).stdin(Stdio::null()).stdout(File::create(&log).expect("opens"));
    let mut child = command.env("LOG_FORMAT", "json").spawn().expect("starts");
    let named = || {
        let text = std::fs::read_to_string(&log).unwrap_or_default();
        let lines = text.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
        let listening = lines.filter(|line| line["message"] == "listening");
        listening.map(|line| line["protocol"].as_str().unwrap_or_default().to_owned()).collect::<Vec<_>>()
    };
    let all = ["HTTP/1", "HTTP/1", "HTTP/1 and HTTP/2 without TLS", "HTTP/1 and HTTP/2 over TLS"];
    let told = eventually(PATIENCE, "four lines", async || named() == all).await;
    // It may have ended already.
    let _ = child.kill();
    let _ = child.wait();
    told.unwrap_or_else(|_| panic!("{:?}", named()));
}

/// Whether the gateway has done `task` with `input`, and what it has printed.
fn done(task: &str, input: &[u8]) -> (bool, String) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_gateway"));
    let command = command.arg(task).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null());
    let mut child = command.spawn().expect("starts");
    child.stdin.take().expect("a pipe").write_all(input).expect("writes");
    let output = child.wait_with_output().expect("ends");
    (output.status.success(), String::from_utf8(output.stdout).expect("text"))
}

#[test]
fn a_key_of_a_program_is_hashed_from_standard_input() {
    let hash = |key: &[u8]| done("hash-key", key);
    // FIPS 180-4's example.
    let abc = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad\n".to_owned();
    assert_eq!(hash(b"abc"), (true, abc.clone()));
    assert_eq!(hash(b"abc\n"), (true, abc));
    assert_eq!(hash(b"\n"), (false, String::new()));
}

#[test]
fn a_password_is_hashed_from_standard_input_and_taken_from_no_argument() {
    let (is_done, hash) = done("hash-password", b"open sesame\n");
    assert!(is_done && hash.starts_with("$argon2id$v=19$m=19456,t=2,p=1$") && hash.ends_with('\n'), "{hash}");
    assert_eq!(done("hash-password", b"\n"), (false, String::new()));
    let mut command = Command::new(env!("CARGO_BIN_EXE_gateway"));
    let command = command.args(["hash-password", "open sesame"]).stdin(Stdio::null());
    assert!(!command.output().expect("ends").status.success());
}

#[tokio::test]
async fn a_password_that_is_typed_at_a_terminal_is_not_shown_there() {
    for (again, is_same) in [("open sesame", true), ("open sesam", false)] {
        let master = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY).expect("a terminal");
        grantpt(&master).expect("ours");
        unlockpt(&master).expect("unlocked");
        let name = ptsname(&master, Vec::new()).expect("a name").into_string().expect("text");
        let mut terminal = File::options().read(true).write(true).open(name).expect("opens");
        let mut command = Command::new(env!("CARGO_BIN_EXE_gateway"));
        command.arg("hash-password").stdout(Stdio::piped());
        let its_own = || terminal.try_clone().expect("a copy");
        let child = command.stdin(its_own()).stderr(its_own()).spawn().expect("starts");
        let shows = || tcgetattr(&terminal).expect("a terminal").local_modes.contains(LocalModes::ECHO);
        eventually(PATIENCE, "nothing typed is shown", async || !shows()).await.expect("asks");
        let mut keyboard = File::from(master);
        keyboard.write_all(format!("open sesame\n{again}\n").as_bytes()).expect("types");
        let output = tokio::task::spawn_blocking(|| child.wait_with_output());
        let output = tokio::time::timeout(PATIENCE, output).await.expect("ends").expect("waits").expect("is awaited");
        assert!(shows(), "as it was before");
        terminal.write_all(b"the end").expect("writes");
        let mut seen = Vec::new();
        while !seen.ends_with(b"the end") {
            let mut part = [0; 256];
            let length = keyboard.read(&mut part).expect("reads");
            seen.extend_from_slice(&part[..length]);
        }
        let seen = String::from_utf8(seen).expect("text");
        assert!(seen.starts_with("Password: ") && !seen.contains("sesam"), "{seen:?}");
        let hash = String::from_utf8(output.stdout).expect("text");
        assert_eq!((output.status.success(), hash.starts_with("$argon2id$")), (is_same, is_same), "{hash}");
    }
}
