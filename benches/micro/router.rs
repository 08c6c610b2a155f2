//! How long it takes to find a request's route among 10, 1,000 and 10,000 of them.
//!
//! Routes are of every kind: exact, with parameters, prefixes, and some of them only for one host. Each request that is
//! looked up is another one, in no order, as traffic is: what few routes gain by staying in the cache is part of it.
//! `found-with-conditions` has a second route beside every third, for requests with a certain header, which every second
//! request has; `found-by-regex` has three regular expressions behind everything else, which every request comes to.

use std::hint::black_box;
use std::net::IpAddr;

use criterion::{BenchmarkId, Criterion};
use gateway::config::file::MatchFile;
use gateway::config::pattern::{HostMatch, PathMatch};
use gateway::ctx::PeerAddr;
use gateway::router::{Asked, Conditions, MethodSet, Pattern, RouteMatch, Router, RouterBuilder};
use http::{HeaderMap, HeaderName, HeaderValue, Method};
use serde_json::json;

/// Requests that are looked up in turn: more than there are routes.
const REQUESTS: usize = 16_384;

/// One route, and a host and path that it takes.
struct Sample {
    host: Option<String>,
    pattern: String,
    asked: (String, String),
}

pub(crate) fn bench(criterion: &mut Criterion) -> anyhow::Result<()> {
    let headers = [usual_headers(false), usual_headers(true)];
    let mut group = criterion.benchmark_group("router");
    for count in [10, 1_000, 10_000] {
        let samples: Vec<Sample> = (0..count).map(sample).collect();
        let requests = Requests::scattered_over(&samples);
        for (name, extras) in [("found", Extras::None), ("found-with-conditions", Extras::Conditions)] {
            let router = router(&samples, extras)?;
            let found = |(turn, (host, path)): (usize, (&str, &str))| {
                let headers = headers.get(turn % 2)?;
                Some(matches!(router.find(&asked(host, path, headers)), RouteMatch::Route(_)))
            };
            for request in requests.iter().enumerate() {
                anyhow::ensure!(found(request) == Some(true), "{request:?}");
            }
            let mut turn = requests.iter().cycle().enumerate();
            group.bench_function(BenchmarkId::new(name, count), |bencher| bencher.iter(|| turn.next().map(found)));
        }
        for (name, extras, path) in
            [("none", Extras::None, "/no/such/thing"), ("found-by-regex", Extras::Regexes, "/v1/such/thing")]
        {
            let router = router(&samples, extras)?;
            let find =
                || matches!(router.find(&asked("www.example.com", black_box(path), &headers[0])), RouteMatch::Route(_));
            anyhow::ensure!(find() == (name != "none"), "{path}");
            group.bench_function(BenchmarkId::new(name, count), |bencher| bencher.iter(find));
        }
    }
    group.finish();
    Ok(())
}

fn asked<'r>(host: &'r str, path: &'r str, headers: &'r HeaderMap) -> Asked<'r> {
    let client = PeerAddr::new(IpAddr::from([192, 0, 2, 7])).into();
    Asked { host, path, method: &Method::GET, query: None, headers, client }
}

/// About what a browser sends.
fn usual_headers(is_beta: bool) -> HeaderMap {
    let usual = ["host", "user-agent", "accept", "accept-encoding", "accept-language", "cookie", "referer"];
    let names = usual.into_iter().chain(is_beta.then_some("x-beta")).map(HeaderName::from_static);
    names.map(|name| (name, HeaderValue::from_static("1"))).collect()
}

/// Hosts and paths, in one text in the order in which they are asked for: a gateway has just read what it looks up, so
/// that to fetch it from memory is no part of the cost.
struct Requests {
    text: String,
    /// Where each host ends, and its path.
    ends: Vec<(usize, usize)>,
}

impl Requests {
    fn scattered_over(samples: &[Sample]) -> Self {
        let mut requests = Self { text: String::new(), ends: Vec::new() };
        for sample in (0..REQUESTS).filter_map(|turn| samples.get(scattered(turn) % samples.len())) {
            requests.text += &sample.asked.0;
            let host = requests.text.len();
            requests.text += &sample.asked.1;
            requests.ends.push((host, requests.text.len()));
        }
        requests
    }

    fn iter(&self) -> impl Iterator<Item = (&str, &str)> + Clone {
        let begins = std::iter::once(0).chain(self.ends.iter().map(|(_, path)| *path));
        begins.zip(&self.ends).map(|(begin, (host, path))| (&self.text[begin..*host], &self.text[*host..*path]))
    }
}

/// What there is beside the samples.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Extras {
    None,
    Conditions,
    Regexes,
}

fn router(samples: &[Sample], extras: Extras) -> anyhow::Result<Router<usize>> {
    let mut router = RouterBuilder::default();
    let none = Conditions::default();
    let beta: MatchFile =
        serde_json::from_value(json!({ "path": "/", "headers": [{ "name": "X-Beta", "value": "1" }] }))?;
    let beta = Conditions::of(beta.conditions());
    let mut add = |hosts: &[HostMatch], path: &str, conditions: &Conditions, number: usize| -> anyhow::Result<()> {
        let path: PathMatch = path.parse()?;
        let methods = MethodSet::of(&[Method::GET, Method::POST]);
        router.add(&Pattern { hosts, path: &path, methods, conditions, priority: 0 }, &number);
        Ok(())
    };
    for (number, sample) in samples.iter().enumerate() {
        let host: Option<HostMatch> = sample.host.as_deref().map(str::parse).transpose()?;
        add(host.as_slice(), &sample.pattern, &none, number)?;
        if extras == Extras::Conditions && number % 3 == 0 {
            add(host.as_slice(), &sample.pattern, &beta, samples.len() + number)?;
        }
    }
    if extras == Extras::Regexes {
        for path in ["~^/v[0-9]+/.*$", r"~^/.*\.(png|jpg|svg)$", "~^/~[a-z]+(/.*)?$"] {
            add(&[], path, &none, samples.len())?;
        }
    }
    Ok(router.build()?)
}

/// Ten kinds in turn, and ten times as many services as there are of each.
fn sample(number: usize) -> Sample {
    let (service, kind) = (number / 10, number % 10);
    let any =
        |pattern: String, path: String| Sample { host: None, pattern, asked: ("www.example.com".to_owned(), path) };
    let at = |host: &str, asked: String, pattern: String, path: String| Sample {
        host: Some(host.to_owned()),
        pattern,
        asked: (asked, path),
    };
    match kind {
        0 => any(format!("/api/service-{service}/items"), format!("/api/service-{service}/items")),
        1 => any(format!("/api/service-{service}/items/{{id}}"), format!("/api/service-{service}/items/7f3a")),
        2 => any(
            format!("/api/service-{service}/items/{{id}}/parts"),
            format!("/api/service-{service}/items/7f3a/parts"),
        ),
        3 => any(format!("/api/service-{service}/health"), format!("/api/service-{service}/health")),
        4 => any(format!("/files/{service}/*"), format!("/files/{service}/2026/11/report.pdf")),
        5 => any(
            format!("/api/service-{service}/users/{{user}}/orders/{{order}}"),
            format!("/api/service-{service}/users/ann/orders/42"),
        ),
        6 => any(format!("/tenants/{{tenant}}/service-{service}"), format!("/tenants/acme/service-{service}")),
        7 => at(
            &format!("shop-{service}.example.com"),
            format!("shop-{service}.example.com"),
            "/cart".to_owned(),
            "/cart".to_owned(),
        ),
        8 => at(
            &format!("shop-{service}.example.com"),
            format!("shop-{service}.example.com"),
            "/products/{id}".to_owned(),
            "/products/9".to_owned(),
        ),
        _ => at(
            &format!("*.region-{service}.example.com"),
            format!("edge.region-{service}.example.com"),
            "/*".to_owned(),
            "/any/thing".to_owned(),
        ),
    }
}

/// Numbers in no order (Knuth's multiplicative hash).
const fn scattered(turn: usize) -> usize {
    turn.wrapping_mul(2_654_435_761) >> 7
}
