//! Certificates and authorities, of clients, of the gateway and of upstreams.

use rcgen::{CertificateParams, KeyPair, date_time_ymd};
use tempfile::TempDir;

use super::*;

/// A directory with the pairs `a` and `old`, of which the second is over.
fn directory() -> TempDir {
    let directory = tempfile::tempdir().expect("directory");
    for (name, ends) in [("a", 2900), ("old", 2001)] {
        let mut params = CertificateParams::new(["a.example".to_owned()]).expect("names");
        (params.not_before, params.not_after) = (date_time_ymd(2000, 1, 1), date_time_ymd(ends, 1, 1));
        let key = KeyPair::generate().expect("a key");
        let certificate = params.self_signed(&key).expect("signs");
        fs::write(directory.path().join(format!("{name}.pem")), certificate.pem()).expect("writes");
        fs::write(directory.path().join(format!("{name}.key")), key.serialize_pem()).expect("writes");
    }
    directory
}

/// What is told of `text` in `directory`: problems, or else warnings.
fn told(directory: &TempDir, text: &str) -> String {
    match parse(text, &directory.path().join("gateway.yaml"), &env()) {
        Ok(loaded) => loaded.warnings.join("\n"),
        Err(problems) => problems.to_string(),
    }
}

#[test]
fn how_clients_are_asked_for_certificates_is_checked_with_its_files() {
    let directory = directory();
    let told = |clients: &str, more: &str| {
        let tls = format!("listen: ['[::1]:1'], certificates: [{{ certificate: a.pem, key: a.key }}], {clients}");
        told(&directory, &with(&format!("server: {{ tls: {{ {tls} }} }}\n{more}")))
    };
    for good in [
        "",
        "reload_interval: 0s",
        "redirect_http: true, client_certificates: { ca: a.pem }",
        "client_certificates: { ca: a.pem, mode: optional }",
    ] {
        assert_eq!(told(good, ""), "", "{good}");
    }
    for (wrong, problem) in [
        ("reload_interval: 1ms", "server.tls.reload_interval: `1ms` is not between 100ms and 1day"),
        ("client_certificates: {}", "server.tls.client_certificates: the key `ca` is missing"),
        ("client_certificates: { ca: a.key }", "server.tls.client_certificates.ca: there is no certificate in it"),
        ("client_certificates: { ca: none.pem }", "server.tls.client_certificates.ca: `none.pem` cannot be read"),
        (
            "client_certificates: { ca: a.pem, crl: a.pem }",
            "server.tls.client_certificates.crl: there is no list in it",
        ),
        (
            "client_certificates: { ca: a.pem, mode: require }",
            "server.tls.client_certificates.mode: `require` is none of",
        ),
    ] {
        assert!(told(wrong, "").contains(problem), "{wrong}: {}", told(wrong, ""));
    }
    let plain = told("client_certificates: { ca: a.pem }", "");
    assert!(plain.contains("server.tls.client_certificates.mode: whoever comes over plain HTTP needs none"), "{plain}");
    let rules = told("", "client_certificates: { shops: { uris: [a] } }");
    assert!(rules.contains("client_certificates.shops: no client is asked for a certificate"), "{rules}");
    let asks = "client_certificates: { ca: a.pem }";
    for (wrong, problem) in [
        ("uris: [a, a]", "client_certificates.shops.uris[1]: `a` stands in this list already"),
        ("subjects: ['~(']", "client_certificates.shops.subjects[0]: `~(`: this is no regular expression"),
        ("emails: ['']", "client_certificates.shops.emails[0]: ``: the text is empty"),
        (
            "claims_to_headers: { email: X-A }",
            "client_certificates.shops.claims_to_headers.email: a certificate says sub,",
        ),
        ("uri: [a]", "client_certificates.shops.uri: unknown key; did you mean `uris`?"),
    ] {
        let told = told(asks, &format!("client_certificates: {{ shops: {{ {wrong} }} }}"));
        assert!(told.contains(problem), "{wrong}: {told}");
    }
}

#[test]
fn how_upstreams_are_spoken_to_is_checked_with_its_files() {
    let directory = directory();
    let told = |targets: &str, tls: &str| {
        let text = format!(
            "upstreams: {{ up: {{ targets: ['{targets}'], tls: {{ {tls} }} }} }}\n\
             routes: [{{ name: all, match: {{ path: /* }}, upstream: up, public: true }}]\n"
        );
        told(&directory, &text)
    };
    let secure = "https://a:1";
    for good in ["ca: a.pem", "certificate: a.pem, key: a.key", "server_name: a.example", "server_name: '::1'", ""] {
        assert_eq!(told(secure, good), "", "{good}");
    }
    for (targets, wrong, problem) in [
        ("http://a:1", "ca: a.pem", "upstreams.up.tls: no target is spoken to over TLS"),
        (secure, "certificate: a.pem", "upstreams.up.tls.certificate: its `key` is missing"),
        (secure, "key: a.key", "upstreams.up.tls.key: the `certificate` it is for is missing"),
        (secure, "certificate: a.pem, key: old.key", "upstreams.up.tls.key: this key is not that of the certificate"),
        (secure, "ca: a.key", "upstreams.up.tls.ca: there is no certificate in it"),
        (secure, "ca: a.pem, verify: false", "upstreams.up.tls.ca: with `verify: false` nobody looks at this"),
        (secure, "server_name: 'a b'", "upstreams.up.tls.server_name: this is neither a host name nor an address"),
        (secure, "verify: false", "upstreams.up.tls.verify: whoever is on the way"),
        (secure, "certificate: old.pem, key: old.key", "upstreams.up.tls.certificate: this certificate has expired"),
    ] {
        assert!(told(targets, wrong).contains(problem), "{wrong}: {}", told(targets, wrong));
    }
}
