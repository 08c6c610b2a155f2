//! Requests that are in form, on their way through a route.

use std::net::IpAddr;
use std::path::Path;
use std::sync::OnceLock;

use common::config::Env;
use gateway::Rehearsal;
use gateway::path::normalise;
use http::{HeaderName, HeaderValue};
use pingora_http::RequestHeader;
use tokio::runtime::{Builder, Runtime};

/// Behind a trusted proxy; with templates of whatever a client can write, and a cookie and a parameter that are kept back.
const FILE: &str = r#"
server: { trusted_proxies: [10.0.0.0/8] }
jwt_providers:
  us:
    algorithm: HS256
    secret: "${SECRET}"
    issuer: us
    audience: us
    forward_token: false
    token_from: [{ cookie: session }, { query: access_token }]
    claims_to_headers: { sub: X-User-Id }
upstreams: { u: { targets: ['http://127.0.0.1:1'] } }
routes:
  - name: plain
    match: { path: /plain/* }
    upstream: u
    public: true
    middleware:
      - headers: { request: { set: { X-Told: "{client_ip} {host} {path} {header.X-B}" }, remove: [X-Gone] } }
  - name: made
    match: { path: "/made/{p}/*", cookies: [{ name: c, present: false }] }
    upstream: u
    public: true
    middleware:
      - jwt: { provider: us, optional: true }
      - rewrite: { path: "/v1/{p}/x/{path}", query: { set: { h: "{host}" }, remove: [r] } }
"#;

/// A request that goes on has a path in normal form, and says only of itself what the gateway knows. The first line is the
/// target, the others are headers.
pub fn requests(bytes: &[u8]) {
    static GATEWAY: OnceLock<(Runtime, Rehearsal)> = OnceLock::new();
    let (runtime, rehearsal) = GATEWAY.get_or_init(|| {
        let runtime = Builder::new_current_thread().enable_all().build().expect("a runtime");
        let env = Env::default().with("SECRET", "6f1d0a94c2b85e7733e09a1bd4c65f28");
        let loaded = gateway::config::parse(FILE, Path::new("f"), &env).unwrap_or_else(|problems| panic!("{problems}"));
        let rehearsal = runtime.block_on(Rehearsal::of(&loaded, Vec::new())).expect("compiles");
        (runtime, rehearsal)
    });
    let Some(head) = head(bytes) else { return };
    for peer in [[192, 0, 2, 7], [10, 0, 0, 1]] {
        let mut head = head.clone();
        let mut ctx = rehearsal.request(IpAddr::from(peer));
        let Ok(None) = runtime.block_on(rehearsal.answer(&mut head, &mut ctx)) else { continue };
        rehearsal.forward(&mut head, &ctx).expect("what was admitted goes on");
        let path = head.uri.path();
        assert_eq!(normalise(path).as_deref(), Ok(path), "{}", bytes.escape_ascii());
        assert!(path.starts_with("/plain") || path.starts_with("/v1/"), "{}", bytes.escape_ascii());
        let chain: Vec<&HeaderValue> = head.headers.get_all("x-forwarded-for").iter().collect();
        let [chain] = chain[..] else { panic!("{} chains: {}", chain.len(), bytes.escape_ascii()) };
        let peer = IpAddr::from(peer).to_string();
        assert!(chain.to_str().is_ok_and(|chain| chain.ends_with(&peer)), "{}", bytes.escape_ascii());
        assert_eq!(head.headers.get_all("x-forwarded-proto").iter().count(), 1);
        assert_eq!(head.headers.get_all("x-request-id").iter().count(), 1);
        for name in head.headers.keys() {
            let name = name.as_str().replace('_', "-");
            assert!(!matches!(&*name, "x-user-id" | "forwarded" | "x-real-ip"), "{}", bytes.escape_ascii());
            assert!(name != "x-gone" || !path.starts_with("/plain"), "{}", bytes.escape_ascii());
        }
        let query = head.uri.query().unwrap_or_default();
        let is_shown = query.split('&').any(|pair| pair.starts_with("access_token="));
        assert!(!is_shown || path.starts_with("/plain"), "{}", bytes.escape_ascii());
    }
}

fn head(bytes: &[u8]) -> Option<RequestHeader> {
    let mut lines = bytes.split(|byte| *byte == b'\n').map(<[u8]>::trim_ascii);
    let target = lines.next()?;
    // What the screen lets pass is a path, or has one behind its host.
    target.starts_with(b"/").then_some(())?;
    target.iter().all(|byte| byte.is_ascii_graphic()).then_some(())?;
    let mut head = RequestHeader::build("GET", target, None).ok()?;
    for line in lines.filter(|line| !line.is_empty()) {
        let colon = line.iter().position(|byte| *byte == b':')?;
        let name = HeaderName::from_bytes(&line[..colon]).ok()?;
        let value = HeaderValue::from_bytes(line[colon + 1..].trim_ascii()).ok()?;
        head.append_header(name, value).ok()?;
    }
    Some(head)
}
