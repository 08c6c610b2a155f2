//! What expressions make of requests.

use std::net::IpAddr;

use http::{HeaderName, HeaderValue};
use serde_json::{Value as Json, json};

use super::*;
use crate::client_addr::PeerAddr;
use crate::config::file::ProofKind;

struct Request {
    headers: HeaderMap,
    params: Params,
    identity: Option<Identity>,
    prover: Prover,
}

fn request(claims: Option<Json>) -> Request {
    let header =
        |(name, value): &(&'static str, &'static str)| (HeaderName::from_static(name), HeaderValue::from_static(value));
    let mut headers = HeaderMap::new();
    for (name, value) in [
        ("x-tenant", "acme"),
        ("x-list", "a"),
        ("x-list", "b"),
        ("cookie", "session=s1; twice=1"),
        ("cookie", "twice=2"),
    ]
    .iter()
    .map(header)
    {
        headers.append(name, value);
    }
    headers.append("x-bytes", HeaderValue::from_bytes(b"\xff").expect("a value"));
    let claims = claims.map(|claims| claims.as_object().expect("a block").clone());
    Request {
        headers,
        params: Params::of(&"/orders/{id}/{part}".parse().expect("a path")),
        identity: claims.map(|claims| Identity { claims, headers: Vec::new() }),
        prover: Prover { kind: ProofKind::Jwt, provider: "accounts".into() },
    }
}

impl Request {
    fn offer(&self) -> Offer<'_> {
        Offer {
            method: &Method::GET,
            host: "Shop.Example",
            path: "/orders/7/items",
            query: Some("page=2&name=a+b%21&twice=1&twice=2"),
            headers: &self.headers,
            client: PeerAddr::new(IpAddr::from([192, 0, 2, 7])).into(),
            params: Some(&self.params),
            identity: self.identity.as_ref(),
            prover: self.identity.as_ref().map(|_| &self.prover),
        }
    }

    fn asked(&self, text: &str) -> Result<bool, Doubt> {
        holds(&Expression::new(text).unwrap_or_else(|bad| panic!("{text}: {bad}")), &self.offer())
    }
}

#[test]
fn a_request_is_asked_for_what_it_has() {
    let request = request(None);
    for text in [
        "method == 'GET' && host == 'shop.example' && path == '/orders/7/items' && client_ip == '192.0.2.7'",
        "headers['x-tenant'] == 'acme' && headers['X-Tenant'] == 'acme' && headers['x-list'] == 'a, b'",
        "'x-tenant' in headers && !('x-none' in headers) && !has(headers.none)",
        "query.page == '2' && int(query.page) + 1 == 3 && query.name == 'a b!' && !has(query.none)",
        "cookies.session == 's1' && !has(cookies.none)",
        "params.id == '7' && params.part == 'items'",
        "cidr('192.0.2.0/24').containsIP(client_ip) && !cidr('10.0.0.0/8').containsIP(client_ip)",
        "!cidr('2001:db8::/32').containsIP(client_ip) && cidr('::1').containsIP('0::1')",
        "cidr('10.0.0.0/8').containsIP('::ffff:10.0.0.1')",
        "path.matches('^/orders/[0-9]+/') && !path.matches('^orders') && matches(path, 'items$')",
        "path.matches('7') && method.matches('^G')",
        "['a', 'b'].exists(x, headers['x-list'].startsWith(x))",
    ] {
        assert_eq!(request.asked(text), Ok(true), "{text}");
    }
    assert_eq!(request.asked("cidr('10.0.0.0/8').containsIP(path)"), Err(Doubt), "that is no address");
    for text in ["method == 'POST'", "headers['x-tenant'] == 'Acme'", "path.startsWith('orders')"] {
        assert_eq!(request.asked(text), Ok(false), "{text}");
    }
}

#[test]
fn claims_are_what_the_token_says() {
    let request = request(Some(json!({
        "sub": "ann", "level": 3, "big": u64::MAX, "ratio": 0.5, "admin": true, "nothing": null, "a.b": "own",
        "roles": ["user", "team-a"], "realm": {"roles": ["r"], "deep": {"er": 1}},
    })));
    for text in [
        "claims.sub == 'ann' && claims.level >= 3 && claims.level < 3.5 && claims.ratio == 0.5 && claims.admin",
        "claims.big > 1 && claims.nothing == null && claims['a.b'] == 'own'",
        "'user' in claims.roles && claims.roles.exists(r, r.startsWith('team-')) && size(claims.roles) == 2",
        "claims.realm.roles[0] == 'r' && claims.realm.deep.er == 1 && has(claims.realm.deep) && !has(claims.realm.no)",
        "claims.realm == claims.realm && claims.realm != claims.roles",
        "auth.kind == 'jwt' && auth.provider == 'accounts'",
    ] {
        assert_eq!(request.asked(text), Ok(true), "{text}");
    }
}

#[test]
fn what_cannot_be_said_is_a_doubt() {
    let known =
        request(Some(json!({"sub": "ann", "level": "3", "many": vec![0; 257], "deep": {"many": vec![0; 257]}})));
    for text in [
        "claims.none == 'a'",
        "claims.none != 'a'",
        "!(claims.none == 'a')",
        "claims.sub",
        "claims.level > 2",
        "claims.level && true",
        "claims.sub.none == 'a'",
        "claims.many.exists(x, x == 0)",
        "claims.deep.many.exists(x, x == 0)",
        "query.none == ''",
        "query.twice == '1'",
        "'twice' in query",
        "cookies.twice == '2'",
        "headers['x-none'] == 'a'",
        "headers['x-bytes'] == 'a'",
        "int(query.name) == 1",
        "1 / (size(path) - 15) == 1",
        "claims.sub.exists(c, c == 'a')",
    ] {
        assert_eq!(known.asked(text), Err(Doubt), "{text}");
    }
    let nobody = request(None);
    for text in ["claims.sub == 'ann'", "claims.sub != 'ann'", "auth.kind == 'jwt'"] {
        assert_eq!(nobody.asked(text), Err(Doubt), "{text}");
    }
    assert_eq!(nobody.asked("!has(claims.sub)"), Ok(true), "unless that is asked");
}

#[test]
fn claims_cost_once_what_an_expression_asks_of_them_and_never_too_much() {
    let all: Vec<u32> = (0..200).collect();
    let known = request(Some(json!({"some": all, "all": all, "deep": vec![all; 200]})));
    let once = "claims.some.all(x, x in claims.all) && size(claims.some) == 200";
    assert_eq!(known.asked(once), Ok(true), "though 40,000 values are looked at");
    for dear in ["size(claims.deep) == 200", "size(claims.deep) != 200", "claims.deep.exists(x, size(x) == 0)"] {
        assert_eq!(known.asked(dear), Err(Doubt), "{dear}");
    }
}

#[test]
fn a_header_that_is_there_often_is_one_list() {
    let mut request = request(None);
    for number in 0..1000 {
        request.headers.append("x-often", HeaderValue::from(number));
    }
    assert_eq!(
        request.asked("headers['x-often'].startsWith('0, 1, 2, ') && headers['x-often'].endsWith(', 999')"),
        Ok(true)
    );
}

#[test]
fn a_key_is_a_text_a_number_or_a_truth_value() {
    let request = request(Some(json!({"sub": "ann", "level": 3, "ratio": 0.5, "roles": []})));
    let said = |expression: &str| text(&Expression::new(expression).expect("taken"), &request.offer());
    assert_eq!(said("claims.sub + '/' + method").as_deref(), Ok("ann/GET"));
    assert_eq!(said("claims.level + 1").as_deref(), Ok("4"));
    assert_eq!(said("claims.level > 1").as_deref(), Ok("true"));
    for doubt in ["claims.ratio", "claims.roles", "claims.none"] {
        assert_eq!(said(doubt), Err(Doubt), "{doubt}");
    }
}
