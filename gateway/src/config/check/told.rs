//! Checks that of all that one request can pass, no two tell its upstream something in the same header: whoever reads it could
//! not know whose word it is. On different routes, or in different ways of one `any_of`, they may.

use http::HeaderName;

use crate::config::file::{GatewayFile, IdentityFile, IdentityStep, MiddlewareFile, ProofKind};
use crate::config::problems::KeyPath;
use crate::config::report::Report;
use crate::config::values::same_but_for_underscores;

/// Who tells upstreams something: a block of the file, and a name in it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Owner<'f> {
    block: &'static str,
    name: &'f str,
}

/// Which headers were told so far, and by whom.
type Told<'f> = Vec<(&'f HeaderName, Owner<'f>)>;

pub(super) fn check(file: &GatewayFile, report: &mut Report<'_>) {
    let mut shared = Told::new();
    steps(&file.middleware, &KeyPath::default().key("middleware"), file, &mut shared, report);
    let at = KeyPath::default().key("routes");
    for (index, route) in file.routes.iter().enumerate() {
        steps(&route.middleware, &at.index(index).key("middleware"), file, &mut shared.clone(), report);
    }
}

fn steps<'f>(
    steps: &'f [MiddlewareFile],
    at: &KeyPath,
    file: &'f GatewayFile,
    told: &mut Told<'f>,
    report: &mut Report<'_>,
) {
    for (index, step) in steps.iter().enumerate() {
        let here = at.index(index);
        if let MiddlewareFile::ForwardAuth(asked) = step {
            let owner = Owner { block: "forward_auth", name: &asked.provider };
            tell(owner, &here.key("forward_auth"), file, told, report);
        }
        match step.identity() {
            Some(IdentityStep::AnyOf(ways)) => {
                // A request goes one of the ways; what comes behind them, it meets after any.
                let before = told.clone();
                for (index, way) in ways.iter().enumerate() {
                    let mut own = before.clone();
                    proofs(way, &here.key("any_of").index(index), file, &mut own, report);
                    told.extend(own.into_iter().skip(before.len()));
                }
            }
            Some(IdentityStep::AllOf(way)) => proofs(way, &here.key("all_of"), file, told, report),
            Some(_) => {
                for (kind, name) in step.ways().concat() {
                    tell(Owner { block: block(kind), name }, &here.key(kind.name()), file, told, report);
                }
            }
            None => {}
        }
    }
}

fn proofs<'f>(
    way: &'f [IdentityFile],
    at: &KeyPath,
    file: &'f GatewayFile,
    told: &mut Told<'f>,
    report: &mut Report<'_>,
) {
    for (index, proof) in way.iter().enumerate() {
        let (kind, name) = proof.asked();
        tell(Owner { block: block(kind), name }, &at.index(index).key(kind.name()), file, told, report);
    }
}

/// Notes what `owner` tells, whom the step at `at` asks; and says so where somebody else has told it before.
fn tell<'f>(owner: Owner<'f>, at: &KeyPath, file: &'f GatewayFile, told: &mut Told<'f>, report: &mut Report<'_>) {
    let mut own = Told::new();
    for (header, here) in headers(owner, file) {
        let same = |(other, by): &&(&HeaderName, Owner<'_>)| {
            *by != owner && same_but_for_underscores(other.as_str(), header.as_str())
        };
        if let Some((_, other)) = told.iter().find(same)
            && report.is_written(&here)
        {
            let message = format!(
                "`{}.{}` tells the upstream `{}` too, and a request here passes `{}.{}` before; give one of the two another \
                 header, or put them on different routes",
                owner.block,
                owner.name,
                report.shown(&here),
                other.block,
                other.name,
            );
            report.problem(&at.key("provider"), message);
        }
        own.push((header, owner));
    }
    told.append(&mut own);
}

const fn block(kind: ProofKind) -> &'static str {
    match kind {
        ProofKind::Jwt => "jwt_providers",
        ProofKind::ApiKey => "api_keys",
        ProofKind::BasicAuth => "basic_auth",
        ProofKind::Introspection => "token_introspection",
        ProofKind::ClientCertificate => "client_certificates",
    }
}

/// The headers in which `owner` tells upstreams something, and where that is written.
fn headers<'f>(owner: Owner<'f>, file: &'f GatewayFile) -> Vec<(&'f HeaderName, KeyPath)> {
    let at = KeyPath::default().key(owner.block).key(owner.name);
    let name = owner.name;
    let of_claims = match owner.block {
        "jwt_providers" => file.jwt_providers.get(name).map(|provider| &provider.claims_to_headers),
        "api_keys" => file.api_keys.get(name).map(|provider| &provider.claims_to_headers),
        "basic_auth" => file.basic_auth.get(name).map(|provider| &provider.claims_to_headers),
        "token_introspection" => file.token_introspection.get(name).map(|provider| &provider.claims_to_headers),
        "client_certificates" => file.client_certificates.get(name).map(|provider| &provider.claims_to_headers),
        _ => None,
    };
    if let Some(headers) = of_claims {
        let at = at.key("claims_to_headers");
        return headers.iter().map(|(claim, header)| (header.get(), at.key(claim))).collect();
    }
    let of_service = file.forward_auth.get(name).filter(|_| owner.block == "forward_auth");
    let listed = of_service.into_iter().flat_map(|service| service.upstream_headers.iter().enumerate());
    listed.map(|(index, header)| (header.get(), at.key("upstream_headers").index(index))).collect()
}
