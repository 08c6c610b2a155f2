//! What clients are told of their quota, with whichever answer.

use reqwest::{Method, Response};
use testkit::{Behaviour, Upstream, free_port};

use crate::support::{Gateway, code};

const POLICIES: &str = "
rate_limits:
  many: { scope: local, limit: 100, window: 1m, key: client_address }
  few: { scope: local, limit: 50, window: 1h, key: client_address }
  one: { scope: local, limit: 1, window: 1h, key: client_address }
";

/// The names of all headers that are about a quota, in their order.
fn about_quotas(answer: &Response) -> String {
    let is_about = |name: &&str| name.contains("ratelimit") || *name == "retry-after";
    let mut names: Vec<&str> = answer.headers().keys().map(|name| name.as_str()).filter(is_about).collect();
    names.sort_unstable();
    names.join(" ")
}

fn told<'a>(answer: &'a Response, name: &str) -> &'a str {
    answer.headers().get(name).map(|value| value.to_str().expect("text")).unwrap_or_default()
}

async fn get(gateway: &Gateway, path: &str) -> Response {
    gateway.request(Method::GET, path).send().await.expect("an answer")
}

const LEGACY: &str = "x-ratelimit-limit x-ratelimit-remaining x-ratelimit-reset";

/// Also with those that no upstream has given, and the tightest quota first.
#[tokio::test]
async fn every_answer_to_a_request_that_was_counted_tells_the_quota() {
    let upstream = Upstream::start().await.expect("starts");
    let dead = format!("http://127.0.0.1:{}", free_port().expect("a port"));
    let gateway = Gateway::start(&format!(
        "{POLICIES}\nupstreams: {{ u: {{ targets: [\"{}\"] }}, dead: {{ targets: [\"{dead}\"], retries: 0 }} }}\n\
         middleware: [{{ rate_limit: {{ policies: [many, few] }} }}]\nroutes:\n\
         - {{ name: good, match: {{ path: /good }}, upstream: u, public: true }}\n\
         - {{ name: small, match: {{ path: /small }}, upstream: u, public: true, max_body: 10B }}\n\
         - {{ name: dead, match: {{ path: /dead }}, upstream: dead, public: true }}\n\
         - {{ name: mine, match: {{ path: /mine }}, upstream: u, middleware: [{{ jwt: {{ provider: us }} }}] }}\n\
         - {{ name: own, match: {{ path: /own }}, public: true, middleware: [{{ respond: {{ status: 204 }} }}] }}\n",
        upstream.url()
    ));
    for (left, (path, status)) in
        (0..50).rev().zip([("/good", 200), ("/dead", 502), ("/mine", 401), ("/own", 204), ("/good", 200)])
    {
        let answer = get(&gateway, path).await;
        assert_eq!(answer.status(), status, "{path}");
        assert_eq!(about_quotas(&answer), format!("ratelimit ratelimit-policy {LEGACY}"), "{path}");
        assert_eq!(told(&answer, "ratelimit-policy"), r#""many";q=100;w=60, "few";q=50;w=3600"#);
        let tightest = format!("\"few\";r={left};t=");
        assert!(told(&answer, "ratelimit").starts_with(&tightest), "{path}: {}", told(&answer, "ratelimit"));
        assert!(told(&answer, "ratelimit").contains(", \"many\";r="), "{path}");
        assert_eq!(
            (told(&answer, "x-ratelimit-limit"), told(&answer, "x-ratelimit-remaining")),
            ("50", &*left.to_string())
        );
    }
    upstream.behave(Behaviour::Say("no HTTP at all\r\n\r\n"));
    let answer = get(&gateway, "/good").await;
    assert_eq!((answer.status().as_u16(), told(&answer, "x-ratelimit-remaining")), (502, "44"));
    let uncounted =
        gateway.request(Method::POST, "/small").body("more than ten bytes").send().await.expect("an answer");
    assert_eq!((uncounted.status().as_u16(), &*about_quotas(&uncounted)), (413, ""), "refused before it is counted");
    assert_eq!(about_quotas(&get(&gateway, "/nowhere").await), "");
}

#[tokio::test]
async fn each_step_tells_what_it_or_else_the_whole_file_says() {
    let upstream = Upstream::start().await.expect("starts");
    for (defaults, step, of_one_that_passes, of_one_that_is_refused) in [
        (
            "{}",
            "",
            format!("ratelimit ratelimit-policy {LEGACY}"),
            format!("ratelimit ratelimit-policy retry-after {LEGACY}"),
        ),
        (
            "{}",
            ", headers: [standard]",
            "ratelimit ratelimit-policy".to_owned(),
            "ratelimit ratelimit-policy retry-after".to_owned(),
        ),
        ("{ headers: [legacy] }", "", LEGACY.to_owned(), format!("retry-after {LEGACY}")),
        ("{ headers: [legacy] }", ", headers: false", String::new(), "retry-after".to_owned()),
        ("{ headers: false, retry_after: false }", "", String::new(), String::new()),
        ("{ headers: false, retry_after: false }", ", retry_after: true", String::new(), "retry-after".to_owned()),
        (
            "{ headers: false }",
            ", headers: true, retry_after: false",
            format!("ratelimit ratelimit-policy {LEGACY}"),
            format!("ratelimit ratelimit-policy {LEGACY}"),
        ),
    ] {
        let gateway = Gateway::start(&format!(
            "{POLICIES}\nrate_limit_defaults: {defaults}\nupstreams: {{ u: {{ targets: [\"{}\"] }} }}\n\
             routes: [{{ name: a, match: {{ path: /a }}, upstream: u, public: true, \
             middleware: [{{ rate_limit: {{ policies: [one]{step} }} }}] }}]\n",
            upstream.url()
        ));
        let passes = get(&gateway, "/a").await;
        assert_eq!((passes.status().as_u16(), about_quotas(&passes)), (200, of_one_that_passes), "{defaults} {step}");
        let refused = get(&gateway, "/a").await;
        assert_eq!(
            (refused.status().as_u16(), about_quotas(&refused)),
            (429, of_one_that_is_refused),
            "{defaults} {step}"
        );
        let body = refused.text().await.expect("a body");
        assert_eq!(code(&body), "quota_exceeded");
        assert!(body.contains(r#""violated-policies":["one"]"#), "{body}");
    }
}

/// What the head says is the same, and what else a client may read of it.
#[tokio::test]
async fn a_refusal_has_a_problem_document_unless_its_step_or_else_the_whole_file_says_no() {
    let upstream = Upstream::start().await.expect("starts");
    for (defaults, step, has_document) in [
        ("{}", "", true),
        ("{}", ", problem_document: false", false),
        ("{ problem_document: false }", "", false),
        ("{ problem_document: false }", ", problem_document: true", true),
    ] {
        let gateway = Gateway::start(&format!(
            "{POLICIES}\nrate_limit_defaults: {defaults}\nupstreams: {{ u: {{ targets: [\"{}\"] }} }}\n\
             routes: [{{ name: a, match: {{ path: /a }}, upstream: u, public: true, \
             middleware: [{{ compress: {{ min_size: 0B }} }}, {{ rate_limit: {{ policies: [one]{step} }} }}] }}]\n",
            upstream.url()
        ));
        assert_eq!(get(&gateway, "/a").await.status(), 200);
        let asks = gateway.request(Method::GET, "/a").header("accept-encoding", "gzip");
        let refused = asks.send().await.expect("an answer");
        assert_eq!(refused.status(), 429, "{defaults} {step}");
        assert_eq!(about_quotas(&refused), format!("ratelimit ratelimit-policy retry-after {LEGACY}"));
        assert!(!told(&refused, "x-request-id").is_empty() && told(&refused, "cache-control") == "no-store");
        let content_type = if has_document { "application/problem+json" } else { "" };
        assert_eq!(told(&refused, "content-type"), content_type, "{defaults} {step}");
        let length = told(&refused, "content-length").to_owned();
        let encoding = told(&refused, "content-encoding").to_owned();
        let body = refused.bytes().await.expect("a body");
        if !has_document {
            assert_eq!((&*body, &*length, &*encoding), (&b""[..], "0", ""), "{defaults} {step}");
        }
        assert_eq!(!body.is_empty(), has_document, "{defaults} {step}");
        // The connection is of use afterwards.
        assert_eq!(get(&gateway, "/a").await.status(), 429);
        let counted = r#"gateway_rejections_total{code="quota_exceeded",route="a"}"#;
        gateway.shows(counted, 2.0).await;
    }
}

/// So that a client that believes the one is not held up by the other (section 6 of the draft).
#[tokio::test]
async fn what_is_refused_may_come_again_when_both_fields_say_so() {
    let upstream = Upstream::start().await.expect("starts");
    let gateway = Gateway::start(&format!(
        "rate_limits: {{ some: {{ scope: local, limit: 36, burst: 2, window: 1h, key: client_address }} }}\n\
         upstreams: {{ u: {{ targets: [\"{}\"] }} }}\nroutes: [{{ name: a, match: {{ path: /a }}, upstream: u, \
         public: true, middleware: [{{ rate_limit: {{ policies: [some] }} }}] }}]\n",
        upstream.url()
    ));
    get(&gateway, "/a").await;
    get(&gateway, "/a").await;
    let refused = get(&gateway, "/a").await;
    let wait = told(&refused, "retry-after");
    // One comes back in 100 s, both in 200 s.
    assert!((90..=100).contains(&wait.parse::<u64>().expect("a number")), "{wait}");
    assert_eq!(told(&refused, "ratelimit"), format!(r#""some";r=0;t={wait}"#));
    assert!(told(&refused, "x-ratelimit-reset").parse::<u64>().expect("a number") > 150);
}
