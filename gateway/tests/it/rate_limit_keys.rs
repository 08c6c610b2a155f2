//! By what requests are counted, as they come over sockets.

use reqwest::Method;
use testkit::{RedisServer, Upstream};

use crate::support::{Gateway, code};

/// A gateway whose routes `/a/{id}` and `/b/{id}` count one request of each key.
fn gateway(upstream: &Upstream, policy: &str, blocks: &str) -> Gateway {
    let route = |name: &str| {
        format!(
            "- {{ name: {name}, match: {{ path: '/{name}/{{id}}' }}, upstream: u, public: true, \
             middleware: [{{ rate_limit: {{ policies: [one] }} }}] }}\n"
        )
    };
    Gateway::start(&format!(
        "{blocks}rate_limits: {{ one: {{ limit: 1, window: 1h, {policy} }} }}\n\
         upstreams: {{ u: {{ targets: [\"{}\"] }} }}\nroutes:\n{}{}",
        upstream.url(),
        route("a"),
        route("b")
    ))
}

async fn status(gateway: &Gateway, path: &str, headers: &[(&'static str, &str)]) -> u16 {
    let request = gateway.request(Method::GET, path);
    let request = headers.iter().fold(request, |request, (name, value)| request.header(*name, *value));
    request.send().await.expect("an answer").status().as_u16()
}

#[tokio::test]
async fn tenants_and_routes_have_quotas_of_their_own_here_and_in_redis() {
    let upstream = Upstream::start().await.expect("starts");
    let redis = RedisServer::start().await.expect("Redis");
    let block = format!("redis: {{ host: 127.0.0.1, port: {}, timeout: 10s }}\n", redis.port());
    for (scope, block) in [("local", ""), ("redis", &*block)] {
        let policy = format!("scope: {scope}, key: [header.x-tenant, cookie.s, param.id, route]");
        let gateway = gateway(&upstream, &policy, block);
        let (acme, other) = ([("x-tenant", "acme"), ("cookie", "s=1")], [("x-tenant", "acm"), ("cookie", "s=e1")]);
        for (path, headers, expected) in [
            ("/a/1", &acme, 200),
            ("/a/1", &acme, 429),
            ("/a/2", &acme, 200),
            ("/b/1", &acme, 200),
            ("/b/1", &acme, 429),
            ("/a/1", &other, 200),
            ("/a/1", &other, 429),
        ] {
            assert_eq!(status(&gateway, path, headers).await, expected, "{scope}: {path} {headers:?}");
        }
    }
}

/// Nor does it reach an upstream that would take the first of two for its key.
#[tokio::test]
async fn a_request_without_its_key_is_told_what_it_lacks_and_goes_no_further() {
    let upstream = Upstream::start().await.expect("starts");
    let gateway = gateway(&upstream, "scope: local, key: [header.x-tenant, route], missing_key: refuse", "");
    for lines in ["", "X-Tenant:\r\n", "X-Tenant: a\r\nX-Tenant: b\r\n", "X-Tenant: a\r\nX_Tenant: b\r\n"] {
        let head = format!("GET /a/1 HTTP/1.1\r\nHost: a.example\r\nConnection: close\r\n{lines}\r\n");
        let answer = gateway.raw(head.as_bytes()).await;
        assert!(answer.starts_with("HTTP/1.1 400 "), "{lines}: {answer}");
        let (_, body) = answer.split_once("\r\n\r\n").expect("a body");
        assert_eq!(code(body), "rate_limit_key_missing");
        assert!(body.contains(r#""missing":"header.x-tenant""#), "{body}");
    }
    assert_eq!(upstream.arrived().len(), 0);
    assert_eq!(status(&gateway, "/a/1", &[("x-tenant", "a")]).await, 200);
    let missing = r#"gateway_rate_limit_missing_keys_total{policy="one"}"#;
    gateway.shows(missing, 4.0).await;
}

#[tokio::test]
async fn requests_that_are_not_counted_are_told_no_quota() {
    let upstream = Upstream::start().await.expect("starts");
    let gateway = gateway(&upstream, "scope: local, key: header.x-tenant, missing_key: skip", "");
    for _ in 0..3 {
        let answer = gateway.request(Method::GET, "/a/1").send().await.expect("an answer");
        assert_eq!(answer.status(), 200);
        assert!(!answer.headers().contains_key("ratelimit"), "{:?}", answer.headers());
        assert_eq!(answer.headers()["ratelimit-policy"], r#""one";q=1;w=3600"#, "that there is a limit is no secret");
    }
    assert_eq!(status(&gateway, "/a/1", &[("x-tenant", "a")]).await, 200);
    assert_eq!(status(&gateway, "/a/1", &[("x-tenant", "a")]).await, 429);
    let counted = r#"gateway_rate_limit_requests_total{outcome="allowed",policy="one"}"#;
    gateway.shows(counted, 1.0).await;
}

/// A policy that only watches refuses nobody, whatever they lack.
#[tokio::test]
async fn a_policy_that_only_watches_refuses_no_request_for_its_key() {
    let upstream = Upstream::start().await.expect("starts");
    let policy = "scope: local, key: header.x-tenant, missing_key: refuse, shadow: true";
    let gateway = gateway(&upstream, policy, "");
    assert_eq!(status(&gateway, "/a/1", &[]).await, 200);
    let missing = r#"gateway_rate_limit_missing_keys_total{policy="one"}"#;
    gateway.shows(missing, 1.0).await;
}

/// What a reload changes of requests without a key leaves the counts of all others.
#[tokio::test]
async fn another_rule_for_missing_keys_forgets_no_counts() {
    let upstream = Upstream::start().await.expect("starts");
    let gateway = gateway(&upstream, "scope: local, key: header.x-tenant", "");
    assert_eq!(status(&gateway, "/a/1", &[("x-tenant", "a")]).await, 200);
    gateway.rewrite(|text| text.replace("key: header.x-tenant", "key: header.x-tenant, missing_key: refuse"));
    assert_eq!(gateway.reload_by_call(None).await.0, 200);
    assert_eq!(status(&gateway, "/a/1", &[]).await, 400);
    assert_eq!(status(&gateway, "/a/1", &[("x-tenant", "a")]).await, 429);
}
