//! What an expression costs a request: the same decision without one, with rules of growing size, and as the written-out
//! conditions and claims that say the same.

use criterion::Criterion;
use http::Method;

use crate::admission::decide;

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
    let routes = [
        "nothing",
        "claims",
        "one",
        "typical",
        "counted-by-claim",
        "counted-by-expression",
        "matched-by-header",
        "matched-by-expression",
    ];
    // Not the first alternative of the typical rule, so that all of it is asked.
    decide(criterion, "expressions", FILE, &routes, &Method::POST, ("X-Tenant", "order-processor"))
}
