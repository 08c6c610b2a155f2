//! Which members a pool has, for what its names lead to.

use serde_json::{Value, json};

use super::*;
use crate::config::pattern::UpstreamHost;

/// A look-up of `urls` in a pool that is otherwise as `file` says.
fn discovery(urls: &[&str], mut file: Value, members: &Arc<Members>, failures: &Arc<Failures>) -> Discovery {
    file["targets"] = json!([]);
    let file = serde_json::from_value(file).expect("an upstream");
    let urls = urls.iter().map(|url| url.parse().expect("url")).collect();
    Discovery::new("u", urls, &file, None, Arc::clone(members), Arc::clone(failures))
}

async fn found(discovery: &Discovery) -> BTreeSet<Backend> {
    discovery.discover().await.expect("members").0
}

#[tokio::test]
async fn a_host_that_cannot_be_looked_up_takes_no_other_with_it() {
    let failures = Arc::default();
    let urls = ["http://127.0.0.1:1", "http://nowhere.invalid:1"];
    let discovery = discovery(&urls, json!({}), &Arc::default(), &failures);
    assert_eq!(found(&discovery).await.len(), 1);
    let told: Vec<_> = failures.without_address().into_iter().map(|target| (target.label, target.reason)).collect();
    let [(label, Some(reason))] = &told[..] else { panic!("one target without an address") };
    assert_eq!(&**label, "nowhere.invalid:1");
    assert!(reason.starts_with("cannot be looked up: "), "{reason}");
}

#[tokio::test]
async fn two_names_of_one_address_are_one_member_unless_they_are_spoken_to_in_two_ways() {
    // `127.1` is `127.0.0.1`, as the system's resolver reads it.
    for (urls, file, count) in [
        (["http://127.0.0.1:1", "http://127.1:1"], json!({}), 1),
        (["http://127.0.0.1:1", "http://127.1:1"], json!({ "host": "a.example" }), 1),
        (["http://127.0.0.1:1", "http://127.1:1"], json!({ "host": "target" }), 2),
        (["https://127.0.0.1:1", "https://127.1:1"], json!({}), 2),
        (["https://127.0.0.1:1", "https://127.1:1"], json!({ "tls": { "server_name": "a.example" } }), 1),
        (["http://127.0.0.1:1", "https://127.0.0.1:1"], json!({}), 2),
    ] {
        let members: Arc<Members> = Arc::default();
        let discovery = discovery(&urls, file, &members, &Arc::default());
        assert_eq!(found(&discovery).await.len(), count, "{urls:?}");
        assert_eq!(members.load().len(), count, "{urls:?}");
    }
}

#[tokio::test]
async fn an_address_that_moves_to_another_name_is_another_member() {
    let members: Arc<Members> = Arc::default();
    let urls = ["http://a.invalid:1", "http://b.invalid:1"];
    let discovery = discovery(&urls, json!({ "host": "target" }), &members, &Arc::default());
    let only = || {
        let members = members.load();
        let [member] = &members[..] else { panic!("one member") };
        Arc::clone(member)
    };
    let lead_to = |position| {
        let addr = "127.0.0.1:1".parse().expect("an address");
        *discovery.last_good.lock().expect("is whole") = [(position, vec![addr])].into();
    };
    lead_to(0);
    let (before, first) = (found(&discovery).await, only());
    assert_eq!(first.host().expect("a host"), "a.invalid:1");
    first.set_healthy(false);
    assert_eq!(found(&discovery).await, before);
    assert!(Arc::ptr_eq(&first, &only()), "what is known of it stays");
    lead_to(1);
    assert_ne!(found(&discovery).await, before, "is probed anew");
    let second = only();
    assert_eq!(second.host().expect("a host"), "b.invalid:1");
    assert_eq!(second.authority(), "b.invalid:1");
    assert!(second.is_healthy());
}

#[tokio::test]
async fn a_host_that_cannot_be_told_is_not_spoken_to() {
    let failures = Arc::default();
    let mut discovery = discovery(&["http://127.0.0.1:1", "http://127.0.0.1:2"], json!({}), &Arc::default(), &failures);
    discovery.places[1].host = UpstreamHost::Target.of(&TargetUrl { tls: false, host: "a\nb".to_owned(), port: 2 });
    assert_eq!(found(&discovery).await.len(), 1);
    let told = failures.without_address().into_iter().map(|target| target.reason.unwrap_or_default());
    assert_eq!(told.collect::<Vec<_>>(), [Box::from("cannot be looked up: it cannot stand in a header")]);
}
