//! Which policies count what several providers say, so that the same name of two of them must not be one.

use std::collections::{BTreeMap, BTreeSet};

use crate::config::file::{GatewayFile, MiddlewareFile, ProofKind};

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
