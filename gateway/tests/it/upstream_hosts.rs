//! Which host upstreams are told that a request is for.

use std::collections::BTreeSet;
use std::sync::Arc;

use reqwest::Method;
use serde_json::Value;
use testkit::{Upstream, eventually};
use tokio::sync::Mutex;

use crate::support::http2::{Connection, Server, answer, request};
use crate::support::{Gateway, PATIENCE};

const H2C: &str = "h2c_listen: [\"127.0.0.1:0\"]";

/// A file whose one route leads to `url`, as `settings` say.
fn routes(url: &str, settings: &str) -> String {
    format!(
        "upstreams: {{ u: {{ targets: [\"{url}\"], {settings} }} }}\n\
         routes: [{{ name: all, match: {{ path: \"/*\" }}, upstream: u, public: true }}]\n"
    )
}

#[tokio::test]
async fn an_upstream_is_told_the_clients_host_its_own_or_always_the_same() {
    let upstream = Upstream::start().await.expect("starts");
    let own = upstream.addr().to_string();
    for (settings, told) in [
        ("", "shop.example"),
        ("host: preserve", "shop.example"),
        ("host: target", &*own),
        ("host: bucket.s3.example", "bucket.s3.example"),
        ("host: \"minio:9000\"", "minio:9000"),
    ] {
        let gateway = Gateway::start_with(H2C, &routes(&upstream.url(), settings));
        gateway.raw(b"GET /x HTTP/1.1\r\nHost: shop.example\r\nConnection: close\r\n\r\n").await;
        let arrived = upstream.arrived().pop().expect("a request");
        assert_eq!((arrived.header("host"), arrived.line()), (vec![told], "GET /x"), "{settings}");
        assert_eq!(arrived.header("x-forwarded-host"), ["shop.example"], "{settings}");
        // The client's own is no other where it comes over HTTP/2, nor where the path changes on its way.
        let mut client = Connection::open(gateway.h2c_addr()).await;
        assert_eq!(client.ask(request("GET", "/a/../y?z"), b"").await.expect("an answer").head.status, 200);
        let arrived = upstream.arrived().pop().expect("a request");
        let told = told.replace("shop.example", "a.example");
        assert_eq!((arrived.header("host"), arrived.line()), (vec![&*told], "GET /y?z"), "{settings}");
        assert_eq!(arrived.header("x-forwarded-host"), ["a.example"], "{settings}");
    }
}

#[tokio::test]
async fn a_client_that_names_no_host_does_not_change_what_the_upstream_is_told() {
    let upstream = Upstream::start().await.expect("starts");
    for (settings, told) in [("", upstream.addr().to_string()), ("host: a.example", "a.example".to_owned())] {
        let gateway = Gateway::start(&routes(&upstream.url(), settings));
        gateway.raw(b"GET /x HTTP/1.0\r\n\r\n").await;
        assert_eq!(upstream.arrived().pop().expect("a request").header("host"), [told]);
    }
}

#[tokio::test]
async fn an_upstream_of_http_2_is_told_it_as_its_authority() {
    let arrived = Arc::new(Mutex::new(String::new()));
    let kept = Arc::clone(&arrived);
    let upstream = Server::start(move |request, respond| {
        let kept = Arc::clone(&kept);
        async move {
            assert!(!request.headers().contains_key("host"), "HTTP/2 names it elsewhere");
            *kept.lock().await = request.uri().to_string();
            answer(respond, "ok");
        }
    })
    .await;
    let own = format!("{}/", upstream.url());
    for (host, told) in [("preserve", "http://a.example/"), ("target", &*own), ("b.example", "http://b.example/")] {
        let gateway = Gateway::start_with(H2C, &routes(&upstream.url(), &format!("protocol: http2, host: {host}")));
        let asked = gateway.request(Method::GET, "/").header("Host", "a.example").send().await.expect("an answer");
        assert_eq!((asked.status().as_u16(), &**arrived.lock().await), (200, told), "over HTTP/1.1");
        let mut client = Connection::open(gateway.h2c_addr()).await;
        client.ask(request("GET", "/"), b"").await.expect("an answer");
        assert_eq!(&**arrived.lock().await, told, "over HTTP/2");
    }
}

#[tokio::test]
async fn a_target_that_is_asked_after_another_and_a_probe_are_told_it_too() {
    let upstream = Upstream::start().await.expect("starts");
    let settings = |host: &str| format!("host: {host}, health_check: {{ path: /probe, interval: 1s }}");
    // Bound, so that nobody else comes to listen there.
    let nobody = tokio::net::TcpSocket::new_v4().expect("a socket");
    nobody.bind(std::net::SocketAddr::from(([127, 0, 0, 1], 0))).expect("a port");
    let both = format!("http://{}\", \"{}", nobody.local_addr().expect("an address"), upstream.url());
    let gateway = Gateway::start(&routes(&both, "host: target"));
    for _ in 0..2 {
        assert_eq!(gateway.get("/x").await.0, 200);
    }
    let own = upstream.addr().to_string();
    assert!(upstream.arrived().iter().all(|request| request.header("host") == [&*own]));
    for (host, told) in [("preserve", &*own), ("a.example", "a.example")] {
        let _gateway = Gateway::start(&routes(&upstream.url(), &settings(host)));
        let probed = async || {
            let arrived = upstream.arrived();
            arrived.iter().any(|request| request.line() == "GET /probe" && request.header("host") == [told])
        };
        eventually(PATIENCE, "a probe", probed).await.expect("comes");
    }
}

#[tokio::test]
async fn a_copy_is_told_what_its_own_upstream_is_told() {
    let (first, second) = (Upstream::start().await.expect("starts"), Upstream::start().await.expect("starts"));
    for (first_host, second_host, told, copy_told) in
        [("a.example", "preserve", "a.example", "shop.example"), ("preserve", "b.example", "shop.example", "b.example")]
    {
        let file = format!(
            "upstreams:\n  first: {{ targets: [\"{}\"], host: {first_host} }}\n  \
             second: {{ targets: [\"{}\"], host: {second_host} }}\n\
             routes: [{{ name: x, match: {{ path: /* }}, upstream: first, public: true, mirror: {{ upstream: second }} }}]\n",
            first.url(),
            second.url()
        );
        let gateway = Gateway::start(&file);
        let before = second.arrived().len();
        gateway.request(Method::GET, "/x").header("Host", "shop.example").send().await.expect("an answer");
        eventually(PATIENCE, "a copy", async || second.arrived().len() > before).await.expect("comes");
        assert_eq!(first.arrived().pop().expect("a request").header("host"), [told]);
        assert_eq!(second.arrived().pop().expect("a copy").header("host"), [copy_told]);
    }
}

#[tokio::test]
async fn two_names_of_one_address_are_each_told_their_own_where_that_is_what_is_told() {
    let upstream = Upstream::start().await.expect("starts");
    let own = upstream.addr().to_string();
    // Another way to write the same address, which has to be looked up.
    let other = format!("127.1:{}", upstream.addr().port());
    let both = format!("{}\", \"http://{other}", upstream.url());
    for (settings, told, shown) in [
        ("host: target", vec![&*other, &*own], vec![format!("{own} ({own})"), format!("{own} ({other})")]),
        ("host: a.example", vec!["a.example"], vec![own.clone()]),
    ] {
        let probed = "health_check: { path: /probe, interval: 1s }";
        let gateway = Gateway::start(&routes(&both, &format!("{settings}, {probed}")));
        let before = upstream.arrived().len();
        for _ in 0..4 {
            assert_eq!(gateway.get("/x").await.0, 200);
        }
        let hosts = |path: &str| -> BTreeSet<String> {
            let arrived = upstream.arrived();
            let asked = arrived[before..].iter().filter(|request| request.line() == path);
            asked.flat_map(|request| request.header("host")).map(str::to_owned).collect()
        };
        let told: BTreeSet<String> = told.into_iter().map(str::to_owned).collect();
        assert_eq!(hosts("GET /x"), told, "{settings}");
        eventually(PATIENCE, "probes", async || hosts("GET /probe").is_superset(&told)).await.expect("come to each");
        let (_, pools) = gateway.admin("/upstreams").await;
        let pools: Value = serde_json::from_str(&pools).expect("json");
        let targets = pools["u"].as_array().expect("targets").iter();
        let labels: Vec<&str> = targets.map(|target| target["target"].as_str().expect("a label")).collect();
        assert_eq!(labels, shown, "{settings}");
    }
}
