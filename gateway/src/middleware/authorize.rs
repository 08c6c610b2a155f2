//! Lets only those pass who may do this: by the scopes, the roles and the claims of whoever was found before, and by expressions
//! that ask whatever else there is.

use std::sync::Arc;

use http::HeaderValue;
use http::header::InvalidHeaderValue;
use pingora_http::RequestHeader;
use serde_json::{Map, Value};

use super::{Flow, Middleware, Step};
use crate::claim::ClaimPath;
use crate::config::file::{AuthorizeFile, ProofKind, RuleFile};
use crate::config::pattern::Expression;
use crate::ctx::{Prover, RequestContext};
use crate::expression::{self, Doubt, Offer, Params};
use crate::reply::{BEARER, Rejection};

/// What it takes to pass, all of it.
pub(crate) struct Authorize {
    rule: Option<Arc<str>>,
    scopes: Box<[Box<str>]>,
    roles: Option<(ClaimPath, Box<[Box<str>]>)>,
    claims: Box<[(ClaimPath, Value)]>,
    /// Whether any of these is wanted, so that somebody must be there.
    asks_who: bool,
    expressions: Box<[(Arc<str>, Expression)]>,
    params: Params,
    /// What a token would have to say, for those who have come with one.
    challenge: HeaderValue,
}

impl Authorize {
    /// The rule of `file`, on a route with these `params`.
    ///
    /// # Errors
    /// When a scope cannot stand in a header.
    pub(crate) fn new(file: &AuthorizeFile, params: Params) -> Result<Self, InvalidHeaderValue> {
        let mut challenge = format!("{BEARER}, error=\"insufficient_scope\"");
        if !file.scopes.is_empty() {
            challenge += &format!(", scope=\"{}\"", file.scopes.join(" "));
        }
        let texts = |texts: &[String]| texts.iter().map(|text| text.as_str().into()).collect();
        let expression = |rule: &RuleFile| (Arc::from(&*rule.name), rule.allow_if.expression().clone());
        let claims = file.claims.iter().map(|(claim, value)| (ClaimPath::new(claim), value.get().clone()));
        Ok(Self {
            rule: file.rule.as_deref().map(Arc::from),
            scopes: texts(&file.scopes),
            roles: file.roles.as_ref().map(|roles| (ClaimPath::new(&roles.claim), texts(&roles.any))),
            claims: claims.collect(),
            asks_who: !file.scopes.is_empty() || file.roles.is_some() || !file.claims.is_empty(),
            expressions: file.rules.iter().map(expression).collect(),
            params,
            challenge: HeaderValue::try_from(challenge)?,
        })
    }

    /// The first expression that does not hold, or has no answer.
    fn first_refusal(&self, head: &RequestHeader, ctx: &RequestContext) -> Option<Arc<str>> {
        let (first, _) = self.expressions.iter().find(|(_, expression)| {
            !expression::holds(expression, &Offer::of(head, ctx, &self.params)).unwrap_or_else(|Doubt| {
                ctx.route.iter().for_each(|route| route.metrics.expression_doubts().inc());
                false
            })
        })?;
        Some(Arc::clone(first))
    }

    /// What somebody known by `prover` is told. Only a token has scopes that another one could have more of (RFC 6750, section
    /// 3.1); of a key, a password or a certificate there is none to ask for.
    fn refusal(&self, prover: Option<&Prover>) -> Rejection {
        let by_token = prover.is_some_and(|prover| matches!(prover.kind, ProofKind::Jwt | ProofKind::Introspection));
        Rejection::InsufficientScope(by_token.then(|| self.challenge.clone()))
    }

    fn allows(&self, claims: &Map<String, Value>) -> bool {
        self.scopes.iter().all(|scope| has_scope(claims, scope))
            && self.roles.as_ref().is_none_or(|(path, any)| {
                path.find(claims).is_some_and(|roles| any.iter().any(|role| has_text(roles, role)))
            })
            && self.claims.iter().all(|(path, value)| path.find(claims) == Some(value))
    }
}

impl Middleware for Authorize {
    fn on_request<'a>(&'a self, head: &'a mut RequestHeader, ctx: &'a mut RequestContext) -> Step<'a> {
        match &ctx.identity {
            None if self.asks_who => return Step::Done(Flow::Reply(Rejection::TokenMissing)),
            Some(identity) if !self.allows(&identity.claims) => {
                ctx.denied_by.clone_from(&self.rule);
                return Step::Done(Flow::Reply(self.refusal(ctx.proven_by.as_deref())));
            }
            None | Some(_) => {}
        }
        if let Some(rule) = self.first_refusal(head, ctx) {
            ctx.denied_by = Some(rule);
            return Step::Done(Flow::Reply(Rejection::NotPermitted));
        }
        Step::Done(Flow::Continue)
    }

    fn sees_responses(&self) -> bool {
        false
    }
}

/// Whether a token has `scope`: in `scope`, a text with spaces (RFC 8693, section 4.2), or in `scp`, as some issuers have it;
/// either may be a list.
fn has_scope(claims: &Map<String, Value>, scope: &str) -> bool {
    match claims.get("scope").or_else(|| claims.get("scp")) {
        Some(Value::String(scopes)) => scopes.split(' ').any(|own| own == scope),
        Some(scopes) => has_text(scopes, scope),
        None => false,
    }
}

/// Whether `value` is this text, or a list with it.
fn has_text(value: &Value, text: &str) -> bool {
    match value {
        Value::Array(items) => items.iter().any(|item| item == text),
        value => value == text,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn params() -> Params {
        Params::of(&"/".parse().expect("a path"))
    }

    fn allows(rule: Value, claims: Value) -> bool {
        let rule = Authorize::new(&serde_json::from_value(rule).expect("a rule"), params()).expect("legal");
        rule.allows(claims.as_object().expect("a block"))
    }

    #[test]
    fn every_scope_is_needed_in_either_form() {
        let rule = json!({"scopes": ["orders:read", "orders:write"]});
        for claims in [
            json!({"scope": "orders:write profile orders:read"}),
            json!({"scp": ["orders:read", "orders:write"]}),
            json!({"scope": ["orders:read", "orders:write"]}),
            json!({"scp": "orders:read orders:write"}),
        ] {
            assert!(allows(rule.clone(), claims.clone()), "{claims}");
        }
        for claims in [
            json!({}),
            json!({"scope": "orders:read"}),
            json!({"scope": "orders:read orders:write2"}),
            json!({"scope": "orders:read,orders:write"}),
            json!({"scope": "", "scp": ["orders:read", "orders:write"]}),
            json!({"scp": [["orders:read", "orders:write"]]}),
            json!({"scope": {"orders:read": true, "orders:write": true}}),
            json!({"scope": true}),
        ] {
            assert!(!allows(rule.clone(), claims.clone()), "{claims}");
        }
    }

    #[test]
    fn one_role_is_enough_and_must_be_the_very_word() {
        let rule = json!({"roles": {"claim": "realm_access.roles", "any": ["admin", "root"]}});
        let with = |roles: Value| allows(rule.clone(), json!({"realm_access": {"roles": roles}}));
        assert!(with(json!(["user", "admin"])) && with(json!("root")));
        for roles in
            [json!([]), json!("user"), json!("user admin"), json!(["administrator"]), json!(null), json!([["admin"]])]
        {
            assert!(!with(roles.clone()), "{roles}");
        }
        assert!(!allows(rule, json!({"roles": ["admin"]})), "a claim of the same name elsewhere");
    }

    #[test]
    fn everything_that_is_written_has_to_hold() {
        let rule = json!({
            "scopes": ["a"], "roles": {"claim": "roles", "any": ["r"]}, "claims": {"tenant": "acme", "mfa": true},
        });
        let good = json!({"scope": "a", "roles": ["r"], "tenant": "acme", "mfa": true});
        assert!(allows(rule.clone(), good.clone()));
        for (claim, other) in
            [("scope", json!("b")), ("roles", json!(["s"])), ("tenant", json!("Acme")), ("mfa", json!("true"))]
        {
            let mut claims = good.clone();
            claims[claim] = other;
            assert!(!allows(rule.clone(), claims), "{claim}");
        }
    }

    #[test]
    fn the_challenge_names_the_scopes_and_nothing_else_of_the_rule() {
        let challenge = |rule: Value| {
            let rule = Authorize::new(&serde_json::from_value(rule).expect("a rule"), params()).expect("legal");
            let refusal = |kind| rule.refusal(Some(&Prover { kind, provider: "p".into() }));
            for kind in [ProofKind::ApiKey, ProofKind::BasicAuth, ProofKind::ClientCertificate] {
                assert_eq!(refusal(kind), Rejection::InsufficientScope(None), "{kind:?} has no token to ask for");
            }
            assert_eq!(rule.refusal(None), Rejection::InsufficientScope(None));
            assert_eq!(refusal(ProofKind::Jwt), refusal(ProofKind::Introspection));
            let Rejection::InsufficientScope(Some(challenge)) = refusal(ProofKind::Jwt) else { panic!("no challenge") };
            challenge.to_str().expect("ASCII").to_owned()
        };
        let bearer = "Bearer realm=\"gateway\", error=\"insufficient_scope\"";
        assert_eq!(challenge(json!({"rule": "r", "scopes": ["a", "b"]})), format!("{bearer}, scope=\"a b\""));
        assert_eq!(challenge(json!({"rule": "r", "claims": {"tenant": "acme"}})), bearer);
    }
}
