//! Rate limits in the file: what they may count by, and where.

use super::*;

/// A file with a policy of these settings, and a route with these.
fn file(policy: &str, route: &str) -> String {
    format!(
        "jwt_providers: {{ p: {{ algorithm: HS256, secret: \"${{JWT_SECRET_KEY}}\", issuer: i, audience: a, \
         claims_to_headers: {{ sub: X-User-Id }} }} }}\n\
         api_keys: {{ k: {{ keys: [{{ client: c, sha256: {} }}] }} }}\n\
         rate_limits:\n  each: {{ scope: local, limit: 1, window: 1s, {policy} }}\n  \
         everybody: {{ scope: local, limit: 1, window: 1s, key: client_address }}\n\
         upstreams: {{ up: {{ targets: [\"http://a:1\"] }} }}\n\
         middleware: [rate_limit: {{ policies: [everybody] }}]\n\
         routes:\n- {{ name: r, upstream: up, {route} }}\n",
        "0".repeat(64)
    )
}

const LIMIT: &str = "{ rate_limit: { policies: [each] } }";
const JWT: &str = "{ jwt: { provider: p } }";
const KEY: &str = "{ api_key: { provider: k } }";

fn public() -> String {
    format!("public: true, match: {{ path: '/a/{{id}}' }}, middleware: [{LIMIT}]")
}

fn behind(asks: &str) -> String {
    format!("match: {{ path: '/a/{{id}}' }}, middleware: [{asks}, {LIMIT}]")
}

#[test]
fn a_limit_counts_by_one_part_of_a_request_or_by_several_together() {
    let any = "{ any_of: [[jwt: { provider: p }], [api_key: { provider: k }]] }";
    for (policy, route) in [
        ("key: client_address", public()),
        ("key: client_address/56", public()),
        ("key: [client_address]", public()),
        ("key: [client_address, param.id, route, method]", public()),
        ("key: [header.x-tenant, cookie.session, host], missing_key: refuse", public()),
        ("key: header.x-tenant, missing_key: client_address", public()),
        ("key: [claim.sub, \"= params.id\"], missing_key: share", behind(JWT)),
        ("key: api_key", behind(KEY)),
        ("key: [api_key, route], missing_key: skip", behind(any)),
    ] {
        let loaded = parse(&file(policy, &route), Path::new("f"), &env());
        let loaded = loaded.unwrap_or_else(|problems| panic!("{policy}: {problems}"));
        let told: Vec<_> = loaded.warnings.iter().filter(|warning| !warning.contains("nothing uses this")).collect();
        assert_eq!(told, Vec::<&String>::new(), "{policy}");
    }
}

#[test]
fn a_key_that_no_request_has_or_that_says_nothing_is_refused_at_its_place() {
    let own = "rate_limits.each.key";
    let used = "routes[0].middleware[0].rate_limit.policies[0]";
    for (policy, route, told) in [
        ("key: []", public(), format!("{own}: there is nothing to count by")),
        ("key: [route, Route]", public(), format!("{own}[1]: `Route`: requests are counted by `client_address`")),
        ("key: headers.x", public(), format!("{own}: `headers.x`: requests are counted by `client_address`")),
        ("key: x-api-key", public(), "did you mean `header.<name>`, as in `header.x-api-key`?".to_owned()),
        ("key: [route, client_address/0]", public(), format!("{own}[1]: `client_address/0`: behind `client_address/`")),
        ("key: { a: b }", public(), format!("{own}: a text or a list of texts is wanted here")),
        ("key: [route, method, route]", public(), format!("{own}[2]: `route` stands in this list already")),
        (
            "key: [client_address, client_address/56]",
            public(),
            format!("{own}[1]: the address stands in this list already"),
        ),
        (
            "key: [claim.a, claim.b, claim.c, claim.d, claim.e, claim.f, claim.g, claim.h, claim.i]",
            behind(JWT),
            format!("{own}: a key has at most 8 parts"),
        ),
        (
            "key: [client_address, route], missing_key: share",
            public(),
            "rate_limits.each.missing_key: every request has what".to_owned(),
        ),
        (
            "key: route, missing_key: ignore",
            public(),
            "rate_limits.each.missing_key: `ignore` is none of `client_address`, `share`, `refuse`, `skip`".to_owned(),
        ),
        (
            "key: [route, api_key]",
            public(),
            format!("{used}: `each` counts by `api_key`, and no `api_key` step before this one"),
        ),
        (
            "key: api_key",
            behind(JWT).replace("middleware[0]", ""),
            "`each` counts by `api_key`, and no `api_key` step".to_owned(),
        ),
        (
            "key: claim.sub",
            public(),
            format!("{used}: `each` counts by `claim.sub`, and no step before this one asks who is there"),
        ),
        ("key: claim.sub", behind(KEY), "nobody who is asked here says the claim `sub`".to_owned()),
        (
            "key: [route, param.ids]",
            public(),
            format!(
                "{used}: `each` counts by `param.ids`, and the route's path has no parameter `ids`; did you mean `id`?"
            ),
        ),
        (
            "key: header.X-User-Id",
            public(),
            format!("{used}: `each` counts by `header.x-user-id`, and clients write there what they like"),
        ),
        (
            "key: header.x-forwarded-for",
            public(),
            format!("{own}: `header.x-forwarded-for`: clients write here what they like; `client_address` is"),
        ),
    ] {
        let problems = report(&file(policy, &route));
        assert!(problems.contains(&told), "{policy}: {told}\n{problems}");
        assert!(problems.ends_with("\n1 problem"), "{policy}\n{problems}");
    }
}

#[test]
fn a_parameter_is_counted_by_only_in_the_list_of_a_route_that_has_it() {
    let text =
        file("key: param.id", "public: true, match: { path: '/a/{id}' }").replace("[everybody]", "[everybody, each]");
    let problems = report(&text);
    let told =
        "middleware[0].rate_limit.policies[1]: `each` counts by `param.id`, and parameters belong to a route's path";
    assert!(problems.contains(told), "{problems}");
}

#[test]
fn what_clients_are_told_is_all_nothing_or_a_list_of_kinds() {
    let step = |settings: &str| {
        with(&format!(
            "rate_limits: {{ one: {{ scope: local, limit: 1, window: 1s, key: client_address }} }}\n\
             rate_limit_defaults: {{ {settings} }}\n\
             middleware: [rate_limit: {{ policies: [one]{}{settings} }}]",
            if settings.is_empty() { "" } else { ", " }
        ))
    };
    for settings in [
        "",
        "headers: true",
        "headers: false, retry_after: false",
        "headers: [standard]",
        "headers: [legacy]",
        "headers: [legacy, standard], retry_after: true",
        "problem_document: false",
    ] {
        assert_eq!(report(&step(settings)), "", "{settings}");
    }
    for (settings, told) in [
        ("headers: []", "headers: this list is empty; write `false` for no headers"),
        ("headers: [standard, standard]", "headers: one word stands twice in this list"),
        ("headers: [standart]", "headers[0]: `standart` is none of `standard`, `legacy`; did you mean `standard`?"),
        ("headers: standard", "headers: `standard` is neither `true` nor `false`"),
        ("headers: { standard: true }", "headers: `true`, `false` or a list is wanted here"),
        ("retry_after: 5s", "retry_after: `5s` is neither `true` nor `false`"),
        ("problem_document: []", "problem_document: `true` or `false` is wanted here"),
        ("problem: false", "problem: unknown key"),
    ] {
        let problems = report(&step(settings));
        for place in ["rate_limit_defaults", "middleware[0].rate_limit"] {
            assert!(problems.contains(&format!(" {place}.{told}")), "{settings}\n{problems}");
        }
        assert!(problems.ends_with("\n2 problems"), "{settings}\n{problems}");
    }
}

#[test]
fn no_message_shows_a_key_that_a_variable_holds() {
    let env = env().with("SECRET", "header-s3cr3t").with("OTHER", "headers.s3cr3t");
    let text = file("key: [\"${SECRET}\", \"${OTHER}\"]", &public());
    let problems = parse(&text, Path::new("f"), &env).expect_err("no parts").to_string();
    assert!(!problems.contains("s3cr3t") && problems.ends_with("\n2 problems"), "{problems}");
}

/// Of a route on which a client escapes all policies by what it writes or leaves out.
#[test]
fn a_limit_that_a_client_escapes_is_warned_of_where_no_other_one_holds() {
    let warnings = |policy: &str, route: &str, everybody: bool| {
        let text = file(policy, route);
        let text =
            if everybody { text } else { text.replace("middleware: [rate_limit: { policies: [everybody] }]", "") };
        let loaded = parse(&text, Path::new("f"), &env()).unwrap_or_else(|problems| panic!("{problems}"));
        let about = |warning: &&String| warning.contains("rate_limits.each");
        loaded.warnings.iter().filter(about).cloned().collect::<Vec<_>>()
    };
    let where_it = |what: &str| public().replace("match: {", &format!("match: {{ {what},"));
    let at = |path: &str| public().replace("/a/{id}", path);
    let (on_a_host, below_a_host) = (where_it("hosts: [a.example]"), where_it("hosts: [a.example, '*.a.example']"));
    let fitting_a_host = where_it("hosts: ['~a[.]example']");
    for (policy, route, told) in [
        ("key: header.x-tenant", public(), "whoever writes something else there (`header.x-tenant`) has a new quota"),
        ("key: [client_address, cookie.session]", public(), "(`cookie.session`) has a new quota"),
        ("key: host", public(), "(`host`) has a new quota"),
        ("key: \"= query.tenant\"", public(), "(`= query.tenant`) has a new quota"),
        ("key: host", below_a_host.clone(), "(`host`) has a new quota"),
        ("key: host", fitting_a_host, "(`host`) has a new quota"),
        ("key: \"= host\"", below_a_host, "(`= host`) has a new quota"),
        ("key: [client_address, param.id]", public(), "(`param.id`) has a new quota"),
        ("key: \"= params.id\"", public(), "(`= params.id`) has a new quota"),
        ("key: \"= path\"", public(), "(`= path`) has a new quota"),
        ("key: \"= path\"", at("/a/*"), "(`= path`) has a new quota"),
        ("key: \"= path\"", at("~/a.*"), "(`= path`) has a new quota"),
        ("key: \"= client_ip + path\"", public(), "(`= client_ip + path`) has a new quota"),
        ("key: \"= client_ip + headers.x\"", public(), "(`= client_ip + headers.x`) has a new quota"),
        ("key: \"= client_ip + method\"", public(), "(`= client_ip + method`) has a new quota"),
        ("key: claim.sub, missing_key: skip", behind(JWT), "requests without this are not counted"),
    ] {
        let told_once = warnings(policy, &route, false);
        assert!(matches!(&*told_once, [only] if only.contains(told) && only.contains("route `r`")), "{told_once:?}");
        assert_eq!(warnings(policy, &route, true), Vec::<String>::new(), "{policy}: another one holds");
    }
    for (policy, route) in [
        ("key: host", on_a_host.clone()),
        ("key: \"= host + client_ip\"", on_a_host),
        ("key: claim.sub", behind(JWT)),
        ("key: [client_address, method, route]", public()),
        ("key: \"= client_ip + path\"", at("/a/b")),
        ("key: \"= client_ip + method\"", where_it("methods: [GET, POST]")),
        ("key: [client_address, \"= headers.x == 'a'\"]", public()),
    ] {
        assert_eq!(warnings(policy, &route, false), Vec::<String>::new(), "{policy}");
    }
}

#[test]
fn a_limit_that_clients_choose_is_warned_of() {
    let warnings = |value: &str| {
        let text = file(&format!("key: client_address, limit_by: {{ value: \"{value}\", max: 9 }}"), &behind(JWT));
        let loaded = parse(&text, Path::new("f"), &env()).unwrap_or_else(|problems| panic!("{problems}"));
        loaded.warnings.iter().filter(|warning| warning.contains("limit_by")).cloned().collect::<Vec<_>>()
    };
    for (value, named) in
        [("= int(headers.x)", "headers"), ("= int(query.n)", "query"), ("= has(cookies.c) ? 9 : 1", "cookies")]
    {
        let told = warnings(value);
        let expected = format!("rate_limits.each.limit_by.value: clients write in `{named}` what they like");
        assert!(matches!(&*told, [only] if only.contains(&expected)), "{value}: {told:?}");
    }
    for value in ["claim.rpm", "= claims.plan == 'pro' ? 9 : 1", "= method == 'GET' ? 9 : 1"] {
        assert_eq!(warnings(value), Vec::<String>::new(), "{value}");
    }
}

/// Each behind the first, which is what they stand on.
#[test]
fn every_example_of_the_page_on_rate_limits_is_without_problems_and_warnings() {
    let page = include_str!("../../../../docs/rate-limits.md");
    let mut examples = page.split("```yaml\n").skip(1).filter_map(|rest| rest.split("```").next());
    let ground = examples.next().expect("the ground");
    let mut tried = 0;
    for example in examples {
        let text = format!("{ground}{example}");
        let loaded = parse(&text, Path::new("page.yaml"), &env());
        let loaded = loaded.unwrap_or_else(|problems| panic!("{problems}\n{example}"));
        let told: Vec<_> = loaded.warnings.iter().filter(|warning| !warning.contains("nothing uses this")).collect();
        assert_eq!(told, Vec::<&String>::new(), "{example}");
        tried += 1;
    }
    assert!(tried >= 6, "{tried}");
}

#[test]
fn a_network_that_is_too_large_for_a_client_of_ipv6_is_warned_of() {
    let warnings = |key: &str| {
        let limited = format!(
            "middleware: [rate_limit: {{ policies: [l] }}]\n\
             rate_limits: {{ l: {{ scope: local, limit: 9, window: 1m, key: {key} }} }}"
        );
        parse(&with(&limited), Path::new("f"), &env()).expect("legal").warnings
    };
    for (key, named) in
        [("client_address/24", "`client_address/24`"), ("[client_address/31, route]", "`client_address/31`")]
    {
        let told = warnings(key);
        let is_it = |warning: &String| warning.contains(named) && warning.contains("the length of an IPv6 prefix");
        assert!(told.len() == 1 && is_it(&told[0]), "{key}: {told:?}");
    }
    for key in ["client_address", "client_address/32", "client_address/56"] {
        assert_eq!(warnings(key), Vec::<String>::new(), "{key}");
    }
}
