//! How long it takes to find a request's route among 10, 1,000 and 10,000 of them.
//!
//! Routes are of every kind: exact, with parameters, prefixes, and some of them only for one host. Each request that is
//! looked up is another one, in no order, as traffic is: what few routes gain by staying in the cache is part of it.

use std::hint::black_box;

use criterion::{BenchmarkId, Criterion};
use gateway::config::pattern::{HostPattern, PathPattern};
use gateway::router::{MethodSet, RouteMatch, Router};
use http::Method;

/// Requests that are looked up in turn: more than there are routes.
const REQUESTS: usize = 16_384;

/// One route, and a host and path that it takes.
struct Sample {
    host: Option<String>,
    pattern: String,
    asked: (String, String),
}

pub(crate) fn bench(criterion: &mut Criterion) -> anyhow::Result<()> {
    let mut group = criterion.benchmark_group("router");
    for count in [10, 1_000, 10_000] {
        let samples: Vec<Sample> = (0..count).map(sample).collect();
        let router = router(&samples)?;
        let requests = Requests::scattered_over(&samples);
        let found = |(host, path)| matches!(router.find(host, path, &Method::GET), RouteMatch::Route(_));
        for request in requests.iter() {
            anyhow::ensure!(found(request), "{request:?}");
        }
        let mut turn = requests.iter().cycle();
        group.bench_function(BenchmarkId::new("found", count), |bencher| bencher.iter(|| turn.next().map(found)));
        group.bench_function(BenchmarkId::new("none", count), |bencher| {
            bencher.iter(|| {
                matches!(router.find("www.example.com", black_box("/no/such/thing"), &Method::GET), RouteMatch::None)
            });
        });
    }
    group.finish();
    Ok(())
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

fn router(samples: &[Sample]) -> anyhow::Result<Router<usize>> {
    let mut router = Router::default();
    for (number, sample) in samples.iter().enumerate() {
        let host: Option<HostPattern> = sample.host.as_deref().map(str::parse).transpose()?;
        let path: PathPattern = sample.pattern.parse()?;
        router.add(host.as_slice(), &path, MethodSet::of(&[Method::GET, Method::POST]), &number);
    }
    Ok(router)
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
