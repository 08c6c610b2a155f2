//! Checks what expressions ask for: whether a request has it where they are asked.

use common::names::did_you_mean;

use super::claims::Claims;
use super::shape::is_asserted;
use crate::config::file::{GatewayFile, MatchHeader, RouteFile};
use crate::config::pattern::{Expression, Reference, Segment, Variable};
use crate::config::problems::KeyPath;
use crate::config::report::Report;

/// What a request has when an expression is asked.
pub(super) enum Moment<'a> {
    /// Its route is looked for.
    Matching,
    /// It is on its way through the steps of a route.
    Steps {
        /// What the steps before may have found out.
        claims: &'a Claims,
        /// The route; none in the list of the whole gateway.
        route: Option<&'a RouteFile>,
    },
}

/// Whether `expression` asks for anything of who is there.
pub(super) fn asks_who(expression: &Expression) -> bool {
    expression.references().iter().any(|asked| matches!(asked.variable, Variable::Claims | Variable::Auth))
}

pub(super) fn check(
    expression: &Expression,
    moment: &Moment<'_>,
    file: &GatewayFile,
    at: &KeyPath,
    report: &mut Report<'_>,
) {
    for asked in expression.references() {
        if let Some(problem) = problem(asked, moment, file) {
            report.problem(at, problem);
        }
    }
}

/// Why a request never has what is `asked` for.
pub(super) fn problem(asked: &Reference, moment: &Moment<'_>, file: &GatewayFile) -> Option<String> {
    let name = asked.name.as_deref().unwrap_or_default();
    match (asked.variable, moment) {
        (Variable::Claims | Variable::Auth | Variable::Params, Moment::Matching) => {
            let variable = asked.variable.name();
            Some(format!("`{variable}` is known only when the route is; ask for it in an `authorize` step"))
        }
        (Variable::Claims, Moment::Steps { claims, .. }) => claims.problem(name),
        (Variable::Auth, Moment::Steps { claims, .. }) => {
            (**claims == Claims::None).then(|| "no step before this one asks who is there".to_owned())
        }
        (Variable::Params, Moment::Steps { route: None, .. }) => {
            Some("parameters belong to a route's path; write this step in the route's own list".to_owned())
        }
        (Variable::Params, Moment::Steps { route: Some(route), .. }) => {
            let known = || {
                route.matches.path.segments().iter().filter_map(|segment| match segment {
                    Segment::Parameter(name) => Some(name.as_str()),
                    Segment::Literal(_) => None,
                })
            };
            let hint = || did_you_mean(name, known());
            (!known().any(|known| known == name))
                .then(|| format!("the route's path has no parameter `{name}`{}", hint()))
        }
        (Variable::Headers, _) => match MatchHeader::try_from(name.to_owned()) {
            Err(bad) => Some(format!("`headers[\"{name}\"]`: {bad}")),
            Ok(_) if is_asserted(&name.to_ascii_lowercase(), file) => Some(format!(
                "`headers[\"{name}\"]`: clients write here what they like; `claims` and `client_ip` are what is believed"
            )),
            Ok(_) => None,
        },
        (
            Variable::Method
            | Variable::Host
            | Variable::Path
            | Variable::ClientIp
            | Variable::Query
            | Variable::Cookies,
            _,
        ) => None,
    }
}
