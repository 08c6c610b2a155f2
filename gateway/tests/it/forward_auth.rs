//! A service that says whether requests may go on, and all the ways in which it may not.

use rcgen::SanType;
use reqwest::Method;
use testkit::{Behaviour, Upstream};

use crate::pki::{Authority, dns, put};
use crate::support::{Gateway, PATIENCE, code, token};

const YES: &str = "HTTP/1.1 200 OK\r\nX-Auth-User: ann\r\nX-Auth-Groups: a\r\nX-Auth-Groups: b\r\nX-Other: o\r\nContent-Length: 2\r\n\
                   Connection: close\r\n\r\nok";
const NO: &str = "HTTP/1.1 302 Found\r\nLocation: https://login.example/\r\nSet-Cookie: a=1\r\nSet-Cookie: b=2\r\nX-Other: o\r\n\
                  Content-Length: 5\r\nConnection: close\r\n\r\nlogin";

/// A gateway that asks `service`, with `more` said about it, and `steps` before that.
fn gateway(upstream: &Upstream, service: &str, more: &str, steps: &str, public: bool) -> Gateway {
    Gateway::start(&format!(
        "forward_auth: {{ sso: {{ url: \"{service}/verify?a=b\", upstream_headers: [X-Auth-User, X-Auth-Groups], {more} }} }}\n\
         upstreams: {{ u: {{ targets: [\"{}\"] }} }}\n\
         routes:\n  - {{ name: x, match: {{ path: /x/* }}, upstream: u, {} middleware: [{steps} forward_auth: {{ provider: sso }}] \
         }}\n  - {{ name: open, match: {{ path: /open }}, upstream: u, public: true }}\n",
        upstream.url(),
        if public { "public: true," } else { "" },
    ))
}

async fn servers() -> (Upstream, Upstream) {
    (Upstream::start().await.expect("starts"), Upstream::start().await.expect("starts"))
}

#[tokio::test]
async fn a_service_that_agrees_is_told_the_head_and_tells_the_upstream() {
    let (upstream, service) = servers().await;
    service.behave(Behaviour::Say(YES));
    let gateway = gateway(&upstream, &service.url(), "", "", false);
    let asked = gateway.request(Method::POST, "/x/./y?z=1").body("secret body").header("Authorization", "Bearer t");
    let asked = asked.header("X-Auth-User", "forged").header("X_Auth_Groups", "admin").header("X-Mine", "m");
    let asked = asked.header("X-Forwarded-Method", "GET").header("X-Forwarded-For", "192.0.2.1");
    assert_eq!(asked.send().await.expect("an answer").status(), 200);

    let question = service.arrived().pop().expect("a question");
    assert_eq!((question.line(), &*question.body), ("GET /verify?a=b", &b""[..]));
    for (header, value) in [
        ("authorization", &["Bearer t"][..]),
        ("x-forwarded-method", &["POST"]),
        ("x-forwarded-uri", &["/x/y?z=1"]),
        ("x-forwarded-host", &[&gateway.addr().to_string()]),
        ("x-forwarded-proto", &["http"]),
        ("x-forwarded-for", &["127.0.0.1"]),
        ("x-mine", &[]),
        ("x-auth-user", &[]),
        ("content-length", &[]),
    ] {
        assert_eq!(question.header(header), value, "{header}");
    }
    let arrived = upstream.arrived().pop().expect("a request");
    assert_eq!(arrived.header("x-request-id"), question.header("x-request-id"));
    assert_eq!(arrived.header("x-auth-user"), ["ann"]);
    assert_eq!(arrived.header("x-auth-groups"), ["a, b"]);
    assert_eq!((arrived.header("x_auth_groups"), arrived.header("x-other")), (vec![], vec![]));
    assert_eq!(&*arrived.body, b"secret body");

    let open = gateway.request(Method::GET, "/open").header("X-Auth-User", "forged").send().await.expect("an answer");
    assert_eq!(open.status(), 200);
    assert_eq!(upstream.arrived().pop().expect("a request").header("x-auth-user"), Vec::<&str>::new());
    assert_eq!(
        gateway.metric("gateway_forward_auth_requests_total{outcome=\"allowed\",provider=\"sso\"}").await,
        Some(1.0)
    );
}

#[tokio::test]
async fn any_other_answer_is_the_clients_and_no_redirect_is_followed() {
    let (upstream, service) = servers().await;
    let gateway = gateway(&upstream, &service.url(), "on_error: allow,", "", true);
    service.behave(Behaviour::Say(NO));
    let answer = gateway.raw(b"GET /x/y HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n").await;
    assert!(answer.starts_with("HTTP/1.1 302 ") && answer.ends_with("\r\n\r\nlogin"), "{answer}");
    for header in ["location: https://login.example/", "set-cookie: a=1", "set-cookie: b=2", "cache-control: no-store"]
    {
        assert!(answer.to_ascii_lowercase().contains(&format!("\r\n{header}\r\n")), "{header}: {answer}");
    }
    assert!(!answer.to_ascii_lowercase().contains("x-other"), "{answer}");
    for (says, status) in [
        ("HTTP/1.1 401 Unauthorized\r\nContent-Length: 0\r\nConnection: close\r\n\r\n", 401),
        ("HTTP/1.1 500 Internal Server Error\r\nContent-Length: 0\r\nConnection: close\r\n\r\n", 500),
    ] {
        service.behave(Behaviour::Say(says));
        assert_eq!(gateway.get("/x/y").await.0, status);
    }
    assert_eq!(service.arrived().len(), 3);
    assert!(upstream.arrived().is_empty());
}

#[tokio::test]
async fn without_an_answer_requests_are_refused_or_go_on_as_the_file_says() {
    let (upstream, service) = servers().await;
    let refusing = gateway(&upstream, &service.url(), "timeout: 300ms,", "", false);
    let allowing = gateway(&upstream, &service.url(), "timeout: 300ms, on_error: allow,", "", true);
    let shown = async || refusing.admin("/services").await.1;
    let nobody_asked = r#"{"forward_auth":{"sso":{"answers":null}},"jwt_providers":{},"token_introspection":{}}"#;
    assert_eq!(shown().await, nobody_asked);
    for behaviour in [Behaviour::HangUp, Behaviour::Hang, Behaviour::Say("garbage\r\n\r\n")] {
        service.behave(behaviour);
        let answer = refusing.request(Method::GET, "/x/y").send().await.expect("an answer");
        assert_eq!(
            (answer.status().as_u16(), answer.headers().contains_key("retry-after")),
            (503, true),
            "{behaviour:?}"
        );
        assert_eq!(code(&answer.text().await.expect("a body")), "auth_unavailable");
        let before = upstream.arrived().len();
        let asked = allowing.request(Method::GET, "/x/y").header("X-Auth-User", "forged");
        assert_eq!(asked.send().await.expect("an answer").status(), 200, "{behaviour:?}");
        let arrived = upstream.arrived();
        assert_eq!(arrived.len(), before + 1, "only one of the two went on");
        assert_eq!(arrived.last().expect("a request").header("x-auth-user"), Vec::<&str>::new());
    }
    assert_eq!(
        shown().await,
        r#"{"forward_auth":{"sso":{"answers":false}},"jwt_providers":{},"token_introspection":{}}"#
    );
    assert_eq!(refusing.admin("/ready").await.0, 200, "other gateways would ask the same service");
    service.behave(Behaviour::Answer);
    assert_eq!(refusing.get("/x/y").await.0, 200);
    assert_eq!(
        shown().await,
        r#"{"forward_auth":{"sso":{"answers":true}},"jwt_providers":{},"token_introspection":{}}"#
    );
    // A refusal that is too large stays one.
    service.behave(Behaviour::Say("HTTP/1.1 403 Forbidden\r\nContent-Length: 9\r\nConnection: close\r\n\r\ntoo large"));
    let small = gateway(&upstream, &service.url(), "max_body: 8B, on_error: allow,", "", true);
    let (status, body) = small.get("/x/y").await;
    assert_eq!((status, code(&body).as_str()), (503, "auth_unavailable"));
    service.behave(Behaviour::Say(YES));
    assert_eq!(refusing.get("/x/y").await.0, 200, "as soon as it answers again");
}

#[tokio::test]
async fn what_a_service_has_allowed_counts_again_for_the_very_same_question_only() {
    let (upstream, service) = servers().await;
    service.behave(Behaviour::Say(YES));
    let gateway = gateway(&upstream, &service.url(), "cache: { ttl: 1h },", "", false);
    let ask = async |method: Method, path: &str, token: &str| {
        let asked = gateway.request(method, path).header("Authorization", token).send().await.expect("an answer");
        (asked.status().as_u16(), service.arrived().len())
    };
    assert_eq!(ask(Method::GET, "/x/y", "a").await, (200, 1));
    assert_eq!(ask(Method::GET, "/x/./y", "a").await, (200, 1));
    assert_eq!(upstream.arrived().pop().expect("a request").header("x-auth-user"), ["ann"]);
    assert_eq!(ask(Method::POST, "/x/y", "a").await, (200, 2));
    assert_eq!(ask(Method::GET, "/x/z", "a").await, (200, 3));
    assert_eq!(ask(Method::GET, "/x/y?q", "a").await, (200, 4));
    service.behave(Behaviour::Say("HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"));
    assert_eq!(ask(Method::GET, "/x/y", "b").await.1, 5);
    assert_eq!(ask(Method::GET, "/x/y", "b").await.1, 6, "a refusal is never remembered");
    assert_eq!(ask(Method::GET, "/x/y", "a").await, (200, 6));
}

#[tokio::test]
async fn the_service_is_told_who_was_proven_to_be_there() {
    let (upstream, service) = servers().await;
    service.behave(Behaviour::Say(YES));
    let gateway =
        gateway(&upstream, &service.url(), "request_headers: [X-User-Id],", "{ jwt: { provider: us } },", false);
    let asked = gateway.request(Method::GET, "/x/y").header("X-User-Id", "forged");
    assert_eq!(asked.send().await.expect("an answer").status(), 401);
    assert!(service.arrived().is_empty(), "the steps run in their order");
    let asked = gateway.request(Method::GET, "/x/y").header("X-User-Id", "forged").bearer_auth(token(|_| {}));
    assert_eq!(asked.send().await.expect("an answer").status(), 200);
    let question = service.arrived().pop().expect("a question");
    assert_eq!((question.header("x-user-id"), question.header("authorization")), (vec!["ann"], vec![]));
}

#[tokio::test]
async fn a_service_is_believed_over_tls_by_its_authority_alone() {
    let (upstream, _) = servers().await;
    let dir = tempfile::tempdir().expect("a directory");
    let authority = Authority::new("authority");
    let name = SanType::IpAddress([127, 0, 0, 1].into());
    authority.issue("service", 1, &[name, dns("service.example")], 2900).write(dir.path(), "service");
    let path = |name: &str| dir.path().join(name).display().to_string();
    let tls = format!(
        "tls: {{ listen: [\"127.0.0.1:0\"], certificates: [{{ certificate: \"{}\", key: \"{}\" }}] }}",
        path("service.pem"),
        path("service.key")
    );
    let agrees =
        "routes: [{ name: yes, match: { path: /verify }, public: true, middleware: [respond: { status: 204 }] }]";
    let service = Gateway::start_with(&tls, agrees);
    let url = format!("https://{}", service.tls_addr());
    let other = Authority::new("authority");
    for (case, ca, status) in [("its own", &authority, 200), ("another of the same name", &other, 503)] {
        let ca = put(dir.path(), "ca.pem", &ca.pem).display().to_string();
        let gateway = gateway(&upstream, &url, &format!("timeout: 5s, ca_file: \"{ca}\","), "", false);
        assert_eq!(gateway.get("/x/y").await.0, status, "{case}");
    }
    let gateway = gateway(&upstream, &url, "timeout: 5s,", "", false);
    assert_eq!(gateway.get("/x/y").await.0, 503, "those of the system");
}

#[tokio::test]
async fn requests_wait_for_their_turn_and_not_for_ever() {
    let (upstream, service) = servers().await;
    service.behave(Behaviour::Hold);
    let gateway = gateway(&upstream, &service.url(), "max_concurrent: 1, timeout: 2s,", "", false);
    let ask = async || gateway.get("/x/y").await.0;
    let first = async {
        let held = async || service.arrived().len() == 1;
        testkit::eventually(PATIENCE, "a question", held).await.expect("asked");
        // While this one is held, the second waits; both are over when its time is.
        tokio::time::sleep(std::time::Duration::from_millis(100)).await;
        assert_eq!(service.arrived().len(), 1);
        service.let_go();
        service.let_go();
    };
    let (one, other, ()) = tokio::join!(ask(), ask(), first);
    assert!([one, other].contains(&200), "{one} {other}");
    assert!([one, other].iter().all(|status| [200, 503].contains(status)), "{one} {other}");
}
