//! What operators are told of requests, in the log and in the metrics, and that `docs/observability.md` says all of it.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use regex::Regex;
use reqwest::Method;
use serde_json::{Value, json};
use testkit::Upstream;

use crate::support::{Gateway, token};

/// A gateway that writes its lines to a file, which are all there once it has stopped.
struct Logging {
    gateway: Gateway,
    directory: tempfile::TempDir,
}

impl Logging {
    fn start(yaml: &str) -> Self {
        let directory = tempfile::tempdir().expect("a directory");
        let gateway = Gateway::start_logging(&directory.path().join("access.log"), yaml);
        Self { gateway, directory }
    }

    /// Stops it, and gives what it has written.
    fn lines(self) -> Vec<Value> {
        drop(self.gateway);
        let text = std::fs::read_to_string(self.directory.path().join("access.log")).expect("a log");
        text.lines().map(|line| serde_json::from_str(line).expect("json")).collect()
    }
}

fn upstreams(upstream: &Upstream) -> String {
    format!("upstreams: {{ u: {{ targets: [\"{}\"] }} }}\n", upstream.url())
}

/// A body without what is another for each request.
fn without_id(body: &str) -> Value {
    let mut problem: Value = serde_json::from_str(body).expect("a problem document");
    problem["request_id"] = Value::Null;
    problem
}

#[tokio::test]
async fn operators_hear_why_a_token_was_refused_and_its_client_does_not() {
    let upstream = Upstream::start().await.expect("starts");
    let own =
        "routes: [{ name: own, match: { path: \"/own\" }, upstream: u, middleware: [{ jwt: { provider: us } }] }]\n";
    let logging = Logging::start(&format!("{}{own}", upstreams(&upstream)));
    let with = |claim: &str, value: Value| token(|claims| claims[claim] = value);
    let good = token(|_| {});
    let (signed, _) = good.rsplit_once('.').expect("a signature");
    let cases = [
        (with("exp", json!(1000)), "expired"),
        (with("nbf", json!(4_000_000_000_u64)), "not_yet_valid"),
        (with("iss", json!("them")), "other_issuer"),
        (with("aud", json!("them")), "other_audience"),
        (with("sub", json!("a\r\nX-Admin: 1")), "claim_is_no_header"),
        (format!("{signed}.{}", "A".repeat(43)), "bad_signature"),
        ("hush".to_owned(), "no_jws"),
    ];
    let mut told = Vec::new();
    for (token, _) in &cases {
        let answer = logging.gateway.request(Method::GET, "/own").bearer_auth(token).send().await.expect("an answer");
        assert_eq!(answer.status(), 401);
        let challenge = answer.headers()["www-authenticate"].clone();
        told.push((challenge, without_id(&answer.text().await.expect("a body"))));
    }
    assert!(told.iter().all(|answer| *answer == told[0]), "one answer for all: {told:?}");
    let twice = logging.gateway.request(Method::GET, "/own").bearer_auth(&good).bearer_auth(&good);
    assert_eq!(twice.send().await.expect("an answer").status(), 401);
    assert_eq!(logging.gateway.request(Method::GET, "/own").send().await.expect("an answer").status(), 401);
    let counted = async |reason: &str| {
        let series = format!(r#"gateway_rejection_reasons_total{{code="invalid_token",reason="{reason}"}}"#);
        logging.gateway.metric(&series).await
    };
    assert_eq!(counted("expired").await, Some(1.0));
    assert_eq!(counted("several_tokens").await, Some(1.0));
    assert_eq!(counted("revoked").await, None);
    let lines = logging.lines();
    let reasons = cases.iter().map(|(_, reason)| json!(reason)).chain([json!("several_tokens"), Value::Null]);
    assert_eq!(lines.iter().map(|line| line["reason"].clone()).collect::<Vec<_>>(), reasons.collect::<Vec<_>>());
    assert!(lines.iter().all(|line| !line.to_string().contains("hush")), "{lines:?}");
}

#[tokio::test]
async fn operators_hear_where_a_request_is_no_http() {
    let upstream = Upstream::start().await.expect("starts");
    let own = "routes: [{ name: own, match: { path: \"/own\" }, upstream: u, public: true }]\n";
    let logging = Logging::start(&format!("{}{own}", upstreams(&upstream)));
    let cases = [
        ("GET /own HTTP/1.1\r\nHost: a\r\nX Y: z\r\n\r\n", "malformed_request", "header_name"),
        ("GET /own HTTP/1.1\nHost: a\n\n", "malformed_request", "line_end"),
        ("GET /own HTTP/1.1\r\nHost: a\r\nContent-Length: +1\r\n\r\n", "ambiguous_framing", "content_length"),
        ("POST /own HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\nx\r\n", "malformed_request", "chunks"),
        ("GET /a%2fb HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n", "bad_path", "encoded_slash"),
    ];
    for (bytes, code, reason) in cases {
        let answer = logging.gateway.raw(bytes.as_bytes()).await;
        assert!(answer.starts_with("HTTP/1.1 400 ") && answer.contains(code), "{answer}");
        assert!(!answer.contains(&format!("\"{reason}\"")), "{answer}");
        let series = format!(r#"gateway_rejection_reasons_total{{code="{code}",reason="{reason}"}}"#);
        assert_eq!(logging.gateway.metric(&series).await, Some(1.0), "{series}");
    }
    let lines = logging.lines();
    let told: Vec<_> = lines.iter().map(|line| (line["rejected"].as_str(), line["reason"].as_str())).collect();
    assert_eq!(told, cases.map(|(_, code, reason)| (Some(code), Some(reason))));
}

#[tokio::test]
async fn a_refused_quota_names_its_policy_and_what_stood_in_for_redis_is_told_beside_it() {
    let upstream = Upstream::start().await.expect("starts");
    let policy = "limit: 1, window: 1h, key: client_address";
    let limits = format!(
        "redis: {{ host: 127.0.0.1, port: 1 }}\nrate_limits:\n  here: {{ scope: local, {policy} }}\n  \
         there: {{ scope: redis, {policy}, on_redis_failure: local_share }}\n  closed: {{ scope: redis, {policy}, on_redis_failure: closed }}\n  \
         tenants: {{ scope: local, limit: 9, window: 1h, key: header.x-tenant, missing_key: refuse }}\n"
    );
    let route = |policy: &&str| {
        format!(
            "  - {{ name: {policy}, match: {{ path: /{policy} }}, upstream: u, public: true, middleware: [{{ rate_limit: {{ \
             policies: [{policy}] }} }}] }}\n"
        )
    };
    let routes: String = ["here", "there", "closed", "tenants"].iter().map(route).collect();
    let logging = Logging::start(&format!("{limits}{}routes:\n{routes}", upstreams(&upstream)));
    for (path, status) in
        [("/here", 200), ("/here", 429), ("/there", 200), ("/there", 429), ("/closed", 503), ("/tenants", 400)]
    {
        assert_eq!(logging.gateway.get(path).await.0, status, "{path}");
    }
    let lines = logging.lines();
    let told: Vec<_> = lines.iter().map(|line| (line["limited_by"].as_str(), line["limit_mode"].as_str())).collect();
    assert_eq!(
        told,
        [
            (None, None),
            (Some("here"), None),
            (None, Some("local_share")),
            (Some("there"), Some("local_share")),
            (Some("closed"), Some("closed")),
            (Some("tenants"), None),
        ]
    );
}

#[tokio::test]
async fn the_time_of_the_upstream_is_told_apart_from_that_of_the_client_and_of_connecting() {
    let upstream = Upstream::start().await.expect("starts");
    let routes = "routes: [{ name: own, match: { path: \"/own\" }, upstream: u, public: true }]\n";
    let logging = Logging::start(&format!("{}{routes}", upstreams(&upstream)));
    assert_eq!(logging.gateway.get("/own").await.0, 200);
    assert_eq!(logging.gateway.get("/own").await.0, 200);
    assert_eq!(logging.gateway.get("/elsewhere").await.0, 404);
    let count = async |name: &str| {
        logging.gateway.metric(&format!(r#"gateway_upstream_{name}_duration_seconds_count{{upstream="u"}}"#)).await
    };
    assert_eq!((count("connect").await, count("response").await), (Some(1.0), Some(2.0)));
    let lines = logging.lines();
    let there = |key: &str| lines.iter().map(|line| line.get(key).is_some()).collect::<Vec<_>>();
    assert_eq!(there("upstream_ms"), [true, true, false], "{lines:?}");
    assert_eq!(there("connect_ms"), [true, false, false], "the second request has found a connection");
    for line in &lines[..2] {
        let millis = |key: &str| line[key].as_f64().unwrap_or_default();
        assert!(millis("upstream_ms") + millis("connect_ms") <= millis("duration_ms"), "{line}");
    }
}

/// The page, by its sections.
fn page() -> BTreeMap<String, String> {
    let text = std::fs::read_to_string(root().join("docs/observability.md")).expect("the page");
    let sections = text.split("\n## ").skip(1);
    sections
        .filter_map(|section| section.split_once('\n'))
        .map(|(name, text)| (name.to_owned(), text.to_owned()))
        .collect()
}

/// The cells of the tables in `section`, but for their heads.
fn rows(section: &str) -> impl Iterator<Item = Vec<&str>> {
    let rows = section.lines().filter_map(|line| line.strip_prefix('|')?.strip_suffix('|'));
    rows.filter(|row| row.contains('`')).map(|row| row.split('|').map(str::trim).collect())
}

/// What stands between backticks.
fn words(cell: &str) -> impl Iterator<Item = String> {
    cell.split('`').skip(1).step_by(2).map(str::to_owned)
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

/// The texts of every source below `directory` that is no test.
fn sources(directory: &str) -> Vec<String> {
    let (mut texts, mut left) = (Vec::new(), vec![root().join(directory)]);
    while let Some(path) = left.pop() {
        let is_test = path.file_name().is_some_and(|name| name == "tests" || name == "tests.rs");
        if path.is_dir() && !is_test {
            left.extend(std::fs::read_dir(&path).expect("reads").map(|entry| entry.expect("an entry").path()));
        } else if path.extension().is_some_and(|extension| extension == "rs") && !is_test {
            let text = std::fs::read_to_string(&path).expect("reads");
            texts.push(text.split("#[cfg(test)]\nmod tests").next().unwrap_or_default().to_owned());
        }
    }
    texts
}

/// What the groups of `pattern` find in `texts`, with a blank between them.
fn found(pattern: &str, texts: &[String]) -> BTreeSet<String> {
    let pattern = Regex::new(pattern).expect("a pattern");
    let words = |captures: regex::Captures<'_>| {
        let groups = captures.iter().skip(1).flatten().map(|group| group.as_str());
        groups.collect::<Vec<_>>().join(" ")
    };
    texts.iter().flat_map(|text| pattern.captures_iter(text).map(words).collect::<Vec<_>>()).collect()
}

#[test]
fn the_page_names_every_field_of_the_access_log_and_no_other() {
    let line = std::fs::read_to_string(root().join("gateway/src/access_log/line.rs")).expect("reads");
    let line = line.split("#[cfg(test)]").next().expect("a beginning").to_owned();
    let written = found(r#"\\"([a-z_]+)\\":"#, &[line]);
    assert!(written.len() > 20 && written.contains("timestamp"), "{written:?}");
    let documented: BTreeSet<_> =
        rows(&page()["The access log"]).flat_map(|row| words(row[0]).collect::<Vec<_>>()).collect();
    assert_eq!(documented, written);
}

#[test]
fn the_page_names_every_series_and_no_other() {
    let page = page();
    let documented = |section: &str| -> BTreeSet<_> {
        rows(&page[section]).flat_map(|row| words(row[0]).collect::<Vec<_>>()).collect()
    };
    let made = found(r#""(gateway_[a-z0-9_]+)""#, &sources("gateway/src"));
    assert!(made.len() > 40, "{made:?}");
    assert_eq!(documented("The gateway's metrics"), made);
    let services = ["common/src/auth", "common/src/service", "services"].map(sources).concat();
    let made = found(r#"(?:Opts::new|Gauge::new|Counter::new)\(\s*"([a-z_]+)""#, &services);
    assert_eq!(documented("The services' metrics"), made);
}

#[test]
fn the_page_names_every_code_with_its_status_every_reason_and_no_other() {
    let page = page();
    let reply = std::fs::read_to_string(root().join("gateway/src/reply.rs")).expect("reads");
    let made = found(r#"\(\s*S::([A-Z_]+),\s*"([a-z0-9_]+)""#, &[reply]);
    assert!(made.len() > 35, "{made:?}");
    let mut documented = BTreeSet::new();
    for row in rows(&page["Codes"]) {
        let name = match row[1].parse::<u16>() {
            Ok(status) => status_name(status),
            // A connection has none.
            Err(_) => continue,
        };
        documented.extend(words(row[0]).map(|code| format!("{name} {code}")));
    }
    assert_eq!(documented, made);
    let http2 = std::fs::read_to_string(root().join("gateway/src/server/http2.rs")).expect("reads");
    let abuse = found(r#"const ABUSE: &str = "([a-z0-9_]+)""#, &[http2]);
    let without: BTreeSet<_> =
        rows(&page["Codes"]).filter(|row| row[1] == "–").flat_map(|row| words(row[0]).collect::<Vec<_>>()).collect();
    assert_eq!(without, abuse);

    let reasons = std::fs::read_to_string(root().join("gateway/src/reply/reason.rs")).expect("reads");
    let reasons = reasons.split("#[cfg(test)]\nmod tests").next().expect("a beginning").to_owned();
    let made = found(r#"(?:=|=>) "([a-z0-9_]+)","#, &[reasons]);
    assert!(made.len() > 40, "{made:?}");
    let documented: BTreeSet<_> = rows(&page["Reasons"]).flat_map(|row| words(row[1]).collect::<Vec<_>>()).collect();
    assert_eq!(documented, made);
}

#[test]
fn the_page_names_every_code_of_the_services_and_no_other() {
    let services = ["common/src/service", "services"].map(sources).concat();
    let pattern = r#"(?:bad_request|unauthorized|not_found|conflict|unavailable|new)\(\s*(?:StatusCode::[A-Z_]+,\s*)?"([a-z_]+)",\s*[A-Za-z&"(]"#;
    let mut made = found(pattern, &services);
    // Of all that `new` makes, only a problem has a status before its code.
    let others = found(r#"[a-zA-Z]+::new\(\s*"([a-z_]+)","#, &services);
    made.retain(|code| !others.contains(code));
    let page = page();
    let documented: BTreeSet<_> = rows(&page["The services' codes"])
        .flat_map(|row| words(row[0]).collect::<Vec<_>>())
        .filter(|code| code != "errors")
        .collect();
    assert_eq!(documented, made);
}

fn status_name(status: u16) -> String {
    let status = reqwest::StatusCode::from_u16(status).expect("a status");
    status.canonical_reason().expect("a name").to_uppercase().replace([' ', '-'], "_")
}

#[tokio::test]
async fn every_series_that_is_shown_has_the_type_and_the_labels_of_the_page() {
    let upstream = Upstream::start().await.expect("starts");
    let yaml = format!(
        "redis: {{ host: 127.0.0.1, port: 1 }}\n\
         rate_limits:\n  here: {{ scope: local, limit: 1, window: 1h, key: client_address }}\n  \
         leased: {{ scope: leased, limit: 100, window: 1h, key: client_address }}\n  \
         at-once: {{ scope: local, algorithm: in_flight, limit: 5, key: client_address }}\n\
         upstreams:\n  u: {{ targets: [\"{url}\"] }}\n  v: {{ targets: [\"{url}\"] }}\nroutes:\n  \
         - {{ name: own, match: {{ path: /own }}, upstream: u, middleware: [{{ jwt: {{ provider: us }} }}], mirror: {{ upstream: v }} }}\n  \
         - {{ name: limited, match: {{ path: /limited }}, public: true, split: {{ upstreams: [{{ name: u, weight: 1 }}, {{ name: v, weight: 0 }}] }}, \
         middleware: [{{ rate_limit: {{ policies: [here, leased, at-once] }} }}] }}\n",
        url = upstream.url()
    );
    let gateway = Gateway::start(&yaml);
    let own = async |token: String| {
        let answer = gateway.request(Method::GET, "/own").bearer_auth(token).send().await.expect("an answer");
        answer.status().as_u16()
    };
    assert_eq!(own(token(|_| {})).await, 200);
    assert_eq!(own(token(|claims| claims["exp"] = json!(1))).await, 401);
    assert_eq!(gateway.get("/limited").await.0, 200);
    assert_eq!(gateway.get("/limited").await.0, 429);
    let (_, shown) = gateway.admin("/metrics").await;
    let page = page();
    let documented: BTreeMap<String, (String, BTreeSet<String>)> = rows(&page["The gateway's metrics"])
        .map(|row| (words(row[0]).collect(), (row[1].to_owned(), words(row[2]).collect())))
        .collect();
    let mut seen = BTreeSet::new();
    let mut family = "";
    let label = Regex::new(r#"([a-z_]+)=""#).expect("a pattern");
    for line in shown.lines() {
        if let Some((name, kind)) = line.strip_prefix("# TYPE ").and_then(|rest| rest.split_once(' ')) {
            family = name;
            if name.starts_with("process_") {
                continue;
            }
            let (documented, _) = documented.get(name).unwrap_or_else(|| panic!("{name} is not on the page"));
            assert_eq!(documented, kind, "{name}");
            seen.insert(name.to_owned());
        } else if let Some((_, labels)) = line.split_once('{').filter(|_| !line.starts_with('#')) {
            let labels = labels.split_once('}').map_or("", |(labels, _)| labels);
            let names: BTreeSet<_> = label.captures_iter(labels).map(|found| found[1].to_owned()).collect();
            let names: BTreeSet<_> = names.into_iter().filter(|name| name != "le").collect();
            assert_eq!(names, documented[family].1, "{line}");
        }
    }
    assert!(seen.len() > 25, "{seen:?}");
}
