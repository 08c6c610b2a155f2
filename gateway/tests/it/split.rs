//! Routes that are split over several upstreams: who goes where, who stays, and where that is told.

use reqwest::{Method, RequestBuilder, Response};
use serde_json::json;
use testkit::Upstream;

use crate::support::{Gateway, token};

/// A file with a route `/x` of these steps, split over `stable` and `canary` with these weights and as `more` says.
fn file(stable: &str, canary: &str, weights: (u32, u32), more: &str, steps: &str) -> String {
    format!(
        "upstreams: {{ stable: {{ targets: [\"{stable}\"], retries: 1 }}, canary: {{ targets: [\"{canary}\"], retries: 1 }} }}\n\
         routes:\n- {{ name: x, match: {{ path: /x }}, {steps}, split: {{ upstreams: \
         [{{ name: stable, weight: {} }}, {{ name: canary, weight: {} }}], {more} }} }}\n",
        weights.0, weights.1
    )
}

async fn send(request: RequestBuilder) -> Response {
    request.send().await.expect("an answer")
}

fn get(gateway: &Gateway) -> RequestBuilder {
    gateway.request(Method::GET, "/x")
}

#[tokio::test]
async fn a_cookie_keeps_a_client_where_it_is() {
    let (stable, canary) = (Upstream::start().await.expect("starts"), Upstream::start().await.expect("starts"));
    let sticky = "sticky: { cookie: { name: variant, max_age: 1d } }";
    let gateway = Gateway::start(&file(&stable.url(), &canary.url(), (1, 1), sticky, "public: true"));
    let mut on_canary = 0;
    for _ in 0..24 {
        let answer = send(get(&gateway)).await;
        let given = answer.headers()["set-cookie"].to_str().expect("ASCII").to_owned();
        let cookie = given.strip_suffix("; Path=/; HttpOnly; SameSite=Lax; Max-Age=86400").expect("attributes");
        let first = (stable.arrived().len(), canary.arrived().len());
        for _ in 0..3 {
            let again = send(get(&gateway).header("Cookie", format!("a=b; {cookie}"))).await;
            assert!(again.headers().get("set-cookie").is_none(), "it has one already");
        }
        let then = (stable.arrived().len(), canary.arrived().len());
        assert!(then == (first.0 + 3, first.1) || then == (first.0, first.1 + 3), "{first:?} {then:?}");
        on_canary += usize::from(then.1 > first.1);
    }
    assert!((1..24).contains(&on_canary), "both get some: {on_canary}");
    let counted = async |upstream: &str| {
        gateway.metric(&format!("gateway_split_requests_total{{route=\"x\",upstream=\"{upstream}\"}}")).await
    };
    assert_eq!(counted("canary").await, Some(canary.arrived().len() as f64));
    assert_eq!(counted("stable").await, Some(stable.arrived().len() as f64));
}

#[tokio::test]
async fn headers_claims_and_addresses_keep_a_client_where_it_is() {
    let (stable, canary) = (Upstream::start().await.expect("starts"), Upstream::start().await.expect("starts"));
    for (sticky, steps) in [
        ("sticky: { header: X-Session }", "public: true"),
        ("sticky: { claim: org.id }", "middleware: [{ jwt: { provider: us } }]"),
        ("sticky: { client_address: true }", "public: true"),
    ] {
        let gateway = Gateway::start(&file(&stable.url(), &canary.url(), (1, 1), sticky, steps));
        for client in 0..8 {
            let before = (stable.arrived().len(), canary.arrived().len());
            for _ in 0..3 {
                let token = token(|claims| claims["org"] = json!({"id": client}));
                let request = get(&gateway).header("X-Session", client).bearer_auth(token);
                assert_eq!(send(request).await.status(), 200);
            }
            let now = (stable.arrived().len(), canary.arrived().len());
            assert!(now == (before.0 + 3, before.1) || now == (before.0, before.1 + 3), "{sticky} {client}");
        }
    }
}

#[tokio::test]
async fn a_request_goes_where_it_asks_to_and_a_drained_upstream_gets_no_other() {
    let (stable, canary) = (Upstream::start().await.expect("starts"), Upstream::start().await.expect("starts"));
    let more = "sticky: { cookie: { name: variant } }, force: { header: X-Variant, cookie: force }";
    let directory = tempfile::tempdir().expect("a directory");
    let log = directory.path().join("access.log");
    let gateway = Gateway::start_logging(&log, &file(&stable.url(), &canary.url(), (1, 0), more, "public: true"));
    for _ in 0..8 {
        send(get(&gateway)).await;
    }
    assert_eq!((stable.arrived().len(), canary.arrived().len()), (8, 0));
    for (name, value, forced) in [
        ("X-Variant", "canary", 1),
        ("Cookie", "force=canary", 1),
        ("X-Variant", "canaries", 0),
        ("X-Variant", "", 0),
        ("Cookie", "force=other", 0),
        ("X-Other", "canary", 0),
    ] {
        let before = canary.arrived().len();
        let answer = send(get(&gateway).header(name, value)).await;
        assert_eq!(canary.arrived().len() - before, forced, "{name}: {value}");
        assert_eq!(answer.headers().get("set-cookie").is_none(), forced == 1, "who asks is not drawn");
    }
    let both = send(get(&gateway).header("X-Variant", "stable").header("Cookie", "force=canary")).await;
    assert_eq!((both.status().as_u16(), stable.arrived().len()), (200, 13), "the header goes first");
    drop(gateway);
    let log = std::fs::read_to_string(&log).expect("a log");
    assert_eq!(log.matches("\"upstream\":\"canary\"").count(), 2, "{log}");
    assert_eq!(log.matches("\"upstream\":\"stable\"").count(), 13, "{log}");
}

#[tokio::test]
async fn a_retry_stays_with_the_upstream_that_was_chosen() {
    let stable = Upstream::start().await.expect("starts");
    let force = "force: { header: X-Variant }";
    let gateway = Gateway::start(&file(&stable.url(), "http://127.0.0.1:1", (1, 0), force, "public: true"));
    assert_eq!(send(get(&gateway)).await.status(), 200);
    assert_eq!(send(get(&gateway).header("X-Variant", "canary")).await.status(), 502);
    assert_eq!(stable.arrived().len(), 1, "nothing of it went to the other");
}

#[tokio::test]
async fn a_reload_moves_only_whom_it_must() {
    let (stable, canary) = (Upstream::start().await.expect("starts"), Upstream::start().await.expect("starts"));
    let sticky = "sticky: { header: X-Session }";
    let of = |weights| file(&stable.url(), &canary.url(), weights, sticky, "public: true");
    let gateway = Gateway::start(&of((80, 20)));
    let places = async || {
        let mut places = Vec::new();
        for client in 0..40 {
            let before = canary.arrived().len();
            send(get(&gateway).header("X-Session", client)).await;
            places.push(canary.arrived().len() > before);
        }
        places
    };
    let before = places().await;
    gateway.reload(&of((60, 40))).expect("taken");
    let after = places().await;
    assert!(
        before.iter().zip(&after).all(|(before, after)| !before || *after),
        "whoever was on the canary stays there"
    );
    gateway.reload(&of((100, 0))).expect("taken");
    assert_eq!(places().await, vec![false; 40], "drained");
    gateway.reload(&of((80, 20))).expect("taken");
    assert_eq!(places().await, before, "and back as before");
}

#[tokio::test]
async fn what_is_chosen_no_more_is_shown_no_more() {
    let (stable, canary) = (Upstream::start().await.expect("starts"), Upstream::start().await.expect("starts"));
    let old = file(&stable.url(), &canary.url(), (1, 0), "", "public: true");
    let gateway = Gateway::start(&old);
    let counted = async |upstream: &str| {
        gateway.metric(&format!("gateway_split_requests_total{{route=\"x\",upstream=\"{upstream}\"}}")).await
    };
    send(get(&gateway)).await;
    assert_eq!((counted("stable").await, counted("canary").await), (Some(1.0), Some(0.0)));
    gateway.reload(&old.replace("canary", "next")).expect("taken");
    send(get(&gateway)).await;
    assert_eq!((counted("stable").await, counted("canary").await), (Some(2.0), None));
    assert_eq!(counted("next").await, Some(0.0));
}

#[tokio::test]
async fn what_is_for_the_choice_alone_goes_to_no_upstream_unless_that_is_said() {
    let (stable, canary) = (Upstream::start().await.expect("starts"), Upstream::start().await.expect("starts"));
    let more = |forward: &str| {
        format!(
            "sticky: {{ cookie: {{ name: variant, {forward} }} }}, force: {{ header: X-Variant, cookie: force, {forward} }}"
        )
    };
    let shown = |cookies: &'static [&'static str], names: &'static [&'static str]| (cookies, names);
    for (forward, (cookies, names), alias) in [
        ("", shown(&["theme=dark"], &[]), &[][..]),
        ("forward: false", shown(&["theme=dark"], &[]), &[]),
        ("forward: true", shown(&["theme=dark; variant=7; force=stable"], &["stable"]), &["canary"]),
    ] {
        let gateway = Gateway::start(&file(&stable.url(), &canary.url(), (1, 1), &more(forward), "public: true"));
        let request =
            get(&gateway).header("Cookie", "theme=dark; variant=7; force=stable").header("X-Variant", "stable");
        assert_eq!(send(request.header("X_Variant", "canary")).await.status(), 200);
        let arrived = stable.arrived().pop().expect("chosen by what is hidden");
        assert_eq!(arrived.header("cookie"), cookies, "{forward}");
        assert_eq!(arrived.header("x-variant"), names, "{forward}");
        assert_eq!(arrived.header("x_variant"), alias, "{forward}");
    }
    assert!(canary.arrived().is_empty());
}
