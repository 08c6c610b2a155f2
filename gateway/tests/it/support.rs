//! Starts gateways with a configuration of the test's own, and talks to them.

pub(crate) mod http2;

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use common::config::Env;
use gateway::middleware::Middleware;
use gateway::{ConfigSource, Options, ReloadError, Running, StartError};
use jsonwebtoken::{EncodingKey, Header, get_current_timestamp};
use reqwest::Method;
use serde_json::{Value, json};
use tempfile::TempDir;
use testkit::eventually;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

/// Longer than anything here takes on a busy machine; only ever waited for in vain.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);

const NO_LOG: &str = "access_log: { enabled: false }";

const SECRET: &str = "6f1d0a94c2b85e7733e09a1bd4c65f28";

/// A gateway of its own, ended when it is dropped.
///
/// Only one that logs lets requests and connections under way end before that. A drop keeps the test's runtime busy, so that peers
/// which run there cannot end what they have with the gateway: it would be waited for until `shutdown_timeout`.
pub(crate) struct Gateway {
    running: Option<Running>,
    is_logging: bool,
    config: PathBuf,
    addr: SocketAddr,
    admin: SocketAddr,
    client: reqwest::Client,
    _dir: TempDir,
}

impl Gateway {
    /// Starts one with `yaml`, which leaves out the `server` and `access_log` blocks, and the provider `us` if it has none of its own.
    pub(crate) fn start(yaml: &str) -> Self {
        Self::try_start(yaml, Vec::new()).expect("the gateway starts")
    }

    /// The same with more in its `server` block.
    pub(crate) fn start_with(server: &str, yaml: &str) -> Self {
        Self::launch(with_server(server, yaml), Vec::new()).expect("the gateway starts")
    }

    /// The same with an access log at `path`, which is whole when the gateway was dropped. A test whose clients speak
    /// HTTP/2 needs a runtime with a thread for them.
    pub(crate) fn start_logging(path: &Path, yaml: &str) -> Self {
        Self::start_logging_with("", path, yaml)
    }

    /// The same with more in its `server` block.
    pub(crate) fn start_logging_with(server: &str, path: &Path, yaml: &str) -> Self {
        let log = format!("access_log: {{ path: \"{}\" }}", path.display());
        Self::launch(with_server(server, yaml).replace(NO_LOG, &log), Vec::new()).expect("the gateway starts")
    }

    pub(crate) fn try_start(yaml: &str, middleware: Vec<Arc<dyn Middleware>>) -> Result<Self, StartError> {
        Self::launch(with_server("", yaml), middleware)
    }

    fn launch(file: String, middleware: Vec<Arc<dyn Middleware>>) -> Result<Self, StartError> {
        let is_logging = !file.contains(NO_LOG);
        let dir = tempfile::tempdir().expect("a directory");
        let config = dir.path().join("gateway.yaml");
        std::fs::write(&config, file).expect("writes");
        let options = Options {
            config: ConfigSource::File(config.clone()),
            env: Env::default().with("SECRET", SECRET),
            middleware,
        };
        let running = off_the_runtime(|| gateway::start(options))?;
        let (addr, admin) = (running.listen_addrs()[0], running.admin_addr());
        // To read the system's authorities would take longer than most tests do.
        let client = reqwest::Client::builder().no_proxy().timeout(PATIENCE).tls_certs_only([]);
        let client = client.build().expect("a client");
        Ok(Self { running: Some(running), is_logging, config, addr, admin, client, _dir: dir })
    }

    /// A request to `path` on the public port.
    pub(crate) fn request(&self, method: Method, path: &str) -> reqwest::RequestBuilder {
        self.client.request(method, format!("http://{}{path}", self.addr))
    }

    /// Status and body of a `GET`.
    pub(crate) async fn get(&self, path: &str) -> (u16, String) {
        let answer = self.request(Method::GET, path).send().await.expect("an answer");
        (answer.status().as_u16(), answer.text().await.expect("a body"))
    }

    /// Status and body of a `GET` on the admin port.
    pub(crate) async fn admin(&self, path: &str) -> (u16, String) {
        let answer = self.client.get(format!("http://{}{path}", self.admin)).send().await.expect("an answer");
        (answer.status().as_u16(), answer.text().await.expect("a body"))
    }

    /// Status and body of a call that has the configuration read again, as of a web page of `origin`.
    pub(crate) async fn reload_by_call(&self, origin: Option<&str>) -> (u16, String) {
        let call = self.client.post(format!("http://{}/reload", self.admin));
        let call = origin.into_iter().fold(call, |call, origin| call.header("Origin", origin));
        let answer = call.send().await.expect("an answer");
        (answer.status().as_u16(), answer.text().await.expect("a body"))
    }

    /// Changes the file of the configuration, and nothing else.
    pub(crate) fn rewrite(&self, change: impl FnOnce(String) -> String) {
        let text = std::fs::read_to_string(&self.config).expect("reads");
        std::fs::write(&self.config, change(text)).expect("writes");
    }

    /// The value of the series `name`, written with its labels as `/metrics` shows it.
    pub(crate) async fn metric(&self, name: &str) -> Option<f64> {
        let (_, text) = self.admin("/metrics").await;
        text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' ')?.parse().ok())
    }

    /// Waits until the series called `name` is at `value`: a request is counted just after its answer.
    pub(crate) async fn shows(&self, name: &str, value: f64) {
        let is_shown = async || self.metric(name).await == Some(value);
        let shown = eventually(PATIENCE, name, is_shown).await;
        assert!(shown.is_ok(), "{:?} is not {value}: {shown:?}", self.metric(name).await);
    }

    /// Sends `bytes` on a connection of its own and gives back everything until the gateway closes it.
    pub(crate) async fn raw(&self, bytes: &[u8]) -> String {
        let mut stream = TcpStream::connect(self.addr).await.expect("connects");
        stream.write_all(bytes).await.expect("writes");
        let mut answer = Vec::new();
        let reading = stream.read_to_end(&mut answer);
        // A reset after the answer is a way to close too.
        let _ = tokio::time::timeout(PATIENCE, reading).await.expect("the gateway closes the connection");
        String::from_utf8_lossy(&answer).into_owned()
    }

    /// Replaces the configuration and has it read again.
    pub(crate) fn reload(&self, yaml: &str) -> Result<(), ReloadError> {
        self.reload_with("", yaml)
    }

    /// The same with more in its `server` block.
    pub(crate) fn reload_with(&self, server: &str, yaml: &str) -> Result<(), ReloadError> {
        std::fs::write(&self.config, with_server(server, yaml)).expect("writes");
        let running = self.running.as_ref().expect("runs");
        off_the_runtime(|| running.reload()).map(drop)
    }

    /// The port of its first TLS listener.
    pub(crate) fn tls_addr(&self) -> SocketAddr {
        self.running.as_ref().expect("runs").tls_addrs()[0]
    }

    /// The port of its first listener that takes HTTP/2 without TLS too.
    pub(crate) fn h2c_addr(&self) -> SocketAddr {
        self.running.as_ref().expect("runs").h2c_addrs()[0]
    }

    /// Takes the handle out, to stop the gateway from another task.
    pub(crate) fn take(&mut self) -> Running {
        self.running.take().expect("runs")
    }

    pub(crate) fn addr(&self) -> SocketAddr {
        self.addr
    }
}

impl Drop for Gateway {
    fn drop(&mut self) {
        if let Some(running) = self.running.take() {
            off_the_runtime(|| if self.is_logging { running.stop() } else { drop(running) });
        }
    }
}

/// The code of a problem document.
pub(crate) fn code(body: &str) -> String {
    let problem: Value = serde_json::from_str(body).unwrap_or_else(|_| panic!("a problem document: {body:?}"));
    problem["code"].as_str().expect("a code").to_owned()
}

/// A token of the provider `us` for the subject `ann`, changed by `change`.
pub(crate) fn token(change: impl FnOnce(&mut Value)) -> String {
    let mut claims = claims();
    change(&mut claims);
    jsonwebtoken::encode(&Header::default(), &claims, &EncodingKey::from_secret(SECRET.as_bytes())).expect("signs")
}

/// What tokens say, for the subject `ann`.
pub(crate) fn claims() -> Value {
    let now = get_current_timestamp();
    json!({"sub": "ann", "username": "Ann", "iss": "us", "aud": "us", "nbf": now, "exp": now + 600})
}

fn with_server(server: &str, yaml: &str) -> String {
    let providers = if yaml.contains("jwt_providers:") {
        ""
    } else {
        "jwt_providers:\n  us: { algorithm: HS256, secret: \"${SECRET}\", issuer: us, audience: us, \
         claims_to_headers: { sub: X-User-Id } }\n"
    };
    format!(
        "server: {{ listen: [\"127.0.0.1:0\"], admin: \"127.0.0.1:0\", threads: 1, max_body: 1KiB, max_uri: 1KiB, \
         max_headers: 4KiB, {server} }}\n\
         {NO_LOG}\n{providers}{yaml}"
    )
}

/// Runs what blocks, or has a runtime of its own, where that is allowed.
fn off_the_runtime<T: Send>(work: impl FnOnce() -> T + Send) -> T {
    std::thread::scope(|scope| match scope.spawn(work).join() {
        Ok(result) => result,
        Err(panic) => std::panic::resume_unwind(panic),
    })
}

/// Reads `stream` until what came ends with `end`.
pub(crate) async fn read_to(stream: &mut TcpStream, end: &str) -> String {
    let mut come = Vec::new();
    let reading = async {
        while !come.ends_with(end.as_bytes()) {
            assert_ne!(stream.read_buf(&mut come).await.expect("reads"), 0, "{:?}", String::from_utf8_lossy(&come));
        }
    };
    tokio::time::timeout(PATIENCE, reading).await.expect("comes");
    String::from_utf8(come).expect("text")
}
