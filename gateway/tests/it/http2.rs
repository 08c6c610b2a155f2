//! HTTP/2 as nghttp2's own clients speak it.

use std::path::{Path, PathBuf};
use std::process::Stdio;

use rcgen::generate_simple_self_signed;
use tempfile::TempDir;
use testkit::{Behaviour, Upstream};
use tokio::process::Command;
use tokio::time::timeout;

use crate::support::{Gateway, PATIENCE};

/// A gateway with TLS before `upstream`, for bodies of any size under `/big` and of 8 bytes elsewhere.
fn start(dir: &TempDir, upstream: &Upstream) -> Gateway {
    let generated = generate_simple_self_signed(vec!["localhost".to_owned()]).expect("a certificate");
    let file = |name: &str, text: String| -> PathBuf {
        let path = dir.path().join(name);
        std::fs::write(&path, text).expect("writes");
        path
    };
    let certificate = file("localhost.pem", generated.cert.pem());
    let key = file("localhost.key", generated.signing_key.serialize_pem());
    let tls = format!(
        "tls: {{ listen: [\"127.0.0.1:0\"], certificates: [{{ certificate: \"{}\", key: \"{}\" }}] }}",
        certificate.display(),
        key.display()
    );
    let routes = format!(
        "upstreams: {{ u: {{ targets: [\"{}\"] }} }}\n\
         routes:\n\
         - {{ name: small, match: {{ path: \"/small/*\" }}, upstream: u, public: true, max_body: 8B }}\n\
         - {{ name: big, match: {{ path: /big }}, upstream: u, public: true, max_body: 64MiB }}\n\
         - {{ name: mine, match: {{ path: /mine }}, upstream: u, middleware: [{{ jwt: {{ provider: us }} }}] }}\n",
        upstream.url()
    );
    Gateway::start_with(&tls, &routes)
}

/// What `command` says with these arguments, of which the gateway's addresses are the last.
async fn say(command: &str, arguments: &[&str], urls: &[String]) -> Vec<u8> {
    let run = Command::new(command).args(arguments).args(urls).stdin(Stdio::null()).kill_on_drop(true).output();
    let output = timeout(PATIENCE, run).await.expect("in time");
    let output = output.unwrap_or_else(|error| panic!("{command} is not here ({error}): ./dev.sh test installs it"));
    assert!(output.status.success(), "{command}: {}", String::from_utf8_lossy(&output.stderr));
    output.stdout
}

fn text(path: &Path) -> &str {
    path.to_str().expect("text")
}

#[tokio::test]
async fn many_streams_of_one_connection_are_all_answered() {
    let (dir, upstream) = (tempfile::tempdir().expect("a directory"), Upstream::start().await.expect("starts"));
    let gateway = start(&dir, &upstream);
    let url = format!("https://{}/small/x", gateway.tls_addr());
    let said = say("h2load", &["-n", "300", "-c", "1", "-m", "100"], &[url]).await;
    let said = String::from_utf8_lossy(&said);
    assert!(said.contains("Application protocol: h2"), "{said}");
    assert!(said.contains("300 total, 300 started, 300 done, 300 succeeded, 0 failed, 0 errored"), "{said}");
    assert!(said.contains("status codes: 300 2xx, 0 3xx, 0 4xx, 0 5xx"), "{said}");
    assert_eq!(upstream.arrived().len(), 300);
    let answered = r#"gateway_requests_total{route="small",status="200"}"#;
    gateway.shows(answered, 300.0).await;
}

#[tokio::test]
async fn streams_of_one_connection_get_each_its_own_answer() {
    let (dir, upstream) = (tempfile::tempdir().expect("a directory"), Upstream::start().await.expect("starts"));
    let gateway = start(&dir, &upstream);
    let body = dir.path().join("body");
    std::fs::write(&body, "123456789").expect("writes");
    let paths = ["/small/a", "/mine", "/nowhere", "/small/../mine", "/small/%2f", "/big", "/health"];
    let urls = paths.map(|path| format!("https://{}{path}", gateway.tls_addr()));
    let said = say("nghttp", &["-n", "-s", "-d", text(&body)], &urls).await;
    let mut codes: Vec<(String, u16)> = String::from_utf8_lossy(&said).lines().filter_map(row).collect();
    codes.sort_by_key(|(path, _)| paths.iter().position(|known| known == path));
    let wanted = [413, 401, 404, 401, 400, 200, 404];
    assert_eq!(codes, paths.map(str::to_owned).into_iter().zip(wanted).collect::<Vec<_>>());
    assert_eq!(upstream.arrived().len(), 1);
}

/// Path and status in a row of nghttp's table.
fn row(line: &str) -> Option<(String, u16)> {
    let cells: Vec<&str> = line.split_whitespace().collect();
    let [id, .., code, _size, path] = cells[..] else { return None };
    id.parse::<u32>().ok()?;
    Some((path.to_owned(), code.parse().ok()?))
}

#[tokio::test]
async fn a_body_of_many_frames_comes_whole_both_ways() {
    let (dir, upstream) = (tempfile::tempdir().expect("a directory"), Upstream::start().await.expect("starts"));
    upstream.behave(Behaviour::Mirror);
    let gateway = start(&dir, &upstream);
    let sent: Vec<u8> = (0..4_000_000_u32).map(|nr| (nr.wrapping_mul(2_654_435_761) >> 24) as u8).collect();
    let body = dir.path().join("body");
    std::fs::write(&body, &sent).expect("writes");
    let url = format!("https://{}/big", gateway.tls_addr());
    let got = say("nghttp", &["-d", text(&body)], &[url]).await;
    assert!(got == sent, "{} bytes came back of {}", got.len(), sent.len());
    assert!(upstream.arrived()[0].body == sent, "{} bytes arrived", upstream.arrived()[0].body.len());
}
