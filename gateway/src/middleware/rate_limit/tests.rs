//! By what requests are counted.

use std::net::IpAddr;
use std::path::Path;

use common::config::Env;
use pingora_http::RequestHeader;

use crate::Rehearsal;
use crate::config;
use crate::reply::Rejection;

/// The hash of the key "abc" for one provider, and of "abd" for the other.
const ABC: &str = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
const ABD: &str = "a52d159f262b2c6ddb724a61840befc36eb30c88877a4030b65cbe86298449c9";

/// Two providers that both know a client `mobile`; routes `/any` and `/first`, and what they count by.
async fn rehearsal(key: &str) -> Rehearsal {
    let limit = "{ rate_limit: { policies: [one] } }";
    let text = format!(
        "rate_limits: {{ one: {{ scope: local, limit: 1, window: 1h, key: {key} }} }}\n\
         api_keys:\n  ours: {{ keys: [{{ client: mobile, sha256: {ABC} }}] }}\n  \
         theirs: {{ keys: [{{ client: mobile, sha256: {ABD} }}], header: X-Their-Key }}\n\
         upstreams: {{ u: {{ targets: ['http://127.0.0.1:1'] }} }}\nroutes:\n  \
         - {{ name: any, match: {{ path: /any }}, upstream: u, middleware: [{{ any_of: \
         [[api_key: {{ provider: ours }}], [api_key: {{ provider: theirs }}]] }}, {limit}] }}\n  \
         - {{ name: first, match: {{ path: /first }}, upstream: u, middleware: [{{ api_key: {{ provider: ours }} }}, {limit}] }}\n"
    );
    let loaded = config::parse(&text, Path::new("f"), &Env::default()).unwrap_or_else(|problems| panic!("{problems}"));
    Rehearsal::of(&loaded, Vec::new()).await.expect("compiles")
}

async fn ask(rehearsal: &Rehearsal, path: &str, header: &'static str, key: &str) -> Result<(), Rejection> {
    let mut head = RequestHeader::build("GET", path.as_bytes(), None).expect("a head");
    head.append_header(header, key.to_owned()).expect("a header");
    rehearsal.admit(&mut head, &mut rehearsal.request(IpAddr::from([192, 0, 2, 7]))).await
}

#[tokio::test]
async fn one_name_of_two_providers_has_two_quotas_and_one_on_all_routes_of_a_provider() {
    let rehearsal = rehearsal("claim.client").await;
    let over = Err(Rejection::QuotaExceeded("one".into()));
    assert_eq!(ask(&rehearsal, "/any", "x-api-key", "abc").await, Ok(()));
    assert_eq!(ask(&rehearsal, "/any", "x-their-key", "abd").await, Ok(()), "another's `mobile`");
    assert_eq!(ask(&rehearsal, "/any", "x-their-key", "abd").await, over);
    assert_eq!(ask(&rehearsal, "/any", "x-api-key", "abc").await, over);
    assert_eq!(ask(&rehearsal, "/first", "x-api-key", "abc").await, over, "the same, on another route");
}

#[tokio::test]
async fn by_address_nobody_asks_who_said_so() {
    let rehearsal = rehearsal("client_address").await;
    assert_eq!(ask(&rehearsal, "/any", "x-api-key", "abc").await, Ok(()));
    let over = Err(Rejection::QuotaExceeded("one".into()));
    assert_eq!(ask(&rehearsal, "/any", "x-their-key", "abd").await, over);
}
