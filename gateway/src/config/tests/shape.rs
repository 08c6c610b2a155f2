//! The steps that change requests and responses: which of them a file may have, and where.

use super::*;

/// What is wrong with a file of one route that is otherwise right.
fn problems(route: &str, blocks: &str) -> String {
    report(&format!(
        "{blocks}\nupstreams: {{ up: {{ targets: [\"http://a:1\"] }} }}\nroutes: [{{ name: r, public: true, {route} }}]\n"
    ))
}

fn step(step: &str) -> String {
    problems(&format!("match: {{ path: '/a/{{id}}/*', hosts: [a.example] }}, upstream: up, middleware: [{step}]"), "")
}

fn answering(step: &str) -> String {
    problems(&format!("match: {{ path: '/a/{{id}}/*', hosts: [a.example] }}, middleware: [{step}]"), "")
}

/// The commented examples of the annotated file are right when they are taken out of their comments.
#[test]
fn the_examples_of_the_annotated_file_are_without_problems() {
    let text = fs::read_to_string(conf("gateway.yaml")).expect("conf/gateway.yaml");
    let (_, examples) = text.split_once("# -- examples --\n").expect("examples");
    let uncommented = examples.lines().map(|line| line.replacen("# ", "", 1).trim_end_matches(" #").to_owned() + "\n");
    let routes: String = uncommented.collect();
    assert_eq!(
        report(&format!("upstreams: {{ inventory-service: {{ targets: [\"http://a:1\"] }} }}\nroutes:\n{routes}")),
        ""
    );
}

#[test]
fn steps_that_are_right_are_taken() {
    for good in [
        "headers: { request: { set: { X-A: '{param.id} {header.X-B}' }, remove: [Cookie] } }",
        "headers: { response: { set: { X-A: '{claim.sub}' } } }",
        "rewrite: { strip_prefix: /a, add_prefix: /b }",
        "rewrite: { path: '/b/{id}/{path}' }",
        "rewrite: { query: { set: { a: '{host}' }, remove: [b] } }",
        "compress: {}",
        "compress: { encodings: [gzip], types: ['text/*', application/json], min_size: 0B }",
        "cors: { allow_origins: ['*'], allow_headers: ['*', Authorization] }",
        "cors: { allow_origins: ['https://b.example'], allow_credentials: true, max_age: 1day }",
    ] {
        assert_eq!(step(good), "", "{good}");
    }
    for good in [
        "redirect: { to: 'https://{host}/{id}/{path}{query}', status: 301 }",
        "redirect: { scheme: https }",
        "redirect: { host: b.example, port: 8443 }",
        "respond: { status: 204 }",
        "respond: { body: x, headers: { Cache-Control: no-store } }",
    ] {
        assert_eq!(answering(good), "", "{good}");
    }
}

#[test]
fn headers_that_are_not_a_steps_to_change_are_refused() {
    let jwt = "jwt_providers: { p: { algorithm: HS256, secret: \"${JWT_SECRET_KEY}\", issuer: i, audience: a, \
               claims_to_headers: { sub: X-User-Id } } }\n";
    let with_jwt = |edits: &str| {
        let route = format!("match: {{ path: /* }}, upstream: up, middleware: [headers: {{ {edits} }}]");
        problems(&route, jwt)
    };
    for name in ["Connection", "Transfer-Encoding", "Content-Length", "Upgrade", "TE", "Trailer"] {
        for edits in [
            format!("request: {{ set: {{ {name}: a }} }}"),
            format!("request: {{ add: {{ {name}: a }} }}"),
            format!("response: {{ set: {{ {name}: a }} }}"),
            format!("response: {{ remove: [{name}] }}"),
        ] {
            assert!(with_jwt(&edits).contains("this header frames the message"), "{edits} {}", with_jwt(&edits));
        }
    }
    let host = with_jwt("request: { set: { Host: a } }");
    assert!(host.contains("which `Host` an upstream is sent, `host` of that upstream says"), "{host}");
    for name in ["X-Real-IP", "x_real_ip", "Forwarded", "X-Forwarded-Port"] {
        let said = with_jwt(&format!("request: {{ set: {{ {name}: \"{{client_ip}}\" }} }}"));
        assert_eq!(said, "", "the gateway does not say this: {name}");
    }
    for name in ["X-User-Id", "x_user_id", "X-Forwarded-For", "x-forwarded_host", "X-Request-Id", "x_forwarded_proto"] {
        for edits in ["set: { NAME: a }", "add: { NAME: a }", "remove: [NAME]"] {
            let edits = format!("request: {{ {} }}", edits.replace("NAME", name));
            assert!(with_jwt(&edits).contains("the gateway itself says this to upstreams"), "{edits}");
        }
    }
    assert_eq!(with_jwt("response: { set: { X-User-Id: a } }"), "", "in a response it asserts nothing");
    assert!(
        with_jwt("request: { set: { 'a b': c } }")
            .contains("routes[0].middleware[0].headers.request.set.a b: this is no")
    );
    assert!(with_jwt("request: { set: { X-A: a, x-a: b } }").contains("this header stands here already"));
}

#[test]
fn what_any_proof_says_to_upstreams_no_client_says_through_a_step() {
    let keys = "api_keys: { p: { keys: [{ client: c, sha256: ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad }], \
                claims_to_headers: { client: X-Client } } }\n";
    let told = |matches: &str, step: &str| {
        let route = format!(
            "match: {{ path: /*, {matches} }}, upstream: up, middleware: [headers: {{ request: {{ {step} }} }}]"
        );
        problems(&route, keys)
    };
    assert!(told("", "set: { X-Client: '{header.x-team}' }").contains("the gateway itself says this to upstreams"));
    for name in ["x-client", "x-forwarded-for", "x-request-id"] {
        assert!(
            told("", &format!("set: {{ X-A: '{{header.{name}}}' }}")).contains("clients write here what they like")
        );
    }
    let forged = told("headers: [{ name: X-Client, value: a }]", "set: { X-A: b }");
    assert!(forged.contains("clients write here what they like"), "{forged}");
    assert!(!told("", "set: { X-A: '{header.x-team}' }").contains("clients write"));
}

#[test]
fn what_a_step_cannot_do_is_told() {
    for (wrong, told) in [
        ("headers: {}", "headers: this changes nothing; name headers under `request` or `response`"),
        (
            "headers: { request: { set: { X-A: '{param.ids}' } } }",
            "set.X-A: the route's path has no parameter `ids`; did you mean `id`?",
        ),
        ("headers: { request: { set: { X-A: '{clientip}' } } }", "did you mean `client_ip`?"),
        ("headers: { request: { set: { X-A: '{claim.sub}' } } }", "set.X-A: no step before this one asks who is there"),
        ("rewrite: {}", "rewrite: this changes nothing"),
        ("rewrite: { strip_prefix: /b }", "rewrite.strip_prefix: the route's path does not begin with `/b`"),
        ("rewrite: { strip_prefix: /a/id }", "rewrite.strip_prefix: the route's path does not begin with `/a/id`"),
        ("rewrite: { strip_prefix: /a/ }", "a path has no empty segment"),
        ("rewrite: { path: /b, add_prefix: /c }", "rewrite.path: this is the whole path"),
        ("rewrite: { path: '/{name}' }", "rewrite.path: the route's path has no parameter `name`"),
        ("rewrite: { path: '/a/../b' }", "this gives no path"),
        ("rewrite: { query: { set: { a: b }, remove: [a] } }", "query.set.a: this is taken away too"),
        (
            "rewrite: { add_prefix: /b }, rewrite: { add_prefix: /c }",
            "middleware[1].rewrite: a step before this one does the same",
        ),
        ("compress: { encodings: [] }", "compress.encodings: there is no encoding"),
        ("compress: { encodings: [gzip, gzip] }", "compress.encodings[1]: `gzip` stands in this list already"),
        ("compress: { encodings: [deflate] }", "`deflate` is none of `gzip`, `br`, `zstd`"),
        ("compress: { types: [json] }", "a media type is written like `application/json`"),
        ("compress: { types: [] }", "compress.types: there is no media type"),
        ("compress: { min_size: 1 }", "a size is written with its unit"),
        ("cors: { allow_origins: [] }", "cors.allow_origins: there is no origin to let in"),
        ("cors: { allow_origins: ['*', 'https://a.example'] }", "`*` is all origins; leave the others out"),
        (
            "cors: { allow_origins: ['*'], allow_credentials: true }",
            "cors.allow_credentials: with `*` every page could act",
        ),
        ("cors: { allow_origins: ['a.example'] }", "an origin is written like `https://shop.example.com`"),
        (
            "cors: { allow_origins: ['https://a.example'], allow_credentials: true, allow_headers: ['*'] }",
            "list the headers",
        ),
        ("cors: { allow_origins: ['*'], allow_headers: ['a b'] }", "allow_headers[0]: `a b` is no header name"),
        ("cors: { allow_origins: ['*'], max_age: 25h }", "cors.max_age: `25h` is not between 0s and 1day"),
        ("cors: { allow_origins: ['*'], max_age: 1500ms }", "browsers count in whole seconds"),
    ] {
        let found = step(wrong);
        assert!(found.contains(told), "{wrong}\n{found}");
        assert!(found.ends_with("\n1 problem"), "{wrong}\n{found}");
    }
    for (wrong, told) in [
        ("redirect: {}", "redirect: this leads nowhere"),
        ("redirect: { to: /x, port: 1 }", "redirect.port: `to` is the whole place; leave this out"),
        ("redirect: { to: x }", "a target begins with `http://`, `https://` or a single `/`"),
        ("redirect: { to: '/{name}' }", "redirect.to: the route's path has no parameter `name`"),
        ("redirect: { host: '*.a.example' }", "redirect.host: a redirect leads to one host"),
        ("redirect: { scheme: http }", "redirect.scheme: who comes over this scheme already"),
        ("redirect: { to: /x, status: 309 }", "`309` is none of `301`, `302`, `303`, `307`, `308`"),
        ("respond: { body: a, body_file: b }", "respond.body_file: `b` cannot be read"),
        ("respond: { status: 204, body: a }", "respond.status: an answer of status 204 has no body"),
        ("respond: { status: 199 }", "`199` is no whole number from 200 to 599"),
        ("respond: { headers: { Content-Type: a } }", "the media type has a key of its own: `content_type`"),
        ("respond: { headers: { Connection: a } }", "this header frames the message"),
        ("respond: { content_type: \"a\\nb\" }", "a header's value has no line end"),
    ] {
        let found = answering(wrong);
        assert!(found.contains(told), "{wrong}\n{found}");
    }
}

#[test]
fn nothing_stands_behind_a_step_that_answers() {
    let both = answering("{ respond: { status: 204 } }, { headers: { response: { remove: [Server] } } }");
    assert!(
        both.contains("routes[0].middleware[1]: the `respond` step before this one answers every request"),
        "{both}"
    );
    let beside = step("redirect: { to: /x }");
    assert!(beside.contains("routes[0].upstream: the route's `redirect` step answers every request"), "{beside}");
    let neither = answering("headers: { response: { remove: [Server] } }");
    assert!(neither.contains("routes[0]: the key `upstream` is missing"), "{neither}");
}

#[test]
fn steps_that_go_by_a_route_stand_in_its_list() {
    let shared = |step: &str| problems("match: { path: /* }, upstream: up", &format!("middleware: [{step}]"));
    for step in ["rewrite: { add_prefix: /a }", "redirect: { to: /a }", "respond: { status: 204 }"] {
        let found = shared(step);
        assert!(found.contains("this step goes by its route; write it in the route's own list"), "{step}");
        assert!(found.ends_with("\n1 problem"), "{found}");
    }
    assert!(
        shared("headers: { response: { set: { X-A: '{param.a}' } } }").contains("parameters belong to a route's path")
    );
    assert_eq!(shared("headers: { response: { set: { X-A: '{route}' } } }"), "");
    assert_eq!(shared("cors: { allow_origins: ['*'] }"), "");
    let twice = problems(
        "match: { path: /* }, upstream: up, middleware: [cors: { allow_origins: ['*'] }]",
        "middleware: [cors: { allow_origins: ['*'] }]",
    );
    assert!(twice.contains("routes[0].middleware[0].cors: a step before this one does the same"), "{twice}");
}

#[test]
fn a_redirect_on_the_host_that_was_asked_needs_hosts() {
    let anywhere =
        |redirect: &str| problems(&format!("match: {{ path: /* }}, middleware: [redirect: {{ {redirect} }}]"), "");
    for open in ["to: 'https://{host}/'", "scheme: https", "port: 8443"] {
        assert!(anywhere(open).contains("whoever asks says which host that is"), "{open}");
    }
    for closed in ["to: /x", "path: /x", "host: a.example", "scheme: https, host: a.example", "to: https://a.example/"]
    {
        assert_eq!(anywhere(closed), "", "{closed}");
    }
}

#[test]
fn a_body_comes_from_a_file_beside_the_configuration() {
    let directory = tempfile::tempdir().expect("directory");
    let path = directory.path().join("gateway.yaml");
    let route =
        "routes: [{ name: r, public: true, match: { path: /* }, middleware: [respond: { body_file: page.html }] }]";
    fs::write(&path, route).expect("file");
    fs::write(directory.path().join("page.html"), "<p>").expect("file");
    let loaded = load(&path, &env()).unwrap_or_else(|problems| panic!("{problems}"));
    assert_eq!(loaded.bodies[Path::new("page.html")], "<p>");
    fs::write(directory.path().join("page.html"), vec![b'x'; (1 << 20) + 1]).expect("file");
    let problems = load(&path, &env()).expect_err("too large").to_string();
    assert!(problems.contains("respond.body_file: `page.html` has more than 1048576 bytes"), "{problems}");
}

#[test]
fn what_browsers_do_not_take_of_hsts_is_refused() {
    let tls =
        |more: &str| report(&with(&format!("server: {{ tls: {{ listen: ['[::1]:1'], certificates: [], {more} }} }}")));
    for good in [
        "hsts: { max_age: 365d, include_subdomains: true, preload: true }",
        "hsts: { max_age: 0s }",
        "redirect_http: true",
    ] {
        assert!(tls(good).ends_with("there is no certificate to show to clients\n1 problem"), "{good} {}", tls(good));
    }
    for (wrong, told) in [
        ("hsts: { max_age: 365d, preload: true }", "server.tls.hsts.preload: browsers take this only with"),
        (
            "hsts: { max_age: 30d, include_subdomains: true, preload: true }",
            "server.tls.hsts.preload: browsers take this",
        ),
        ("hsts: { max_age: 1500ms }", "server.tls.hsts.max_age: browsers count in whole seconds"),
        ("hsts: {}", "server.tls.hsts: the key `max_age` is missing"),
        ("redirect_port: 443", "server.tls.redirect_port: nobody is sent there; write `redirect_http: true`"),
    ] {
        assert!(tls(wrong).contains(told), "{wrong} {}", tls(wrong));
    }
}
