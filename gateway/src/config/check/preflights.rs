//! Warns of routes whose CORS preflights cannot reach them.

use http::HeaderName;
use http::header::{
    ACCEPT, ACCEPT_ENCODING, ACCEPT_LANGUAGE, ACCESS_CONTROL_REQUEST_HEADERS, ACCESS_CONTROL_REQUEST_METHOD,
    CACHE_CONTROL, CONNECTION, CONTENT_LENGTH, HOST, ORIGIN, PRAGMA, REFERER, USER_AGENT,
};

use crate::config::file::{GatewayFile, MiddlewareFile, RouteFile};
use crate::config::pattern::{Condition, Reference, Test, Variable};
use crate::config::problems::KeyPath;
use crate::config::report::Report;

/// What browsers send with a preflight (Fetch, section 4.8, and what they add to every request); those of `sec-` besides.
const SENT: [HeaderName; 13] = [
    ACCEPT,
    ACCEPT_ENCODING,
    ACCEPT_LANGUAGE,
    ACCESS_CONTROL_REQUEST_HEADERS,
    ACCESS_CONTROL_REQUEST_METHOD,
    CACHE_CONTROL,
    CONNECTION,
    CONTENT_LENGTH,
    HOST,
    ORIGIN,
    PRAGMA,
    REFERER,
    USER_AGENT,
];

pub(super) fn check(file: &GatewayFile, report: &mut Report<'_>) {
    let says_cors = |steps: &[MiddlewareFile]| steps.iter().any(|step| matches!(step, MiddlewareFile::Cors(_)));
    let everywhere = says_cors(&file.middleware);
    for (index, route) in file.routes.iter().enumerate() {
        let at = KeyPath::default().key("routes").index(index).key("match");
        if !report.is_written(&at) || !everywhere && !says_cors(&route.middleware) {
            continue;
        }
        if let Some(missing) = missing(route) {
            let message = format!(
                "a browser's preflight comes without {missing}, so it does not reach this route and its `cors` step; give a \
                 route at the same place, but without this condition, a `cors` step too"
            );
            report.warning(&at, message);
        }
    }
}

/// What the route asks for and no preflight has.
fn missing(route: &RouteFile) -> Option<String> {
    let is_sent = |name: &HeaderName| SENT.contains(name) || name.as_str().starts_with("sec-");
    route.matches.conditions().iter().find_map(|condition| match condition {
        Condition::Header(_, Test::Present(false)) | Condition::Cookie(_, Test::Present(false)) => None,
        Condition::Header(name, _) => (!is_sent(name)).then(|| format!("the header `{name}`")),
        Condition::Cookie(..) => Some("cookies".to_owned()),
        Condition::Expression(predicate) => {
            let asked = predicate.expression().references();
            let is_missing = |asked: &Reference| match (asked.variable, &asked.name) {
                (Variable::Cookies, _) | (Variable::Headers, None) => true,
                (Variable::Headers, Some(name)) => name.parse().is_ok_and(|name: HeaderName| !is_sent(&name)),
                _ => false,
            };
            let missing = asked.iter().find(|asked| is_missing(asked))?;
            Some(format!("the `{}` that its expression asks for", missing.variable.name()))
        }
        Condition::Query(..) | Condition::Client(_) => None,
    })
}
