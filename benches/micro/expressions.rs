//! What an expression costs a request: the same decision without one, with rules of growing size, and as the written-out
//! conditions and claims that say the same.

use std::net::IpAddr;

use criterion::Criterion;
use futures::FutureExt as _;
use gateway::Rehearsal;
use http::Method;
use jsonwebtoken::{EncodingKey, Header};
use pingora_http::RequestHeader;

use crate::configuration::{SECRET, parse};
use crate::tokens::claims;

/// One route for each way to ask.
const FILE: &str = r#"
jwt_providers:
  us: { algorithm: HS256, secret: "${JWT_SECRET_KEY}", issuer: order-processor, audience: order-processor }
rate_limits:
  claim: { scope: local, limit: 3600000000, window: 1h, key: claim.sub }
  expression: { scope: local, limit: 3600000000, window: 1h, key: "= claims.sub" }
upstreams: { u: { targets: ["http://127.0.0.1:1"] } }
routes:
  - { name: nothing, match: { path: /nothing }, upstream: u, middleware: [{ jwt: { provider: us } }] }
  - name: claims
    match: { path: /claims }
    upstream: u
    middleware: [{ jwt: { provider: us } }, { authorize: { claims: { iss: order-processor } } }]
  - name: one
    match: { path: /one }
    upstream: u
    middleware:
      - { jwt: { provider: us } }
      - { authorize: { rules: [{ name: one, allow_if: "claims.iss == 'order-processor'" }] } }
  - name: typical
    match: { path: /typical }
    upstream: u
    middleware:
      - { jwt: { provider: us } }
      - authorize:
          rules:
            - name: typical
              allow_if: "method in ['GET', 'HEAD'] || claims.iss == headers['x-tenant'] && path.matches('^/[a-z]+$')"
  - name: counted-by-claim
    match: { path: /counted-by-claim }
    upstream: u
    middleware: [{ jwt: { provider: us } }, { rate_limit: { policies: [claim] } }]
  - name: counted-by-expression
    match: { path: /counted-by-expression }
    upstream: u
    middleware: [{ jwt: { provider: us } }, { rate_limit: { policies: [expression] } }]
  - name: matched-by-header
    match: { path: /matched-by-header, headers: [{ name: X-Tenant, value: order-processor }] }
    upstream: u
    middleware: [{ jwt: { provider: us } }]
  - name: matched-by-expression
    match: { path: /matched-by-expression, expression: "headers['x-tenant'] == 'order-processor'" }
    upstream: u
    middleware: [{ jwt: { provider: us } }]
"#;

pub(crate) fn bench(criterion: &mut Criterion) -> anyhow::Result<()> {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build()?;
    let rehearsal = runtime.block_on(Rehearsal::of(&parse(FILE)?, Vec::new()))?;
    let token = jsonwebtoken::encode(&Header::default(), &claims()?, &EncodingKey::from_secret(SECRET.as_bytes()))?;
    let mut group = criterion.benchmark_group("expressions");
    for name in [
        "nothing",
        "claims",
        "one",
        "typical",
        "counted-by-claim",
        "counted-by-expression",
        "matched-by-header",
        "matched-by-expression",
    ] {
        // Not the first alternative of the typical rule, so that all of it is asked.
        let mut head = RequestHeader::build(Method::POST, format!("/{name}").as_bytes(), None)?;
        head.insert_header("Host", "www.example.com")?;
        head.insert_header("X-Tenant", "order-processor")?;
        head.insert_header("Authorization", format!("Bearer {token}"))?;
        let mut admit = || {
            let mut ctx = rehearsal.request(IpAddr::from([192, 0, 2, 7]));
            let decision = rehearsal.admit(&mut head, &mut ctx).now_or_never();
            (decision, ctx)
        };
        anyhow::ensure!(matches!(admit().0, Some(Ok(()))), "{name} was not admitted");
        group.bench_function(name, |bencher| bencher.iter(&mut admit));
    }
    group.finish();
    Ok(())
}
