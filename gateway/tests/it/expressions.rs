//! Expressions that choose routes, permit requests and say what they are counted by, on real connections.

use reqwest::{Method, RequestBuilder};
use serde_json::json;
use testkit::Upstream;

use crate::support::{Gateway, code, token};

fn get(gateway: &Gateway, path: &str) -> RequestBuilder {
    gateway.request(Method::GET, path)
}

async fn status(request: RequestBuilder) -> u16 {
    request.send().await.expect("an answer").status().as_u16()
}

#[tokio::test]
async fn an_expression_chooses_the_route_and_one_without_an_answer_does_not() {
    let (stable, special) = (Upstream::start().await.expect("starts"), Upstream::start().await.expect("starts"));
    let gateway = Gateway::start(&format!(
        "upstreams: {{ stable: {{ targets: [\"{}\"] }}, special: {{ targets: [\"{}\"] }} }}\n\
         routes:\n\
         - {{ name: stable, match: {{ path: /x }}, upstream: stable, public: true }}\n\
         - {{ name: special, match: {{ path: /x, expression: \"int(query.n) > 3 && headers['x-beta'] == '1'\" }}, \
         upstream: special, public: true }}\n",
        stable.url(),
        special.url()
    ));
    for (path, beta, is_special) in [
        ("/x?n=4", "1", true),
        ("/x?n=3", "1", false),
        ("/x?n=4", "2", false),
        ("/x?n=four", "1", false),
        ("/x?n=4&n=5", "1", false),
        ("/x", "1", false),
    ] {
        let before = special.arrived().len();
        assert_eq!(status(get(&gateway, path).header("X-Beta", beta)).await, 200);
        assert_eq!(special.arrived().len() > before, is_special, "{path} {beta}");
    }
    let errors = gateway.metric("gateway_expression_errors_total{route=\"special\"}").await;
    assert_eq!(errors, Some(3.0));
}

#[tokio::test]
async fn only_what_every_rule_allows_passes_and_only_the_log_names_the_rule() {
    let upstream = Upstream::start().await.expect("starts");
    let directory = tempfile::tempdir().expect("a directory");
    let log = directory.path().join("access.log");
    let gateway = Gateway::start_logging(
        &log,
        &format!(
            "upstreams: {{ u: {{ targets: [\"{}\"] }} }}\n\
             routes:\n\
             - name: orders\n  match: {{ path: '/orders/{{tenant}}' }}\n  upstream: u\n  middleware:\n  \
             - jwt: {{ provider: us }}\n  \
             - authorize:\n      rules:\n      \
             - {{ name: own-tenant, allow_if: \"claims.tenant == params.tenant\" }}\n      \
             - {{ name: level, allow_if: \"method == 'GET' || claims.level >= 3\" }}\n\
             - name: inside\n  match: {{ path: /inside }}\n  upstream: u\n  public: true\n  middleware:\n  \
             - authorize: {{ rules: [{{ name: key, allow_if: \"headers['x-inside'] == 'yes'\" }}] }}\n",
            upstream.url()
        ),
    );
    let with = |method: Method, level: serde_json::Value| {
        let token = token(|claims| (claims["tenant"], claims["level"]) = (json!("acme"), level));
        gateway.request(method, "/orders/acme").bearer_auth(token)
    };
    let other = || get(&gateway, "/orders/other").bearer_auth(token(|claims| claims["tenant"] = json!("acme")));
    assert_eq!(status(with(Method::GET, json!(1))).await, 200);
    assert_eq!(status(with(Method::POST, json!(3))).await, 200);
    assert_eq!(status(with(Method::POST, json!(2))).await, 403);
    assert_eq!(status(with(Method::POST, json!("3"))).await, 403, "what cannot be compared is not enough");
    assert_eq!(status(get(&gateway, "/orders/acme").bearer_auth(token(|_| {}))).await, 403, "nor is what is missing");
    assert_eq!(status(get(&gateway, "/orders/acme")).await, 401);
    let refused = other().send().await.expect("an answer");
    assert_eq!(refused.status(), 403);
    assert!(!refused.headers().contains_key("www-authenticate"), "no other proof would help");
    let body = refused.text().await.expect("a body");
    assert_eq!(code(&body), "not_permitted");
    assert!(!body.contains("tenant"), "{body}");
    assert_eq!(status(get(&gateway, "/inside").header("X-Inside", "yes")).await, 200, "nobody need say who is there");
    assert_eq!(status(get(&gateway, "/inside")).await, 403);
    let doubts =
        async |route: &str| gateway.metric(&format!("gateway_expression_errors_total{{route=\"{route}\"}}")).await;
    assert_eq!((doubts("orders").await, doubts("inside").await), (Some(2.0), Some(1.0)));
    drop(gateway);
    let log = std::fs::read_to_string(&log).expect("a log");
    let lines: Vec<_> = log.lines().filter_map(|line| serde_json::from_str::<serde_json::Value>(line).ok()).collect();
    let rules: Vec<_> = lines.iter().map(|line| line["rule"].as_str().unwrap_or("-")).collect();
    assert_eq!(rules, ["-", "-", "level", "level", "own-tenant", "-", "own-tenant", "-", "key"]);
}

#[tokio::test]
async fn requests_are_counted_by_what_an_expression_says() {
    let upstream = Upstream::start().await.expect("starts");
    let gateway = Gateway::start(&format!(
        "rate_limits: {{ each: {{ scope: local, limit: 1, window: 1h, key: \"= query.tenant + '/' + params.id\" }} }}\n\
         upstreams: {{ u: {{ targets: [\"{}\"] }} }}\n\
         routes:\n\
         - {{ name: x, match: {{ path: '/x/{{id}}' }}, upstream: u, public: true, \
         middleware: [{{ rate_limit: {{ policies: [each] }} }}] }}\n",
        upstream.url()
    ));
    for (path, expected) in [
        ("/x/1?tenant=a", 200),
        ("/x/1?tenant=a", 429),
        ("/x/1?tenant=b", 200),
        ("/x/2?tenant=a", 200),
        ("/x/2?tenant=a", 429),
        ("/x/1", 200),
        ("/x/2?tenant=c&tenant=d", 429),
    ] {
        assert_eq!(status(get(&gateway, path)).await, expected, "{path}; without an answer, its address counts");
    }
    gateway.shows("gateway_expression_errors_total{route=\"x\"}", 2.0).await;
}
