//! Checks the routes, and the middlewares before them.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::hash::Hash;
use std::path::Path;

use super::claims::Claims;
use super::expressions::{self, Moment};
use super::references::{self, Asks};
use super::shape::{self, Scope, Shape};
use super::{
    Used, conditions, identity, keys, mirror, name_is_legal, overlaps, preflights, refers_to, server::MOST_BODY,
    size_is_within, split,
};
use crate::config::file::{GatewayFile, MiddlewareFile, NO_ROUTE, OnAuthError, ProofKind, RouteFile};
use crate::config::pattern::Figure;
use crate::config::problems::KeyPath;
use crate::config::report::Report;
use crate::config::values::ByteSize;

pub(super) fn check<'f>(file: &'f GatewayFile, directory: &Path, report: &mut Report<'_>) -> Used<'f> {
    let top = KeyPath::default();
    let routes = top.key("routes");
    let mut used = Used::default();
    let mut shared = Chain::default();
    // Which routes its steps stand before, a list of the whole gateway cannot know.
    let scope = Scope { file, directory, route: None, claims: &Claims::None, claims_in_the_end: &Claims::Any };
    shared.check(&file.middleware, &top.key("middleware"), scope, &mut used, report);
    if file.routes.is_empty() {
        report.problem(&routes, "there is no route; a gateway needs at least one");
    }
    let mut names: HashMap<&str, usize> = HashMap::new();
    let mut warned = BTreeSet::new();
    for (index, route) in file.routes.iter().enumerate() {
        let at = routes.index(index);
        name_is_legal(&route.name, &at.key("name"), report);
        if route.name == NO_ROUTE {
            report.problem(&at.key("name"), format!("`{NO_ROUTE}` is what logs and metrics call no route at all"));
        }
        if let Some(first) = names.insert(&route.name, index) {
            let line = report.line(&routes.index(first).key("name"));
            report.problem(&at.key("name"), format!("the route in line {line} has the name `{}` already", route.name));
        }
        if let Some(upstream) = &route.upstream
            && refers_to("upstream", upstream, &file.upstreams, &at.key("upstream"), report)
        {
            used.upstreams.insert(upstream);
        }
        if let Some(size) = route.max_body {
            size_is_within(size, ByteSize::from_kib(0), MOST_BODY, &at.key("max_body"), report);
        }
        let mut chain = shared.clone();
        let claims = Claims::of(file.middleware.iter().chain(&route.middleware));
        let route_at = Some((route, &at));
        let scope = Scope { file, directory, route: route_at, claims: &Claims::None, claims_in_the_end: &claims };
        chain.check(&route.middleware, &at.key("middleware"), scope, &mut used, report);
        keys::warn_of_escapes(route, &chain.policies, file, &mut warned, report);
        split::check(route, file, &chain.claims, &at, &mut used, report);
        mirror::check(route, &file.upstreams, &chain.shape, &at, &mut used, report);
        shape::check_upstream(route, &chain.shape, &at, report);
        if let Some(at) = chain.to_whom.as_ref().filter(|_| route.split.is_some()) {
            report.problem(at, "this route has several upstreams; say in `audience` whom the token is for");
        }
        check_identity(route, &chain, &at, report);
        check_lists(route, &at.key("match"), report);
    }
    conditions::check(file, report);
    preflights::check(file, report);
    overlaps::check(file, report);
    used
}

/// What the steps before some point ask for and count.
#[derive(Clone, Default)]
struct Chain<'f> {
    /// Whether a step asks who is there, so that nobody passes as nobody.
    asks: bool,
    /// What the steps may find out of who is there.
    claims: Claims,
    /// Whether the steps may find out a program by its key.
    programs: bool,
    /// Whether a step has signed for the upstream.
    signs: bool,
    /// Where it does so without a word about whom it is for, other than that.
    to_whom: Option<KeyPath>,
    policies: Vec<&'f str>,
    shape: Shape,
}

impl<'f> Chain<'f> {
    fn check(
        &mut self,
        steps: &'f [MiddlewareFile],
        at: &KeyPath,
        scope: Scope<'_, 'f>,
        used: &mut Used<'f>,
        report: &mut Report<'_>,
    ) {
        let file = scope.file;
        for (index, step) in steps.iter().enumerate() {
            let here = at.index(index);
            let claims = self.claims.clone();
            let scope = Scope { claims: &claims, ..scope };
            self.shape.check(step, &here, &scope, &mut used.bodies, report);
            match step {
                MiddlewareFile::Jwt(_)
                | MiddlewareFile::ApiKey(_)
                | MiddlewareFile::BasicAuth(_)
                | MiddlewareFile::ClientCertificate(_)
                | MiddlewareFile::Introspection(_)
                | MiddlewareFile::AnyOf(_)
                | MiddlewareFile::AllOf(_) => {
                    identity::check_step(step, &here, file, used, report);
                    if self.claims != Claims::None {
                        let message = "a step before this one asks who is there already; put both into one `all_of`";
                        report.problem(&here, message);
                    }
                    self.claims = claims.or(Claims::of([step]));
                    self.programs |= step.ways().iter().flatten().any(|(kind, _)| *kind == ProofKind::ApiKey);
                    self.asks |= match step {
                        MiddlewareFile::Jwt(jwt) => !jwt.optional,
                        MiddlewareFile::Introspection(token) => !token.optional,
                        _ => true,
                    };
                }
                MiddlewareFile::Authorize(rule) => {
                    let here = here.key("authorize");
                    let moment = Moment::Steps { claims: &self.claims, route: scope.route.map(|(route, _)| route) };
                    identity::check_rule(rule, &self.claims, &here, report);
                    for (index, rule) in rule.rules.iter().enumerate() {
                        let here = here.key("rules").index(index).key("allow_if");
                        expressions::check(rule.allow_if.expression(), &moment, file, &here, report);
                    }
                    // A service that lets pass does not say who it is that passes.
                    if (!self.asks || self.claims == Claims::None) && identity::asks_who(rule) {
                        report.problem(&here, "no step before this one asks who is there");
                    }
                }
                MiddlewareFile::ForwardAuth(asked) => {
                    let here = here.key("forward_auth").key("provider");
                    if references::check(Asks::ForwardAuth, &asked.provider, file, &here, report) {
                        used.forward_auth.insert(&asked.provider);
                    }
                    // Where nobody passes without an answer, somebody has said of each request that it may.
                    let service = file.forward_auth.get(&asked.provider);
                    self.asks |= service.is_none_or(|service| service.on_error == OnAuthError::Refuse);
                }
                MiddlewareFile::IdentityToken(step) => {
                    let here = here.key("identity_token");
                    if references::check(Asks::IdentityToken, &step.signer, file, &here.key("signer"), report) {
                        used.signers.insert(&step.signer);
                    }
                    if step.audience.as_ref().is_some_and(String::is_empty) {
                        report.problem(&here.key("audience"), "this is empty; a token is for a certain audience");
                    }
                    if step.audience.is_none() {
                        self.to_whom = Some(here.clone());
                    }
                    if self.claims == Claims::None {
                        report.problem(&here, "no step before this one asks who is there");
                    }
                    if std::mem::replace(&mut self.signs, true) {
                        report.problem(&here, "a step before this one signs already, in the same header");
                    }
                }
                MiddlewareFile::Rewrite(_) if self.signs => {
                    report.problem(&here, "a step before this one has signed another path; rewrite before it");
                }
                MiddlewareFile::RateLimit(limits) => {
                    let here = here.key("rate_limit").key("policies");
                    if limits.policies.is_empty() {
                        report.problem(&here, "there is no policy to count against");
                    }
                    for (index, policy) in limits.policies.iter().enumerate() {
                        self.check_policy(policy, &here.index(index), &scope, used, report);
                    }
                }
                MiddlewareFile::Headers(_)
                | MiddlewareFile::Cors(_)
                | MiddlewareFile::Compress(_)
                | MiddlewareFile::Rewrite(_)
                | MiddlewareFile::Redirect(_)
                | MiddlewareFile::Respond(_) => {}
            }
        }
    }

    fn check_policy(
        &mut self,
        name: &'f str,
        at: &KeyPath,
        scope: &Scope<'_, 'f>,
        used: &mut Used<'f>,
        report: &mut Report<'_>,
    ) {
        let file = scope.file;
        if !refers_to("policy", name, &file.rate_limits, at, report) {
            return;
        }
        used.policies.insert(name);
        if self.policies.contains(&name) {
            report.problem(at, format!("a step before this one counts against `{name}` already"));
        }
        self.policies.push(name);
        let here = keys::Here { file, claims: &self.claims, programs: self.programs, route: scope.route };
        for part in file.rate_limits.get(name).into_iter().flat_map(|policy| policy.key.parts()) {
            if let Some(problem) = here.problem(part, report) {
                report.problem(at, format!("`{name}` counts by `{part}`, and {problem}"));
            }
        }
        for figure in
            file.rate_limits.get(name).into_iter().flat_map(|policy| [&policy.limit_by, &policy.cost_by]).flatten()
        {
            let problem = match &figure.value {
                Figure::Claim(claim) => self.claims.problem(claim),
                Figure::Expression(expression) => {
                    let moment = Moment::Steps { claims: &self.claims, route: scope.route.map(|(route, _)| route) };
                    expression.references().iter().find_map(|asked| expressions::problem(asked, &moment, file))
                }
            };
            if let Some(problem) = problem {
                report.problem(at, format!("`{name}` takes a number from `{}`, and {problem}", figure.value));
            }
        }
    }
}

/// Fails closed: a route that neither asks for an identity nor says that it wants none is refused.
fn check_identity(route: &RouteFile, chain: &Chain<'_>, at: &KeyPath, report: &mut Report<'_>) {
    let known = [at.key("public"), at.key("middleware"), KeyPath::default().key("middleware")];
    if !known.iter().all(|key| report.is_written(key)) {
        return;
    }
    match (route.public, chain.asks) {
        (true, true) => {
            report.problem(&at.key("public"), "the route is public, and a step asks who is there; keep one of the two");
        }
        (false, false) => {
            let message = if chain.claims != Claims::None {
                "nobody has to say who is there, for the step that asks is optional; write `public: true` too if that is meant"
            } else {
                "nothing asks who is there; add a step that does (`jwt`, `api_key`, ...), or write `public: true` if nobody needs to"
            };
            report.problem(at, message);
        }
        (true, false) | (false, true) => {}
    }
}

fn check_lists(route: &RouteFile, at: &KeyPath, report: &mut Report<'_>) {
    repeats(&route.matches.hosts, &at.key("hosts"), report);
    repeats(&route.matches.methods, &at.key("methods"), report);
    repeats(&route.matches.client, &at.key("client"), report);
}

pub(super) fn repeats<T: Eq + Hash>(items: &[T], at: &KeyPath, report: &mut Report<'_>) {
    let mut seen = HashSet::new();
    for (index, item) in items.iter().enumerate() {
        let here = at.index(index);
        if report.is_written(&here) && !seen.insert(item) {
            report.problem(&here, format!("`{}` stands in this list already", report.shown(&here)));
        }
    }
}
