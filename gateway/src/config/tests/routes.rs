//! Routes beside each other: which are refused, which are doubtful, and which only look like it.

use super::*;

/// A file with a route for each line of `routes`, which is what stands in its `match`, and after a `|` more of the route.
fn file(routes: &[&str]) -> String {
    let route = |(index, route): (usize, &&str)| {
        let (matches, more) = route.split_once(" | ").unwrap_or((route, ""));
        format!("  - {{ name: r{index}, match: {{ {matches} }}, upstream: up, public: true, {more} }}\n")
    };
    let routes: String = routes.iter().enumerate().map(route).collect();
    format!("upstreams: {{ up: {{ targets: [\"http://a:1\"] }} }}\nroutes:\n{routes}")
}

fn warnings(routes: &[&str]) -> Vec<String> {
    parse(&file(routes), Path::new("f"), &env()).unwrap_or_else(|problems| panic!("{problems}")).warnings
}

const ONE: &str = "headers: [{ name: x, value: 1 }]";
const TWO: &str = "headers: [{ name: x, value: 2 }]";

#[test]
fn routes_that_anything_tells_apart_stand_beside_each_other() {
    for apart in [
        &["path: /a", "path: /a/*", "path: '/{x}'", "path: /b, methods: [GET]", "path: /b, methods: [POST]"][..],
        &["path: /a", "path: /a, hosts: [a.com]", "path: /a, hosts: ['*.a.com', b.com]", "path: /a, hosts: ['~.*']"],
        &["path: /a", &format!("path: /a, {ONE}"), &format!("path: /a, {TWO}")],
        &["path: /a", "path: /a, client: [10.0.0.0/8]", "path: /a, client: ['::/0']"],
        &["path: /a", "path: /* | priority: 1", "path: /a, methods: [POST] | priority: 2"][..1],
        &["path: /a, methods: [POST] | priority: 2", "path: /a | priority: 1", "path: /b | priority: -1"],
        &["path: '~/a.*'", "path: '~/b.*'", "path: /a/*"],
        &["path: '~/a.*', hosts: [a.com]", "path: /*"],
    ] {
        assert_eq!(report(&file(apart)), "");
        assert_eq!(warnings(apart), Vec::<String>::new());
    }
}

#[test]
fn routes_that_take_the_same_requests_are_refused() {
    for same in [
        ["path: /a", "path: /a, methods: [GET]"],
        ["path: /a, methods: [GET]", "path: /a, methods: [HEAD]"],
        ["path: '/{x}'", "path: '/{y}'"],
        ["path: /a, hosts: [a.com, b.com]", "path: /a, hosts: [B.com.]"],
        ["path: /caf%c3%a9", "path: /caf%C3%A9"],
        ["path: '~/a.*'", "path: '~/a.*'"],
        ["path: /a, hosts: ['~a+']", "path: /a, hosts: ['~a+']"],
        ["path: /a | priority: 3", "path: /a | priority: 3"],
        ["path: /a, client: [10.0.0.0/8]", "path: /a, client: [10.0.0.0/9, 10.128.0.0/9]"],
        [
            "path: /a, headers: [{ name: X, value: 1 }, { name: y, present: true }]",
            "path: /a, headers: [{ name: Y, present: true }, { name: x, value: '1' }]",
        ],
    ] {
        let problems = report(&file(&same));
        let expected = "routes[1].match.path: the route `r0` in line 3 takes the same requests";
        assert!(problems.contains(expected) && problems.ends_with("\n1 problem"), "{same:?}: {problems}");
    }
}

#[test]
fn a_route_that_no_request_can_reach_is_refused_with_the_reason() {
    for (routes, why) in [
        (["path: /a | priority: 1", "path: /a"], "by its priority"),
        (["path: /* | priority: 1", "path: /a/b, methods: [GET]"], "by its priority"),
        (["path: '/{x}/*' | priority: 1", "path: /a/b, hosts: [a.com, '*.b.com']"], "by its priority"),
        (["path: /a, hosts: ['*.com'] | priority: 1", "path: /a, hosts: [a.com, '*.b.com']"], "by its priority"),
        (["path: /a, hosts: ['~[a-z.]+'] | priority: 1", "path: /a, hosts: [a.com]"], "by its priority"),
        ([&format!("path: /a, {ONE} | priority: 1"), &format!("path: /a, {ONE}, client: ['::1']")], "by its priority"),
        (["path: /*", "path: '~/a.*'"], "for regular expressions are asked last"),
        (["path: /*, hosts: [a.com]", "path: '~/a.*', hosts: [a.com], methods: [GET]"], "for regular expressions"),
    ] {
        for (routes, line, index) in [([routes[0], routes[1]], 3, 1), ([routes[1], routes[0]], 4, 0)] {
            let problems = report(&file(&routes));
            let by = 1 - index;
            let expected = format!(
                "routes[{index}].match.path: no request gets here: the route `r{by}` in line {line} takes all of them first, {why}"
            );
            assert!(problems.contains(&expected) && problems.ends_with("\n1 problem"), "{routes:?}: {problems}");
        }
    }
}

#[test]
fn a_route_that_some_request_reaches_is_not_called_unreachable() {
    for routes in [
        ["path: /a, methods: [GET] | priority: 1", "path: /a"],
        ["path: /a, hosts: [a.com] | priority: 1", "path: /a"],
        ["path: /a, hosts: [a.com] | priority: 1", "path: /a, hosts: [a.com, b.com]"],
        ["path: /a/b | priority: 1", "path: '/a/{x}'"],
        [&format!("path: /a, {ONE} | priority: 1"), "path: /a"],
        [&format!("path: /a, {ONE} | priority: 1"), &format!("path: /a, {TWO}")],
        ["path: /*, methods: [GET]", "path: '~/a.*'"],
        ["path: /*", "path: '~/a.*', hosts: ['*.a.com']"],
        ["path: /*", "path: '~/a.*' | priority: 1"],
    ] {
        assert_eq!(report(&file(&routes)), "", "{routes:?}");
    }
}

#[test]
fn a_condition_that_no_preflight_has_is_doubtful_where_pages_are_let_in() {
    let cors = "| middleware: [cors: { allow_origins: ['*'] }]";
    for (condition, missing) in [
        (ONE, "the header `x`"),
        ("headers: [{ name: x, present: true }]", "the header `x`"),
        ("cookies: [{ name: c, value: 1 }]", "cookies"),
        ("expression: cookies.c == \"1\"", "the `cookies` that its expression asks for"),
    ] {
        let expected = format!(
            "f:3:17: routes[0].match: a browser's preflight comes without {missing}, so it does not reach this route and its \
             `cors` step; give a route at the same place, but without this condition, a `cors` step too"
        );
        assert_eq!(warnings(&[&format!("path: /a, {condition} {cors}")]), [expected]);
        assert_eq!(warnings(&[&format!("path: /a, {condition}")]), Vec::<String>::new(), "nobody asks beforehand");
    }
    for reached in [
        "headers: [{ name: Origin, present: true }]",
        "headers: [{ name: Sec-Fetch-Site, value: cross-site }]",
        "headers: [{ name: x, present: false }], cookies: [{ name: c, present: false }]",
        "query: [{ name: q, value: 1 }], client: [10.0.0.0/8]",
    ] {
        assert_eq!(warnings(&[&format!("path: /a, {reached} {cors}")]), Vec::<String>::new(), "{reached}");
    }
}

#[test]
fn conditions_that_are_as_many_and_may_hold_together_are_doubtful() {
    for (other, winner) in [
        ("cookies: [{ name: c, present: true }]", "r1"),
        ("client: [10.0.0.0/8]", "r1"),
        ("headers: [{ name: x, regex: '.' }]", "r0"),
        ("query: [{ name: q, value: 1 }]", "r0"),
    ] {
        let routes = [format!("path: /a, {ONE}"), format!("path: /a, hosts: [], {other}")];
        let routes: Vec<&str> = routes.iter().map(String::as_str).collect();
        let expected = format!(
            "f:4:32: routes[1].match.path: `r1` and the route `r0` in line 3 ask for as much; a request that fits both goes to \
             `{winner}`, for of as many conditions the alphabet decides (client, cookie, expression, header, query, and then \
             what is written there); say by a `priority` if that is not meant"
        );
        assert_eq!(warnings(&routes), [expected]);
        let with_priority = format!("{} | priority: 1", routes[1]);
        assert_eq!(warnings(&[routes[0], &with_priority]), Vec::<String>::new());
    }
    for told_apart in [
        [ONE, TWO],
        [ONE, "client: [10.0.0.0/8], query: [{ name: q, value: 1 }]"],
        ["client: [10.0.0.0/8]", "client: [192.0.2.0/24]"],
        ["cookies: [{ name: c, present: true }]", "cookies: [{ name: c, present: false }], methods: [GET]"],
        ["headers: [{ name: x, value: 1 }], methods: [GET]", "query: [{ name: x, value: 1 }], methods: [POST]"],
    ] {
        let routes = told_apart.map(|conditions| format!("path: /a, {conditions}"));
        assert_eq!(warnings(&[&routes[0], &routes[1]]), Vec::<String>::new(), "{told_apart:?}");
    }
}

#[test]
fn conditions_that_cannot_hold_are_refused() {
    for (conditions, expected) in [
        ("headers: [{ name: x }]", "match.headers[0]: exactly one of `value`, `regex` and `present` is wanted here"),
        ("query: [{ name: x, value: 1, present: true }]", "match.query[0]: exactly one of"),
        ("cookies: [{ value: 1 }]", "match.cookies[0]: the key `name` is missing"),
        ("query: [{ name: '', value: 1 }]", "match.query[0].name: the name is empty"),
        ("cookies: [{ name: 'a=b', value: 1 }]", "match.cookies[0].name: no cookie has this name"),
        ("cookies: [{ name: a, value: 'b;c' }]", "match.cookies[0].value: no cookie has this value"),
        ("headers: [{ name: x, value: ' 1' }]", "match.headers[0].value: no header has this value"),
        ("headers: [{ name: x y, value: 1 }]", "match.headers[0].name: `x y`: a header name has only letters"),
        ("headers: [{ name: Host, value: 1 }]", "match.headers[0].name: `Host`: write the host under `hosts`"),
        (
            "headers: [{ name: X-Real-IP, value: 1 }]",
            "match.headers[0].name: `X-Real-IP`: clients write here what they",
        ),
        ("headers: [{ name: x, regexp: a }]", "match.headers[0].regexp: unknown key; did you mean `regex`?"),
        (
            "headers: [{ name: x, regex: '(a' }]",
            "headers[0].regex: `(a`: this is no regular expression: unclosed group",
        ),
        ("query: [{ name: x, present: yes }]", "match.query[0].present: `yes` is neither `true` nor `false`"),
        (
            "query: [{ name: x, value: 1 }, { name: x, value: 1 }]",
            "match.query[1]: this condition stands in the list already",
        ),
        (
            "headers: [{ name: x, value: 1 }, { name: X, present: false }]",
            "match.headers[1]: no value is meant to fit this and the condition in line 3",
        ),
        ("client: [10.0.0.1/8]", "match.client[0]: `10.0.0.1/8`: the address has bits behind the prefix"),
        ("client: ['::1', '::1/128']", "match.client[1]: `::1/128` stands in this list already"),
        ("hosts: ['~(']", "match.hosts[0]: `~(`: this is no regular expression: unclosed group"),
    ] {
        let problems = report(&file(&[&format!("path: /a, {conditions}")]));
        assert!(problems.contains(expected) && problems.ends_with("\n1 problem"), "{conditions}: {problems}");
    }
    let many = (0..17).map(|n| format!("{{ name: q{n}, value: 1 }}")).collect::<Vec<_>>().join(", ");
    let problems = report(&file(&[&format!("path: /a, query: [{many}]")]));
    assert!(problems.contains("routes[0].match: a route has at most 16 conditions"), "{problems}");
    let problems = report(&file(&["path: '~v1/.*'"]));
    assert!(problems.contains("a regular expression for paths begins with `^/` or `/`"), "{problems}");
    let problems = report(&file(&["path: /a | priority: 1001"]));
    assert!(problems.contains("priority: `1001` is no whole number from -1000 to 1000"), "{problems}");
}

#[test]
fn what_the_gateway_says_itself_chooses_no_route() {
    let text = format!(
        "jwt_providers: {{ p: {{ algorithm: HS256, secret: \"${{JWT_SECRET_KEY}}\", issuer: i, audience: a, \
         claims_to_headers: {{ sub: X-User-Id }} }} }}\n{}",
        file(&["MATCH"])
    );
    for (by, key) in [
        ("path: /a, headers: [{ name: x-user-id, value: root }]", "match.headers[0].name"),
        ("path: /a, headers: [{ name: X_User_Id, present: true }]", "match.headers[0].name"),
        ("path: /a, headers: [{ name: X-Identity-Token, present: true }]", "match.headers[0].name"),
        ("path: /a | split: { SHARES, sticky: { header: X-User-Id } }", "split.sticky.header"),
        ("path: /a | split: { SHARES, force: { header: x_user-id } }", "split.force.header"),
    ] {
        let (matches, more) = by.split_once(" | ").unwrap_or((by, "upstream: up"));
        let more = more.replace("SHARES", "upstreams: [{ name: up, weight: 1 }]");
        let problems = report(&text.replace("MATCH", matches).replace("upstream: up", &more));
        assert!(problems.contains(&format!("{key}: ")), "{problems}");
        assert!(problems.contains("clients write here what they like"), "{problems}");
    }
}

#[test]
fn no_message_about_conditions_shows_what_a_variable_holds() {
    let env = env().with("SECRET", "s3cr3t;(");
    let text = file(&[
        "path: '~/${SECRET}', hosts: ['~${SECRET}'], headers: [{ name: x, regex: '${SECRET}' }], client: ['${SECRET}']",
        "path: /b, cookies: [{ name: '${SECRET}', value: '${SECRET}' }, { name: '${SECRET}', value: 'x' }]",
        "path: /c, headers: [{ name: x, value: '${SECRET}' }, { name: x, value: b }]",
    ]);
    let problems = parse(&text, Path::new("f"), &env).expect_err("wrong everywhere").to_string();
    assert!(!problems.contains("s3cr3t"), "{problems}");
    assert_eq!(problems.lines().count(), 10, "{problems}");
}

#[test]
fn everybody_as_a_trusted_proxy_is_doubtful_and_nobody_in_particular_is_refused() {
    let loaded = parse(&with("server: { trusted_proxies: [10.0.0.0/8, 0.0.0.0/0] }"), Path::new("f"), &env());
    let warnings = loaded.unwrap_or_else(|problems| panic!("{problems}")).warnings;
    assert_eq!(
        warnings,
        ["f:1:41: server.trusted_proxies[1]: everybody is believed here, whatever address they say they have"]
    );
    let problems = report(&with("server: { forwarded_header: forwarded }"));
    assert!(problems.contains("server.forwarded_header: nobody is believed"), "{problems}");
}
