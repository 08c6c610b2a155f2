//! Certificates that are renewed under a running gateway.

use std::fs;
use std::os::unix::fs::symlink;

use common::config::Env;
use rcgen::{CertificateParams, KeyPair, date_time_ymd};
use tempfile::TempDir;

use super::*;
use crate::config;

/// A TLS that shows one certificate for all `names`; its files are gone.
pub(crate) fn showing(names: &[&str]) -> Arc<Tls> {
    let dir = tempfile::tempdir().expect("a directory");
    write(&dir, "", &generate(names, 2000, 3000));
    compile(&dir, "").expect("compiles")
}

/// Certificate and key as PEM.
type Pair = (String, String);

fn generate(names: &[&str], from: i32, to: i32) -> Pair {
    let names: Vec<String> = names.iter().map(ToString::to_string).collect();
    let mut params = CertificateParams::new(names).expect("names");
    (params.not_before, params.not_after) = (date_time_ymd(from, 1, 1), date_time_ymd(to, 1, 1));
    let key = KeyPair::generate().expect("a key");
    (params.self_signed(&key).expect("signs").pem(), key.serialize_pem())
}

fn write(dir: &TempDir, below: &str, (certificate, key): &Pair) {
    fs::write(dir.path().join(below).join("a.pem"), certificate).expect("writes");
    fs::write(dir.path().join(below).join("a.key"), key).expect("writes");
}

fn load(dir: &TempDir, below: &str) -> Loaded {
    let text = format!(
        "server: {{ tls: {{ listen: ['127.0.0.1:0'], certificates: [{{ certificate: '{below}a.pem', key: '{below}a.key' }}] \
         }} }}\nroutes: [{{ name: r, public: true, match: {{ path: /* }}, middleware: [respond: {{ status: 204 }}] }}]\n"
    );
    let path = dir.path().join("gateway.yaml");
    config::parse(&text, &path, &Env::default()).unwrap_or_else(|problems| panic!("{problems}"))
}

fn compile(dir: &TempDir, below: &str) -> Result<Arc<Tls>, TlsError> {
    Tls::compile(&load(dir, below), None).map(|tls| tls.expect("TLS is spoken"))
}

/// Whether the certificate is shown whose name is `host`, and whether its files are said to be of use.
fn shows(tls: &Tls, host: &str) -> (bool, bool) {
    let certificate = &tls.sources[0];
    (tls.is_for(host), certificate.is_usable())
}

#[test]
fn a_renewed_certificate_is_shown_once_its_key_has_come_too() {
    let dir = tempfile::tempdir().expect("a directory");
    write(&dir, "", &generate(&["old.example"], 2000, 3000));
    let tls = compile(&dir, "").expect("compiles");
    let ticketer = Arc::clone(&tls.handshake().0.ticketer);
    tls.renew();
    assert_eq!(shows(&tls, "old.example"), (true, true));
    let (certificate, key) = generate(&["new.example"], 2000, 3000);
    fs::write(dir.path().join("next"), certificate).expect("writes");
    fs::rename(dir.path().join("next"), dir.path().join("a.pem")).expect("renames");
    tls.renew();
    assert_eq!(shows(&tls, "old.example"), (true, false), "the key is that of the old one");
    fs::write(dir.path().join("a.key"), key).expect("writes");
    tls.renew();
    assert_eq!((shows(&tls, "old.example"), shows(&tls, "new.example")), ((false, true), (true, true)));
    assert!(Arc::ptr_eq(&ticketer, &tls.handshake().0.ticketer), "sessions go on");
}

#[test]
fn a_link_that_is_turned_to_another_directory_is_noticed() {
    let dir = tempfile::tempdir().expect("a directory");
    for (below, name) in [("v1", "old.example"), ("v2", "new.example")] {
        fs::create_dir(dir.path().join(below)).expect("a directory");
        write(&dir, below, &generate(&[name], 2000, 3000));
    }
    // As Kubernetes mounts secrets: the files are links through `..data`, which alone is exchanged.
    symlink("v1", dir.path().join("..data")).expect("links");
    let tls = compile(&dir, "..data/").expect("compiles");
    tls.renew();
    symlink("v2", dir.path().join("..next")).expect("links");
    fs::rename(dir.path().join("..next"), dir.path().join("..data")).expect("renames");
    tls.renew();
    assert_eq!(shows(&tls, "new.example"), (true, true));
}

#[test]
fn nothing_that_is_broken_missing_or_of_another_time_takes_the_place_of_a_good_one() {
    let dir = tempfile::tempdir().expect("a directory");
    let good = generate(&["good.example"], 2000, 3000);
    write(&dir, "", &good);
    let tls = compile(&dir, "").expect("compiles");
    let broken = ("-----BEGIN CERTIFICATE-----\n!\n-----END CERTIFICATE-----\n".to_owned(), good.1.clone());
    for bad in [
        generate(&["old.example"], 2000, 2001),
        generate(&["early.example"], 2999, 3000),
        broken,
        (good.0.clone(), String::new()),
    ] {
        write(&dir, "", &bad);
        tls.renew();
        assert_eq!(shows(&tls, "good.example"), (true, false), "{}", bad.0);
    }
    fs::remove_file(dir.path().join("a.key")).expect("removes");
    tls.renew();
    assert_eq!(shows(&tls, "good.example"), (true, false));
    write(&dir, "", &good);
    tls.renew();
    assert_eq!(shows(&tls, "good.example"), (true, true));
}

#[test]
fn a_reload_takes_no_new_certificate_of_another_time_but_a_start_does() {
    let dir = tempfile::tempdir().expect("a directory");
    write(&dir, "", &generate(&["good.example"], 2000, 3000));
    let before = compile(&dir, "").expect("compiles");
    let same = Tls::compile(&load(&dir, ""), Some(&before)).expect("compiles").expect("TLS is spoken");
    assert!(Arc::ptr_eq(&same, &before));
    write(&dir, "", &generate(&["old.example"], 2000, 2001));
    let refused = Tls::compile(&load(&dir, ""), Some(&before)).err().expect("refused");
    assert_eq!(
        common::telemetry::Chain(&refused).to_string(),
        "`a.pem` cannot take the place of the certificate before: this certificate has expired"
    );
    let started = compile(&dir, "").expect("compiles");
    assert!(started.is_for("old.example"));
    Tls::compile(&load(&dir, ""), Some(&started)).expect("what is shown already may stay");
}
