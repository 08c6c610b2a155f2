//! Clients that show certificates, and a gateway that does.

use std::sync::Mutex;
use std::time::Duration;

use reqwest::{Certificate, Client, ClientBuilder, Version};
use tempfile::TempDir;
use testkit::Upstream;

use crate::pki::{Authority, Issued, dns, put, uri};
use crate::support::{Gateway, PATIENCE, code};

const SPIFFE: &str = "spiffe://example/orders";

/// A gateway that asks clients for certificates, with everything that it and they need.
struct Setting {
    upstream: Upstream,
    dir: TempDir,
    authority: Authority,
    gateway: Gateway,
}

impl Setting {
    /// With `more` beside the authorities, and a route `/x` with these steps.
    async fn new(more: &str, steps: &str) -> Self {
        let upstream = Upstream::start().await.expect("starts");
        let dir = tempfile::tempdir().expect("a directory");
        let authority = Authority::new("authority");
        authority.issue("gateway", 1, &[dns("gateway.example")], 2900).write(dir.path(), "server");
        put(dir.path(), "ca.pem", &authority.pem);
        put(dir.path(), "crl.pem", &authority.revoke(&[66]));
        let gateway = Gateway::start_with(&server(&dir, more), &routes(&upstream.url(), steps));
        Self { upstream, dir, authority, gateway }
    }

    fn client(&self, shown: Option<&Issued>) -> ClientBuilder {
        let believed = Certificate::from_pem(self.authority.pem.as_bytes()).expect("a certificate");
        let client = Client::builder().no_proxy().timeout(PATIENCE).tls_certs_only([believed]);
        let client = client.resolve("gateway.example", self.gateway.tls_addr());
        shown.into_iter().fold(client, |client, shown| client.identity(shown.identity()))
    }

    fn url(&self, path: &str) -> String {
        format!("https://gateway.example:{}{path}", self.gateway.tls_addr().port())
    }

    /// A client of which each request has a connection of its own, and takes up the session of the one before.
    fn resuming(&self, shown: &Issued, version: reqwest::tls::Version) -> Client {
        let client = self.client(Some(shown)).http1_only().pool_max_idle_per_host(0);
        client.tls_version_min(version).tls_version_max(version).build().expect("a client")
    }

    /// Status and code of an answer, if there is one at all.
    async fn ask(&self, shown: Option<&Issued>) -> Option<(u16, String)> {
        let answer = self.client(shown).build().expect("a client").get(self.url("/x")).send().await.ok()?;
        let status = answer.status().as_u16();
        let body = answer.text().await.ok()?;
        Some((status, if status == 200 { String::new() } else { code(&body) }))
    }

    fn issue(&self, serial: u8, uris: &[&str], ends: i32) -> Issued {
        let names: Vec<_> = uris.iter().map(|name| uri(name)).collect();
        self.authority.issue("orders", serial, &names, ends)
    }
}

fn server(dir: &TempDir, more: &str) -> String {
    let path = |name: &str| dir.path().join(name).display().to_string();
    format!(
        "tls: {{ listen: [\"127.0.0.1:0\"], reload_interval: 100ms, certificates: [{{ certificate: \"{}\", key: \"{}\" }}], \
         client_certificates: {{ ca: \"{}\", crl: \"{}\", {more} }} }}",
        path("server.pem"),
        path("server.key"),
        path("ca.pem"),
        path("crl.pem"),
    )
}

fn routes(upstream: &str, steps: &str) -> String {
    format!(
        "client_certificates: {{ orders: {{ uris: [\"~spiffe://example/[a-z]+\"], claims_to_headers: {{ sub: X-Client, serial: \
         X-Serial }} }} }}\n\
         api_keys: {{ programs: {{ keys: [{{ client: mobile, sha256: \
         ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad }}], claims_to_headers: {{ client: X-Program }} }} }}\n\
         upstreams: {{ u: {{ targets: [\"{upstream}\"] }} }}\n\
         routes:\n  - {{ name: x, match: {{ path: /x }}, upstream: u, middleware: [{steps}] }}\n  \
         - {{ name: open, match: {{ path: /open }}, upstream: u, public: true }}\n"
    )
}

/// How sessions are taken up again differs between them.
const VERSIONS: [reqwest::tls::Version; 2] = [reqwest::tls::Version::TLS_1_2, reqwest::tls::Version::TLS_1_3];

const CERTIFICATE: &str = "client_certificate: { provider: orders }";

#[tokio::test]
async fn a_client_is_known_by_its_certificate_and_cannot_say_so_itself() {
    let setting = Setting::new("", CERTIFICATE).await;
    let good = setting.issue(7, &[SPIFFE], 2900);
    for (version, client) in
        [(Version::HTTP_2, setting.client(Some(&good))), (Version::HTTP_11, setting.client(Some(&good)).http1_only())]
    {
        let client = client.build().expect("a client");
        for path in ["/x", "/open"] {
            let asked = client.get(setting.url(path)).header("X-Client", "forged").header("X_Serial", "1");
            let answer = asked.send().await.expect("an answer");
            assert_eq!((answer.status().as_u16(), answer.version()), (200, version));
            let arrived = setting.upstream.arrived().pop().expect("a request");
            let told = if path == "/x" { vec![SPIFFE] } else { vec![] };
            assert_eq!(arrived.header("x-client"), told);
            assert_eq!(arrived.header("x-serial"), if path == "/x" { vec!["07"] } else { vec![] });
            assert_eq!(arrived.header("x_serial"), Vec::<&str>::new());
        }
    }
}

#[tokio::test]
async fn nobody_without_a_good_certificate_gets_a_connection() {
    let setting = Setting::new("", CERTIFICATE).await;
    let other = Authority::new("authority");
    for (case, shown) in [
        ("none", None),
        ("of another authority of the same name", Some(other.issue("orders", 7, &[uri(SPIFFE)], 2900))),
        ("expired", Some(setting.issue(7, &[SPIFFE], 2001))),
        ("revoked", Some(setting.issue(66, &[SPIFFE], 2900))),
    ] {
        assert_eq!(setting.ask(shown.as_ref()).await, None, "{case}");
    }
    let good = setting.issue(7, &[SPIFFE], 2900);
    assert_eq!(setting.ask(Some(&good)).await, Some((200, String::new())));
    assert_eq!(setting.upstream.arrived().len(), 1);
    assert!(setting.gateway.metric("gateway_tls_handshake_failures_total").await >= Some(4.0));
}

#[tokio::test]
async fn where_certificates_are_optional_the_step_says_who_needs_one() {
    let setting = Setting::new("mode: optional", CERTIFICATE).await;
    let answered = |status: u16, code: &str| Some((status, code.to_owned()));
    assert_eq!(setting.ask(Some(&setting.issue(7, &[SPIFFE], 2900))).await, answered(200, ""));
    assert_eq!(setting.ask(None).await, answered(401, "missing_certificate"));
    for uris in [&["spiffe://example/orders/x"][..], &["spiffe://evil/orders"], &[]] {
        let stranger = setting.issue(7, uris, 2900);
        assert_eq!(setting.ask(Some(&stranger)).await, answered(403, "certificate_not_permitted"), "{uris:?}");
    }
    assert_eq!(setting.ask(Some(&setting.issue(66, &[SPIFFE], 2900))).await, None, "revoked");
    let plain = setting.gateway.get("/x").await;
    assert_eq!((plain.0, code(&plain.1).as_str()), (401, "missing_certificate"));
    assert_eq!(setting.upstream.arrived().len(), 1);
}

#[tokio::test]
async fn a_certificate_goes_together_with_other_proofs_or_in_their_place() {
    let any = "any_of: [[client_certificate: { provider: orders }], [api_key: { provider: programs }]]";
    let all = "all_of: [{ client_certificate: { provider: orders } }, { api_key: { provider: programs } }]";
    for (steps, alone) in [(any, 200), (all, 401)] {
        let setting = Setting::new("mode: optional", steps).await;
        let good = setting.issue(7, &[SPIFFE], 2900);
        let ask = async |shown: Option<&Issued>, key: Option<&str>| {
            let asked = setting.client(shown).build().expect("a client").get(setting.url("/x"));
            let asked = key.into_iter().fold(asked, |asked, key| asked.header("X-API-Key", key));
            asked.send().await.expect("an answer").status().as_u16()
        };
        assert_eq!(ask(Some(&good), None).await, alone, "{steps}");
        assert_eq!(ask(None, Some("abc")).await, alone, "{steps}");
        assert_eq!(ask(Some(&good), Some("abc")).await, 200, "{steps}");
        assert_eq!(ask(None, None).await, 401, "{steps}");
        let arrived = setting.upstream.arrived().pop().expect("a request");
        assert_eq!(arrived.header("x-client"), [SPIFFE]);
    }
}

#[tokio::test]
async fn what_is_revoked_under_an_open_connection_counts_no_more() {
    let setting = Setting::new("", CERTIFICATE).await;
    let good = setting.issue(7, &[SPIFFE], 2900);
    let client = setting.client(Some(&good)).http1_only().build().expect("a client");
    let other = setting.client(Some(&setting.issue(8, &[SPIFFE], 2900))).http1_only().build().expect("a client");
    for client in [&client, &other] {
        assert_eq!(client.get(setting.url("/x")).send().await.expect("an answer").status(), 200);
    }
    put(setting.dir.path(), "crl.pem", &setting.authority.revoke(&[7]));
    let refused = async || {
        let answer = client.get(setting.url("/x")).send().await;
        let answer = answer.expect("an answer on the connection that is open");
        (answer.status() == 401).then_some(answer)
    };
    let found = Mutex::new(None);
    testkit::eventually(PATIENCE, "a refusal", async || {
        let answer = refused().await;
        let mut found = found.lock().expect("nobody panics");
        *found = answer;
        found.is_some()
    })
    .await
    .expect("refused");
    let answer = found.into_inner().expect("nobody panics").expect("an answer");
    assert_eq!(answer.headers()["connection"], "close");
    assert_eq!(code(&answer.text().await.expect("a body")), "invalid_certificate");
    client.get(setting.url("/x")).send().await.expect_err("and no other connection");
    assert_eq!(other.get(setting.url("/x")).send().await.expect("an answer").status(), 200);

    // A list that nobody can read takes nothing back.
    put(setting.dir.path(), "crl.pem", "garbage");
    let ca = setting.dir.path().join("ca.pem").display().to_string();
    let success = format!("gateway_tls_cert_last_reload_success{{certificate=\"{ca}\"}}");
    let told = async || setting.gateway.metric(&success).await == Some(0.0);
    testkit::eventually(PATIENCE, "a failure", told).await.expect("told");
    client.get(setting.url("/x")).send().await.expect_err("still revoked");
    assert_eq!(other.get(setting.url("/x")).send().await.expect("an answer").status(), 200);
}

#[tokio::test]
async fn a_session_that_is_taken_up_again_counts_no_longer_than_the_list() {
    let setting = Setting::new("", CERTIFICATE).await;
    let good = setting.issue(7, &[SPIFFE], 2900);
    let clients = VERSIONS.map(|version| setting.resuming(&good, version));
    put(setting.dir.path(), "crl.pem", &setting.authority.revoke_for(&[66], Duration::from_secs(4)));
    let is_refused = async |client: &Client| {
        let answer = client.get(setting.url("/x")).send().await.expect("a handshake that asks no list");
        if answer.status() == 200 {
            return false;
        }
        assert_eq!(answer.status(), 401);
        assert_eq!(code(&answer.text().await.expect("a body")), "invalid_certificate");
        true
    };
    for client in &clients {
        assert!(!is_refused(client).await);
    }
    // Both again and again, so that each has a session of the time of this list.
    let [one, other] = &clients;
    let both = async || is_refused(one).await & is_refused(other).await;
    testkit::eventually(PATIENCE, "two refusals", both).await.expect("the list has ended");
    setting.client(Some(&good)).build().expect("a client").get(setting.url("/x")).send().await.expect_err("nor anew");
}

#[tokio::test]
async fn no_session_is_taken_up_again_once_another_list_counts() {
    let setting = Setting::new("", CERTIFICATE).await;
    let (good, other) = (setting.issue(7, &[SPIFFE], 2900), setting.issue(8, &[SPIFFE], 2900));
    let status = async |client: &Client| {
        let answer = client.get(setting.url("/x")).send().await.ok();
        answer.map(|answer| answer.status().as_u16())
    };
    let clients = VERSIONS.map(|version| (setting.resuming(&good, version), setting.resuming(&other, version)));
    for (revoked, kept) in &clients {
        assert_eq!((status(revoked).await, status(kept).await), (Some(200), Some(200)));
    }
    put(setting.dir.path(), "crl.pem", &setting.authority.revoke(&[7]));
    for (revoked, kept) in &clients {
        // Were its session taken up, only the request would be refused, with a status.
        let is_refused = async || status(revoked).await.is_none();
        testkit::eventually(PATIENCE, "a refusal", is_refused).await.expect("a handshake asks the list");
        assert_eq!(status(kept).await, Some(200));
    }
}

#[tokio::test]
async fn connections_from_before_certificates_were_asked_for_have_to_begin_anew() {
    let setting = Setting::new("mode: optional", CERTIFICATE).await;
    let client = setting.client(None).http1_only().build().expect("a client");
    assert_eq!(client.get(setting.url("/open")).send().await.expect("an answer").status(), 200);
    let routes = routes(&setting.upstream.url(), CERTIFICATE);
    setting.gateway.reload_with(&server(&setting.dir, "mode: required"), &routes).expect("taken");
    let answer = client.get(setting.url("/open")).send().await.expect("an answer");
    assert_eq!(answer.status(), 401);
    client.get(setting.url("/open")).send().await.expect_err("no connection without a certificate");
}

/// A gateway before the one of `setting`, to which it speaks TLS as `tls` says.
fn before(setting: &Setting, tls: &str) -> Gateway {
    Gateway::start(&format!(
        "upstreams: {{ u: {{ targets: [\"https://127.0.0.1:{}\"], retries: 0, tls: {{ {tls} }} }} }}\n\
         routes: [{{ name: all, match: {{ path: /* }}, upstream: u, public: true }}]\n",
        setting.gateway.tls_addr().port()
    ))
}

#[tokio::test]
async fn an_upstream_is_shown_a_certificate_and_believed_only_by_its_authority_and_name() {
    let setting = Setting::new("", CERTIFICATE).await;
    let dir = setting.dir.path();
    setting.issue(7, &[SPIFFE], 2900).write(dir, "client");
    put(dir, "other.pem", &Authority::new("authority").pem);
    let path = |name: &str| dir.join(name).display().to_string();
    let ca = format!("ca: \"{}\"", path("ca.pem"));
    let shown = format!("certificate: \"{}\", key: \"{}\"", path("client.pem"), path("client.key"));
    let name = "server_name: gateway.example";
    for (case, tls, status) in [
        ("everything", format!("{ca}, {shown}, {name}"), 200),
        ("nobody is checked", format!("{shown}, verify: false"), 200),
        ("another name", format!("{ca}, {shown}"), 502),
        ("authorities of the system", format!("{shown}, {name}"), 502),
        ("another authority", format!("ca: \"{}\", {shown}, {name}", path("other.pem")), 502),
        ("nothing is shown", format!("{ca}, {name}"), 502),
    ] {
        assert_eq!(before(&setting, &tls).get("/x").await.0, status, "{case}");
    }
    let arrived = setting.upstream.arrived();
    assert_eq!(arrived.len(), 2);
    assert!(arrived.iter().all(|arrived| arrived.header("x-client") == [SPIFFE]));
}

#[tokio::test]
async fn a_renewed_certificate_is_shown_to_the_upstream_on_new_connections() {
    let setting = Setting::new("", CERTIFICATE).await;
    let dir = setting.dir.path();
    let path = |name: &str| dir.join(name).display().to_string();
    setting.issue(7, &[SPIFFE], 2900).write(dir, "client");
    let tls = format!(
        "ca: \"{}\", certificate: \"{}\", key: \"{}\", server_name: gateway.example, reload_interval: 100ms",
        path("ca.pem"),
        path("client.pem"),
        path("client.key")
    );
    let gateway = before(&setting, &tls);
    let serial = async || {
        assert_eq!(gateway.get("/x").await.0, 200, "while it is renewed, too");
        let arrived = setting.upstream.arrived().pop().expect("a request");
        arrived.header("x-serial").concat()
    };
    assert_eq!(serial().await, "07");
    setting.issue(8, &[SPIFFE], 2900).write(dir, "client");
    testkit::eventually(PATIENCE, "the renewed one", async || serial().await == "08").await.expect("shown");
    // Neither what is over nor what does not fit takes its place.
    setting.issue(9, &[SPIFFE], 2001).write(dir, "client");
    let success = format!("gateway_tls_cert_last_reload_success{{certificate=\"{}\"}}", path("client.pem"));
    let told = async || gateway.metric(&success).await == Some(0.0);
    testkit::eventually(PATIENCE, "a failure", told).await.expect("told");
    assert_eq!(serial().await, "08");
}

#[tokio::test]
async fn why_a_handshake_with_an_upstream_fails_is_told_in_the_log_and_to_operators() {
    let setting = Setting::new("mode: optional", CERTIFICATE).await;
    put(setting.dir.path(), "other.pem", &Authority::new("other").pem);
    let path = |name: &str| setting.dir.path().join(name).display().to_string();
    for (case, (settings, why)) in [
        (
            format!("ca: \"{}\", server_name: elsewhere.example", path("ca.pem")),
            "not valid for name \"elsewhere.example\"",
        ),
        (format!("ca: \"{}\", server_name: gateway.example", path("other.pem")), "UnknownIssuer"),
    ]
    .into_iter()
    .enumerate()
    {
        let file = format!(
            "upstreams: {{ u: {{ targets: [\"https://127.0.0.1:{}\"], retries: 0, tls: {{ {settings} }}, \
             health_check: {{ path: /health, interval: 1s, unhealthy_after: 100 }} }} }}\n\
             routes: [{{ name: all, match: {{ path: /* }}, upstream: u, public: true }}]\n",
            setting.gateway.tls_addr().port()
        );
        let log = setting.dir.path().join(format!("{case}.log"));
        let before = Gateway::start_logging(&log, &file);
        assert_eq!(before.get("/open").await.0, 502);
        drop(before);
        let line = std::fs::read_to_string(&log).expect("a log");
        let line: serde_json::Value = serde_json::from_str(line.trim()).expect("a line");
        let error = line["error"].as_str().expect("an error");
        assert!(error.starts_with("Upstream TLSHandshakeFailure: ") && error.contains(why), "{error}");
        let before = Gateway::start(&file.replace("unhealthy_after: 100", "unhealthy_after: 1"));
        let told = async || {
            let (_, upstreams) = before.admin("/upstreams").await;
            let upstreams: serde_json::Value = serde_json::from_str(&upstreams).expect("json");
            let reason = upstreams["u"][0]["reason"].as_str().unwrap_or_default().to_owned();
            reason.starts_with("TLS handshake failed: ") && reason.contains(why)
        };
        testkit::eventually(PATIENCE, why, told).await.expect("told");
    }
}
