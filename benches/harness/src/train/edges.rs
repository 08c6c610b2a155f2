//! What the gateway is trained with beyond the scenarios: refusals of every kind, TLS and HTTP/2.

use std::fs;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, bail};

use crate::bench::{Bench, until_it_listens};
use crate::client::Connection;
use crate::peer::free_port;
use crate::process::{Process, output};
use crate::template::fill;
use crate::tokens::Algorithm;

/// Fewer than requests that are served: a profile says what is usual.
const REFUSALS: usize = 300;
/// Requests over each kind of TLS connection.
const OVER_TLS: usize = 2000;

/// Trains the gateway with them.
pub(crate) fn train(bench: &Bench) -> Result<()> {
    let (plain, tls) = (free_port()?, free_port()?);
    let certificate = Certificate::new(&bench.directory)?;
    let process = start(bench, (plain, tls), &certificate)?;
    let token = bench.tokens.issue(Algorithm::Hs256, 1)?.remove(0);

    let addr = SocketAddr::from((Ipv4Addr::LOCALHOST, plain));
    for (status, request) in refusals(&token) {
        eprintln!("    refused-{status:<8} {REFUSALS} requests");
        refuse(addr, status, &request).with_context(|| format!("training with refusals ({status})"))?;
    }
    let close = ["--http1.1", "--header", "Connection: close"];
    for (title, flags) in [
        ("h2", &["--http2"][..]),
        ("tls", &["--http1.1"]),
        ("tls-resumed", &close),
        ("tls-new", &[&close[..], &["--no-sessionid"]].concat()),
    ] {
        eprintln!("    {title:16} {OVER_TLS} requests");
        over_tls(tls, &certificate, &token, flags).with_context(|| format!("training with {title}"))?;
    }
    process.stop()
}

fn start(bench: &Bench, (plain, tls): (u16, u16), certificate: &Certificate) -> Result<Process> {
    let template = bench.peers().join("gateway.edges.yaml");
    let text = fs::read_to_string(&template).with_context(|| format!("{} cannot be read", template.display()))?;
    let values = [
        ("PORT", plain.to_string()),
        ("TLS_PORT", tls.to_string()),
        ("ADMIN_PORT", free_port()?.to_string()),
        ("UPSTREAM_PORT", bench.upstream.port().to_string()),
        ("LOG", bench.directory.join("edges.log").display().to_string()),
        ("CERTIFICATE", certificate.chain.clone()),
        ("CERTIFICATE_KEY", certificate.key.clone()),
        ("KEY_FILE", bench.tokens.verifying_key(Algorithm::Hs256).display().to_string()),
    ];
    let config = bench.directory.join("edges.yaml");
    fs::write(&config, fill(&text, &values)?)?;
    let mut command = Command::new(bench.binary("gateway")?);
    command.arg("--config").arg(config);
    let process = Process::start(&command, Some(bench.cores.proxy), &bench.directory, "edges")?;
    until_it_listens(SocketAddr::from((Ipv4Addr::LOCALHOST, plain)))
        .with_context(|| format!("the gateway does not start: {}", process.errors().trim()))?;
    Ok(process)
}

/// Requests that are refused, by the status that says so.
fn refusals(token: &str) -> [(u16, String); 6] {
    let get = |path: &str, header: &str| format!("GET {path} HTTP/1.1\r\nHost: 127.0.0.1\r\n{header}\r\n");
    [
        (401, get("/128", "")),
        (401, get("/128", &format!("Authorization: Bearer {}\r\n", forged(token)))),
        (404, get("/nowhere", "")),
        (429, get("/limited", "")),
        (413, "POST /upload HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 10000000\r\n\r\n".to_owned()),
        (400, "GET /128 HTTP/1.1\r\nHost: 127.0.0.1\r\nHost: 127.0.0.1\r\n\r\n".to_owned()),
    ]
}

/// `token` with the beginning of another signature.
fn forged(token: &str) -> String {
    let (signed, signature) = token.rsplit_once('.').unwrap_or_default();
    let other = if signature.starts_with('A') { 'B' } else { 'A' };
    format!("{signed}.{other}{}", signature.get(1..).unwrap_or_default())
}

/// Each on a connection of its own: some refusals end it.
fn refuse(addr: SocketAddr, expected: u16, request: &str) -> Result<()> {
    for number in 0..REFUSALS {
        let mut connection = Connection::open(addr, None)?;
        connection.send(request.as_bytes())?;
        let status = connection.receive()?;
        // The first few pass the limit.
        if status != expected && !(number < 5 && status == 200) {
            bail!("answered with {status}");
        }
    }
    Ok(())
}

/// By curl, one request after the other.
fn over_tls(port: u16, certificate: &Certificate, token: &str, flags: &[&str]) -> Result<()> {
    let mut command = Command::new("curl");
    command
        .args(["--silent", "--show-error", "--fail", "--output", "/dev/null", "--cacert", &certificate.chain])
        .args(["--header", &format!("Authorization: Bearer {token}")])
        .args(flags)
        .args(["--resolve", &format!("localhost:{port}:127.0.0.1")])
        .arg(format!("https://localhost:{port}/128?[1-{OVER_TLS}]"));
    output(&command, None).map(drop)
}

/// A certificate for this run, by its files.
struct Certificate {
    chain: String,
    key: String,
}

impl Certificate {
    fn new(directory: &Path) -> Result<Self> {
        let file = |name| directory.join(name).display().to_string();
        let (chain, key) = (file("certificate.pem"), file("certificate.key"));
        let mut command = Command::new("openssl");
        command
            .args(["req", "-x509", "-nodes", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1"])
            .args(["-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost"])
            .args(["-keyout", &key, "-out", &chain]);
        output(&command, None)?;
        Ok(Self { chain, key })
    }
}

#[cfg(test)]
mod tests {
    use super::forged;

    #[test]
    fn forged_token_is_as_long_and_never_the_same() {
        assert_eq!(forged("head.claims.signature"), "head.claims.Aignature");
        assert_eq!(forged("head.claims.Also"), "head.claims.Blso");
    }
}
