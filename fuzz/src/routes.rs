//! Routes and a request, drawn by the bytes.

use std::fmt::Write as _;
use std::net::IpAddr;
use std::path::Path;

use common::config::Env;
use gateway::Rehearsal;
use gateway::reply::Rejection;
use pingora_http::RequestHeader;
use tokio::runtime::Builder;

const HOSTS: [&str; 4] = ["", "a.x", "b.x", "*.x"];
const ASKED_HOSTS: [&str; 4] = ["a.x", "b.x", "c.x", "y"];
const SEGMENTS: [&str; 3] = ["a", "b", "{p}"];
const ASKED_SEGMENTS: [&str; 3] = ["a", "b", "c"];
const METHODS: [&str; 3] = ["", "GET", "POST"];
const MOST_ROUTES: usize = 8;

struct Route {
    host: &'static str,
    segments: Vec<&'static str>,
    is_prefix: bool,
    method: &'static str,
}

/// The route that takes a request is the most specific one of all in a list.
pub fn routes(bytes: &[u8]) {
    let mut bytes = bytes.iter().copied();
    let mut draw = |most: usize| bytes.next().map(|byte| usize::from(byte) % most);
    let mut drawn = || {
        let (host, path) = (ASKED_HOSTS[draw(4)?], (0..draw(4)?).map(|_| draw(3)).collect::<Option<Vec<_>>>()?);
        let (path, method) =
            (path.into_iter().map(|index| ASKED_SEGMENTS[index]).collect::<Vec<_>>(), METHODS[1 + draw(2)?]);
        let mut routes = Vec::new();
        while let Some(host) = draw(4).filter(|_| routes.len() < MOST_ROUTES) {
            let segments = (0..draw(4)?).map(|_| draw(3)).collect::<Option<Vec<_>>>()?;
            let segments = segments.into_iter().map(|index| SEGMENTS[index]).collect();
            routes.push(Route { host: HOSTS[host], segments, is_prefix: draw(2)? == 1, method: METHODS[draw(3)?] });
        }
        Some((host, path, method, routes))
    };
    let Some((host, path, method, routes)) = drawn() else { return };
    // Parameters need names of their own, and routes that take the same are refused.
    let text = file(&routes);
    let Ok(loaded) = gateway::config::parse(&text, Path::new("f"), &Env::default()) else { return };
    let runtime = Builder::new_current_thread().enable_all().build().expect("a runtime");
    let rehearsal = runtime.block_on(Rehearsal::of(&loaded, Vec::new())).expect("compiles");
    let mut head = RequestHeader::build(method, format!("/{}", path.join("/")).as_bytes(), None).expect("a head");
    head.append_header("host", host).expect("a header");
    let mut ctx = rehearsal.request(IpAddr::from([192, 0, 2, 7]));
    let found = runtime.block_on(rehearsal.answer(&mut head, &mut ctx));
    let mut taking: Vec<_> =
        routes.iter().enumerate().filter_map(|(index, route)| Some((rank(route, host, &path)?, index))).collect();
    taking.sort_unstable();
    let is_for = |index: &usize| routes[*index].method.is_empty() || routes[*index].method == method;
    let first = taking.iter().map(|(_, index)| *index).find(is_for);
    match (first, found) {
        (Some(index), Ok(Some(_))) => assert_eq!(ctx.route_name(), Some(&*format!("r{index}")), "{text}"),
        (None, Err(Rejection::NoRoute)) => assert!(taking.is_empty(), "{text}"),
        (None, Err(Rejection::MethodNotAllowed(_))) => assert!(!taking.is_empty(), "{text}"),
        (expected, found) => panic!("{found:?} and not {expected:?} for {method} {host} {path:?} in\n{text}"),
    }
}

fn file(routes: &[Route]) -> String {
    let mut text = "routes:\n".to_owned();
    for (index, Route { host, segments, is_prefix, method }) in routes.iter().enumerate() {
        let mut path: String = segments
            .iter()
            .enumerate()
            .map(|(nr, segment)| format!("/{}", segment.replace('p', &format!("p{nr}"))))
            .collect();
        path += if *is_prefix {
            "/*"
        } else if path.is_empty() {
            "/"
        } else {
            ""
        };
        let hosts = if host.is_empty() { String::new() } else { format!("\"{host}\"") };
        let _ = writeln!(
            text,
            "- {{ name: r{index}, match: {{ hosts: [{hosts}], path: \"{path}\", methods: [{method}] }}, public: true, \
             middleware: [respond: {{ status: 204 }}] }}"
        );
    }
    text
}

/// How soon a route is asked for a request to this place, if it takes it but for its method; the least is the first.
fn rank(route: &Route, host: &str, path: &[&str]) -> Option<(usize, Vec<usize>)> {
    let of_host = match route.host {
        "" => 2,
        "*.x" => host.ends_with(".x").then_some(1)?,
        exact => (exact == host).then_some(0)?,
    };
    let fits = route.segments.iter().zip(path).all(|(own, asked)| own == asked || *own == "{p}");
    let long_enough = path.len() == route.segments.len() || route.is_prefix && path.len() > route.segments.len();
    (fits && long_enough).then_some(())?;
    let forms = route.segments.iter().map(|segment| usize::from(*segment == "{p}"));
    Some((of_host, forms.chain([if route.is_prefix { 2 } else { 0 }]).collect()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_drawn_is_a_file_that_a_gateway_takes() {
        let route = |host, segments: &[&'static str], is_prefix, method| {
            let segments = segments.to_vec();
            Route { host, segments, is_prefix, method }
        };
        let text = file(&[
            route("", &["a", "{p}", "{p}"], true, ""),
            route("*.x", &[], false, "GET"),
            route("a.x", &[], true, "POST"),
        ]);
        let loaded = gateway::config::parse(&text, Path::new("f"), &Env::default());
        assert_eq!(loaded.unwrap_or_else(|problems| panic!("{problems}{text}")).file.routes.len(), 3);
    }
}
