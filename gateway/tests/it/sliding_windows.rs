//! Exact sliding windows through the whole gateway, here and in Redis.

use reqwest::Method;
use testkit::{Behaviour, RedisServer, Upstream, eventually};

use crate::support::{Gateway, PATIENCE};

#[tokio::test]
async fn a_window_counts_what_passed_and_what_turns_out_not_to_count_is_given_back() {
    let upstream = Upstream::start().await.expect("starts");
    let redis = RedisServer::start().await.expect("Redis");
    for scope in ["local", "redis"] {
        upstream.behave(Behaviour::Answer);
        let gateway = Gateway::start(&format!(
            "rate_limits:\n  failures: {{ scope: {scope}, algorithm: sliding_window, limit: 2, window: 1h, \
             key: client_address, only_statuses: [401] }}\n\
             redis: {{ host: 127.0.0.1, port: {}, timeout: 10s }}\n\
             upstreams: {{ u: {{ targets: [\"{}\"] }} }}\n\
             routes: [{{ name: a, match: {{ path: \"/a/*\" }}, upstream: u, public: true, \
             middleware: [{{ rate_limit: {{ policies: [failures] }} }}] }}]\n",
            redis.port(),
            upstream.url()
        ));
        let ask = async |expected: (u16, &str)| {
            let answer = gateway.request(Method::GET, "/a/").send().await.expect("an answer");
            let field = |name: &str| answer.headers()[name].to_str().expect("text");
            assert_eq!(field("ratelimit-policy"), r#""failures";q=2;w=3600"#);
            let left = field("ratelimit").split(';').nth(1).unwrap_or_default();
            assert_eq!((answer.status().as_u16(), left), expected, "{scope}");
        };
        for _ in 0..4 {
            ask((200, "r=1")).await;
            // Redis is told a little later.
            eventually(PATIENCE, "it is given back", async || {
                let mut connection = redis.connect().await.expect("a connection");
                let keys: Vec<String> =
                    redis::cmd("KEYS").arg("*:limit:*").query_async(&mut connection).await.expect("keys");
                keys.is_empty()
            })
            .await
            .expect("in time");
        }
        upstream.behave(Behaviour::Say("HTTP/1.1 401 Unauthorized\r\nContent-Length: 0\r\n\r\n"));
        ask((401, "r=1")).await;
        ask((401, "r=0")).await;
        ask((429, "r=0")).await;
    }
}
