//! What routes are chosen by beside host, path and method, on real connections.

use reqwest::{Client, Method, StatusCode};
use testkit::Upstream;

use crate::support::{Gateway, code};

/// A route for each of two upstreams, of which the second is the special one.
fn canary(stable: &Upstream, canary: &Upstream, matches: &str) -> String {
    format!(
        "upstreams: {{ stable: {{ targets: [\"{}\"] }}, canary: {{ targets: [\"{}\"] }} }}\n\
         routes:\n\
         - {{ name: stable, match: {{ path: \"/*\" }}, upstream: stable, public: true }}\n\
         - {{ name: canary, match: {{ {matches} }}, upstream: canary, public: true }}\n",
        stable.url(),
        canary.url()
    )
}

#[tokio::test]
async fn headers_queries_and_cookies_choose_the_upstream() {
    for (matches, path, header) in [
        ("path: /*, headers: [{ name: X-Beta, value: '1' }]", "/x", Some(("X-Beta", "1"))),
        ("path: /*, query: [{ name: beta, regex: 'y.*' }]", "/x?a=b&beta=%79es", None),
        ("path: /*, cookies: [{ name: beta, present: true }]", "/x", Some(("Cookie", "a=b; beta=1"))),
        ("path: '~^/(?<shop>[a-z]+)-shop/.*$' | priority: 1", "/sweet-shop/7", None),
        ("path: /only-canary, methods: [GET]", "/only-canary", None),
    ] {
        let (stable, special) = (Upstream::start().await.expect("starts"), Upstream::start().await.expect("starts"));
        let (matches, more) = matches.split_once(" | ").unwrap_or((matches, ""));
        let file =
            canary(&stable, &special, matches).replace("upstream: canary,", &format!("upstream: canary, {more},"));
        let gateway = Gateway::start(&file.replace(", ,", ","));
        assert_eq!(gateway.get("/other").await.0, 200);
        let mut request = gateway.request(Method::GET, path);
        if let Some((name, value)) = header {
            request = request.header(name, value);
        }
        assert_eq!(request.send().await.expect("an answer").status(), StatusCode::OK);
        assert_eq!((stable.arrived().len(), special.arrived().len()), (1, 1), "{matches}");
    }
}

#[tokio::test]
async fn a_regex_takes_hosts_of_any_case_and_whole_hosts_only() {
    let (stable, special) = (Upstream::start().await.expect("starts"), Upstream::start().await.expect("starts"));
    let gateway =
        Gateway::start(&canary(&stable, &special, r"path: /*, hosts: ['~^(?<tenant>[a-z]+)\.example\.com$']"));
    for (host, is_special) in
        [("Acme.Example.com:80", true), ("acme.example.com.evil", false), ("a1.example.com", false)]
    {
        let before = special.arrived().len();
        gateway.raw(format!("GET / HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n").as_bytes()).await;
        assert_eq!(special.arrived().len() > before, is_special, "{host}");
    }
}

#[tokio::test]
async fn a_route_for_some_clients_is_not_there_for_others() {
    let upstream = Upstream::start().await.expect("starts");
    let file = |client: &str| {
        format!(
            "upstreams: {{ u: {{ targets: [\"{}\"] }} }}\n\
             routes: [{{ name: inside, match: {{ path: /x, methods: [GET], client: [{client}] }}, upstream: u, public: true }}]\n",
            upstream.url()
        )
    };
    let gateway = Gateway::start(&file("127.0.0.0/8"));
    assert_eq!(gateway.get("/x").await.0, 200);
    let post = gateway.request(Method::POST, "/x").send().await.expect("an answer");
    assert_eq!(post.status(), StatusCode::METHOD_NOT_ALLOWED);
    gateway.reload(&file("10.0.0.0/8")).expect("reloads");
    let (status, body) = gateway.get("/x").await;
    assert_eq!((status, code(&body).as_str()), (404, "no_route"));
    let post = gateway.request(Method::POST, "/x").send().await.expect("an answer");
    assert_eq!(post.status(), StatusCode::NOT_FOUND, "nobody outside is told what there is inside");
}

#[tokio::test]
async fn contradicting_proxies_are_answered_with_a_problem() {
    let upstream = Upstream::start().await.expect("starts");
    let file = format!(
        "upstreams: {{ u: {{ targets: [\"{}\"] }} }}\n\
         routes: [{{ name: all, match: {{ path: \"/*\" }}, upstream: u, public: true }}]\n",
        upstream.url()
    );
    let gateway = Gateway::start_with("trusted_proxies: [127.0.0.1]", &file);
    let ask = async |client: &Client| {
        let url = format!("http://{}/x", gateway.addr());
        let request = client.get(url).header("Forwarded", "for=192.0.2.1").header("X-Forwarded-For", "192.0.2.2");
        let answer = request.send().await.expect("an answer");
        (answer.status(), code(&answer.text().await.expect("a body")))
    };
    let client = Client::builder().no_proxy().build().expect("a client");
    assert_eq!(ask(&client).await, (StatusCode::BAD_REQUEST, "ambiguous_client".to_owned()));
    assert!(upstream.arrived().is_empty());
}
