//! Routes that are mirrored: what is taken, and what is refused.

use super::*;

fn file(route: &str) -> String {
    format!(
        "upstreams: {{ a: {{ targets: [\"http://a:1\"] }}, b: {{ targets: [\"https://b:1\"] }} }}\n\
         routes:\n- {{ name: r, match: {{ path: /x }}, public: true, {route} }}\n- {{ name: s, match: {{ path: /s }}, \
         public: true, upstream: a }}\n"
    )
}

#[test]
fn a_mirror_is_an_upstream_that_is_used() {
    for more in ["", ", sample: 0.5%, max_body: 0B, max_in_flight: 1, timeout: 1ms"] {
        let text = file(&format!("upstream: a, mirror: {{ upstream: b{more} }}"));
        let loaded = parse(&text, Path::new("f"), &env()).unwrap_or_else(|problems| panic!("{problems}"));
        assert_eq!(loaded.warnings, Vec::<String>::new());
    }
}

#[test]
fn a_mirror_that_cannot_be_meant_is_refused() {
    for (route, told) in [
        ("upstream: a, mirror: { upstream: c }", "routes[0].mirror.upstream: there is no upstream `c`"),
        ("upstream: a, mirror: { upstream: a }", "mirror.upstream: this upstream gets the requests themselves"),
        (
            "split: { upstreams: [{ name: a, weight: 1 }, { name: b, weight: 1 }] }, mirror: { upstream: b }",
            "mirror.upstream: this upstream gets",
        ),
        ("upstream: a, mirror: { upstream: b, sample: 0% }", "mirror.sample: `0%`: a part is written like `5%`"),
        ("upstream: a, mirror: { upstream: b, sample: 5 }", "mirror.sample: `5`: a part is written like `5%`"),
        ("upstream: a, mirror: { upstream: b, max_body: 2GiB }", "mirror.max_body: `2GiB` is not between"),
        (
            "upstream: a, mirror: { upstream: b, max_body: 16MiB, max_in_flight: 100 }",
            "copies could take more than 1GiB",
        ),
        ("upstream: a, mirror: { upstream: b, max_in_flight: 0 }", "`0` is no whole number from 1 to 10000"),
        ("upstream: a, mirror: { upstream: b, timeout: 0s }", "mirror.timeout: `0s` is not between"),
        ("upstream: a, mirror: { upstream: b, retries: 1 }", "mirror.retries: unknown key"),
        (
            "mirror: { upstream: b }, middleware: [respond: { status: 204 }]",
            "the route's `respond` step answers every request, so",
        ),
    ] {
        let problems = report(&file(route));
        assert!(problems.contains(told), "{route}\n{problems}");
    }
}

#[test]
fn a_mirror_whose_upstream_is_not_spoken_to_as_copies_go_is_refused() {
    for (settings, told) in [
        ("tls: { verify: false }", Some("the upstream `b` has a `tls` block, by which copies cannot go")),
        ("protocol: http2", Some("the upstream `b` speaks not only `http1`, in which copies are sent")),
        ("protocol: auto", Some("the upstream `b` speaks not only `http1`, in which copies are sent")),
        ("protocol: http1", None),
    ] {
        let text = file("upstream: a, mirror: { upstream: b }");
        let problems = report(&text.replace("https://b:1\"]", &format!("https://b:1\"], {settings}")));
        match told {
            Some(told) => assert!(problems.contains(&format!("routes[0].mirror.upstream: {told}")), "{problems}"),
            None => assert_eq!(problems, ""),
        }
    }
}
