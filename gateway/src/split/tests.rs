//! How requests are shared out, and who stays where.

use std::collections::BTreeMap;

use super::*;
use crate::config::file::UpstreamFile;
use crate::upstream::PoolMetrics;

/// A split over upstreams with these names and weights, as `more` says.
async fn split(weights: &[(&str, u32)], more: &str) -> Split {
    let file: UpstreamFile = serde_json::from_str(r#"{"targets": ["http://127.0.0.1:1"]}"#).expect("an upstream");
    let counter = || IntCounter::new("requests", "requests").expect("a counter");
    let mut shares = Vec::new();
    for (name, weight) in weights {
        let metrics = PoolMetrics::new(name).expect("series");
        let pool = Pool::start(name, &file, None, metrics, &tokio::runtime::Handle::current()).await;
        shares.push(Share::new(Arc::new(pool), *weight, counter()));
    }
    let file: SplitFile = serde_json::from_str(&format!(r#"{{"upstreams": [] {more}}}"#)).expect("a split");
    Split::new(&file, shares)
}

const KEYS: u64 = 20_000;

/// Where the client of each key goes.
fn all(split: &Split) -> Vec<String> {
    let of = |key: u64| split.drawn(hash(&key.to_be_bytes())).map(|share| share.pool.name().to_owned());
    (0..KEYS).map(|key| of(key).expect("an upstream")).collect()
}

fn counted(all: &[String]) -> BTreeMap<&str, f64> {
    let mut counted = BTreeMap::new();
    for name in all {
        *counted.entry(name.as_str()).or_insert(0.0) += 1.0;
    }
    counted
}

/// Whether `count` of [`KEYS`] is `share`, within five standard deviations.
fn is_share(count: f64, share: f64) -> bool {
    let keys = KEYS as f64;
    (count - keys * share).abs() <= 5.0 * (keys * share * (1.0 - share)).sqrt()
}

#[tokio::test]
async fn each_upstream_gets_its_share() {
    for weights in [&[("stable", 95), ("canary", 5)][..], &[("a", 1), ("b", 1), ("c", 2)], &[("a", 999_999), ("b", 1)]]
    {
        let split = split(weights, "").await;
        let (all, total) = (all(&split), weights.iter().map(|(_, weight)| f64::from(*weight)).sum::<f64>());
        let counted = counted(&all);
        for (name, weight) in weights {
            let count = counted.get(name).copied().unwrap_or_default();
            assert!(is_share(count, f64::from(*weight) / total), "{weights:?}: {counted:?}");
        }
    }
}

#[tokio::test]
async fn a_changed_weight_moves_only_the_share_that_changed() {
    let before = all(&split(&[("stable", 95), ("canary", 5)], "").await);
    let after = all(&split(&[("canary", 10), ("stable", 90)], "").await);
    let moved: Vec<_> = before.iter().zip(&after).filter(|(before, after)| before != after).collect();
    assert!(moved.iter().all(|(before, _)| *before == "stable"), "nobody goes back");
    assert!(is_share(moved.len() as f64, 0.05), "{}", moved.len());
    let third = all(&split(&[("stable", 90), ("canary", 10), ("other", 0)], "").await);
    assert_eq!(third, after, "and who has none gets none");
    let doubled = all(&split(&[("stable", 180), ("canary", 20)], "").await);
    assert_eq!(doubled, after, "only shares count");
}

#[tokio::test]
async fn an_upstream_that_goes_takes_nobody_elses_with_it() {
    let before = all(&split(&[("a", 1), ("b", 1), ("c", 1)], "").await);
    let after = all(&split(&[("a", 1), ("b", 0), ("c", 1)], "").await);
    assert!(before.iter().zip(&after).all(|(before, after)| before == after || before == "b"));
    assert!(!after.iter().any(|name| name == "b"));
}
