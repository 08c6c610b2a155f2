//! What is told and logged of requests that end before the proxy sees them.

use serde_json::Value;
use testkit::Upstream;

use crate::support::Gateway;

#[tokio::test]
async fn the_log_tells_how_long_a_head_took_and_what_was_answered() {
    let upstream = Upstream::start().await.expect("starts");
    let dir = tempfile::tempdir().expect("a directory");
    let log = dir.path().join("log");
    let routes = format!(
        "upstreams: {{ u: {{ targets: [\"{}\"] }} }}\n\
         routes: [{{ name: all, match: {{ path: \"/*\" }}, upstream: u, public: true }}]\n",
        upstream.url()
    );
    let gateway = Gateway::start_logging_with("header_timeout: 400ms", &log, &routes);
    let requests = [
        ("GET /slow HTTP/1.1\r\nHost: a\r\nX-Half", 408, "request_timed_out", 400.0),
        ("GET /malformed HTTP/1.1\r\nHost: a\r\nno header\r\n\r\n", 400, "malformed_request", 0.0),
        ("GET /chunks HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\nz", 400, "malformed_request", 0.0),
        ("POST /framing HTTP/1.1\r\nHost: a\r\nContent-Length: 1, 1\r\n\r\n", 400, "ambiguous_framing", 0.0),
        ("HEAD /head HTTP/1.1\r\nHost: a\r\nContent-Length: 1, 1\r\n\r\n", 400, "ambiguous_framing", 0.0),
    ];
    let mut sent = Vec::new();
    for (request, status, ..) in requests {
        let answer = gateway.raw(request.as_bytes()).await;
        let (head, body) = answer.split_once("\r\n\r\n").expect("an answer");
        assert!(head.starts_with(&format!("HTTP/1.1 {status} ")), "{head}");
        sent.push(body.len());
    }
    assert_eq!(sent[4], 0, "nobody asked for it");
    drop(gateway);
    let text = std::fs::read_to_string(&log).expect("a log");
    let lines: Vec<Value> = text.lines().map(|line| serde_json::from_str(line).expect("json")).collect();
    assert_eq!(lines.len(), requests.len(), "{text}");
    for ((line, sent), (request, status, rejected, at_least)) in lines.iter().zip(sent).zip(requests) {
        assert_eq!((&line["status"], &line["rejected"]), (&status.into(), &rejected.into()), "{request}");
        assert_eq!(line["bytes_out"], sent, "{request}");
        let duration = line["duration_ms"].as_f64().expect("a number");
        assert!(duration >= at_least, "{request}: {duration}");
    }
}
