//! Which versions of HTTP are spoken, with clients and with upstreams.

use super::*;

fn upstream(settings: &str) -> String {
    report(&format!(
        "upstreams: {{ up: {{ {settings} }} }}\n\
         routes: [{{ name: all, match: {{ path: /* }}, upstream: up, public: true }}]\n"
    ))
}

#[test]
fn an_upstream_says_what_it_speaks_in_words_that_belong_together() {
    for good in [
        "targets: ['http://a:1']",
        "targets: ['http://a:1'], protocol: http1",
        "targets: ['http://a:1'], protocol: http2, max_concurrent_streams: 1",
        "targets: ['https://a:1'], protocol: auto, max_concurrent_streams: 10000",
        "targets: ['http://a:1'], protocol: http2, ping_interval: 1s",
        "targets: ['http://a:1'], protocol: http2, ping_interval: 0s",
        "targets: ['https://a:1', 'http://b:1'], protocol: auto",
        "targets: ['http://a:1'], host: target",
        "targets: ['http://a:1'], host: 'b.example:8080'",
    ] {
        assert_eq!(upstream(good), "", "{good}");
    }
    for (bad, expected) in [
        ("protocol: h2", "upstreams.up.protocol: `h2` is none of `http1`, `http2`, `auto`"),
        ("host: preserv", "upstreams.up.host: `preserv`: write `preserve` (what the client named), `target` (what"),
        ("host: '*.example.com'", "upstreams.up.host: `*.example.com`: a host is a name or an address"),
        ("protocol: auto", "upstreams.up.protocol: no target speaks TLS, in whose handshake it would choose"),
        ("max_concurrent_streams: 5", "upstreams.up.max_concurrent_streams: HTTP/1.1 has no streams"),
        ("ping_interval: 5m", "upstreams.up.ping_interval: HTTP/1.1 has no pings; add `protocol: http2`"),
        ("protocol: http2, ping_interval: 999ms", "upstreams.up.ping_interval: `999ms` is not between 1s and 1h"),
        ("protocol: http2, ping_interval: 2h", "upstreams.up.ping_interval: `2h` is not between 1s and 1h"),
        (
            "protocol: http2, max_concurrent_streams: 0",
            "upstreams.up.max_concurrent_streams: `0` is no whole number from 1 to 10000",
        ),
    ] {
        let problems = upstream(&format!("targets: ['http://a:1'], {bad}"));
        assert!(problems.contains(expected) && problems.ends_with("1 problem"), "{bad}: {problems}");
    }
}

#[test]
fn what_a_client_may_do_on_a_connection_is_bounded() {
    let server = |settings: &str| report(&with(&format!("server: {{ {settings} }}")));
    let good = "h2c_listen: ['127.0.0.1:8081'], keepalive_request_limit: 1, \
                http2: { max_concurrent_streams: 1, max_pending_resets: 1, max_stream_errors: 1 }";
    assert_eq!(server(good), "");
    for (bad, expected) in [
        (
            "h2c_listen: ['0.0.0.0:8080']",
            "server.h2c_listen[0]: 0.0.0.0:8080 cannot be listened on beside 0.0.0.0:8080",
        ),
        ("h2c_listen: ['127.0.0.1:9090']", "server.h2c_listen[0]: 127.0.0.1:9090 is the admin address"),
        ("keepalive_request_limit: 0", "server.keepalive_request_limit: `0` is no whole number from 1 to"),
        (
            "http2: { max_concurrent_streams: 0 }",
            "server.http2.max_concurrent_streams: `0` is no whole number from 1 to 10000",
        ),
        (
            "http2: { max_pending_resets: 10001 }",
            "server.http2.max_pending_resets: `10001` is no whole number from 1 to 10000",
        ),
        ("http2: { max_stream_errors: 0 }", "server.http2.max_stream_errors: `0` is no whole number from 1 to 100000"),
        ("http2: { max_streams: 5 }", "server.http2.max_streams: unknown key"),
    ] {
        let problems = server(bad);
        assert!(problems.contains(expected) && problems.ends_with("1 problem"), "{bad}: {problems}");
    }
}
