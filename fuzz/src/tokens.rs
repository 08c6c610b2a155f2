//! Tokens that nobody has signed.

use std::net::IpAddr;
use std::path::Path;
use std::sync::OnceLock;

use common::config::Env;
use gateway::Rehearsal;
use http::HeaderValue;
use http::header::{AUTHORIZATION, COOKIE};
use pingora_http::RequestHeader;
use tokio::runtime::{Builder, Runtime};
use uuid::Uuid;

/// The issuers' keys: a secret that is another one each time, and a set of the standards' public ones, whose private halves are
/// not here.
const FILE: &str = r#"
jwt_providers:
  secret:
    algorithm: HS256
    secret: "${SECRET}"
    issuer: us
    audience: us
    token_from: [{ header: Authorization, scheme: Bearer }, { cookie: session }, { header: X-Token }]
  ed: { algorithm: Ed25519, public_key: "${PUBLIC}", issuer: us, audience: us }
upstreams: { u: { targets: ['http://127.0.0.1:1'] } }
routes:
  - { name: secret, match: { path: /secret }, upstream: u, middleware: [{ jwt: { provider: secret } }] }
  - { name: ed, match: { path: /ed }, upstream: u, middleware: [{ jwt: { provider: ed } }] }
"#;

/// That of RFC 8037, appendix A.
const PUBLIC: &str = "-----BEGIN PUBLIC KEY-----\nMCowBQYDK2VwAyEA11qYAYKxCrfVS/7TyWQHOg7hcvPapiMlrwIaaPcHURo=\n-----END PUBLIC KEY-----\n";

/// Nobody gets in, whatever stands where a token may stand.
pub fn tokens(bytes: &[u8]) {
    static GATEWAY: OnceLock<(Runtime, Rehearsal)> = OnceLock::new();
    let (runtime, rehearsal) = GATEWAY.get_or_init(|| {
        let runtime = Builder::new_current_thread().enable_all().build().expect("a runtime");
        let secret = format!("{}{}", Uuid::new_v4(), Uuid::new_v4());
        let env = Env::default().with("SECRET", secret).with("PUBLIC", PUBLIC);
        let loaded = gateway::config::parse(FILE, Path::new("f"), &env).unwrap_or_else(|problems| panic!("{problems}"));
        let rehearsal = runtime.block_on(Rehearsal::of(&loaded, Vec::new())).expect("compiles");
        (runtime, rehearsal)
    });
    let value = |before: &[u8]| HeaderValue::from_bytes(&[before, bytes].concat()).ok();
    for (path, name, value) in [
        ("/secret", AUTHORIZATION, value(b"Bearer ")),
        ("/secret", AUTHORIZATION, value(b"")),
        ("/secret", COOKIE, value(b"session=")),
        ("/secret", http::HeaderName::from_static("x-token"), value(b"")),
        ("/ed", AUTHORIZATION, value(b"Bearer ")),
    ] {
        let Some(value) = value else { return };
        let mut head = RequestHeader::build("GET", path.as_bytes(), None).expect("a head");
        head.append_header(name, value).expect("a header");
        let mut ctx = rehearsal.request(IpAddr::from([192, 0, 2, 7]));
        let admitted = runtime.block_on(rehearsal.admit(&mut head, &mut ctx));
        assert!(admitted.is_err(), "{} is a token", bytes.escape_ascii());
    }
}
