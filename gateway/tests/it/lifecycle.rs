//! Starting, reloading and stopping.

use std::path::Path;

use gateway::{ReloadError, StartError};
use reqwest::Method;
use testkit::{Behaviour, Upstream, eventually};
use tokio::net::TcpStream;

use crate::support::{Gateway, PATIENCE, code, token};

fn routes(upstream: &Upstream, path: &str) -> String {
    format!(
        r#"
rate_limits: {{ few: {{ scope: local, limit: 2, window: 1h, key: client_address }} }}
upstreams: {{ u: {{ targets: ["{}"] }} }}
routes:
  - {{ name: one, match: {{ path: "{path}" }}, upstream: u, public: true }}
  - name: few
    match: {{ path: /few }}
    upstream: u
    public: true
    middleware: [{{ rate_limit: {{ policies: [few] }} }}]
"#,
        upstream.url()
    )
}

#[tokio::test]
async fn a_good_file_is_taken_and_a_bad_one_changes_nothing() {
    let upstream = Upstream::start().await.expect("starts");
    let gateway = Gateway::start(&routes(&upstream, "/a"));
    assert_eq!(gateway.get("/a").await.0, 200);
    gateway.reload(&routes(&upstream, "/b")).expect("taken");
    assert_eq!((gateway.get("/a").await.0, gateway.get("/b").await.0), (404, 200));
    let bad = gateway.reload("upstrems: {}\nroutes: [{ name: x }]\n");
    let Err(ReloadError::Config(problems)) = bad else { panic!("refused") };
    let report = problems.to_string();
    assert!(report.contains("did you mean `upstreams`") && report.contains("routes[0]"), "{report}");
    assert_eq!((gateway.get("/a").await.0, gateway.get("/b").await.0), (404, 200));
    gateway.shows("gateway_config_last_reload_success", 0.0).await;
    gateway.reload(&routes(&upstream, "/a")).expect("taken");
    gateway.shows("gateway_config_last_reload_success", 1.0).await;
    gateway.shows("gateway_config_reloads_total", 2.0).await;
}

#[tokio::test]
async fn what_a_reload_does_not_change_keeps_its_state() {
    let upstream = Upstream::start().await.expect("starts");
    let gateway = Gateway::start(&routes(&upstream, "/a"));
    assert_eq!(gateway.get("/few").await.0, 200);
    assert_eq!(gateway.get("/few").await.0, 200);
    gateway.reload(&routes(&upstream, "/b")).expect("taken");
    let (status, body) = gateway.get("/few").await;
    assert_eq!((status, &*code(&body)), (429, "quota_exceeded"));
}

#[tokio::test]
async fn a_target_that_a_reload_takes_away_leaves_the_metrics() {
    let (one, two) = (Upstream::start().await.expect("starts"), Upstream::start().await.expect("starts"));
    let gateway = Gateway::start(&routes(&one, "/a"));
    let series =
        |upstream: &Upstream| format!(r#"gateway_upstream_healthy{{target="{}",upstream="u"}}"#, upstream.addr());
    gateway.shows(&series(&one), 1.0).await;
    gateway.reload(&routes(&two, "/a")).expect("taken");
    assert_eq!((gateway.metric(&series(&one)).await, gateway.metric(&series(&two)).await), (None, Some(1.0)));
    assert_eq!(gateway.get("/a").await, (200, two.addr().to_string()));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stop_lets_the_request_under_way_finish_and_takes_no_new_one() {
    let upstream = Upstream::start().await.expect("starts");
    upstream.behave(Behaviour::Hold);
    let mut gateway = Gateway::start(&routes(&upstream, "/a"));
    let slow = tokio::spawn(gateway.request(Method::GET, "/a").send());
    eventually(PATIENCE, "the request is under way", async || !upstream.arrived().is_empty()).await.expect("arrives");
    let running = gateway.take();
    let stopped = tokio::task::spawn_blocking(move || running.stop());
    eventually(PATIENCE, "the port is closed", async || TcpStream::connect(gateway.addr()).await.is_err())
        .await
        .expect("closes");
    assert!(!stopped.is_finished(), "waits for the request");
    upstream.let_go();
    let answer = slow.await.expect("sent").expect("an answer");
    assert_eq!(answer.status(), 200);
    assert_eq!(answer.text().await.expect("a body"), upstream.addr().to_string());
    stopped.await.expect("stops");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn during_the_grace_requests_are_served_and_connections_are_let_go() {
    let upstream = Upstream::start().await.expect("starts");
    let mut gateway = Gateway::start_with("shutdown_grace: 2s", &routes(&upstream, "/a"));
    let running = gateway.take();
    let stopped = tokio::task::spawn_blocking(move || running.stop());
    eventually(PATIENCE, "the stop has begun", async || gateway.admin("/ready").await.0 == 503).await.expect("begins");
    let answer = gateway.request(Method::GET, "/a").send().await.expect("an answer");
    assert_eq!((answer.status().as_u16(), &answer.headers()["connection"]), (200, &"close".parse().expect("a value")));
    stopped.await.expect("stops");
}

#[tokio::test]
async fn a_taken_port_is_a_sentence() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let addr = taken.local_addr().expect("an address");
    let dir = tempfile::tempdir().expect("a directory");
    let path = dir.path().join("gateway.yaml");
    let yaml = format!(
        "server: {{ listen: [\"{addr}\"], admin: \"127.0.0.1:0\" }}\nupstreams: {{ u: {{ targets: [\"http://127.0.0.1:1\"] }} }}\n\
         routes: [{{ name: a, match: {{ path: / }}, upstream: u, public: true }}]\n"
    );
    std::fs::write(&path, yaml).expect("writes");
    let options = gateway::Options {
        config: gateway::ConfigSource::File(path),
        env: common::config::Env::default(),
        middleware: Vec::new(),
    };
    let started = tokio::task::spawn_blocking(|| gateway::start(options).map(drop)).await.expect("runs");
    let Err(error @ StartError::AddressInUse(_)) = started else { panic!("refused") };
    assert!(error.to_string().contains(&addr.to_string()), "{error}");
}

#[tokio::test]
async fn a_token_counts_by_its_claim_and_not_by_its_address() {
    let upstream = Upstream::start().await.expect("starts");
    let gateway = Gateway::start(&format!(
        r#"
rate_limits: {{ one: {{ scope: local, limit: 1, window: 1h, key: claim.sub }} }}
upstreams: {{ u: {{ targets: ["{}"] }} }}
routes:
  - name: mine
    match: {{ path: /mine }}
    upstream: u
    middleware: [{{ jwt: {{ provider: us }} }}, {{ rate_limit: {{ policies: [one] }} }}]
"#,
        upstream.url()
    ));
    let status = async |subject: &str| {
        let token = token(|claims| claims["sub"] = subject.into());
        gateway.request(Method::GET, "/mine").bearer_auth(token).send().await.expect("an answer").status().as_u16()
    };
    assert_eq!((status("ann").await, status("ann").await, status("ben").await), (200, 429, 200));
}

#[tokio::test]
async fn a_reload_opens_the_access_log_anew_also_when_it_is_refused() {
    let dir = tempfile::tempdir().expect("a directory");
    let log = dir.path().join("access.log");
    let routes = "routes: [{ name: all, match: { path: /* }, public: true, middleware: [respond: {}] }]\n";
    let gateway = Gateway::start_logging(&log, routes);
    let lines = |path: &Path| std::fs::read_to_string(path).map_or(0, |text| text.lines().count());
    for (number, file) in [(1, routes), (2, "routes: nonsense\n")] {
        assert_eq!(gateway.get("/").await.0, 200);
        eventually(PATIENCE, "a line", async || lines(&log) == 1).await.expect("is written");
        let aside = dir.path().join(number.to_string());
        std::fs::rename(&log, &aside).expect("renames");
        assert_eq!(gateway.reload(file).is_ok(), number == 1);
        eventually(PATIENCE, "a new file", async || log.exists()).await.expect("is opened");
        assert_eq!((lines(&log), lines(&aside)), (0, 1));
    }
}
