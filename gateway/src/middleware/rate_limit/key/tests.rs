//! Which requests count as one, through a route's steps.

use std::net::IpAddr;
use std::path::Path;

use common::config::Env;
use pingora_http::RequestHeader;
use proptest::prelude::*;
use proptest::test_runner::TestRunner;

use super::Key;
use crate::Rehearsal;
use crate::config;
use crate::config::file::MissingKey;
use crate::reply::Rejection;

/// The hashes of the keys "abc" and "abd".
const ABC: &str = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
const ABD: &str = "a52d159f262b2c6ddb724a61840befc36eb30c88877a4030b65cbe86298449c9";

/// One request.
#[derive(Clone, Copy)]
struct Sent<'a> {
    method: &'a str,
    target: &'a str,
    headers: &'a [(&'static str, &'a [u8])],
    from: &'a str,
}

/// What everybody sends unless a test says otherwise.
const PLAIN: Sent<'_> = Sent { method: "GET", target: "/items/1", headers: &[], from: "192.0.2.7" };

const fn with<'a>(headers: &'a [(&'static str, &'a [u8])]) -> Sent<'a> {
    Sent { headers, ..PLAIN }
}

/// A gateway whose routes count against one policy, of one request, with these settings.
async fn rehearsal(policy: &str, asks: &str) -> Rehearsal {
    let steps = format!("middleware: [{asks} {{ rate_limit: {{ policies: [one] }} }}]");
    let public = if asks.is_empty() { "public: true, " } else { "" };
    let text = format!(
        "rate_limits: {{ one: {{ scope: local, limit: 1, window: 1h, {policy} }} }}\n\
         api_keys:\n  ours: {{ keys: [{{ client: mobile, sha256: {ABC} }}] }}\n  \
         theirs: {{ keys: [{{ client: mobile, sha256: {ABD} }}], header: X-Their-Key }}\n\
         basic_auth: {{ staff: {{ realm: staff, users: {{ ann: '$2b$04$tTE325mFhpFcm16tkiDxPeFE5svh8lPuBaIc8NhLQSV3Ddl8TFqOC' }} }} }}\n\
         upstreams: {{ u: {{ targets: ['http://127.0.0.1:1'] }} }}\nroutes:\n  \
         - {{ name: items, {public}match: {{ path: '/items/{{id}}' }}, upstream: u, {steps} }}\n  \
         - {{ name: things, {public}match: {{ path: '/things/{{id}}' }}, upstream: u, {steps} }}\n"
    );
    let loaded = config::parse(&text, Path::new("f"), &Env::default()).unwrap_or_else(|problems| panic!("{problems}"));
    Rehearsal::of(&loaded, Vec::new()).await.expect("compiles")
}

async fn ask(rehearsal: &Rehearsal, sent: Sent<'_>) -> Result<(), Rejection> {
    let mut head = RequestHeader::build(sent.method, sent.target.as_bytes(), None).expect("a head");
    for (name, value) in sent.headers {
        head.append_header(*name, *value).expect("a header");
    }
    let from: IpAddr = sent.from.parse().expect("an address");
    rehearsal.admit(&mut head, &mut rehearsal.request(from)).await
}

/// Whether two requests share the quota of one policy, which is one request.
async fn share(policy: &str, one: Sent<'_>, other: Sent<'_>) -> bool {
    let rehearsal = rehearsal(policy, "").await;
    assert_eq!(ask(&rehearsal, one).await, Ok(()), "{policy}");
    match ask(&rehearsal, other).await {
        Ok(()) => false,
        Err(Rejection::QuotaExceeded(_)) => true,
        Err(other) => panic!("{policy}: {other:?}"),
    }
}

#[tokio::test]
async fn each_part_tells_requests_apart_by_what_it_is_and_by_nothing_else() {
    let elsewhere = Sent { from: "192.0.2.8", ..PLAIN };
    let other_id = Sent { target: "/items/2", ..PLAIN };
    let other_route = Sent { target: "/things/1", ..PLAIN };
    let post = Sent { method: "POST", ..PLAIN };
    let (a, b) = (with(&[("x-tenant", b"a")]), with(&[("x-tenant", b"b")]));
    let (session, other_session) = (with(&[("cookie", b"s=1; t=2")]), with(&[("cookie", b"s=2; t=2")]));
    let (host, other_host) = (with(&[("host", b"a.example:80")]), with(&[("host", b"b.example:80")]));
    let parts = [
        ("client_address", PLAIN, elsewhere),
        ("header.x-tenant", a, b),
        ("cookie.s", session, other_session),
        ("param.id", PLAIN, other_id),
        ("route", PLAIN, other_route),
        ("host", host, other_host),
        ("method", PLAIN, post),
        ("\"= query.page\"", Sent { target: "/items/1?page=1", ..PLAIN }, Sent { target: "/items/1?page=2", ..PLAIN }),
    ];
    for (part, one, other) in parts {
        let key = format!("key: {part}");
        assert!(share(&key, one, one).await, "{part}: the same");
        assert!(!share(&key, one, other).await, "{part}: another one");
        let key = format!("key: [{part}, \"= 'x'\"]");
        assert!(share(&key, one, one).await, "{part}: the same, beside another part");
        assert!(!share(&key, one, other).await, "{part}: another one, beside another part");
    }
    let changes = [("client_address", elsewhere), ("param.id", other_id), ("route", other_route), ("method", post)];
    for (part, _) in changes {
        for (different, sent) in changes.into_iter().filter(|(different, _)| *different != part) {
            assert!(share(&format!("key: {part}"), PLAIN, sent).await, "{part} knows nothing of {different}");
        }
    }
}

#[tokio::test]
async fn one_thing_written_in_two_ways_counts_as_one() {
    for (key, one, other) in [
        ("host", with(&[("host", b"a.example")]), with(&[("host", b"A.example.:8080")])),
        ("method", PLAIN, Sent { method: "HEAD", ..PLAIN }),
        ("method", Sent { method: "PURGE", ..PLAIN }, Sent { method: "LOCK", ..PLAIN }),
        ("cookie.s", with(&[("cookie", b"s=1")]), with(&[("cookie", b"t=0; s=\"1\"")])),
        ("header.x-tenant", with(&[("x-tenant", b"a")]), with(&[("x-tenant", b" a ")])),
        ("param.id", Sent { target: "/items/a", ..PLAIN }, Sent { target: "/items/%61", ..PLAIN }),
    ] {
        assert!(share(&format!("key: {key}"), one, other).await, "{key}");
        assert!(share(&format!("key: [route, {key}]"), one, other).await, "{key}");
    }
}

#[tokio::test]
async fn a_network_of_ipv6_counts_as_one_as_far_as_the_key_says() {
    let from = |from| Sent { from, ..PLAIN };
    for (key, one, other, shares) in [
        ("client_address", "2001:db8:0:1::1", "2001:db8:0:1:ffff::2", true),
        ("client_address", "2001:db8:0:1::1", "2001:db8:0:2::1", false),
        ("client_address/56", "2001:db8:0:1::1", "2001:db8:0:2::1", true),
        ("client_address/56", "2001:db8:0:1::1", "2001:db8:0:101::1", false),
        ("client_address/128", "2001:db8::1", "2001:db8::2", false),
        ("client_address/56", "192.0.2.7", "192.0.2.8", false),
        ("client_address", "192.0.2.7", "::ffff:192.0.2.7", true),
        ("[header.x-tenant, client_address/56]", "2001:db8:0:1::1", "2001:db8:0:2::1", true),
    ] {
        assert_eq!(share(&format!("key: {key}"), from(one), from(other)).await, shares, "{key}: {one} and {other}");
    }
}

/// Neither by where one part ends and the next begins, nor by what stands in for a part that is missing or too long.
#[tokio::test]
async fn no_two_keys_of_several_parts_are_written_alike() {
    let both = "key: [header.x-a, header.x-b]";
    let pair = |a: &'static [u8], b: &'static [u8]| [("x-a", a), ("x-b", b)];
    for (one, other) in [
        (pair(b"a", b"bc"), pair(b"ab", b"c")),
        (pair(b"a", b"b\tc"), pair(b"a\tb", b"c")),
        (pair(b"a:b", b"c"), pair(b"a", b"b:c")),
        (pair(b"a", b"b"), pair(b"b", b"a")),
        (pair(b"a", b"b"), pair(b"A", b"b")),
    ] {
        assert!(!share(both, with(&one), with(&other)).await, "{one:?} and {other:?}");
        assert!(share(both, with(&one), with(&one)).await, "{one:?}");
    }
    let query = |target| Sent { target, ..PLAIN };
    let (one, other) = (query("/items/1?a=x%00y&b=z"), query("/items/1?a=x&b=y%00z"));
    assert!(!share("key: [\"= query.a\", \"= query.b\"]", one, other).await, "no byte of a text ends its part");
    // What all share who have none begins like this.
    assert!(!share("key: header.x-a, missing_key: share", with(&[("x-a", b"\xFF")]), PLAIN).await);
}

#[tokio::test]
async fn a_value_of_any_length_counts_whole() {
    let (long, other) = ("x".repeat(9000), format!("{}y", "x".repeat(8999)));
    let (long, other) = ([("x-tenant", long.as_bytes())], [("x-tenant", other.as_bytes())]);
    for key in ["key: header.x-tenant", "key: [route, header.x-tenant]"] {
        assert!(share(key, with(&long), with(&long)).await, "{key}");
        assert!(!share(key, with(&long), with(&other)).await, "{key}: they differ in the last byte alone");
    }
    let cookie = |end| format!("s={}{end}", "x".repeat(5000)).into_bytes();
    let (one, other) = (cookie('1'), cookie('2'));
    assert!(!share("key: cookie.s", with(&[("cookie", &one)]), with(&[("cookie", &other)])).await);
}

/// What is empty, or there twice in any spelling, is not there; else a second value would make a new quota for whoever an
/// upstream knows by the first.
#[tokio::test]
async fn a_header_or_cookie_in_doubt_is_missing() {
    let header = "key: [header.x-api-key, route], missing_key: refuse";
    let cookie = "key: cookie.s, missing_key: refuse";
    for (policy, headers, missing) in [
        (header, &[][..], "header.x-api-key"),
        (header, &[("x-api-key", &b""[..])], "header.x-api-key"),
        (header, &[("x-api-key", b"  ")], "header.x-api-key"),
        (header, &[("x-api-key", b"a"), ("x-api-key", b"b")], "header.x-api-key"),
        (header, &[("x-api-key", b"a"), ("x-api-key", b"a")], "header.x-api-key"),
        (header, &[("x-api-key", b"a"), ("x_api_key", b"b")], "header.x-api-key"),
        (header, &[("x_api-key", b"b")], "header.x-api-key"),
        (cookie, &[], "cookie.s"),
        (cookie, &[("cookie", b"s=")], "cookie.s"),
        (cookie, &[("cookie", b"s=\"\"")], "cookie.s"),
        (cookie, &[("cookie", b"S=1; t=2")], "cookie.s"),
        (cookie, &[("cookie", b"s=1; s=2")], "cookie.s"),
        (cookie, &[("cookie", b"s=1"), ("cookie", b"s=1")], "cookie.s"),
        (cookie, &[("cookie", b"s=\"\\061\"")], "cookie.s"),
    ] {
        let refused = ask(&rehearsal(policy, "").await, with(headers)).await;
        assert_eq!(refused, Err(Rejection::RateLimitKeyMissing(Some(missing.into()))), "{headers:?}");
    }
    let there = with(&[("x-api-key", b"a"), ("x-api-keys", b"b")]);
    assert_eq!(ask(&rehearsal(header, "").await, there).await, Ok(()));
}

#[tokio::test]
async fn a_request_without_its_key_is_counted_by_address_shared_refused_or_not_counted() {
    let tenant = with(&[("x-tenant", b"a")]);
    let elsewhere = Sent { from: "192.0.2.8", ..PLAIN };
    for key in ["key: header.x-tenant", "key: [route, header.x-tenant]", "key: \"= headers['x-tenant']\""] {
        assert!(share(key, PLAIN, PLAIN).await, "{key}: its address is its key");
        assert!(!share(key, PLAIN, elsewhere).await, "{key}");
        assert!(!share(key, PLAIN, tenant).await, "{key}");
        assert!(
            share(&format!("{key}, missing_key: client_address"), PLAIN, PLAIN).await,
            "{key}: the same by its word"
        );
        let shared = format!("{key}, missing_key: share");
        assert!(share(&shared, PLAIN, elsewhere).await, "{key}: one quota of all");
        assert!(!share(&shared, PLAIN, tenant).await, "{key}: but of those who have one");
        let skipped = format!("{key}, missing_key: skip");
        assert!(!share(&skipped, PLAIN, PLAIN).await, "{key}: not counted");
        assert!(share(&skipped, tenant, tenant).await, "{key}: but with it");
        let part = (!key.contains('=')).then(|| "header.x-tenant".into());
        let refuses = rehearsal(&format!("{key}, missing_key: refuse"), "").await;
        assert_eq!(ask(&refuses, PLAIN).await, Err(Rejection::RateLimitKeyMissing(part)), "{key}");
        assert_eq!(ask(&refuses, tenant).await, Ok(()), "{key}: a refusal takes nothing");
    }
}

#[tokio::test]
async fn by_address_a_request_without_its_key_is_of_the_network_that_the_key_says() {
    let from = |from| Sent { from, ..PLAIN };
    let key = "key: [client_address/48, header.x-tenant]";
    assert!(share(key, from("2001:db8:0:1::1"), from("2001:db8:0:2::1")).await);
    assert!(!share(key, from("2001:db8:1::1"), from("2001:db8:2::1")).await);
}

/// Whatever else is shown beside it, and whoever else has a client of the same name.
#[tokio::test]
async fn a_program_is_counted_by_the_name_that_its_key_has_proven() {
    let ours: (&str, &[u8]) = ("x-api-key", b"abc");
    let theirs: (&str, &[u8]) = ("x-their-key", b"abd");
    let ann: (&str, &[u8]) = ("authorization", b"Basic YW5uOm9wZW4gc2VzYW1l");
    let any = "{ any_of: [[api_key: { provider: ours }], [basic_auth: { provider: staff }, api_key: { provider: theirs }], \
               [basic_auth: { provider: staff }]] },";
    let over = Err(Rejection::QuotaExceeded("one".into()));
    for key in ["key: api_key", "key: [api_key, \"= 'x'\"]"] {
        let rehearsal = rehearsal(key, any).await;
        for (from, headers, outcome, why) in [
            ("192.0.2.1", &[ours][..], &Ok(()), "a program"),
            ("192.0.2.2", &[ours], &over, "the same elsewhere"),
            ("192.0.2.1", &[ann, theirs], &Ok(()), "another's `mobile`"),
            ("192.0.2.2", &[ann, theirs], &over, "the same, behind a password too"),
            ("192.0.2.1", &[ann], &Ok(()), "no program, by address"),
            ("192.0.2.1", &[ann], &over, "the same"),
        ] {
            assert_eq!(ask(&rehearsal, Sent { from, headers, ..PLAIN }).await, *outcome, "{key}: {why}");
        }
    }
    let refuses = rehearsal("key: api_key, missing_key: refuse", any).await;
    assert_eq!(ask(&refuses, with(&[ann])).await, Err(Rejection::RateLimitKeyMissing(Some("api_key".into()))));
}

/// Bytes that a header may have, few and much the same, or many and any.
fn value() -> impl Strategy<Value = Vec<u8>> {
    let any = prop_oneof![0x21_u8..0x7F, 0x80_u8..=0xFF];
    prop_oneof![prop::collection::vec(prop_oneof![Just(b'a'), Just(0xFF)], 1..4), prop::collection::vec(any, 1..300)]
}

#[tokio::test]
async fn keys_are_the_same_when_all_their_parts_are_and_only_then() {
    let rehearsal = rehearsal("key: client_address", "").await;
    let ctx = rehearsal.request(IpAddr::from([192, 0, 2, 7]));
    let route = serde_saphyr::from_str("{ name: r, match: { path: / } }").expect("a route");
    let key = serde_saphyr::from_str("[header.x-a, header.x-b]").expect("a key");
    let key = Key::new(&key, MissingKey::Share, false, &route).expect("no parameters");
    let nothing = RequestHeader::build("GET", b"/", None).expect("a head");
    let without = key.of(&nothing, &ctx).err().and_then(|lacking| key.without(&lacking, &ctx).expect("counts"));
    let without = without.expect("counts");
    let counts_as = |[a, b]: &[Vec<u8>; 2]| {
        let mut head = nothing.clone();
        head.append_header("x-a", &**a).expect("a header");
        head.append_header("x-b", &**b).expect("a header");
        key.of(&head, &ctx).ok().expect("both are there")
    };
    TestRunner::default()
        .run(&([value(), value()], [value(), value()]), |(one, other)| {
            prop_assert_eq!(counts_as(&one) == counts_as(&other), one == other);
            prop_assert_ne!(counts_as(&one), without.clone());
            Ok(())
        })
        .unwrap_or_else(|failed| panic!("{failed}"));
}
