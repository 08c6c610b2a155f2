//! Checks what rate limits count by: whether a request can have it where it is counted.

use std::collections::BTreeSet;

use common::names::did_you_mean;

use super::claims::Claims;
use super::expressions::{self, Moment};
use super::shape::is_asserted;
use crate::config::file::{FigureFile, GatewayFile, MissingKey, RateLimitFile, RouteFile};
use crate::config::pattern::{
    Figure, HostMatch, HostPattern, KeyPart, Kind, PathMatch, PathPattern, Reference, Segment, Tail, Variable,
};
use crate::config::problems::KeyPath;
use crate::config::report::Report;

/// More parts than anybody can think of; each is read of every request.
const MOST_PARTS: usize = 8;

/// What a provider has of IPv6; one customer has less. Whoever names fewer bits has thought of IPv4.
const LEAST_IPV6_PREFIX: u8 = 32;

/// Where a step counts.
pub(super) struct Here<'a, 'f> {
    pub file: &'f GatewayFile,
    /// What the steps before it may have found out of who is there.
    pub claims: &'a Claims,
    /// Whether they may have found out a program by its key.
    pub programs: bool,
    /// The route whose list it is in, and where that stands; none for the list of the whole gateway.
    pub route: Option<(&'f RouteFile, &'a KeyPath)>,
}

impl Here<'_, '_> {
    /// Why a request never has `part` here, or why it says nothing; none if it may.
    pub(super) fn problem(&self, part: &KeyPart, report: &Report<'_>) -> Option<String> {
        match part {
            KeyPart::ClientAddress { .. } | KeyPart::Cookie(_) | KeyPart::Host | KeyPart::Method | KeyPart::Route => {
                None
            }
            KeyPart::Claim(name) => self.claims.problem(name),
            KeyPart::ApiKey if self.programs => None,
            KeyPart::ApiKey => Some("no `api_key` step before this one asks for a program's key".to_owned()),
            KeyPart::Header(name) if is_asserted(name.as_str(), self.file) => {
                Some("clients write there what they like; only upstreams get it from what the gateway knows".to_owned())
            }
            KeyPart::Header(_) => None,
            KeyPart::Param(name) => self.param_problem(name, report),
            KeyPart::Expression(expression) => {
                let moment = Moment::Steps { claims: self.claims, route: self.route.map(|(route, _)| route) };
                expression.references().iter().find_map(|asked| expressions::problem(asked, &moment, self.file))
            }
        }
    }

    fn param_problem(&self, name: &str, report: &Report<'_>) -> Option<String> {
        let Some((route, at)) = self.route else {
            return Some("parameters belong to a route's path; write this step in the route's own list".to_owned());
        };
        let known = || {
            route.matches.path.segments().iter().filter_map(|segment| match segment {
                Segment::Parameter(name) => Some(name.as_str()),
                Segment::Literal(_) => None,
            })
        };
        let is_known = known().any(|known| known == name) || !report.is_written(&at.key("match"));
        (!is_known).then(|| format!("the route's path has no parameter `{name}`{}", did_you_mean(name, known())))
    }
}

/// Checks the key of a policy by itself; `at` is the policy's place.
pub(super) fn check(policy: &RateLimitFile, at: &KeyPath, report: &mut Report<'_>) {
    let here = at.key("key");
    if !report.is_written(&here) {
        return;
    }
    let parts = policy.key.parts();
    if parts.is_empty() {
        report.problem(&here, "there is nothing to count by; `client_address` is what every request has");
    }
    if parts.len() > MOST_PARTS {
        report.problem(&here, format!("a key has at most {MOST_PARTS} parts"));
    }
    for part in parts {
        if let KeyPart::ClientAddress { ipv6_prefix: 0..LEAST_IPV6_PREFIX } = part {
            let message = format!(
                "`{part}` makes a whole provider one client of IPv6, and counts each IPv4 address by itself all the same; what it \
                 says is the length of an IPv6 prefix, usually 56 or 64"
            );
            report.warning(&here, message);
        }
    }
    let is_address = |part: &KeyPart| matches!(part, KeyPart::ClientAddress { .. });
    for (index, part) in parts.iter().enumerate() {
        let before = || parts.iter().take(index);
        if before().any(|other| other == part) {
            report.problem(&here.index(index), format!("`{part}` stands in this list already"));
        } else if is_address(part) && before().any(is_address) {
            report.problem(
                &here.index(index),
                "the address stands in this list already, and one network is in the other",
            );
        }
    }
    if policy.missing_key.is_some() && !policy.key.may_be_missing() && !parts.is_empty() {
        report.problem(&at.key("missing_key"), "every request has what this policy counts by; leave `missing_key` out");
    }
}

/// Warns of each of `policies`, against which `route` counts, if none of them holds back a client that takes care.
pub(super) fn warn_of_escapes<'f>(
    route: &RouteFile,
    policies: &[&'f str],
    file: &GatewayFile,
    warned: &mut BTreeSet<&'f str>,
    report: &mut Report<'_>,
) {
    let policies = || policies.iter().filter_map(|name| Some((*name, file.rate_limits.get(*name)?)));
    // What only watches holds nobody back, as it says.
    let policies = || policies().filter(|(_, policy)| !policy.shadow);
    if policies().any(|(_, policy)| escape(policy, route).is_none()) {
        return;
    }
    for (name, policy) in policies() {
        let key = KeyPath::default().key("rate_limits").key(name).key("key");
        if let Some(escape) = escape(policy, route).filter(|_| report.is_written(&key) && warned.insert(name)) {
            let route = &route.name;
            report.warning(
                &key,
                format!("{escape}, and no other policy of route `{route}` limits that; add one that counts by `client_address`"),
            );
        }
    }
}

/// How a client that takes care is never held back by `policy`.
fn escape(policy: &RateLimitFile, route: &RouteFile) -> Option<String> {
    if let Some(part) = policy.key.parts().iter().find(|part| is_free(part, route)) {
        return Some(format!("whoever writes something else there (`{part}`) has a new quota"));
    }
    let is_skipped = policy.missing_key == Some(MissingKey::Skip) && policy.key.may_be_missing();
    is_skipped.then(|| "requests without this are not counted (`missing_key: skip`)".to_owned())
}

/// Whether clients may write in `part` what they like, as often as they like, and still be on `route`.
fn is_free(part: &KeyPart, route: &RouteFile) -> bool {
    let matches = &route.matches;
    let is_exact = |host: &HostMatch| matches!(host, HostMatch::Pattern(HostPattern::Exact(_)));
    let any_host = || matches.hosts.is_empty() || !matches.hosts.iter().all(is_exact);
    let any_path = || {
        let segments = matches.path.segments();
        let fixed = segments.iter().all(|segment| matches!(segment, Segment::Literal(_)));
        let PathMatch::Pattern(PathPattern { tail: Tail::Exact, .. }) = &matches.path else { return true };
        !fixed
    };
    match part {
        KeyPart::Header(_) | KeyPart::Cookie(_) | KeyPart::Param(_) => true,
        KeyPart::Host => any_host(),
        // With the address beside it too: each address has as many quotas as it likes.
        KeyPart::Expression(expression) => {
            // Of a truth value there are two.
            let many = expression.kind() != Kind::Bool;
            many && expression.references().iter().any(|asked| match asked.variable {
                Variable::Headers | Variable::Cookies | Variable::Query | Variable::Params => true,
                Variable::Host => any_host(),
                Variable::Path => any_path(),
                // Unlike the part `method`, an expression tells all words from each other.
                Variable::Method => matches.methods.is_empty(),
                Variable::ClientIp | Variable::Claims | Variable::Auth => false,
            })
        }
        KeyPart::ClientAddress { .. } | KeyPart::Claim(_) | KeyPart::ApiKey | KeyPart::Route | KeyPart::Method => false,
    }
}

/// Warns of a limit that clients choose themselves; `at` is the policy's place.
pub(super) fn warn_of_chosen_limits(policy: &RateLimitFile, at: &KeyPath, report: &mut Report<'_>) {
    let Some(FigureFile { value: Figure::Expression(expression), max }) = &policy.limit_by else { return };
    let chosen = |asked: &&Reference| matches!(asked.variable, Variable::Headers | Variable::Cookies | Variable::Query);
    if let Some(asked) = expression.references().iter().find(chosen) {
        report.warning(
            &at.key("limit_by").key("value"),
            format!(
                "clients write in `{}` what they like, and so choose their own limit, up to {max}; take it from a claim",
                asked.variable.name()
            ),
        );
    }
}
