//! Who is believed, and how far, as requests show it.

use std::path::Path;

use common::config::Env;
use pingora_http::RequestHeader;

use super::*;
use crate::Rehearsal;
use crate::config;

const PROXY: [u8; 4] = [10, 0, 0, 9];
const STRANGER: [u8; 4] = [203, 0, 113, 9];

async fn gateway(server: &str) -> Rehearsal {
    let file = format!(
        "server: {{ trusted_proxies: [10.0.0.0/8, '2001:db8:ffff::/48'], {server} }}\n\
         upstreams: {{ u: {{ targets: ['http://127.0.0.1:1'] }} }}\n\
         routes: [{{ name: all, match: {{ path: /* }}, upstream: u, public: true }}]\n"
    );
    let loaded = config::parse(&file, Path::new("f"), &Env::default()).unwrap_or_else(|problems| panic!("{problems}"));
    Rehearsal::of(&loaded, Vec::new()).await.unwrap_or_else(|error| panic!("{error}"))
}

/// What comes of a request: who is believed to have sent it, and the head that goes on.
struct Seen {
    client: String,
    head: RequestHeader,
}

impl Seen {
    fn header(&self, name: &str) -> Vec<&str> {
        self.head.headers.get_all(name).iter().map(|value| value.to_str().expect("text")).collect()
    }
}

async fn ask(gateway: &Rehearsal, peer: [u8; 4], headers: &[(&'static str, &str)]) -> Result<Seen, Rejection> {
    let mut head = RequestHeader::build("GET", b"/x", None).expect("a head");
    for (name, value) in [("host", "gateway.example")].iter().chain(headers) {
        head.append_header(*name, *value).expect("a header");
    }
    let mut ctx = gateway.request(peer.into());
    gateway.admit(&mut head, &mut ctx).await?;
    gateway.forward(&mut head, &ctx)?;
    Ok(Seen { client: ctx.client.get().to_string(), head })
}

async fn client(gateway: &Rehearsal, headers: &[(&'static str, &str)]) -> String {
    ask(gateway, PROXY, headers).await.map_or_else(|rejection| rejection.code().to_owned(), |seen| seen.client)
}

#[tokio::test]
async fn spoofed_forwarded_header_is_ignored_from_untrusted_peers() {
    let gateway = gateway("").await;
    for header in [
        ("x-forwarded-for", "6.6.6.6"),
        ("x-forwarded-for", "10.0.0.1"),
        ("forwarded", "for=6.6.6.6;proto=https;host=six.example"),
        ("x-forwarded-proto", "https"),
        ("x-forwarded-host", "six.example"),
        ("x-request-id", "six"),
    ] {
        let seen = ask(&gateway, STRANGER, &[header]).await.expect("admitted");
        assert_eq!(seen.client, "203.0.113.9", "{header:?}");
        assert_eq!(seen.header("x-forwarded-for"), ["203.0.113.9"]);
        assert_eq!(seen.header("x-forwarded-proto"), ["http"]);
        assert_eq!(seen.header("x-forwarded-host"), ["gateway.example"]);
        assert_ne!(seen.header("x-request-id"), ["six"]);
        assert!(seen.header("forwarded").is_empty());
    }
    let both = [("forwarded", "for=6.6.6.6"), ("x-forwarded-for", "7.7.7.7")];
    assert!(ask(&gateway, STRANGER, &both).await.is_ok(), "what nobody believes is no contradiction");
}

#[tokio::test]
async fn nobody_is_trusted_unless_the_file_says_so() {
    let file = "upstreams: { u: { targets: ['http://127.0.0.1:1'] } }\n\
                routes: [{ name: all, match: { path: /* }, upstream: u, public: true }]\n";
    let loaded = config::parse(file, Path::new("f"), &Env::default()).expect("a file");
    let gateway = Rehearsal::of(&loaded, Vec::new()).await.unwrap_or_else(|error| panic!("{error}"));
    for peer in [[127, 0, 0, 1], PROXY] {
        let seen = ask(&gateway, peer, &[("x-forwarded-for", "6.6.6.6")]).await.expect("admitted");
        assert_eq!(seen.client, std::net::Ipv4Addr::from(peer).to_string());
    }
}

#[tokio::test]
async fn the_chain_is_walked_from_its_end_to_the_first_that_is_no_trusted_proxy() {
    let gateway = gateway("").await;
    for (chain, believed) in [
        ("192.0.2.1", "192.0.2.1"),
        ("6.6.6.6, 192.0.2.1", "192.0.2.1"),
        ("6.6.6.6, 192.0.2.1, 10.0.0.1", "192.0.2.1"),
        ("6.6.6.6,192.0.2.1,10.0.0.1 , 10.0.0.2:4711", "192.0.2.1"),
        ("10.0.0.3, 10.0.0.1", "10.0.0.3"),
        ("2001:db8::1, 2001:db8:ffff::2", "2001:db8::1"),
        ("[2001:db8::1]:80, [2001:db8:ffff::2]", "2001:db8::1"),
        ("::ffff:192.0.2.1, ::ffff:10.0.0.1", "192.0.2.1"),
        (", 192.0.2.1, ,", "192.0.2.1"),
        ("", "10.0.0.9"),
    ] {
        assert_eq!(client(&gateway, &[("x-forwarded-for", chain)]).await, believed, "{chain}");
    }
    let two = [("x-forwarded-for", "6.6.6.6, 192.0.2.1"), ("x-forwarded-for", "10.0.0.1")];
    assert_eq!(client(&gateway, &two).await, "192.0.2.1", "headers of one name are one list");
}

#[tokio::test]
async fn nothing_left_of_a_malformed_hop_is_believed() {
    let gateway = gateway("").await;
    for (chain, believed) in [
        ("192.0.2.1, unknown", "10.0.0.9"),
        ("192.0.2.1, 10.0.0.256, 10.0.0.1", "10.0.0.1"),
        ("192.0.2.1, 10.0.0.1 10.0.0.2, 10.0.0.3", "10.0.0.3"),
        ("192.0.2.1, <script>, 10.0.0.1", "10.0.0.1"),
        ("192.0.2.1, 10.0.0.1:port, 10.0.0.2", "10.0.0.2"),
    ] {
        assert_eq!(client(&gateway, &[("x-forwarded-for", chain)]).await, believed, "{chain}");
    }
    for (chain, believed) in [
        ("for=192.0.2.1, for=unknown", "10.0.0.9"),
        ("for=192.0.2.1, for=_hidden, for=10.0.0.1", "10.0.0.1"),
        ("for=192.0.2.1, proto=https, for=10.0.0.1", "10.0.0.1"),
    ] {
        assert_eq!(client(&gateway, &[("forwarded", chain)]).await, believed, "{chain}");
    }
}

#[tokio::test]
async fn an_open_quote_of_a_client_hides_no_hop() {
    let gateway = gateway("").await;
    for chain in [
        "for=\"6.6.6.6, for=192.0.2.1",
        "for=6.6.6.6;by=\", for=192.0.2.1, for=\"10.0.0.1:80\"",
        "\\\", for=192.0.2.1, for=10.0.0.1",
    ] {
        assert_eq!(client(&gateway, &[("forwarded", chain)]).await, "192.0.2.1", "{chain}");
    }
}

#[tokio::test]
async fn no_more_hops_are_looked_at_than_a_chain_can_have() {
    let gateway = gateway("").await;
    let chain = |trusted: usize| format!("192.0.2.1{}", ", 10.0.0.1".repeat(trusted));
    assert_eq!(client(&gateway, &[("x-forwarded-for", &chain(MOST_HOPS - 1))]).await, "192.0.2.1");
    assert_eq!(client(&gateway, &[("x-forwarded-for", &chain(MOST_HOPS))]).await, "10.0.0.1");
}

#[tokio::test]
async fn forwarded_is_heard_before_x_forwarded_for_and_a_contradiction_is_refused() {
    let gateway = gateway("").await;
    let standard = ("forwarded", "for=6.6.6.6, for=192.0.2.1;proto=https");
    assert_eq!(client(&gateway, &[standard]).await, "192.0.2.1");
    assert_eq!(client(&gateway, &[standard, ("x-forwarded-for", "7.7.7.7, 192.0.2.1, 10.0.0.1")]).await, "192.0.2.1");
    assert_eq!(client(&gateway, &[standard, ("x-forwarded-for", "192.0.2.2")]).await, "ambiguous_client");
    assert_eq!(client(&gateway, &[("forwarded", "for=x"), ("x-forwarded-for", "192.0.2.2")]).await, "ambiguous_client");
}

#[tokio::test]
async fn the_file_may_name_the_one_header_that_counts() {
    let both = [
        ("forwarded", "for=192.0.2.1;proto=https;host=one.example"),
        ("x-forwarded-for", "192.0.2.2"),
        ("x-forwarded-proto", "http"),
        ("x-forwarded-host", "two.example"),
    ];
    for (header, number, proto, host) in
        [("forwarded", 1, "https", "one.example"), ("x_forwarded", 2, "http", "two.example")]
    {
        let gateway = gateway(&format!("forwarded_header: {header}")).await;
        let seen = ask(&gateway, PROXY, &both).await.expect("admitted");
        assert_eq!(seen.client, format!("192.0.2.{number}"));
        assert_eq!(seen.header("x-forwarded-proto"), [proto]);
        assert_eq!(seen.header("x-forwarded-host"), [host]);
        assert!(seen.header("forwarded").is_empty());
    }
    let seen = ask(&gateway("forwarded_header: forwarded").await, PROXY, &both[1..]).await.expect("admitted");
    assert_eq!((seen.client.as_str(), seen.header("x-forwarded-host")), ("10.0.0.9", vec!["gateway.example"]));
}

#[tokio::test]
async fn the_upstream_gets_the_chain_that_is_believed_and_the_peer() {
    let gateway = gateway("").await;
    for (chain, onward) in [
        ("6.6.6.6, 192.0.2.1, 10.0.0.1", "192.0.2.1, 10.0.0.1, 10.0.0.9"),
        ("6.6.6.6, 192.0.2.1", "192.0.2.1, 10.0.0.9"),
        ("192.0.2.1, rubbish", "10.0.0.9"),
        ("2001:DB8:0::1", "2001:db8::1, 10.0.0.9"),
    ] {
        let seen = ask(&gateway, PROXY, &[("x-forwarded-for", chain), ("x_forwarded_for", "6.6.6.6")]).await;
        let seen = seen.expect("admitted");
        assert_eq!(seen.header("x-forwarded-for"), [onward], "{chain}");
        assert!(seen.header("x_forwarded_for").is_empty());
    }
}

#[tokio::test]
async fn scheme_and_host_are_those_of_the_hop_that_met_the_client() {
    let gateway = gateway("").await;
    for (headers, proto, host) in [
        (&[("x-forwarded-proto", "https"), ("x-forwarded-host", "a.example:8443")][..], "https", "a.example:8443"),
        (&[("x-forwarded-for", "192.0.2.1"), ("x-forwarded-proto", "WSS")], "https", "gateway.example"),
        (&[("x-forwarded-proto", "gopher"), ("x-forwarded-host", "a b")], "http", "gateway.example"),
        (&[("x-forwarded-host", "user@a.example")], "http", "gateway.example"),
        (&[("x-forwarded-host", "a.example:99999")], "http", "gateway.example"),
        (
            &[
                ("x-forwarded-for", "6.6.6.6, 192.0.2.1, 10.0.0.1"),
                ("x-forwarded-proto", "http, https, http"),
                ("x-forwarded-host", "six.example, a.example, inner.example"),
            ],
            "https",
            "a.example",
        ),
        (&[("forwarded", "for=192.0.2.1;proto=https;host=a.example, for=10.0.0.1;proto=http")], "https", "a.example"),
        // One of the two may be the client's own, and nobody knows which: what both say counts.
        (&[("forwarded", "for=192.0.2.1"), ("x-forwarded-proto", "https")], "http", "gateway.example"),
        (
            &[
                ("forwarded", "for=192.0.2.1;proto=https;host=six.example"),
                ("x-forwarded-for", "192.0.2.1"),
                ("x-forwarded-proto", "http"),
            ],
            "http",
            "gateway.example",
        ),
        (
            &[
                ("forwarded", "for=192.0.2.1;proto=https;host=a.example"),
                ("x-forwarded-for", "192.0.2.1"),
                ("x-forwarded-proto", "https"),
                ("x-forwarded-host", "a.example"),
            ],
            "https",
            "a.example",
        ),
    ] {
        let seen = ask(&gateway, PROXY, headers).await.expect("admitted");
        assert_eq!(seen.header("x-forwarded-proto"), [proto], "{headers:?}");
        assert_eq!(seen.header("x-forwarded-host"), [host], "{headers:?}");
        assert_eq!(seen.header("host"), ["gateway.example"], "the host that routes are chosen by stays");
    }
}

#[tokio::test]
async fn a_trusted_proxys_request_id_is_kept_if_it_is_fit_for_a_log() {
    let gateway = gateway("").await;
    let long = "i".repeat(MOST_ID_BYTES);
    for id in ["a", "0199-{x}", long.as_str()] {
        let seen = ask(&gateway, PROXY, &[("x-request-id", id)]).await.expect("admitted");
        assert_eq!(seen.header("x-request-id"), [id]);
    }
    let longer = "i".repeat(MOST_ID_BYTES + 1);
    for ids in [
        &[("x-request-id", longer.as_str())][..],
        &[("x-request-id", "a b")],
        &[("x-request-id", "x\",\"user\":\"y")],
        &[("x-request-id", "")],
    ] {
        let seen = ask(&gateway, PROXY, ids).await.expect("admitted");
        assert_ne!(seen.header("x-request-id"), [ids[0].1]);
    }
    let two = [("x-request-id", "one"), ("x-request-id", "two")];
    let seen = ask(&gateway, PROXY, &two).await.expect("admitted");
    assert_eq!(seen.header("x-request-id").len(), 1);
    assert!(!seen.header("x-request-id")[0].contains("one"));
}
