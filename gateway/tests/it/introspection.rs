//! Tokens that only their issuer can tell the worth of.

use std::sync::Arc;

use reqwest::{Method, Response};
use serde_json::{Value, json};
use testkit::{Issuer, Upstream};

use crate::support::{Gateway, code, token};

fn gateway(upstream: &Upstream, issuer: &Issuer, more: &str) -> Gateway {
    Gateway::start(&file(upstream, issuer, more))
}

fn file(upstream: &Upstream, issuer: &Issuer, more: &str) -> String {
    format!(
        "token_introspection: {{ opaque: {{ endpoint: \"{}/introspect\", client_id: \"a b\", client_secret: \"c:d\", \
         claims_to_headers: {{ sub: X-User-Id }}, {more} }} }}\n\
         upstreams: {{ u: {{ targets: [\"{}\"] }} }}\n\
         routes:\n  - {{ name: x, match: {{ path: /x }}, upstream: u, middleware: [introspection: {{ provider: opaque }}] }}\n  \
         - {{ name: admin, match: {{ path: /admin }}, upstream: u, middleware: [introspection: {{ provider: opaque }}, \
         authorize: {{ scopes: [admin] }}] }}\n",
        issuer.base(),
        upstream.url()
    )
}

/// An answer of the issuer, changed by `change`.
fn active(change: impl FnOnce(&mut Value)) -> String {
    let mut answer = json!({
        "active": true, "sub": "ann", "scope": "orders:read admin:not", "iss": "i", "aud": ["o", "a"], "exp": now() + 600,
    });
    change(&mut answer);
    answer.to_string()
}

fn now() -> u64 {
    jsonwebtoken::get_current_timestamp()
}

async fn ask(gateway: &Gateway, path: &str, token: &str) -> Response {
    let asked = gateway.request(Method::GET, path).bearer_auth(token).header("X-User-Id", "forged");
    asked.send().await.expect("an answer")
}

async fn answered(gateway: &Gateway, token: &str) -> (u16, String) {
    let answer = ask(gateway, "/x", token).await;
    let status = answer.status().as_u16();
    let body = answer.text().await.expect("a body");
    (status, if status == 200 { String::new() } else { code(&body) })
}

fn refused(status: u16, code: &str) -> (u16, String) {
    (status, code.to_owned())
}

#[tokio::test]
async fn an_active_token_identifies_and_costs_one_call() {
    let upstream = Upstream::start().await.expect("starts");
    let issuer = Issuer::start(&active(|_| {})).await.expect("starts");
    let gateway = gateway(&upstream, &issuer, "issuer: i, audience: [x, a]");
    for _ in 0..3 {
        assert_eq!(answered(&gateway, "t0").await, refused(200, ""));
    }
    assert_eq!(issuer.fetches(), 1);
    assert_eq!(upstream.arrived().pop().expect("a request").header("x-user-id"), ["ann"]);
    assert_eq!(ask(&gateway, "/admin", "t0").await.status(), 403);
    assert_eq!(issuer.fetches(), 1);
    let question = issuer.heard().pop().expect("a question");
    assert!(question.starts_with("POST /introspect HTTP/1.1\r\n"), "{question}");
    // `a+b:c%3Ad`: name and password, each encoded as in a form.
    assert!(question.contains(": Basic YStiOmMlM0Fk\r\n"), "{question}");
    assert!(question.ends_with("\r\n\r\ntoken=t0&token_type_hint=access_token"), "{question}");
    let series = |name: &str| format!("gateway_introspection_{name}");
    gateway.shows(&series("calls_total{outcome=\"active\",provider=\"opaque\"}"), 1.0).await;
    gateway.shows(&series("remembered_total{provider=\"opaque\"}"), 3.0).await;
}

#[tokio::test]
async fn a_token_that_is_not_active_or_not_for_us_is_refused_and_that_is_remembered_for_a_while() {
    let upstream = Upstream::start().await.expect("starts");
    let issuer = Issuer::start("{\"active\":false}").await.expect("starts");
    let gateway =
        gateway(&upstream, &issuer, "issuer: i, audience: a, required_claims: { tier: gold }, negative_ttl: 1h");
    let good = |change: fn(&mut Value)| {
        active(|answer| {
            answer["tier"] = "gold".into();
            change(answer);
        })
    };
    for (number, answer) in [
        "{\"active\":false}".to_owned(),
        "{\"active\":false,\"sub\":\"ann\",\"exp\":99999999999}".to_owned(),
        good(|answer| answer["iss"] = "other".into()),
        good(|answer| drop(answer.as_object_mut().expect("a block").remove("iss"))),
        good(|answer| answer["aud"] = "other".into()),
        good(|answer| drop(answer.as_object_mut().expect("a block").remove("aud"))),
        good(|answer| answer["tier"] = "silver".into()),
        good(|answer| answer["exp"] = (now() - 60).into()),
        good(|answer| answer["nbf"] = (now() + 60).into()),
        good(|answer| answer["sub"] = "ann\r\nX-Admin: 1".into()),
    ]
    .into_iter()
    .enumerate()
    {
        issuer.publish(&answer);
        let token = format!("t{number}");
        for _ in 0..2 {
            let refusal = ask(&gateway, "/x", &token).await;
            let challenge = refusal.headers()["www-authenticate"].to_str().expect("text").to_owned();
            assert_eq!((refusal.status().as_u16(), challenge.contains("invalid_token")), (401, true), "{answer}");
        }
        assert_eq!(issuer.fetches(), number + 1, "{answer}");
    }
    issuer.publish(&good(|_| {}));
    assert_eq!(answered(&gateway, "t0").await, refused(401, "invalid_token"), "by what is remembered");
    assert_eq!(answered(&gateway, "good").await, refused(200, ""));
    let fetches = issuer.fetches();
    for bad in ["two words", "caf\u{e9}", "tab\tbed"] {
        assert_eq!(answered(&gateway, bad).await, refused(401, "invalid_token"), "{bad:?}");
    }
    let nobody = gateway.get("/x").await;
    assert_eq!((nobody.0, code(&nobody.1).as_str()), (401, "missing_token"));
    assert_eq!(issuer.fetches(), fetches, "what can be no token is not asked about");
    assert_eq!(upstream.arrived().iter().filter(|arrived| arrived.header("x-user-id") != ["ann"]).count(), 0);
}

#[tokio::test]
async fn requests_with_one_unknown_token_wait_for_one_call() {
    let upstream = Upstream::start().await.expect("starts");
    let issuer = Issuer::start(&active(|_| {})).await.expect("starts");
    let gateway = Arc::new(gateway(&upstream, &issuer, "timeout: 20s"));
    issuer.hold();
    let asking: Vec<_> = (0..16)
        .map(|_| {
            let gateway = Arc::clone(&gateway);
            tokio::spawn(async move { answered(&gateway, "t").await })
        })
        .collect();
    let asked = async || issuer.fetches() == 1;
    testkit::eventually(crate::support::PATIENCE, "a call", asked).await.expect("called");
    tokio::time::sleep(std::time::Duration::from_millis(200)).await;
    issuer.let_go();
    for asked in asking {
        assert_eq!(asked.await.expect("runs"), refused(200, ""));
    }
    assert_eq!(issuer.fetches(), 1);
}

#[tokio::test]
async fn without_an_answer_tokens_are_refused_with_503_and_known_ones_still_count() {
    let upstream = Upstream::start().await.expect("starts");
    let issuer = Issuer::start(&active(|_| {})).await.expect("starts");
    let gateway = gateway(&upstream, &issuer, "timeout: 300ms");
    let nobody_asked = r#"{"forward_auth":{},"jwt_providers":{},"token_introspection":{"opaque":{"answers":null}}}"#;
    assert_eq!(gateway.admin("/services").await.1, nobody_asked);
    assert_eq!(answered(&gateway, "known").await, refused(200, ""));
    let failures: [(&str, &dyn Fn()); 6] = [
        ("hangs up", &|| issuer.hang_up()),
        ("hangs", &|| issuer.hang()),
        ("401", &|| issuer.answer("401 Unauthorized", "", "")),
        ("a redirect", &|| issuer.answer("302 Found", "Location: /x\r\n", &active(|_| {}))),
        ("no JSON", &|| issuer.publish("active")),
        ("no truth value", &|| issuer.publish("{\"active\":\"true\",\"sub\":\"ann\"}")),
    ];
    for (number, (case, fail)) in failures.into_iter().enumerate() {
        fail();
        let answer = ask(&gateway, "/x", &format!("t{number}")).await;
        assert_eq!((answer.status().as_u16(), answer.headers().contains_key("retry-after")), (503, true), "{case}");
        assert_eq!(code(&answer.text().await.expect("a body")), "introspection_unavailable", "{case}");
        assert_eq!(answered(&gateway, "known").await, refused(200, ""), "{case}");
        let shown = gateway.admin("/services").await.1;
        assert_eq!(
            shown, r#"{"forward_auth":{},"jwt_providers":{},"token_introspection":{"opaque":{"answers":false}}}"#,
            "{case}"
        );
    }
    assert_eq!(gateway.admin("/ready").await.0, 200, "other gateways would ask the same issuer");
    issuer.publish(&active(|answer| answer["sub"] = 5.into()));
    assert_eq!(answered(&gateway, "wrong-type").await, refused(503, "introspection_unavailable"));
    issuer.publish(&active(|_| {}));
    assert_eq!(answered(&gateway, "another").await, refused(200, ""), "as soon as it answers again");
    let shown = gateway.admin("/services").await.1;
    assert_eq!(shown, r#"{"forward_auth":{},"jwt_providers":{},"token_introspection":{"opaque":{"answers":true}}}"#);
}

#[tokio::test]
async fn an_old_answer_counts_in_an_outage_only_as_long_as_the_file_says() {
    let upstream = Upstream::start().await.expect("starts");
    let issuer = Issuer::start(&active(|_| {})).await.expect("starts");
    for (stale, expected) in [("1h", refused(200, "")), ("0s", refused(503, "introspection_unavailable"))] {
        issuer.publish(&active(|_| {}));
        let gateway = gateway(&upstream, &issuer, &format!("ttl: 0s, stale_if_error: {stale}"));
        assert_eq!(answered(&gateway, "t").await, refused(200, ""));
        issuer.hang_up();
        assert_eq!(answered(&gateway, "t").await, expected);
        assert_eq!(answered(&gateway, "other").await, refused(503, "introspection_unavailable"));
        let counted = gateway.metric("gateway_introspection_stale_total{provider=\"opaque\"}").await;
        assert_eq!(counted, Some(if stale == "1h" { 1.0 } else { 0.0 }));
    }
}

#[tokio::test]
async fn no_answer_makes_a_token_count_beyond_its_end() {
    let upstream = Upstream::start().await.expect("starts");
    // Over within the leeway of five seconds, and a little later without it.
    let issuer = Issuer::start(&active(|answer| answer["exp"] = (now() - 3).into())).await.expect("starts");
    let gateway = gateway(&upstream, &issuer, "ttl: 1h, stale_if_error: 1h");
    assert_eq!(answered(&gateway, "t").await, refused(200, ""));
    issuer.hang_up();
    let over = async || answered(&gateway, "t").await == refused(401, "invalid_token");
    testkit::eventually(crate::support::PATIENCE, "the end", over).await.expect("over");
    assert_eq!(issuer.fetches(), 1);
}

#[tokio::test]
async fn a_reload_keeps_what_is_known_unless_the_provider_changes() {
    let upstream = Upstream::start().await.expect("starts");
    let issuer = Issuer::start(&active(|_| {})).await.expect("starts");
    let gateway = gateway(&upstream, &issuer, "issuer: i");
    assert_eq!(answered(&gateway, "t").await, refused(200, ""));
    gateway.reload(&file(&upstream, &issuer, "issuer: i")).expect("taken");
    assert_eq!(answered(&gateway, "t").await, refused(200, ""));
    assert_eq!(issuer.fetches(), 1);
    gateway.reload(&file(&upstream, &issuer, "issuer: other")).expect("taken");
    assert_eq!(answered(&gateway, "t").await, refused(401, "invalid_token"));
    assert_eq!(issuer.fetches(), 2);
}

#[tokio::test]
async fn signed_and_opaque_tokens_may_come_to_one_route() {
    let upstream = Upstream::start().await.expect("starts");
    let issuer = Issuer::start(&active(|answer| answer["sub"] = "bob".into())).await.expect("starts");
    let one = "middleware: [introspection: { provider: opaque }]";
    let either = "middleware: [any_of: [[jwt: { provider: us }], [introspection: { provider: opaque }]]]";
    let gateway = Gateway::start(&file(&upstream, &issuer, "").replacen(one, either, 1));
    for (token, user, calls) in [(token(|_| {}), "ann", 0), ("opaque".to_owned(), "bob", 1)] {
        assert_eq!(answered(&gateway, &token).await, refused(200, ""));
        assert_eq!(upstream.arrived().pop().expect("a request").header("x-user-id"), [user]);
        assert_eq!(issuer.fetches(), calls);
    }
    issuer.publish("{\"active\":false}");
    assert_eq!(answered(&gateway, "unknown").await, refused(401, "invalid_token"));
}
