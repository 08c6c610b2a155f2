//! Paths with encoded slashes and backslashes, on real connections: where they lead, and that they lead past nobody.

use testkit::Upstream;

use crate::support::Gateway;

/// Everybody's route `/*` of this policy, and `/admin/*` of another, where only those with a token may go.
fn file(upstream: &Upstream, open: &str, admin: &str) -> String {
    format!(
        "upstreams: {{ u: {{ targets: [\"{}\"] }} }}\n\
         routes:\n\
         - {{ name: open, match: {{ path: /* }}, upstream: u, public: true, {open} }}\n\
         - {{ name: items, match: {{ path: '/items/{{id}}/*' }}, upstream: u, public: true, {open} }}\n\
         - {{ name: admin, match: {{ path: /admin/* }}, upstream: u, middleware: [{{ jwt: {{ provider: us }} }}], {admin} }}\n",
        upstream.url()
    )
}

/// The status of `GET path`, written as it stands, and what the upstream was asked for if it was asked.
async fn get(gateway: &Gateway, upstream: &Upstream, path: &str) -> (u16, Option<String>) {
    let before = upstream.arrived().len();
    let answer = gateway.raw(format!("GET {path} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n").as_bytes()).await;
    let status = answer.get(9..12).and_then(|status| status.parse().ok()).unwrap_or_else(|| panic!("{answer}"));
    let arrived = upstream.arrived().get(before).map(|arrived| arrived.line()["GET ".len()..].to_owned());
    (status, arrived)
}

/// Ways to write what some server takes for `/admin/x`.
const SPELLINGS: [&str; 12] = [
    "/admin%2Fx",
    "/admin%2fx",
    "/%2Fadmin/x",
    "/%2Fadmin%2Fx",
    "/y%2F..%2Fadmin/x",
    "/y/..%2Fadmin%2Fx",
    "/y%2F%2E%2E%2Fadmin%2Fx",
    "/.%2Fadmin/x",
    "/admin\\x",
    "/admin%5Cx",
    "/y\\..\\admin\\x",
    "/y%5C..%5Cadmin/x",
];

#[tokio::test]
async fn encoded_slash_does_not_bypass_auth_where_it_is_rejected() {
    let upstream = Upstream::start().await.expect("starts");
    let gateway = Gateway::start(&file(&upstream, "", ""));
    for path in SPELLINGS {
        assert_eq!(get(&gateway, &upstream, path).await, (400, None), "{path}");
    }
    assert_eq!(get(&gateway, &upstream, "/admin/x").await, (401, None));
}

#[tokio::test]
async fn encoded_slash_does_not_bypass_auth_where_it_is_kept() {
    let upstream = Upstream::start().await.expect("starts");
    let gateway = Gateway::start(&file(&upstream, "encoded_slash: keep, backslash: keep", ""));
    for path in SPELLINGS {
        // To an upstream that decodes it, it is the path of a route with a lock.
        assert_eq!(get(&gateway, &upstream, path).await, (400, None), "{path}");
    }
    for (path, asked) in [
        ("/items/a%2fb", "/items/a%2Fb"),
        ("/items/a%2Fb%2F", "/items/a%2Fb%2F"),
        ("/items/a\\b", "/items/a%5Cb"),
        ("/items/%61%5cb", "/items/a%5Cb"),
        ("/a%2Fb\\c", "/a%2Fb%5Cc"),
    ] {
        assert_eq!(get(&gateway, &upstream, path).await, (200, Some(asked.to_owned())), "{path}");
    }
    let rewrite = "encoded_slash: keep, middleware: [rewrite: { path: '/v1/{id}' }]";
    let items = format!("match: {{ path: '/items/{{id}}/*' }}, upstream: u, public: true, {rewrite}");
    let keep = "match: { path: '/items/{id}/*' }, upstream: u, public: true, encoded_slash: keep, backslash: keep";
    gateway.reload(&file(&upstream, "encoded_slash: keep, backslash: keep", "").replace(keep, &items)).expect("taken");
    assert_eq!(get(&gateway, &upstream, "/items/a%2fb").await, (200, Some("/v1/a%2Fb".to_owned())), "a step keeps it");
    assert_eq!(get(&gateway, &upstream, "/items/a%5Cb").await, (400, None), "each has a policy of its own");
    assert_eq!(get(&gateway, &upstream, "/admin/x%2Fy").await, (400, None), "another route has another policy");
    let keep = "encoded_slash: keep, backslash: keep";
    gateway.reload(&file(&upstream, keep, keep)).expect("taken");
    for path in SPELLINGS {
        assert_eq!(get(&gateway, &upstream, path).await, (400, None), "{path}: both keep it");
    }
    assert_eq!(get(&gateway, &upstream, "/admin/x%2Fy").await, (401, None));
}

#[tokio::test]
async fn encoded_slash_does_not_bypass_auth_where_it_is_decoded() {
    let upstream = Upstream::start().await.expect("starts");
    let decode = "encoded_slash: decode, backslash: decode";
    let gateway = Gateway::start(&file(&upstream, decode, decode));
    for path in SPELLINGS {
        assert_eq!(get(&gateway, &upstream, path).await, (401, None), "{path}");
    }
    for (path, asked) in
        [("/a%2fb", "/a/b"), ("/a%2F..%2Fb", "/b"), ("/a\\b%5Cc", "/a/b/c"), ("/items%2F7", "/items/7")]
    {
        assert_eq!(get(&gateway, &upstream, path).await, (200, Some(asked.to_owned())), "{path}");
    }
    for other in ["", "encoded_slash: keep, backslash: keep"] {
        gateway.reload(&file(&upstream, decode, other)).expect("taken");
        for path in SPELLINGS {
            assert_eq!(get(&gateway, &upstream, path).await, (400, None), "{path}: the two routes do not agree");
        }
    }
}

#[tokio::test]
async fn a_path_that_is_refused_is_told_what_is_wrong_with_it() {
    let upstream = Upstream::start().await.expect("starts");
    for (open, path, reason) in [
        ("", "/x%2Fy", "encoded slash or a backslash"),
        ("encoded_slash: keep", "/x%2Fy%5Cz", "encoded slash or a backslash"),
        ("encoded_slash: keep", "/x%2F..%2Fy", "`..`"),
        ("encoded_slash: decode", "/x%2Fy/../z", "`..`"),
        ("encoded_slash: keep", "/admin%2Fx", "encoded slash or a backslash"),
    ] {
        let gateway = Gateway::start(&file(&upstream, open, ""));
        let request = format!("GET {path} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
        let answer = gateway.raw(request.as_bytes()).await;
        assert!(answer.starts_with("HTTP/1.1 400 ") && answer.contains("\"bad_path\""), "{path}: {answer}");
        assert!(answer.contains(reason), "{path}: {answer}");
    }
}
