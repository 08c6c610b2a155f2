//! TLS and HTTP/2 as clients meet them.

use std::io::{ErrorKind, Read as _, Write as _};
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;

use rcgen::generate_simple_self_signed;
use reqwest::{Certificate, Client, Method, Version};
use rustls::crypto::aws_lc_rs::default_provider;
use rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned};
use rustls_pki_types::CertificateDer;
use rustls_pki_types::pem::PemObject as _;
use tempfile::TempDir;
use testkit::Upstream;
use tokio::io::AsyncWriteExt as _;
use tokio::net::TcpStream;

use crate::support::{Gateway, PATIENCE, code};

/// Writes a certificate for `name` with its key to `dir`, and gives it back.
fn certificate(dir: &Path, name: &str) -> Certificate {
    let generated = generate_simple_self_signed(vec![name.to_owned()]).expect("a certificate");
    std::fs::write(dir.join(format!("{name}.pem")), generated.cert.pem()).expect("writes");
    std::fs::write(dir.join(format!("{name}.key")), generated.signing_key.serialize_pem()).expect("writes");
    Certificate::from_pem(generated.cert.pem().as_bytes()).expect("a certificate")
}

fn tls(dir: &TempDir, more: &str) -> String {
    let file = |name: &str| dir.path().join(name).display().to_string();
    format!(
        "tls: {{ listen: [\"127.0.0.1:0\"], {more} certificates: [{{ certificate: \"{}\", key: \"{}\" }}, \
         {{ certificate: \"{}\", key: \"{}\" }}] }}",
        file("a.example.pem"),
        file("a.example.key"),
        file("b.example.pem"),
        file("b.example.key")
    )
}

fn routes(upstream: &Upstream) -> String {
    let targets = upstream.url();
    format!(
        "upstreams: {{ u: {{ targets: [\"{targets}\"] }} }}\n\
         routes:\n  - {{ name: a, match: {{ path: \"/*\", hosts: [a.example] }}, upstream: u, public: true }}\n  \
         - {{ name: b, match: {{ path: \"/*\", hosts: [b.example] }}, upstream: u, public: true, max_body: 8B }}\n"
    )
}

/// A client that believes `certificates` alone, and finds both hosts at the gateway.
fn client(gateway: &Gateway, certificates: &[Certificate]) -> reqwest::ClientBuilder {
    let addr = gateway.tls_addr();
    let client = Client::builder().no_proxy().timeout(PATIENCE).tls_certs_only(certificates.iter().cloned());
    client.resolve("a.example", addr).resolve("b.example", addr)
}

#[tokio::test]
async fn each_name_is_served_with_its_certificate_in_both_versions_of_http() {
    let upstream = Upstream::start().await.expect("starts");
    let dir = tempfile::tempdir().expect("a directory");
    let certificates = ["a.example", "b.example"].map(|name| certificate(dir.path(), name));
    let gateway = Gateway::start_with(&tls(&dir, ""), &routes(&upstream));
    let port = gateway.tls_addr().port();
    for (version, client) in [
        (Version::HTTP_2, client(&gateway, &certificates)),
        (Version::HTTP_11, client(&gateway, &certificates).http1_only()),
    ] {
        let client = client.build().expect("a client");
        for host in ["a.example", "b.example"] {
            let answer = client.get(format!("https://{host}:{port}/x?y")).send().await.expect("an answer");
            assert_eq!((answer.status().as_u16(), answer.version()), (200, version), "{host}");
            let arrived = upstream.arrived().pop().expect("a request");
            assert_eq!(arrived.line(), "GET /x?y");
            assert_eq!(arrived.header("host"), [format!("{host}:{port}")]);
            assert_eq!(arrived.header("x-forwarded-host"), [format!("{host}:{port}")]);
            assert_eq!(arrived.header("x-forwarded-proto"), ["https"]);
        }
    }
    let stranger = client(&gateway, &certificates[1..]).build().expect("a client");
    stranger.get(format!("https://a.example:{port}/")).send().await.expect_err("not the certificate it believes");
}

#[tokio::test]
async fn requests_over_http_2_are_screened_and_answered_like_others() {
    let upstream = Upstream::start().await.expect("starts");
    let dir = tempfile::tempdir().expect("a directory");
    let certificates = ["a.example", "b.example"].map(|name| certificate(dir.path(), name));
    let gateway = Gateway::start_with(&tls(&dir, ""), &routes(&upstream));
    let client = client(&gateway, &certificates).build().expect("a client");
    let url = |path: &str| format!("https://b.example:{}{path}", gateway.tls_addr().port());
    for (request, status, expected) in [
        (client.post(url("/x")).body("123456789"), 413, "body_too_large"),
        (client.get(url(&format!("/{}", "x".repeat(1100)))), 414, "uri_too_long"),
        (client.get(url("/x")).header("X-Large", "x".repeat(4600)), 431, "headers_too_large"),
        (client.get(url("/%2e%2e%2fx")), 400, "bad_path"),
        (client.request(Method::TRACE, url("/x")), 405, "method_not_allowed"),
    ] {
        let answer = request.send().await.expect("an answer");
        assert_eq!((answer.status().as_u16(), answer.version()), (status, Version::HTTP_2), "{expected}");
        assert_eq!(code(&answer.text().await.expect("a body")), expected);
    }
    let two_hosts = client.get(url("/x")).header("Host", "a.example").send().await.expect("an answer");
    assert_eq!(two_hosts.status(), 400);
    assert!(upstream.arrived().is_empty());
    assert_eq!(client.post(url("/x")).body("12345678").send().await.expect("an answer").status(), 200);
}

#[tokio::test]
async fn only_what_was_agreed_on_is_spoken_and_failures_are_counted() {
    let upstream = Upstream::start().await.expect("starts");
    let dir = tempfile::tempdir().expect("a directory");
    let certificates = ["a.example", "b.example"].map(|name| certificate(dir.path(), name));
    let server = tls(&dir, "http2: false, min_version: \"1.3\",");
    let gateway = Gateway::start_with(&server, &routes(&upstream));
    let url = format!("https://a.example:{}/", gateway.tls_addr().port());
    let modern = client(&gateway, &certificates).build().expect("a client");
    assert_eq!(modern.get(&url).send().await.expect("an answer").version(), Version::HTTP_11);
    let old =
        client(&gateway, &certificates).tls_version_max(reqwest::tls::Version::TLS_1_2).build().expect("a client");
    old.get(&url).send().await.expect_err("too old");
    let mut plain = TcpStream::connect(gateway.tls_addr()).await.expect("connects");
    plain.write_all(b"GET / HTTP/1.1\r\nHost: a.example\r\n\r\n").await.expect("writes");
    let counted = async || gateway.metric("gateway_tls_handshake_failures_total").await >= Some(2.0);
    testkit::eventually(PATIENCE, "two failures", counted).await.expect("counted");
}

/// Shakes hands with `addr` for HTTP/2, says nothing more, and gives back why the connection ended.
fn say_nothing(addr: SocketAddr, certificate: &[u8]) -> std::io::Result<()> {
    let certificate = CertificateDer::from_pem_slice(certificate).expect("a certificate");
    let mut roots = RootCertStore::empty();
    roots.add(certificate).expect("a root");
    let config = ClientConfig::builder_with_provider(Arc::new(default_provider()));
    let config = config.with_safe_default_protocol_versions().expect("versions");
    let mut config = config.with_root_certificates(roots).with_no_client_auth();
    config.alpn_protocols = vec![b"h2".to_vec()];
    let socket = std::net::TcpStream::connect(addr)?;
    socket.set_read_timeout(Some(PATIENCE))?;
    let name = "a.example".try_into().expect("a name");
    let connection = ClientConnection::new(Arc::new(config), name).expect("a connection");
    let mut stream = StreamOwned::new(connection, socket);
    stream.flush()?;
    assert_eq!(stream.conn.alpn_protocol(), Some(&b"h2"[..]));
    match stream.read_to_end(&mut Vec::new()) {
        Err(error) if error.kind() != ErrorKind::UnexpectedEof => Err(error),
        Ok(_) | Err(_) => Ok(()),
    }
}

#[tokio::test]
async fn an_http_2_client_that_asks_for_nothing_is_not_waited_for() {
    let upstream = Upstream::start().await.expect("starts");
    let dir = tempfile::tempdir().expect("a directory");
    let certificates = ["a.example", "b.example"].map(|name| certificate(dir.path(), name));
    let gateway = Gateway::start_with(&format!("{}, header_timeout: 300ms", tls(&dir, "")), &routes(&upstream));
    let (addr, pem) = (gateway.tls_addr(), std::fs::read(dir.path().join("a.example.pem")).expect("reads"));
    let ended = tokio::task::spawn_blocking(move || say_nothing(addr, &pem)).await.expect("runs");
    ended.expect("the gateway closes the connection");
    let client = client(&gateway, &certificates).build().expect("a client");
    let url = format!("https://a.example:{}/", addr.port());
    assert_eq!(client.get(&url).send().await.expect("an answer").version(), Version::HTTP_2);
}

#[tokio::test]
async fn a_reload_shows_the_certificates_that_are_there_now() {
    let upstream = Upstream::start().await.expect("starts");
    let dir = tempfile::tempdir().expect("a directory");
    let before = ["a.example", "b.example"].map(|name| certificate(dir.path(), name));
    let server = tls(&dir, "");
    let gateway = Gateway::start_with(&server, &routes(&upstream));
    let url = format!("https://a.example:{}/", gateway.tls_addr().port());
    let ask = async |certificates: &[Certificate]| {
        client(&gateway, certificates).build().expect("a client").get(&url).send().await
    };
    assert_eq!(ask(&before).await.expect("an answer").status(), 200);
    let after = [certificate(dir.path(), "a.example")];
    gateway.reload_with(&server, &routes(&upstream)).expect("taken");
    ask(&before).await.expect_err("the old certificate is gone");
    assert_eq!(ask(&after).await.expect("an answer").status(), 200);
    std::fs::write(dir.path().join("a.example.key"), "").expect("writes");
    let problems = gateway.reload_with(&server, &routes(&upstream)).expect_err("refused").to_string();
    assert!(problems.contains("server.tls.certificates[0].key: there is no private key in it"), "{problems}");
    assert_eq!(ask(&after).await.expect("an answer").status(), 200);
}

#[tokio::test]
async fn renewed_files_are_shown_without_a_reload_and_under_open_connections() {
    let upstream = Upstream::start().await.expect("starts");
    let dir = tempfile::tempdir().expect("a directory");
    let before = ["a.example", "b.example"].map(|name| certificate(dir.path(), name));
    let gateway = Gateway::start_with(&tls(&dir, "reload_interval: 100ms,"), &routes(&upstream));
    let url = format!("https://a.example:{}/", gateway.tls_addr().port());
    let open = client(&gateway, &before).build().expect("a client");
    assert_eq!(open.get(&url).send().await.expect("an answer").status(), 200);
    let name = dir.path().join("a.example.pem").display().to_string();
    let success = format!("gateway_tls_cert_last_reload_success{{certificate=\"{name}\"}}");
    let not_after = format!("gateway_tls_cert_not_after_seconds{{certificate=\"{name}\"}}");
    assert!(gateway.metric(&not_after).await > Some(0.0));
    std::fs::write(dir.path().join("a.example.key"), "").expect("writes");
    testkit::eventually(PATIENCE, "a failure", async || gateway.metric(&success).await == Some(0.0))
        .await
        .expect("told");
    client(&gateway, &before).build().expect("a client").get(&url).send().await.expect("the last good one is shown");
    let after = [certificate(dir.path(), "a.example")];
    testkit::eventually(PATIENCE, "a success", async || gateway.metric(&success).await == Some(1.0))
        .await
        .expect("told");
    client(&gateway, &before).build().expect("a client").get(&url).send().await.expect_err("the old one is gone");
    client(&gateway, &after).build().expect("a client").get(&url).send().await.expect("the new one is shown");
    assert_eq!(open.get(&url).send().await.expect("an answer").status(), 200, "on the connection from before");
}

fn warnings(answer: &str) -> Vec<String> {
    let answer: serde_json::Value = serde_json::from_str(answer).expect("JSON");
    serde_json::from_value(answer["warnings"].clone()).expect("texts")
}

#[tokio::test]
async fn a_call_of_the_operator_reloads_and_says_what_is_wrong() {
    let upstream = Upstream::start().await.expect("starts");
    let gateway = Gateway::start(&format!(
        "upstreams: {{ u: {{ targets: [\"{}\"] }} }}\nroutes: [{{ name: a, match: {{ path: /a }}, upstream: u, public: true }}]\n",
        upstream.url()
    ));
    gateway.rewrite(|text| text.replace("path: /a", "path: /b"));
    assert_eq!(gateway.admin("/reload").await.0, 405, "looking reloads nothing");
    assert_eq!(gateway.reload_by_call(Some("http://evil.example")).await.0, 403);
    assert_eq!(gateway.get("/a").await.0, 200);
    let (status, reloaded) = gateway.reload_by_call(None).await;
    assert_eq!(status, 200);
    let [unused] = &warnings(&reloaded)[..] else { panic!("{reloaded}") };
    assert!(unused.ends_with("jwt_providers.us: nothing uses this provider"), "{unused}");
    gateway.rewrite(|text| text.replace("threads: 1", "threads: 2"));
    let (status, reloaded) = gateway.reload_by_call(None).await;
    assert_eq!(status, 200);
    assert!(warnings(&reloaded).contains(&"server.threads takes effect only after a restart".to_owned()), "{reloaded}");
    assert_eq!((gateway.get("/a").await.0, gateway.get("/b").await.0), (404, 200));
    gateway.rewrite(|text| text.replace("path: /b", "path: /b, hots: []"));
    let (status, problems) = gateway.reload_by_call(None).await;
    assert_eq!((status, code(&problems).as_str()), (422, "configuration_refused"));
    assert!(problems.contains("did you mean `hosts`"), "{problems}");
    assert_eq!(gateway.get("/b").await.0, 200);
}

#[tokio::test]
async fn plain_clients_are_sent_to_tls_and_browsers_told_to_stay_there() {
    let upstream = Upstream::start().await.expect("starts");
    let dir = tempfile::tempdir().expect("a directory");
    let certificates = ["a.example", "b.example"].map(|name| certificate(dir.path(), name));
    let more = "redirect_http: true, redirect_port: 8443, hsts: { max_age: 1h, include_subdomains: true },";
    let gateway = Gateway::start_with(&tls(&dir, more), &routes(&upstream));
    let plain = async |line: &str, host: &str| {
        gateway.raw(format!("{line}\r\nHost: {host}\r\nConnection: close\r\n\r\n").as_bytes()).await
    };
    let sent = plain("GET /x/../y?z HTTP/1.1", "a.example").await;
    assert!(
        sent.starts_with("HTTP/1.1 308 ") && sent.contains("\r\nlocation: https://a.example:8443/y?z\r\n"),
        "{sent}"
    );
    assert!(!sent.contains("strict-transport-security"), "{sent}");
    let stranger = plain("GET / HTTP/1.1", "evil.example").await;
    assert!(stranger.starts_with("HTTP/1.1 421 ") && stranger.contains("misdirected_request"), "{stranger}");
    let health = plain("GET /health HTTP/1.1", "10.0.0.1").await;
    assert!(health.starts_with("HTTP/1.1 200 "), "{health}");
    assert!(upstream.arrived().is_empty());

    let port = gateway.tls_addr().port();
    for version in [Version::HTTP_11, Version::HTTP_2] {
        let client = client(&gateway, &certificates);
        let client = if version == Version::HTTP_11 { client.http1_only() } else { client };
        let client = client.build().expect("a client");
        for path in ["", "%5c"] {
            let answer = client.get(format!("https://a.example:{port}/{path}")).send().await.expect("an answer");
            assert_eq!(
                (answer.version(), answer.status().as_u16()),
                (version, if path.is_empty() { 200 } else { 400 })
            );
            assert_eq!(answer.headers()["strict-transport-security"], "max-age=3600; includeSubDomains");
        }
    }
}
