//! Who the gateway believes to be asking, on real connections.

use reqwest::Method;
use testkit::Upstream;

use crate::support::Gateway;

/// Two requests an hour for each client.
fn routes(upstream: &Upstream) -> String {
    format!(
        "rate_limits: {{ two: {{ scope: local, limit: 2, window: 1h, key: client_address }} }}\n\
         upstreams: {{ u: {{ targets: [\"{}\"] }} }}\n\
         middleware: [{{ rate_limit: {{ policies: [two] }} }}]\n\
         routes:\n\
         - {{ name: all, match: {{ path: \"/*\" }}, upstream: u, public: true }}\n\
         - {{ name: office, match: {{ path: /office, client: [192.0.2.0/24] }}, upstream: u, public: true }}\n\
         - {{ name: others, match: {{ path: /office, methods: [POST] }}, upstream: u, public: true }}\n",
        upstream.url()
    )
}

async fn status(gateway: &Gateway, path: &str, client: &str) -> u16 {
    let request = gateway.request(Method::GET, path).header("X-Forwarded-For", client);
    request.header("X-Request-Id", "from-the-proxy").send().await.expect("an answer").status().as_u16()
}

#[tokio::test]
async fn limits_count_the_clients_of_a_trusted_proxy_apart() {
    let upstream = Upstream::start().await.expect("starts");
    let gateway = Gateway::start_with("trusted_proxies: [127.0.0.1]", &routes(&upstream));
    for (client, expected) in [("192.0.2.1", 200), ("192.0.2.1", 200), ("192.0.2.1", 429), ("6.6.6.6, 192.0.2.1", 429)]
    {
        assert_eq!(status(&gateway, "/x", client).await, expected, "{client}");
    }
    assert_eq!(status(&gateway, "/x", "192.0.2.2").await, 200);
    let arrived = upstream.arrived().pop().expect("a request");
    assert_eq!(arrived.header("x-forwarded-for"), ["192.0.2.2, 127.0.0.1"]);
    assert_eq!(arrived.header("x-request-id"), ["from-the-proxy"]);
}

#[tokio::test]
async fn a_client_cannot_choose_by_which_address_it_is_counted() {
    let upstream = Upstream::start().await.expect("starts");
    let gateway = Gateway::start_with("trusted_proxies: [10.0.0.0/8]", &routes(&upstream));
    for (client, expected) in [("192.0.2.1", 200), ("192.0.2.2", 200), ("192.0.2.3", 429)] {
        assert_eq!(status(&gateway, "/x", client).await, expected);
    }
    let arrived = upstream.arrived().pop().expect("a request");
    assert_eq!(arrived.header("x-forwarded-for"), ["127.0.0.1"]);
    assert_ne!(arrived.header("x-request-id"), ["from-the-proxy"]);
}

#[tokio::test]
async fn whom_to_believe_changes_with_a_reload() {
    let upstream = Upstream::start().await.expect("starts");
    let gateway = Gateway::start(&routes(&upstream));
    let last = async || {
        assert_eq!(status(&gateway, "/x", "192.0.2.77").await, 200);
        upstream.arrived().pop().expect("a request").header("x-forwarded-for").join("|")
    };
    assert_eq!(last().await, "127.0.0.1");
    gateway.reload_with("trusted_proxies: ['127.0.0.0/8', '::1']", &routes(&upstream)).expect("reloads");
    assert_eq!(last().await, "192.0.2.77, 127.0.0.1");
}
