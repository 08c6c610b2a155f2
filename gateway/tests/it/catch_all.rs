//! A route for whatever no other takes, as the annotated file advises where that is to be limited too.

use reqwest::{Method, StatusCode};
use testkit::Upstream;

use crate::support::Gateway;

/// The routes that `conf/gateway.yaml` advises, each a line.
fn advised() -> Vec<&'static str> {
    let (_, behind) =
        include_str!("../../../conf/gateway.yaml").split_once("add these two routes").expect("the advice");
    let (advice, _) = behind.split_once("\nmiddleware:").expect("what is advised on");
    let routes: Vec<_> = advice.lines().filter_map(|line| line.strip_prefix("#   ")).collect();
    assert_eq!(routes.len(), 2, "{routes:?}");
    routes
}

/// A gateway that grants `limit` requests before a route of its own and `more` of them.
fn gateway(upstream: &Upstream, limit: u32, more: &[&str]) -> Gateway {
    Gateway::start(&format!(
        "rate_limits: {{ few: {{ scope: local, limit: {limit}, window: 1h, key: client_address }} }}\n\
         middleware: [rate_limit: {{ policies: [few] }}]\n\
         upstreams: {{ u: {{ targets: [\"{}\"] }} }}\n\
         routes:\n- {{ name: shop, match: {{ path: /shop, methods: [GET] }}, upstream: u, public: true }}\n{}\n",
        upstream.url(),
        more.join("\n")
    ))
}

async fn statuses(gateway: &Gateway) -> [StatusCode; 5] {
    let ask = async |method, path| gateway.request(method, path).send().await.expect("an answer").status();
    [
        ask(Method::GET, "/shop").await,
        ask(Method::GET, "/nowhere").await,
        ask(Method::DELETE, "/shop").await,
        ask(Method::GET, "/health").await,
        ask(Method::HEAD, "/health").await,
    ]
}

#[tokio::test]
async fn the_advised_routes_limit_what_no_other_takes_and_leave_health_to_be_asked_for() {
    use StatusCode as S;
    let upstream = Upstream::start().await.expect("starts");
    let both = advised();
    for (more, expected) in [
        (&[][..], [S::OK, S::NOT_FOUND, S::METHOD_NOT_ALLOWED, S::OK, S::OK]),
        (&both[..1], [S::OK, S::NOT_FOUND, S::NOT_FOUND, S::NOT_FOUND, S::NOT_FOUND]),
        (&both[..], [S::OK, S::NOT_FOUND, S::NOT_FOUND, S::OK, S::OK]),
    ] {
        assert_eq!(statuses(&gateway(&upstream, 100, more)).await, expected, "{more:?}");
    }
    let unlimited = gateway(&upstream, 1, &[]);
    let limited = gateway(&upstream, 1, &both);
    for (gateway, then) in [(unlimited, 404), (limited, 429)] {
        assert_eq!(gateway.get("/nowhere").await.0, 404);
        assert_eq!(gateway.get("/nowhere").await.0, then);
    }
}
