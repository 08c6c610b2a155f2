//! What a request counts as.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use pingora_http::RequestHeader;

use crate::claim::ClaimPath;
use crate::client_addr::ClientAddr;
use crate::config::file::{GatewayFile, MiddlewareFile, ProofKind, RouteFile};
use crate::config::pattern::{Expression, RateLimitKey, Variable};
use crate::ctx::RequestContext;
use crate::expression::{self, Doubt, Offer, Params};

/// IPv6 addresses are counted by the network that one customer usually has: who has one address of it has all.
const IPV6_PREFIX: u32 = 64;

/// Begins what is no text of a claim; no text has this byte.
const NO_TEXT: u8 = 0xFF;

/// What requests are counted by, ready to be read of one.
#[derive(Debug)]
pub(crate) enum Key {
    /// The client's network.
    Address,
    /// A claim, and who says it where several may.
    Claim { path: ClaimPath, told_apart: bool },
    /// What an expression says.
    Expression { expression: Expression, params: Params, told_apart: bool },
}

/// What one request counts as.
pub(super) enum CountsAs<'c> {
    Address([u8; 17]),
    Text(Cow<'c, [u8]>),
}

impl Key {
    /// The key that is written like this, on `route`. With `told_apart`, what one provider says is not what another says.
    pub(crate) fn new(key: &RateLimitKey, told_apart: bool, route: &RouteFile) -> Self {
        match key {
            RateLimitKey::ClientAddress => Self::Address,
            RateLimitKey::Claim(name) => Self::Claim { path: ClaimPath::new(name), told_apart },
            RateLimitKey::Expression(expression) => Self::Expression {
                expression: expression.clone(),
                params: Params::of(&route.matches.path),
                told_apart: told_apart
                    && expression.references().iter().any(|asked| asked.variable == Variable::Claims),
            },
        }
    }

    /// What the request with this `head` counts as. One without the claim, or for which the expression has no answer, is counted
    /// by its address, never not at all.
    pub(super) fn of<'c>(&self, head: &RequestHeader, ctx: &'c RequestContext) -> CountsAs<'c> {
        let text = match self {
            Self::Address => None,
            Self::Claim { path, told_apart } => ctx
                .identity
                .as_ref()
                .and_then(|identity| identity.claim_at(path))
                .map(|claim| if *told_apart { said_by(claim.as_bytes(), ctx).into() } else { bytes(claim) }),
            Self::Expression { expression, params, told_apart } => {
                match expression::text(expression, &Offer::of(head, ctx, params)) {
                    Ok(text) if *told_apart => Some(said_by(text.as_bytes(), ctx).into()),
                    Ok(text) => Some(text.into_bytes().into()),
                    Err(Doubt) => {
                        ctx.route.iter().for_each(|route| route.metrics.expression_doubts().inc());
                        None
                    }
                }
            }
        };
        text.map_or_else(|| CountsAs::Address(address(ctx.client)), CountsAs::Text)
    }
}

impl AsRef<[u8]> for CountsAs<'_> {
    fn as_ref(&self) -> &[u8] {
        match self {
            Self::Address(address) => address,
            Self::Text(text) => text,
        }
    }
}

fn bytes(text: Cow<'_, str>) -> Cow<'_, [u8]> {
    match text {
        Cow::Borrowed(text) => text.as_bytes().into(),
        Cow::Owned(text) => text.into_bytes().into(),
    }
}

/// What is said of who is there, and by whom.
fn said_by(text: &[u8], ctx: &RequestContext) -> Vec<u8> {
    let Some(prover) = &ctx.proven_by else { return text.to_vec() };
    [text, &[NO_TEXT], prover.kind.name().as_bytes(), b".", prover.provider.as_bytes()].concat()
}

/// The client's network behind a byte that no text has, so that no claim can be made to count as somebody's address.
fn address(client: ClientAddr) -> [u8; 17] {
    let addr = match network(client.get()) {
        IpAddr::V4(addr) => addr.to_ipv6_mapped(),
        IpAddr::V6(addr) => addr,
    };
    let mut key = [NO_TEXT; 17];
    key[1..].copy_from_slice(&addr.octets());
    key
}

fn network(client: IpAddr) -> IpAddr {
    match client.to_canonical() {
        IpAddr::V4(addr) => addr.into(),
        IpAddr::V6(addr) => IpAddr::V6((u128::from(addr) & (u128::MAX << (128 - IPV6_PREFIX))).into()),
    }
}

/// The policies against which requests are counted of whom not one provider alone has said who they are, on whichever routes.
pub(crate) fn told_apart(file: &GatewayFile) -> BTreeSet<&str> {
    let mut provers: BTreeMap<&str, BTreeSet<(ProofKind, &str)>> = BTreeMap::new();
    for route in &file.routes {
        let steps = || file.middleware.iter().chain(&route.middleware);
        let ways: Vec<_> = steps().flat_map(MiddlewareFile::ways).collect();
        let first = || ways.iter().filter_map(|way| way.first().copied());
        for step in steps() {
            let MiddlewareFile::RateLimit(limits) = step else { continue };
            limits.policies.iter().for_each(|policy| provers.entry(policy).or_default().extend(first()));
        }
    }
    provers.into_iter().filter(|(_, provers)| provers.len() > 1).map(|(policy, _)| policy).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::client_addr::PeerAddr;

    #[test]
    fn clients_are_counted_by_network() {
        let network = |text: &str| network(text.parse().expect("an address")).to_string();
        assert_eq!(network("192.0.2.7"), "192.0.2.7");
        assert_eq!(network("::ffff:192.0.2.7"), "192.0.2.7");
        assert_eq!(network("2001:db8:1:2:3:4:5:6"), "2001:db8:1:2::");
    }

    #[test]
    fn no_claim_counts_as_an_address() {
        for addr in ["97.98.99.100", "6162:6364:6566:6768::"] {
            let key = address(PeerAddr::new(addr.parse().expect("an address")).into());
            assert!(std::str::from_utf8(&key).is_err(), "{addr}");
        }
    }

    #[test]
    fn only_policies_that_see_two_providers_tell_them_apart() {
        let file = |first: &str, second: &str| -> GatewayFile {
            let route = |path: &str, asks: &str, policy: &str| {
                format!(
                    "{{ name: {path}, match: {{ path: /{path} }}, upstream: u, middleware: \
                     [{{ {asks} }}, {{ rate_limit: {{ policies: [{policy}] }} }}] }}"
                )
            };
            let routes = [route("a", first, "both"), route("b", second, "both"), route("c", second, "second")];
            serde_saphyr::from_str(&format!("routes: [{}]", routes.join(", "))).expect("a file")
        };
        let (jwt, other) = ("jwt: { provider: p }", "jwt: { provider: q }");
        let key = "api_key: { provider: p }";
        let any = "any_of: [[jwt: { provider: p }], [api_key: { provider: p }]]";
        let all = "all_of: [{ jwt: { provider: p } }, { api_key: { provider: p } }]";
        assert!(told_apart(&file(jwt, jwt)).is_empty());
        assert!(told_apart(&file(jwt, all)).is_empty(), "of all, the first says who it is");
        assert_eq!(told_apart(&file(jwt, other)), BTreeSet::from(["both"]));
        assert_eq!(told_apart(&file(jwt, key)), BTreeSet::from(["both"]), "of one name, and of another kind");
        assert_eq!(told_apart(&file(jwt, any)), BTreeSet::from(["both", "second"]));
    }
}
