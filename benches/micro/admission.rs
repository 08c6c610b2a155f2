//! How long the gateway takes to decide on a request: its context, its route, and the middleware before it.

use std::net::IpAddr;

use criterion::Criterion;
use futures::FutureExt as _;
use gateway::Rehearsal;
use http::Method;
use jsonwebtoken::{EncodingKey, Header};
use pingora_http::RequestHeader;

use crate::configuration::{SECRET, parse};
use crate::tokens::claims;

/// What each route adds to the one before it.
const FILE: &str = "
jwt_providers:
  us:
    { algorithm: HS256, secret: \"${JWT_SECRET_KEY}\", issuer: order-processor, audience: order-processor,
      claims_to_headers: { sub: X-User-Id, username: X-User-Name } }
rate_limits: { all: { scope: local, limit: 3600000000, window: 1h, key: client_address } }
upstreams: { u: { targets: [\"http://127.0.0.1:1\"] } }
routes:
  - { name: route, match: { path: /route }, upstream: u, public: true }
  - { name: limit, match: { path: /limit }, upstream: u, public: true, middleware: [{ rate_limit: { policies: [all] } }] }
  - { name: token, match: { path: /token }, upstream: u, middleware: [{ jwt: { provider: us } }] }
  - name: token-and-limit
    match: { path: /token-and-limit }
    upstream: u
    middleware: [{ jwt: { provider: us } }, { rate_limit: { policies: [all] } }]
";

pub(crate) fn bench(criterion: &mut Criterion) -> anyhow::Result<()> {
    let routes = ["route", "limit", "token", "token-and-limit"];
    decide(criterion, "admission", FILE, &routes, &Method::GET, ("User-Agent", "bench"))
}

/// Measures, under the name `group`, the decision on a request with `header` and a token for each of the `routes` of `file`,
/// each of which lets it pass.
pub(crate) fn decide(
    criterion: &mut Criterion,
    group: &str,
    file: &str,
    routes: &[&str],
    method: &Method,
    header: (&'static str, &str),
) -> anyhow::Result<()> {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build()?;
    let rehearsal = runtime.block_on(Rehearsal::of(&parse(file)?, Vec::new()))?;
    let token = jsonwebtoken::encode(&Header::default(), &claims()?, &EncodingKey::from_secret(SECRET.as_bytes()))?;
    let client = IpAddr::from([192, 0, 2, 7]);
    let mut group = criterion.benchmark_group(group);
    for name in routes {
        let mut head = RequestHeader::build(method.clone(), format!("/{name}").as_bytes(), None)?;
        head.insert_header("Host", "www.example.com")?;
        head.insert_header(header.0, header.1)?;
        head.insert_header("Authorization", format!("Bearer {token}"))?;
        let mut admit = || {
            let mut ctx = rehearsal.request(client);
            let decision = rehearsal.admit(&mut head, &mut ctx).now_or_never();
            (decision, ctx)
        };
        anyhow::ensure!(matches!(admit().0, Some(Ok(()))), "{name} was not admitted");
        group.bench_function(*name, |bencher| bencher.iter(&mut admit));
    }
    group.finish();
    Ok(())
}
